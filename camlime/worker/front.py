"""The worker's own process: speaks with the client, hands requests to the engine, and answers whatever the engine does.

It imports the standard library alone and never waits for the engine, so that it always answers at once. All decisions
are made in one thread, :meth:`Front.run`, from one queue.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from camlime.worker.engine_process import EngineProcess
from camlime.worker.greeting import greeting
from camlime.worker.lines import LONGEST_LINE, LineError, Writer, parse, read_lines
from camlime.worker.processes import wait_for_end_of
from camlime.worker.requests import FieldError, checked_request, is_id

MOST_WAITING = 8

CANCEL_SECONDS = 0.7
"""How long the engine may take to end a cancelled request between two batches, before the answer goes without it."""

EXPORT_SECONDS = 5.0
"""How long a shutdown waits for an export, so that nothing half-written is left in the user's folder."""

PATIENCE_SECONDS = 10.0
"""After this long a cancelled request that has not ended costs the engine its life."""

_FINAL = frozenset({"result", "error", "cancelled"})


class _ClientGone(Exception):  # noqa: N818 - an outcome, not an error
    """Nobody asks or listens any more."""


@dataclass
class _Job:
    """An accepted request."""

    id: str | int
    request: dict[str, Any]
    cancelled_at: float | None = None
    previews: dict[str, dict[str, Any]] = field(default_factory=dict)


