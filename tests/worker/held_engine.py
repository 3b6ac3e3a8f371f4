"""The engine, held up where a test says: ``python held_engine.py FOLDER`` waits at the point that FOLDER/hold names.

It is the real engine in a process of its own. A stage is held right after it has said that it begins, in the thread
that does the work, as by a library that does not come back; ``answering`` is the model being asked. It says so by an
event ``progress`` of the stage ``held``, before which all that it said has gone out. FOLDER/gone is made when it goes
on, which it does once FOLDER/go is there.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from camlime.methods.cam import Cam
from camlime.worker.engine import __main__ as program
from camlime.worker.engine import answers, task

HOME = Path(sys.argv[1])


def hold_at(point: str) -> None:
    """Wait here if this is the point."""
    hold = HOME / "hold"
    if not hold.exists() or hold.read_text() != point:
        return
    hold.unlink()
    PROGRESS(WORKING[0], "held", 0, 0, None)
    while not (HOME / "go").exists():
        time.sleep(0.01)
    (HOME / "gone").touch()


def held(work: Callable[..., Any], point: str) -> Callable[..., Any]:
    """The same work, which may be held up before it begins."""

    def first_hold(*args: Any, **kwargs: Any) -> Any:
        hold_at(point)
        return work(*args, **kwargs)

    return first_hold


def say_and_hold(self: task.Task, stage: str, *args: Any, **more: Any) -> None:
    """How far a stage is, and then nothing more."""
    WORKING[:] = [self]
    PROGRESS(self, stage, *args, **more)
    hold_at(stage)


WORKING: list[task.Task] = []
PROGRESS = task.Task.progress
task.Task.progress = say_and_hold  # type: ignore[method-assign]
Cam.explain = held(Cam.explain, "gradcam")  # type: ignore[method-assign]
answers.ask = held(answers.ask, "answering")
answers.what_if = held(answers.what_if, "answering")

if __name__ == "__main__":
    program.main()
