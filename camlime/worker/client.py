"""The client of the worker: starts it, sends requests, collects events. Never blocks its caller.

Standard library alone, and nothing that it imports imports more: it runs where torch is not installed, such as in the
Python of 3D Slicer before the first set-up.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camlime.worker.lines import PROTOCOL, LineError, Writer, parse, read_lines
from camlime.worker.processes import apart, end_tree

LOG_LINES = 400

Event = dict[str, Any]

_FINAL = frozenset({"result", "error", "cancelled"})
_HOME = Path(__file__).resolve().parents[2]
"""The folder that holds the package."""


class WorkerClient:
    """One worker process, which can be started again after it has ended.

    Args:
        python: the program to run it with, or a list of program and options; this Python if ``None``.
        environment: variables that are added to this process's.
        arguments: for the worker.

    Example:
        >>> client = WorkerClient()  # doctest: +SKIP
        >>> client.start()  # doctest: +SKIP
        >>> name = client.send("describe", bundle="lung_nodule_ct")  # doctest: +SKIP
        >>> client.poll()  # doctest: +SKIP
        [{'event': 'hello', 'protocol': 1, ...
    """

    def __init__(
        self,
        python: str | Path | Sequence[str] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        program = sys.executable if python is None else python
        self._program = [str(program)] if isinstance(program, (str, Path)) else [str(part) for part in program]
        self._environment = dict(environment or {})
        self._arguments = list(arguments)
        self._run: _Run | None = None
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def start(self) -> None:
        """Start the process; nothing happens if it runs.

        One that was told to end may still be there for a while: of it only the last events of its requests are heard.

        Raises:
            OSError: the program cannot be run.
        """
        if not self.running:
            command = [*self._program, "-m", "camlime.worker", "--parent", str(os.getpid()), *self._arguments]
            path = os.pathsep.join(filter(None, [str(_HOME), os.environ.get("PYTHONPATH")]))
            environment = {**os.environ, "PYTHONPATH": path, **self._environment}
            if self._run is not None:
                self._run.superseded = True
            self._run = _Run(command, environment, self._events)

    @property
    def running(self) -> bool:
        """Whether the process runs and its end was not asked for."""
        return self._run is not None and self._run.takes_requests

    @property
    def pid(self) -> int | None:
        """Of the worker, ``None`` before the first start."""
        return None if self._run is None else self._run.process.pid

    def send(self, request: str, **fields: Any) -> str:
        """Send a request; returns its id, a new one.

        Args:
            request: its kind.
            **fields: see docs/worker.md; JSON's types, and paths.

        Raises:
            RuntimeError: the worker does not run.
            TypeError: a field has no place in JSON.
        """
        name = uuid.uuid4().hex[:12]
        self._sending().send({"request": request, "id": name, **_plain(fields)})
        return name

    def cancel(self, name: str) -> None:
        """Ask for the end of a request; what was kept comes with its last event. Nothing happens if no worker runs."""
        if self._run is not None and self._run.takes_requests:
            with contextlib.suppress(RuntimeError):  # it has ended since
                self._run.send({"request": "cancel", "id": name})

    def poll(self) -> list[Event]:
        """The events since the last call, in order."""
        found: list[Event] = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._events.get_nowait())
        return found

    def wait(self, timeout: float) -> Event | None:
        """The next event, or ``None`` if none comes within so many seconds; not for a thread that draws a GUI."""
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return None

    def log(self) -> str:
        """The last lines of the worker's standard error, of the last run."""
        return "" if self._run is None else self._run.log()

    def close(self, grace: float = 2.0) -> None:
        """Ask the worker to end, and kill it with all its children if it has not after so many seconds.

        Returns at once; the event ``ended`` says when it is gone.
        """
        if self._run is not None:
            self._run.close(grace)

    def kill(self) -> None:
        """Kill it with all its children, now."""
        if self._run is not None:
            self._run.kill()

    def _sending(self) -> _Run:
        if self._run is None or not self._run.takes_requests:
            raise RuntimeError("the worker does not run: start it first")
        return self._run


class _Run:
    """One run of the process; its events go to a queue, the last is ``ended``."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], events: queue.SimpleQueue[Event]
    ) -> None:
        self._events = events
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._outbox: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._open: dict[str, None] = {}
        self._lock = threading.Lock()
        self._end_asked = False
        self._gone = False
        self.superseded = False
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            **apart(),
        )
        self._log_reader = threading.Thread(target=self._read_log, name="worker log", daemon=True)
        self._log_reader.start()
        for work, name in ((self._write, "worker requests"), (self._read, "worker events")):
            threading.Thread(target=work, name=name, daemon=True).start()

    @property
    def takes_requests(self) -> bool:
        return not self._gone and not self._end_asked

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message.

        Raises:
            RuntimeError: the process has ended.
        """
        with self._lock:
            if self._gone:
                raise RuntimeError("the worker has ended: start it again")
            if message["request"] != "cancel":
                self._open[message["id"]] = None
        self._outbox.put(message)

    def log(self) -> str:
        return "".join(self._log)

    def close(self, grace: float) -> None:
        if not self.takes_requests:
            return
        self._end_asked = True
        self._outbox.put({"request": "shutdown"})
        self._outbox.put(None)
        timer = threading.Timer(grace, self._kill_if_there)
        timer.daemon = True
        timer.start()

    def kill(self) -> None:
        self._end_asked = True
        self._kill_if_there()

    def _kill_if_there(self) -> None:
        if not self._gone:
            end_tree(self.process.pid)

    def _write(self) -> None:
        assert self.process.stdin is not None
        writer = Writer(self.process.stdin)
        with contextlib.suppress(OSError, ValueError):  # it has ended, which the reader hears
            while (message := self._outbox.get()) is not None:
                writer.write(message)
            self.process.stdin.close()

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._log.append(line.decode("utf-8", "replace"))

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in read_lines(self.process.stdout):
            try:
                if isinstance(line, bytes):
                    self._hear(parse(line))
            except LineError as error:
                self._log.append(f"not an event: {error}\n")
        code = self.process.wait()
        self._log_reader.join(timeout=1)
        end_tree(self.process.pid)  # what it may have left behind
        self._say_ended(code)

    def _hear(self, event: Event) -> None:
        if event.get("event") == "hello" and event.get("protocol") != PROTOCOL:
            self._end_asked = True
            self._put(
                _error(
                    None,
                    "protocol",
                    f"the worker speaks protocol {event.get('protocol')}, this program protocol {PROTOCOL}",
                    hint="install the two from the same version",
                )
            )
            self._outbox.put(None)
            return
        if event.get("event") in _FINAL:
            with self._lock:
                self._open.pop(str(event.get("id")), None)
        self._put(event)

    def _put(self, event: Event) -> None:
        if not self.superseded or event.get("id") is not None:
            self._events.put(event)

    def _say_ended(self, code: int) -> None:
        expected = self._end_asked
        message = f"the worker was ended by signal {-code}" if code < 0 else f"the worker ended with exit code {code}"
        hint = "" if expected else "start it again"
        with self._lock:
            self._gone = True
            lost, self._open = list(self._open), {}
        for name in lost:
            self._put(_error(name, "crashed", message, hint=hint, details=self.log()))
        self._put(
            {
                "event": "ended",
                "code": code,
                "expected": expected,
                "message": message,
                "hint": hint,
                "log": self.log(),
            }
        )


def _error(name: str | None, kind: str, message: str, *, hint: str, details: str = "") -> Event:
    return {"event": "error", "id": name, "kind": kind, "message": message, "hint": hint, "details": details}


def _plain(value: Any) -> Any:
    """JSON's types; paths become text."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"{type(value).__name__} has no place in a request")