class Front:
    """The worker.

    Args:
        requests: what the client writes.
        events: what the client reads.
        parent: a process whose end is the worker's end.
        patience: seconds after which an engine that does not end a cancelled request is killed.
        start_engine: starts an engine, given the function that it reports to.
        clock: seconds that only go up.
    """

    def __init__(
        self,
        requests: IO[bytes],
        events: IO[bytes],
        *,
        parent: int | None = None,
        patience: float = PATIENCE_SECONDS,
        start_engine: Callable[[Callable[[str, Any], None]], EngineProcess] = EngineProcess,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._requests = requests
        self._writer = Writer(events)
        self._parent = parent
        self._patience = patience
        self._start_engine = start_engine
        self._clock = clock
        self._inbox: queue.Queue[tuple[Any, ...]] = queue.Queue(maxsize=1000)
        self._engine: EngineProcess | None = None
        self._run_of_engine: object = None
        self._ready = False
        self._problem: dict[str, Any] | None = None
        self._running: _Job | None = None
        self._waiting: deque[_Job] = deque()
        self._engine_busy_until: float | None = None
        self._ending = False

    def run(self) -> None:
        """Work until the client is gone or asks to shut down; the engine is gone then, too."""
        threading.Thread(target=self._read, daemon=True).start()
        if self._parent is not None:
            threading.Thread(target=self._watch, args=(self._parent,), daemon=True).start()
        try:
            self._emit("hello", **greeting(), limits={"line_bytes": LONGEST_LINE, "waiting": MOST_WAITING})
            self._start("first start")
            while not (self._ending and self._running is None):
                self._step()
            self._cancel_waiting()
            self._emit("bye")
        except _ClientGone:
            pass
        finally:
            if self._engine is not None:
                self._engine.kill()

    # what comes in

    def _read(self) -> None:
        for line in read_lines(self._requests, longest=LONGEST_LINE):
            self._inbox.put(("line", line))
        self._inbox.put(("input ended",))

    def _watch(self, parent: int) -> None:
        wait_for_end_of(parent)
        self._inbox.put(("parent gone",))

    def _step(self) -> None:
        try:
            what, *details = self._inbox.get(timeout=self._seconds_to_deadline())
        except queue.Empty:
            what, details = "deadline", []
        if what == "line":
            self._hear(details[0])
        elif what == "parent gone" or (what == "input ended" and not self._ending):
            raise _ClientGone
        elif what == "engine" and details[0] is self._run_of_engine:
            self._hear_engine(*details[1:])
        self._check_deadlines()
        self._hand_over()

    def _hear(self, line: bytes | LineError) -> None:
        name: Any = None
        try:
            if isinstance(line, LineError):
                raise line
            message = parse(line)
            name = message.get("id") if is_id(message.get("id")) else None
            kind = message.get("request")
            if kind == "shutdown":
                self._shut_down()
            elif kind == "status":
                self._status()
            elif name is None:
                raise FieldError("a request needs an id: a text of up to 64 characters, or a whole number")
            elif kind == "cancel":
                self._cancel(name)
            elif name in self._names:
                self._error(None, "protocol", f"there is already a request with the id {name!r}", hint="give a new one")
            else:
                self._accept(name, checked_request(message))
        except (LineError, FieldError) as error:
            self._error(name, "protocol", str(error), hint="see docs/worker.md")

    def _hear_engine(self, what: str, message: Any) -> None:
        if what == "ended":
            self._engine_ended(int(message))
            return
        event = message.get("event")
        job = self._running
        if event == "ready":
            self._ready = True
            self._write(message)
        elif event == "failed":
            self._problem = message
        elif event == "idle":
            self._engine_busy_until = None
        elif job is not None and message.get("id") == job.id:  # else the client was told that it is over
            if event == "preview":
                job.previews[str(message.get("method"))] = message
            self._write(message)
            if event in _FINAL:
                self._running = None

    # requests

    @property
    def _names(self) -> list[str | int]:
        return [job.id for job in (self._running, *self._waiting) if job is not None]

    def _accept(self, name: str | int, request: dict[str, Any]) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._error(name, "busy", f"{MOST_WAITING} requests wait already", hint="cancel one, or try later")
            return
        self._emit("accepted", name, request=request["request"], waiting=len(self._names))
        self._waiting.append(_Job(name, request))
        if not self._ready:
            self._emit("progress", name, stage="starting", done=0, total=0, seconds_left=None)
        if self._engine is None:
            self._start("needed")

    def _cancel(self, name: str | int) -> None:
        job = self._running
        if job is not None and job.id == name:
            self._cancel_running(job, CANCEL_SECONDS)  # the time runs from when it was asked, not from when it is said
            self._emit("cancelling", name)
            return
        for waiting in self._waiting:
            if waiting.id == name:
                self._waiting.remove(waiting)
                self._emit("cancelling", name)
                self._cancelled(waiting)
                return
        self._emit("not_running", name)

    def _cancel_running(self, job: _Job, seconds: float) -> None:
        if job.cancelled_at is None:
            job.cancelled_at = self._clock() + seconds
            assert self._engine is not None
            self._engine.send({"request": "cancel", "id": job.id})

    def _cancelled(self, job: _Job) -> None:
        previews = list(job.previews.values())
        kept = "previews" if previews else "nothing"
        self._emit("cancelled", job.id, kept=kept, result=None, previews=previews)

    def _cancel_waiting(self) -> None:
        while self._waiting:
            self._cancelled(self._waiting.popleft())

    def _shut_down(self) -> None:
        self._ending = True
        if self._running is not None:
            exporting = self._running.request["request"] == "export"
            self._cancel_running(self._running, EXPORT_SECONDS if exporting else CANCEL_SECONDS)

    def _status(self) -> None:
        state = "ready" if self._ready else "starting" if self._engine is not None else "stopped"
        running = self._running.id if self._running is not None else None
        self._emit("status", engine=state, running=running, waiting=[job.id for job in self._waiting])

    def _hand_over(self) -> None:
        if self._ready and self._running is None and self._engine_busy_until is None and not self._ending:
            if not self._waiting:
                return
            assert self._engine is not None
            self._running = self._waiting.popleft()
            self._engine_busy_until = float("inf")
            self._engine.send(self._running.request)

    # the engine's life

    def _start(self, reason: str) -> None:
        self._ready, self._problem, self._engine_busy_until = False, None, None
        run = self._run_of_engine = object()
        self._emit("starting", reason=reason)
        try:
            self._engine = self._start_engine(lambda what, message: self._inbox.put(("engine", run, what, message)))
        except OSError as error:
            self._engine = None
            self._cannot_start(
                {"message": f"the engine cannot be started: {error}", "hint": "is Python installed whole?"}
            )

    def _engine_ended(self, code: int) -> None:
        assert self._engine is not None
        was_ready, log = self._ready, self._engine.log()
        self._engine, self._ready, self._engine_busy_until = None, False, None
        job, self._running = self._running, None
        why = ended_in_words("the engine", code)
        if job is not None and job.cancelled_at is not None:
            self._cancelled(job)
        elif job is not None:
            hint = "its memory may have run out: try a smaller scan, another device or fewer regions; then see the log"
            self._error(job.id, "crashed", why, hint=hint, details=log)
        if not was_ready:
            self._cannot_start(self._problem or {"message": why + " while it started", "hint": "see the log"}, log)
            return
        if job is None:
            self._error(None, "crashed", why, hint="it is started again with the next request", details=log)
        if (job is not None or self._waiting) and not self._ending:
            self._start("crashed")

    def _cannot_start(self, problem: Mapping[str, Any], log: str = "") -> None:
        names = [None, *[waiting.id for waiting in self._waiting]]
        self._waiting.clear()
        for name in names:
            self._error(name, "engine", problem["message"], hint=problem["hint"], details=log)

    def _seconds_to_deadline(self) -> float | None:
        times = [t for t in (self._cancel_deadline, self._engine_busy_until) if t is not None and t != float("inf")]
        return max(min(times) - self._clock(), 0.0) if times else None

    @property
    def _cancel_deadline(self) -> float | None:
        return self._running.cancelled_at if self._running is not None else None

    def _check_deadlines(self) -> None:
        now = self._clock()
        job = self._running
        if job is not None and job.cancelled_at is not None and now >= job.cancelled_at:
            self._running = None
            self._engine_busy_until = now + self._patience
            self._cancelled(job)
        if self._engine_busy_until is not None and now >= self._engine_busy_until and self._engine is not None:
            self._engine.kill()
            self._start("did not stop")

    # what goes out

    def _emit(self, event: str, name: str | int | None = None, **fields: Any) -> None:
        named: Mapping[str, Any] = {} if name is None else {"id": name}
        self._write({"event": event, **named, **fields})

    def _error(self, name: str | int | None, kind: str, message: str, *, hint: str = "", details: str = "") -> None:
        self._write({"event": "error", "id": name, "kind": kind, "message": message, "hint": hint, "details": details})

    def _write(self, message: Mapping[str, Any]) -> None:
        try:
            self._writer.write(message)
        except OSError as error:
            raise _ClientGone from error


def ended_in_words(who: str, code: int) -> str:
    """What an exit code says.

    Example:
        >>> ended_in_words("the engine", -9)
        'the engine was ended by signal 9'
    """
    return f"{who} was ended by signal {-code}" if code < 0 else f"{who} ended with exit code {code}"
