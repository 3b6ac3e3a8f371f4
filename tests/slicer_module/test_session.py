"""Events reach those who asked, a few at a time, and nobody after a stop."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import pytest
from support.slicer_panel import bootstrapped

bootstrapped()

from SlicerXAILib.background import Background  # noqa: E402
from SlicerXAILib.session import Session, newest_only  # noqa: E402
from SlicerXAILib.steps import Steps  # noqa: E402


class Line:
    """Takes the place of the worker's client: says what a test lets it say."""

    def __init__(self) -> None:
        self.running = False
        self.said: list[dict[str, Any]] = []
        self.cancelled: list[str] = []
        self._count = 0

    def start(self) -> None:
        self.running = True

    def send(self, request: str, **fields: Any) -> str:
        self._count += 1
        return str(self._count)

    def cancel(self, name: str) -> None:
        self.cancelled.append(name)

    def poll(self) -> list[dict[str, Any]]:
        said, self.said = self.said, []
        return said

    def log(self) -> str:
        return ""

    def close(self, grace: float = 2.0) -> None:
        self.running = False


class Clock:
    """Takes the place of ``qt.QTimer``: ticks when a test says so."""

    def __init__(self) -> None:
        self.ticks = False
        self._slot: Callable[[], None] = lambda: None

    def setInterval(self, milliseconds: int) -> None:  # noqa: N802
        assert milliseconds <= 100

    def connect(self, signal: str, slot: Callable[[], None]) -> None:
        assert signal == "timeout()"
        self._slot = slot

    def start(self) -> None:
        self.ticks = True

    def stop(self) -> None:
        self.ticks = False

    def tick(self) -> None:
        if self.ticks:
            self._slot()


def session() -> tuple[Session, Line, Clock]:
    line, clock = Line(), Clock()
    return Session(line, clock, Background()), line, clock


def test_each_event_goes_to_whoever_asked_and_none_comes_after_the_last():
    made, line, clock = session()
    first: list[Any] = []
    second: list[Any] = []
    free: list[Any] = []
    made.event.connect(free.append)
    one, two = made.ask("classify", first.append), made.ask("explain", second.append)
    assert line.running
    line.said = [
        {"event": "ready", "id": None},
        {"event": "accepted", "id": two},
        {"event": "result", "id": one},
        {"event": "result", "id": one},
        {"event": "error", "id": "unknown"},
    ]
    clock.tick()
    assert [event["event"] for event in first] == ["result"]
    assert [event["event"] for event in second] == ["accepted"]
    assert [event["event"] for event in free] == ["ready"]


def test_who_was_forgotten_is_cancelled_and_hears_nothing():
    made, line, clock = session()
    heard: list[Any] = []
    name = made.ask("explain", heard.append)
    made.forget(name)
    line.said = [{"event": "preview", "id": name, "method": "lime"}, {"event": "cancelled", "id": name}]
    clock.tick()
    assert line.cancelled == [name]
    assert heard == []


def test_a_worker_that_does_not_answer_a_cancel_is_not_waited_for_longer_than_a_second():
    """On a clock that only the test moves: the worker, which says nothing here, has had its time and no more."""
    now = [100.0]
    line, clock = Line(), Clock()
    made = Session(line, clock, Background(), clock=lambda: now[0])
    heard: list[Any] = []
    name = made.ask("explain", heard.append)
    made.cancel(name)
    assert line.cancelled == [name]
    now[0] = 100.7
    line.said = [{"event": "cancelling", "id": name}]
    clock.tick()
    assert [event["event"] for event in heard] == ["cancelling"]
    now[0] = 100.95
    clock.tick()
    assert [event["event"] for event in heard] == ["cancelling", "cancelled"]
    assert heard[-1]["kept"] == "previews"
    line.said = [{"event": "cancelled", "id": name, "kept": "nothing"}, {"event": "result", "id": name}]
    clock.tick()
    assert len(heard) == 2


@pytest.mark.parametrize("last", ["cancelled", "result", "error"])
def test_an_answer_in_time_is_the_only_one(last):
    now = [100.0]
    line, clock = Line(), Clock()
    made = Session(line, clock, Background(), clock=lambda: now[0])
    heard: list[Any] = []
    name = made.ask("explain", heard.append)
    made.cancel(name)
    now[0] = 100.95  # it is there when the time is over
    line.said = [{"event": last, "id": name}]
    clock.tick()
    now[0] = 102.0
    clock.tick()
    assert [event["event"] for event in heard] == [last]


