"""How the worker ends and what an engine's end means to it, with an engine that is a process of few lines."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from worker.pipes import Pipes

from camlime.worker.engine_process import EngineProcess

ENGINE = """
import json, sys, time
def say(**event): print(json.dumps(event), flush=True)
say(event="ready")
for line in sys.stdin:
    asked = json.loads(line)
    name = asked["id"]
    if asked["request"] == "explain":
        say(event="preview", id=name, method="lime")
        json.loads(sys.stdin.readline())
        say(event="cancelled", id=name, kept="result", result={"complete": False}, previews=[])
    elif asked["request"] == "export":
        say(event="progress", id=name, stage="writing")
        sys.stdin.readline()
        time.sleep(1)
        say(event="result", id=name)
    elif asked["request"] == "describe":
        say(event="result", id=name)
    say(event="idle")
    if asked["request"] == "describe":
        sys.exit(3)
"""


Start = Callable[..., Pipes]


@pytest.fixture
def start() -> Iterator[Start]:
    made: list[Pipes] = []

    def one(*command: str) -> Pipes:
        made.append(Pipes(command or (sys.executable, "-S", "-c", ENGINE)))
        return made[-1]

    yield one
    for pipes in made:
        pipes.close()


HERE = str(Path(__file__).resolve())


@pytest.mark.parametrize("input_ends", [False, True])
def test_a_shutdown_keeps_what_there_is(start: Start, input_ends: bool) -> None:
    worker = start()
    worker.send(request="explain", id=1, scan=HERE, bundle="b", folder=HERE)
    worker.send(request="describe", id=2, bundle="b")
    worker.until("preview")
    worker.send(request="explain", id=1, no="such field")
    twice = worker.until("error")
    assert twice["id"] is None and "already" in twice["message"], "request 1 has not ended"
    worker.send(request="shutdown")
    if input_ends:
        worker.requests.close()
    end = worker.until("cancelled")
    assert end["id"] == 1 and end["kept"] == "result"
    assert worker.rest() == ["cancelled", "bye"], "what waited is cancelled, too"


def test_a_shutdown_waits_for_an_export(start: Start) -> None:
    worker = start()
    worker.send(request="export", id=1, explanation=0, folder=HERE)
    assert worker.until("progress")
    worker.until("ready")
    assert worker.until("progress")["stage"] == "writing"
    worker.send(request="shutdown")
    assert worker.rest() == ["result", "bye"]


def test_without_a_client_nothing_is_waited_for(start: Start) -> None:
    worker = start()
    worker.send(request="export", id=1, explanation=0, folder=HERE)
    worker.until("ready")
    worker.requests.close()
    assert set(worker.rest()) <= {"progress"}


def test_an_engine_that_ends_while_idle_is_started_with_the_next_request(start: Start) -> None:
    worker = start()
    worker.send(request="describe", id=1, bundle="b")
    assert worker.until("result")["id"] == 1
    error = worker.until("error")
    assert error["id"] is None and error["kind"] == "crashed" and "exit code 3" in error["message"]
    worker.send(request="status")
    assert worker.until("status")["engine"] == "stopped"
    worker.send(request="describe", id=2, bundle="b")
    assert worker.until("starting")["reason"] == "needed"
    assert worker.until("result")["id"] == 2


def test_an_engine_that_cannot_be_run(start: Start) -> None:
    worker = start("/no/such/program")
    assert worker.until("error")["kind"] == "engine"
    worker.send(request="describe", id=1, bundle="b")
    worker.until("accepted")
    errors = [worker.until("error"), worker.until("error")]
    assert [error["id"] for error in errors] == [None, 1] and {error["kind"] for error in errors} == {"engine"}
    worker.send(request="shutdown")
    assert worker.rest() == ["bye"]


def test_an_engine_that_ended_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    ended = threading.Event()
    EngineProcess(
        lambda what, message: ended.set() if what == "ended" else None, command=(sys.executable, "-c", "pass")
    )
    assert ended.wait(30)
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive(), thread
