"""Whatever goes wrong is a message: bad requests, bad input, memory, crashes, an engine or a worker that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worker.conftest import PATIENT, ROOT, Talk, started, with_code

from camlime.worker.client import WorkerClient

posix = pytest.mark.skipif(sys.platform == "win32", reason="no such signals")


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has buried does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(*pids: int) -> None:
    deadline = time.monotonic() + PATIENT
    while any(map(alive, pids)):
        assert time.monotonic() < deadline, "a process did not end"
        time.sleep(0.05)


def test_errors_have_a_kind_and_a_hint(talk: Talk, volume: Path, bundle: Path, tmp_path: Path) -> None:
    case = {"scan": volume, "bundle": bundle}
    (tmp_path / "text.nii.gz").write_text("no scan")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    np.save(tmp_path / "mask.npy", np.zeros((2, 2, 2), np.uint8))
    untrusted = with_code(tmp_path / "code")
    explain = {**case, "folder": tmp_path / "run"}
    for kind, request, fields in (
        ("scan", "classify", {**case, "scan": tmp_path / "text.nii.gz"}),
        ("scan", "classify", {**case, "scan": tmp_path / "nothing.nii.gz"}),
        ("scan", "classify", {**case, "scan": {"array": str(tmp_path / "no.npy"), "affine_ras": np.eye(4).tolist()}}),
        ("bundle", "describe", {"bundle": "no_such_bundle"}),
        ("untrusted", "describe", {"bundle": untrusted}),
        ("request", "classify", {**case, "point": [0, 0, 0]}),
        ("request", "explain", {**explain, "class_name": "green"}),
        ("request", "explain", {**explain, "folder": tmp_path / "run2", "settings": {"methods": ["tea leaves"]}}),
        ("request", "export", {"explanation": "none", "folder": tmp_path / "out"}),
        ("regions", "what_if", {**case, "mask": {"array": str(tmp_path / "mask.npy")}}),
        ("output", "explain", {**explain, "folder": tmp_path / "full"}),
        ("device", "classify", {**case, "device": "cuda:99"}),
    ):
        error = talk.refused(request, **fields)
        assert error["kind"] == kind, error
        assert error["message"] and error["hint"] and "--" not in error["hint"], error
        assert "Traceback" not in error["message"] + error["details"]
    assert talk.ask("classify", **case)["prediction"], "the worker lives on"


def test_an_unknown_mistake_is_a_defect_with_its_traceback(talk: Talk, volume: Path, tmp_path: Path) -> None:
    error = talk.refused(
        "classify", scan=volume, bundle=with_code(tmp_path / "odd", infer="{}['key']"), trust_code=True
    )
    assert error["kind"] == "defect" and "KeyError" in error["message"] and "Traceback" in error["details"]


def test_memory_that_runs_out_is_a_message(talk: Talk, volume: Path, bundle: Path, tmp_path: Path) -> None:
    hungry = with_code(tmp_path / "hungry", prepare="(torch.empty(1 << 60), x)[1]")
    error = talk.refused("classify", scan=volume, bundle=hungry, trust_code=True)
    assert error["kind"] in {"memory", "device", "bundle"} and "memory" in error["message"], error
    assert talk.ask("classify", scan=volume, bundle=bundle)["prediction"]


@posix
def test_a_worker_that_is_killed_is_a_message_and_can_be_started_again(
    talk: Talk, volume: Path, slow_bundle: Path, tmp_path: Path
) -> None:
    case = {"scan": volume, "bundle": slow_bundle, "trust_code": True}
    spawning = with_code(tmp_path / "spawning", prepare="(os.spawnlp(os.P_NOWAIT, 'sleep', 'sleep', '10000'), x)[1]")
    talk.ask("classify", **{**case, "bundle": spawning})
    grandchildren = children(talk.engine_pid)
    assert grandchildren or sys.platform != "linux"
    name = talk.client.send("explain", **case, folder=tmp_path / "run", settings={"budget": 10**6})
    waiting = talk.client.send("classify", **case)
    talk.until("preview", name)
    pids = (talk.client.pid, talk.engine_pid)
    os.kill(pids[0], signal.SIGKILL)
    for lost in (name, waiting):
        error = talk.final(lost)
        assert error["event"] == "error" and error["kind"] == "crashed" and "signal 9" in error["message"]
    ended = talk.client.wait(PATIENT)
    assert ended is not None and ended["event"] == "ended" and ended["code"] == -9 and not ended["expected"]
    assert not talk.client.running
    wait_until_gone(*pids, *grandchildren)
    with pytest.raises(RuntimeError, match="start it"):
        talk.client.send("status")
    talk.client.start()
    talk.until("ready")
    assert talk.ask("classify", **case)["prediction"]


@posix
@pytest.mark.parametrize("held_open", [False, True], ids=["input ends", "input held open by another"])
def test_it_ends_with_its_parent(held_open: bool) -> None:
    """The parent is killed, so that it can do nothing about it; then nobody, or this test, holds the worker's input."""
    code = (
        "import sys, time; from camlime.worker.client import WorkerClient; c = WorkerClient(); c.start()\n"
        "while (e := c.wait(60))['event'] != 'starting': print(e.get('pid'), flush=True)\n"
        "time.sleep(1000)"
    )
    if held_open:
        code = "import time; print('here', flush=True); time.sleep(1000)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        said = parent.stdout.readline().strip()
        if not held_open:
            worker_pid, worker = int(said), None
        else:
            command = [sys.executable, "-m", "camlime.worker", "--parent", str(parent.pid)]
            worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
            assert worker.stdout is not None and b"hello" in worker.stdout.readline()
            worker_pid = worker.pid
        time.sleep(0.3)  # the engine is being started
        engines = children(worker_pid)
        parent.kill()
        parent.wait()
    if worker is not None:
        worker.wait(timeout=PATIENT)
        assert worker.stdin is not None and worker.stdout is not None
        worker.stdin.close()
        worker.stdout.close()
    wait_until_gone(worker_pid, *engines)


