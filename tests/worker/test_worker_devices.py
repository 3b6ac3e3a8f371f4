"""What the engine says of GPUs, with torch.cuda answering as on a machine that has some."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from camlime.worker.engine import work
from camlime.worker.engine.describe import devices

CARDS = [
    SimpleNamespace(name="NVIDIA H200", total_memory=150_110_011_392),
    SimpleNamespace(name="NVIDIA RTX A4000", total_memory=16_870_000_000),
]


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(CARDS))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: CARDS[index])
    monkeypatch.setattr(torch.version, "cuda", "12.8")


@pytest.mark.usefixtures("two_cards")
def test_each_gpu_has_its_name_and_its_memory() -> None:
    *gpus, cpu = devices()
    assert gpus == [
        {"name": "cuda:0", "title": "NVIDIA H200", "memory_bytes": 150_110_011_392},
        {"name": "cuda:1", "title": "NVIDIA RTX A4000", "memory_bytes": 16_870_000_000},
    ]
    assert cpu["name"] == "cpu"


def test_a_driver_that_does_not_work_leaves_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch counts the cards of a driver that it cannot use."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert [device["name"] for device in devices()] == ["cpu"]


class End(Exception):  # noqa: N818
    """The test has heard enough."""


class Said:
    """Takes the place of the line to the worker and of the inbox."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def write(self, event: dict[str, Any]) -> None:
        self.events.append(event)

    def next(self) -> dict[str, Any]:
        raise End


@pytest.mark.usefixtures("two_cards")
def test_the_engine_says_so_when_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "shipped", lambda load: [])
    said: Any = Said()
    with pytest.raises(End):
        work.Engine(said, said, started=time.perf_counter()).run()
    (ready,) = said.events
    assert (ready["event"], ready["cuda"]) == ("ready", "12.8")
    assert [device["title"] for device in ready["devices"][:2]] == ["NVIDIA H200", "NVIDIA RTX A4000"]
