"""GPUs by name and memory, as a worker tells of them: in the device selector, in Set-up, and in what is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.slicer_panel import bootstrapped

bootstrapped()

from SlicerXAILib.words import device_entry  # noqa: E402

CPU = {"name": "cpu", "title": "CPU, 16 cores (x86_64)", "memory_bytes": 128_000_000_000}
GPUS = [
    {"name": "cuda:0", "title": "NVIDIA H200", "memory_bytes": 150_110_011_392},
    {"name": "cuda:1", "title": "NVIDIA RTX A4000", "memory_bytes": 16_870_000_000},
]

Says = Callable[..., None]


@pytest.fixture
def says(desk: Any, monkeypatch: pytest.MonkeyPatch) -> Says:
    """What a worker says of its devices when it is ready; nothing is asked of the real one."""
    engine = desk.panel.engine
    monkeypatch.setattr(engine.session, "ask", lambda request, handler, **fields: "0")
    monkeypatch.setattr(engine, "state", engine.state)  # all of it is given back at the end
    for name in ("devices", "cuda", "been_ready"):
        monkeypatch.setattr(engine, name, getattr(engine, name))
    monkeypatch.setattr(engine, "bundles", dict(engine.bundles))

    def say(devices: list[dict[str, Any]], cuda: str | None) -> None:
        engine.session.event.emit({"event": "ready", "devices": devices, "cuda": cuda, "bundles": []})

    return say


def entries(selector: Any) -> list[tuple[str, str]]:
    return [(selector.itemData(n), selector.itemText(n)) for n in range(selector.count)]


def test_gpus_are_offered_by_name_and_memory(desk, says):
    says([*GPUS, CPU], "12.8")
    assert entries(desk.ui.deviceSelector) == [
        ("auto", "Automatic"),
        ("cuda:0", "NVIDIA H200, 150 GB"),
        ("cuda:1", "NVIDIA RTX A4000, 17 GB"),
        ("cpu", "CPU, 16 cores (x86_64), 128 GB"),
    ]


def test_the_gpu_that_is_chosen_is_kept_and_one_that_is_gone_is_said_to_be(desk, says):
    says([*GPUS, CPU], "12.8")
    desk.ui.deviceSelector.setCurrentIndex(2)
    assert desk.panel.parameters.device == "cuda:1"
    says([GPUS[0], CPU], "12.8")
    assert entries(desk.ui.deviceSelector)[-1] == ("cuda:1", "cuda:1 (not there)")
    assert desk.ui.deviceSelector.currentIndex == 3


@pytest.mark.parametrize(
    ("devices", "cuda", "words"),
    [
        ([*GPUS, CPU], "12.8", "ready, CUDA 12.8. NVIDIA H200, 150 GB; NVIDIA RTX A4000, 17 GB; CPU, 16"),
        ([CPU], "12.8", "ready, CUDA 12.8, but no GPU was found. CPU, 16"),
        ([CPU], None, "ready, without CUDA. CPU, 16"),
    ],
)
def test_setup_says_which_cuda_and_which_devices(desk, says, devices, cuda, words):
    says(devices, cuda)
    assert words in desk.ui.engineLabel.text


def test_a_device_whose_memory_is_not_known_has_its_name_alone():
    assert device_entry({"name": "cuda:0", "title": "GPU", "memory_bytes": None}) == "GPU"
    assert device_entry({"name": "cuda:0"}) == "cuda:0"
