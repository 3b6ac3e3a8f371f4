"""A cancel is answered at every stage of every request while the thread that does the work is held up by the test.

The engine is the real one. By construction the answer does not come from the stage's end: the stage ends only when the
test lets it, after the answer. How long the answer takes is the worker's own grace, which a clock of the test's shows.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.blob_bundle import write_blob_bundle
from worker.conftest import SHAPE
from worker.pipes import Pipes

from camlime.worker.front import CANCEL_SECONDS

HELD = Path(__file__).with_name("held_engine.py")
SMALL = {"budget": 64, "n_regions": 12, "segmentations": 1, "evidence_budget": 1500, "batch_size": 8}
FINAL = {"result", "error", "cancelled"}


class Held:
    """A worker whose engine can be held up at a stage."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.pipes = Pipes((sys.executable, str(HELD), str(home)), patience=600.0)
        self._count = 0

    def until_ready(self) -> None:
        while (event := self.pipes.next())["event"] != "ready":
            assert event["event"] != "error", event

    def ask(self, request: str, **fields: Any) -> int:
        self._count += 1
        self.pipes.send(request=request, id=self._count, **fields)
        return self._count

    def hold(self, point: str) -> None:
        """Hold the engine at its next such point."""
        for name in ("go", "gone"):
            (self.home / name).unlink(missing_ok=True)
        (self.home / "hold.part").write_text(point)
        (self.home / "hold.part").rename(self.home / "hold")

    def until_held(self, name: int) -> None:
        """Hear all that the request says before it is held up: nothing more is on its way then."""
        while (event := self.pipes.next()).get("stage") != "held":
            assert event.get("id") != name or event["event"] not in FINAL, f"it ended before it was held: {event}"

    def final(self, name: int) -> tuple[list[str], dict[str, Any]]:
        """The kinds of events of a request up to its last, and that."""
        kinds = []
        while True:
            event = self.pipes.next()
            if event.get("id") == name:
                kinds.append(event["event"])
                if event["event"] in FINAL:
                    return kinds, event

    def let_go(self) -> None:
        (self.home / "go").touch()


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    made = Held(tmp_path_factory.mktemp("held"))
    try:
        made.until_ready()
        yield made
    finally:
        made.let_go()
        made.pipes.close()


STAGES = [
    ("explain", "loading", "nothing", []),
    ("explain", "reading", "nothing", []),
    ("explain", "preparing", "nothing", []),
    ("explain", "measuring", "nothing", []),
    ("explain", "answering", "nothing", []),
    ("explain", "regions", "nothing", []),
    ("explain", "gradcam", "nothing", []),
    ("explain", "lime", "previews", ["gradcam"]),
    ("explain", "fused", "previews", ["gradcam", "lime"]),
    ("explain", "evidence", "previews", ["gradcam", "lime", "fused"]),
    ("explain", "writing", "previews", ["gradcam", "lime", "fused"]),
    ("classify", "answering", "nothing", []),
    ("what_if", "answering", "nothing", []),
    ("describe", "loading", "nothing", []),
    ("estimate", "measuring", "nothing", []),
]


@pytest.mark.parametrize(("request_", "stage", "kept", "maps"), STAGES, ids=[f"{r}-{s}" for r, s, *_ in STAGES])
def test_the_answer_comes_while_the_stage_is_still_held(
    held: Held, volume: Path, tmp_path: Path, request_: str, stage: str, kept: str, maps: list[str]
) -> None:
    bundle = write_blob_bundle(tmp_path / "bundle", SHAPE)  # a new one, so that nothing is warm
    scan = tmp_path / "ball.nii.gz"
    scan.write_bytes(volume.read_bytes())
    fields: dict[str, Any] = {"bundle": str(bundle)}
    if request_ != "describe":
        fields |= {"scan": str(scan), "device": "cpu"}
    if request_ == "explain":
        methods = ["gradcam", "lime", "fused"]
        fields |= {"folder": str(tmp_path / "run"), "settings": {**SMALL, "methods": methods}}
    if request_ == "what_if":
        np.save(tmp_path / "mask.npy", np.ones(SHAPE, np.uint8) * (np.indices(SHAPE).sum(axis=0) < 12))
        fields |= {"mask": {"array": str(tmp_path / "mask.npy")}}
    held.hold(stage)
    name = held.ask(request_, **fields)
    try:
        held.until_held(name)
        held.pipes.send(request="cancel", id=name)
        kinds, end = held.final(name)
        assert not (held.home / "gone").exists(), "the stage ended by itself: nothing is shown"
    finally:
        held.let_go()
    assert kinds == ["cancelling", "cancelled"]
    assert end["kept"] == kept
    assert [preview["method"] for preview in end["previews"]] == maps
    for preview in end["previews"]:
        assert np.load(preview["values"]["file"]).shape == SHAPE

    after = held.ask("classify", bundle=str(bundle), scan=str(scan), device="cpu")
    assert held.final(after)[1]["event"] == "result", "the engine goes on"
    assert (held.home / "gone").exists()


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


DEAF = """
import json, sys, time
print(json.dumps({"event": "ready"}), flush=True)
asked = json.loads(sys.stdin.readline())
print(json.dumps({"event": "preview", "id": asked["id"], "method": "gradcam"}), flush=True)
sys.stdin.read()
"""
"""An engine that hears no cancel."""


@pytest.fixture
def deaf() -> Iterator[tuple[Pipes, Clock]]:
    clock = Clock()
    pipes = Pipes((sys.executable, "-S", "-c", DEAF), clock=clock)
    yield pipes, clock
    pipes.close()


def test_the_answer_waits_for_the_grace_alone_and_that_is_less_than_a_second(deaf: tuple[Pipes, Clock]) -> None:
    """On a clock that stands still but for the test: it comes when 0.7 s are over, and not before."""
    assert CANCEL_SECONDS < 0.9
    pipes, clock = deaf
    here = str(Path(__file__).resolve())
    pipes.send(request="explain", id=1, scan=here, bundle="b", folder=here)
    pipes.until("preview")
    pipes.send(request="cancel", id=1)
    assert pipes.next()["event"] == "cancelling"
    clock.now += CANCEL_SECONDS - 0.01
    for _ in range(3):
        pipes.send(request="status")
        assert pipes.next()["event"] == "status", "it is answered before the engine had its time"
    clock.now += 0.02
    end = pipes.next()  # by itself: nothing more is asked
    assert end["event"] == "cancelled" and end["kept"] == "previews"
    assert clock.now - 100.0 < 1.0


def test_while_the_engine_starts(tmp_path: Path) -> None:
    """It never becomes ready here, and what waits for it is cancelled at once, on a clock that does not move."""
    pipes = Pipes((sys.executable, "-S", "-c", "import sys; sys.stdin.read()"), clock=Clock())
    here = str(Path(__file__).resolve())
    pipes.send(request="explain", id=1, scan=here, bundle="b", folder=here)
    assert pipes.until("progress")["stage"] == "starting"
    pipes.send(request="cancel", id=1)
    end = pipes.until("cancelled")
    assert end["kept"] == "nothing"
    pipes.send(request="shutdown")
    pipes.close()