def children(pid: int) -> list[int]:
    """Processes whose parent this is; none where the system does not list them so."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(number) for one in lists for number in one.read_text().split()]


def test_garbage_on_its_input() -> None:
    """Answered at once, while the engine is still being imported; then the input ends, and so does the worker."""
    lines: list[tuple[bytes, str, Any]] = [
        (b"hello?", "not JSON", None),
        (b"\xff\xfe\x00", "not JSON", None),
        (b"[1, 2]", "not an object", None),
        (b"[" * 100_000, "not JSON", None),
        (b'{"request": "classify"}', "needs an id", None),
        (b'{"request": "classify", "id": ""}', "needs an id", None),
        (b'{"request": "classify", "id": {"a": 1}}', "needs an id", None),
        (b'{"request": "make tea", "id": 1}', "make tea", 1),
        (b'{"request": ["explain"], "id": 2}', "there is no request", 2),
        (b'{"request": "describe", "id": "a", "bundel": "x"}', "bundel", "a"),
        (b'{"request": "describe", "id": "a"}', "needs the field 'bundle'", "a"),
        (b'{"request": "classify", "id": "a", "bundle": "b", "scan": "relative.nii.gz"}', "'scan'", "a"),
        (b'{"request": "classify", "id": "a", "bundle": "b", "scan": "/s", "point": [1, 2, NaN]}', "not JSON", None),
        (b'{"request": "classify", "id": "a", "bundle": "b", "scan": "/s", "point": [1, 2, 1e400]}', "'point'", "a"),
        (b'{"request": "classify", "id": "a", "bundle": "b", "scan": "/s\\ud800"}', "'scan'", "a"),
        (b'{"request": "classify", "id": "a", "bundle": "b", "scan": "/s", "slices": [1]}', "'slices'", "a"),
        (b'{"id": "' + b"x" * (1 << 21) + b'"}', "longer than", None),
    ]
    command = [sys.executable, "-m", "camlime.worker"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as worker:
        assert worker.stdin is not None and worker.stdout is not None
        assert json.loads(worker.stdout.readline())["event"] == "hello"
        assert json.loads(worker.stdout.readline())["event"] == "starting"
        for line, said, name in lines:
            worker.stdin.write(line + b"\n\n")
            worker.stdin.flush()
            error = json.loads(worker.stdout.readline())
            assert error["event"] == "error" and error["kind"] == "protocol" and said in error["message"], error
            assert error["id"] == name and len(error["message"]) < 500
        worker.stdin.write(b'{"request": "status"}\n')
        worker.stdin.flush()
        status = json.loads(worker.stdout.readline())
        assert status == {"event": "status", "engine": "starting", "running": None, "waiting": []}
        worker.stdin.write(
            b'{"request": "describe", "id": "a", "bundle": "b"}\n{"request": "describe", "id": "a", "bun'
        )
        worker.stdin.close()
        assert json.loads(worker.stdout.readline())["event"] == "accepted"
        rest = [json.loads(line) for line in worker.stdout]
        assert all(event["event"] in {"progress", "error", "cancelled", "bye"} for event in rest)
        assert worker.wait(timeout=PATIENT) == 0


def test_before_the_engine_is_there_and_when_it_cannot_be_imported(tmp_path: Path) -> None:
    """A package that cannot be imported stands for one that is not installed."""
    (tmp_path / "torch.py").write_text("import time; time.sleep(1); raise ImportError('no torch here')")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    talk = started(environment={"PYTHONPATH": path})
    early = talk.client.send("describe", bundle="lung_nodule_ct")
    talk.until("progress", early, stage="starting")
    talk.client.cancel(early)
    talk.until("cancelling", early)
    assert talk.final(early)["kept"] == "nothing"
    waits = talk.client.send("describe", bundle="lung_nodule_ct")
    problem = talk.until("error", kind="engine")
    assert problem["id"] is None and "no torch here" in problem["message"] and problem["hint"]
    assert talk.final(waits)["kind"] == "engine"
    (tmp_path / "torch.py").write_text("raise ImportError('still no torch')")
    again = talk.client.send("describe", bundle="lung_nodule_ct")
    assert "still no torch" in talk.final(again)["message"], "a request tries once more"
    talk.client.close()
    assert (ended := talk.client.wait(PATIENT)) is not None and ended["event"] == "bye"
    assert (ended := talk.client.wait(PATIENT)) is not None and ended["event"] == "ended" and ended["expected"]


@posix
def test_a_worker_that_hangs_is_killed_after_the_grace() -> None:
    talk = started()
    talk.until("starting")
    assert talk.client.pid is not None
    engines = children(talk.client.pid)
    os.kill(talk.client.pid, signal.SIGSTOP)
    for _ in range(200):
        talk.client.send("describe", bundle="x" * 4000)  # more than a pipe holds: sending does not wait
    talk.client.close(grace=0.2)
    while (event := talk.client.wait(PATIENT)) is not None and event["event"] != "ended":
        assert event["event"] == "error" and event["kind"] == "crashed"
    assert event is not None and event["expected"] and event["code"] == -9
    wait_until_gone(*engines)


def test_a_worker_of_another_protocol() -> None:
    """What it says that is no event is for the log."""
    code = 'import sys; print(\'welcome\'); print(\'{"event": "hello", "protocol": 99}\', flush=True); sys.stdin.read()'
    client = WorkerClient([sys.executable, "-c", code])
    client.start()
    error, ended = client.wait(PATIENT), client.wait(PATIENT)
    assert error is not None and error["kind"] == "protocol" and "protocol 99" in error["message"]
    assert ended is not None and ended["event"] == "ended" and ended["expected"] and not client.running
    assert "not an event" in client.log()


def test_a_restart_does_not_wait_for_the_end_of_the_old_worker(tmp_path: Path) -> None:
    code = (
        "import json, os, sys, time\n"
        "print(json.dumps({'event': 'hello', 'protocol': 1, 'pid': os.getpid()}), flush=True)\n"
        f"sys.stdin.read(); time.sleep(60 if not os.path.exists({str(tmp_path / 'second')!r}) else 0)"
    )
    client = WorkerClient([sys.executable, "-S", "-c", code])
    client.start()
    first = client.wait(PATIENT)
    lost = client.send("describe", bundle="b")
    client.close(grace=0.5)
    (tmp_path / "second").touch()
    client.start()
    events = [client.wait(PATIENT), client.wait(PATIENT)]
    assert first is not None and all(event is not None for event in events)
    by_kind = {event["event"]: event for event in events if event is not None}
    assert by_kind["hello"]["pid"] != first["pid"] and by_kind["error"]["id"] == lost
    client.close()
    ended = client.wait(PATIENT)
    assert ended is not None and ended["event"] == "ended" and ended["expected"]


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(OSError):
        WorkerClient("/no/such/python").start()


@posix
def test_an_engine_that_crashes_is_a_message(talk: Talk, volume: Path, tmp_path: Path) -> None:
    """The last test, so that nobody has to wait for the new engine."""
    crashing = with_code(tmp_path / "crash", infer="(os.write(2, b'last words\\n'), ctypes.string_at(0))")
    error = talk.final(talk.client.send("classify", scan=volume, bundle=crashing, trust_code=True))
    assert error["event"] == "error" and error["kind"] == "crashed" and error["hint"]
    assert f"signal {int(signal.SIGSEGV)}" in error["message"] and "last words" in error["details"]
    assert talk.until("starting")["reason"] == "crashed"
    assert talk.client.running