def test_a_slow_listener_leaves_the_rest_for_the_next_tick(monkeypatch):
    made, line, clock = session()
    now = [0.0]
    monkeypatch.setattr("SlicerXAILib.session.time.monotonic", lambda: now[0])
    heard: list[Any] = []

    def listen(event: dict[str, Any]) -> None:
        now[0] += 0.03
        heard.append(event["n"])

    name = made.ask("explain", listen)
    line.said = [{"event": "note", "id": name, "n": n} for n in range(5)]
    clock.tick()
    assert heard == [0, 1]
    clock.tick()
    clock.tick()
    assert heard == [0, 1, 2, 3, 4]


def test_only_the_newest_preview_of_each_method_is_shown():
    events = [
        {"event": "preview", "id": "1", "method": "lime", "n": 1},
        {"event": "preview", "id": "1", "method": "fused", "n": 2},
        {"event": "prediction", "id": "1", "n": 3},
        {"event": "preview", "id": "1", "method": "lime", "n": 4},
        {"event": "preview", "id": "2", "method": "lime", "n": 5},
    ]
    assert [event["n"] for event in newest_only(events)] == [2, 3, 4, 5]


def test_after_a_stop_nobody_hears_anything():
    made, line, clock = session()
    heard: list[Any] = []
    name = made.ask("explain", heard.append)
    made.background.run(lambda: 1, heard.append, heard.append)
    made.stop()
    line.said = [{"event": "result", "id": name}]
    clock.tick()
    made.background.poll()
    assert heard == []
    assert not line.running


def test_steps_are_taken_one_by_one_and_the_end_is_told():
    steps, heard = Steps(), []

    def walk(name: str, count: int):
        for n in range(count):
            heard.append(f"{name}{n}")
            yield

    steps.run(walk("a", 2), lambda: heard.append("a done"), heard.append)
    steps.run(walk("b", 1), lambda: heard.append("b done"), heard.append)
    steps.poll(0.0)
    assert heard == ["a0"]
    steps.poll(0.0)
    steps.poll(0.0)
    assert heard == ["a0", "a1", "a done"]
    steps.poll(60.0)
    assert heard[3:] == ["b0", "b done"]
    assert not steps.running


def test_a_step_that_fails_is_told_and_ends_only_its_own_walk():
    steps, heard = Steps(), []

    def fails():
        yield
        raise ValueError("no")

    steps.run(fails(), lambda: heard.append("done"), lambda error: heard.append(str(error)))
    steps.run(iter(()), lambda: heard.append("other done"), heard.append)
    steps.poll(60.0)
    assert heard == ["no", "other done"]


def test_a_step_that_lets_events_pass_is_not_begun_twice():
    steps, heard = Steps(), []

    def walk():
        heard.append("begun")
        steps.poll(60.0)  # as a timer's tick would, in the middle of a step
        heard.append("ended")
        yield

    steps.run(walk(), lambda: heard.append("done"), lambda error: heard.append(repr(error)))
    steps.poll(60.0)
    assert heard == ["begun", "ended", "done"]


def test_after_a_stop_no_step_is_taken():
    made, _, clock = session()
    heard: list[Any] = []
    made.start()
    made.steps.run(iter(heard.append(n) for n in range(3)), lambda: heard.append("done"), heard.append)
    made.stop()
    clock.ticks = True
    clock.tick()
    assert heard == []


@pytest.mark.skipif(sys.platform == "win32", reason="usleep is not in Windows")
def test_threads_get_their_turn_in_a_program_that_holds_the_lock_while_it_waits():
    """As Slicer's own thread does between two ticks: ``PyDLL`` keeps Python's lock, unlike ``CDLL``."""
    wait = ctypes.PyDLL(None).usleep
    background, heard = Background(), []

    def work() -> int:
        return sum(len(bytes(1000)) for _ in range(20_000))

    background.run(work, heard.append, heard.append)
    ticks = 0
    while not heard and ticks < 200:
        wait(20_000)
        background.give_way(0.005)
        background.poll()
        ticks += 1
    assert heard == [20_000_000]
