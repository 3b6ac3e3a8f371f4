"""Real worker processes, shared since each imports torch, and bundles that are slow, stuck, noisy or hungry."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.blob_bundle import write_blob_bundle

from camlime.phantom import blob
from camlime.scan import save_volume
from camlime.worker.client import Event, WorkerClient

SHAPE = (16, 14, 12)
CENTER = (-20.0, 12.0, -60.0)
PATIENT = 90.0
"""Seconds that a test waits for an event at most; on a busy machine an engine may take long to import."""

ROOT = Path(__file__).parents[2]
FINAL = {"result", "error", "cancelled"}


@dataclass
class Talk:
    """A client, and all that it heard.

    Args:
        client: the client.
        heard: every event, in order.
    """

    client: WorkerClient
    heard: list[Event] = field(default_factory=list)

    def until(self, event: str, name: str | None = None, **fields: Any) -> Event:
        """Wait for an event of this kind that has not come yet, of a request if one is named, with these fields."""
        while True:
            found = self.client.wait(PATIENT)
            assert found is not None, f"no {event} came; last: {self.heard[-3:]}; log: {self.client.log()[-2000:]}"
            self.heard.append(found)
            if found["event"] == event and name in (None, found.get("id")) and fields.items() <= found.items():
                return found
            of_it = name is not None and found.get("id") == name
            assert not (of_it and found["event"] in FINAL), f"waiting for {event}: {json.dumps(found)[:2000]}"
            assert found["event"] != "ended", found

    def next(self, name: str) -> Event:
        """Wait for the next event of a request."""
        while True:
            found = self.client.wait(PATIENT)
            assert found is not None, f"nothing came; last: {self.heard[-3:]}; log: {self.client.log()[-2000:]}"
            self.heard.append(found)
            if found.get("id") == name:
                return found

    def final(self, name: str) -> Event:
        """Wait for the last event of a request."""
        while (found := self.next(name))["event"] not in FINAL:
            pass
        return found

    def ask(self, request: str, **fields: Any) -> Event:
        """Send a request and wait for its result."""
        found = self.final(self.client.send(request, **fields))
        assert found["event"] == "result", found
        return found

    def refused(self, request: str, **fields: Any) -> Event:
        """Send a request and wait for its error."""
        found = self.final(self.client.send(request, **fields))
        assert found["event"] == "error", found
        return found

    @property
    def engine_pid(self) -> int:
        """Of the engine that was ready last."""
        pid: int = [event for event in self.heard if event["event"] == "ready"][-1]["pid"]
        return pid

    def of(self, name: str) -> list[Event]:
        """What was heard of a request."""
        return [event for event in self.heard if event.get("id") == name]


def started(**settings: Any) -> Talk:
    client = WorkerClient(sys.executable, **settings)
    client.start()
    return Talk(client)


@pytest.fixture(scope="session")
def talk() -> Iterator[Talk]:
    """One worker for all tests that leave it well; its engine is ready."""
    talk = started(arguments=["--patience", "4"], environment={"OMP_NUM_THREADS": "1"})
    talk.until("ready")
    yield talk
    talk.client.close()
    while (event := talk.client.wait(PATIENT)) is not None and event["event"] != "ended":
        pass
    assert event is not None and event["expected"]


@pytest.fixture(scope="session")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bright ball in a volume with negative coordinates."""
    scan = blob(SHAPE, spacing=(1.5, 1.5, 2.0), origin=(-30.0, 2.0, -72.0), center_ras=CENTER, radius_mm=4.0)
    return save_volume(tmp_path_factory.mktemp("scan") / "ball.nii.gz", scan.image[0].numpy() / 1000, scan.affine)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 3D bundle whose network counts brightness."""
    return write_blob_bundle(tmp_path_factory.mktemp("bundle") / "ball", SHAPE)


def with_code(root: Path, *, prepare: str = "x", infer: str = "n(x)") -> Path:
    """A bundle that runs code: ``prepare`` on an image ``x``, ``infer`` on a batch ``x`` with the network ``n``."""
    steps = [{"_target_": "Lambdad", "keys": "image", "func": f"$lambda x: {prepare}"}]
    write_blob_bundle(root, SHAPE, steps=steps)
    config = root / "configs" / "inference.json"
    record = json.loads(config.read_text())
    record["inferer"] = f"$lambda x, n: {infer}"
    record["imports"] = ["$import time", "$import os", "$import ctypes", "$import torch"]
    config.write_text(json.dumps(record))
    return root


@pytest.fixture(scope="session")
def slow_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each pass takes a while, so that there is a middle of every stage."""
    return with_code(tmp_path_factory.mktemp("bundle") / "slow", infer="(time.sleep(0.01), n(x))[1]")
