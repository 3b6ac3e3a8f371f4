"""The worker's process as the panel sees it: started when needed, kept warm, listened to by a timer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from SlicerXAILib.background import Background
from SlicerXAILib.signals import Signal
from SlicerXAILib.steps import Steps

Event = dict[str, Any]

_INTERVAL_MS = 50
_SLICE_SECONDS = 0.04
"""So long may one tick hand out events before the views get their turn."""

_STEP_SECONDS = 0.02
"""So long may it take steps; one that was begun is finished."""

_WAY_SECONDS = 0.005
"""So long does a tick let threads run that are under way."""

CANCEL_SECONDS = 0.9
"""So long is a worker waited for that has been asked to cancel; it answers within 0.7 s unless it is stuck itself."""

_FINAL = frozenset({"result", "error", "cancelled"})


class Client(Protocol):
    """What is used of ``camlime.worker.client.WorkerClient``."""

    running: bool

    def start(self) -> None: ...  # noqa: D102
    def send(self, request: str, **fields: Any) -> str: ...  # noqa: D102
    def cancel(self, name: str) -> None: ...  # noqa: D102
    def poll(self) -> list[Event]: ...  # noqa: D102
    def log(self) -> str: ...  # noqa: D102
    def close(self, grace: float = 2.0) -> None: ...  # noqa: D102


class Timer(Protocol):
    """What is used of ``qt.QTimer``."""

    def setInterval(self, milliseconds: int) -> None: ...  # noqa: D102, N802
    def connect(self, signal: str, slot: Callable[[], None]) -> Any: ...  # noqa: D102
    def start(self) -> None: ...  # noqa: D102
    def stop(self) -> None: ...  # noqa: D102


class Session:
    """Sends requests to the worker and hands its events to those who asked.

    Args:
        client: of the worker.
        timer: calls this object regularly.
        background: polled by the same timer.
        clock: seconds that only go up.

    Attributes:
        steps: work of the views' thread, done a little at each tick.
        event: signal, one argument: events that belong to no request (``hello``, ``ready``, ``ended``, ...).
    """

    def __init__(
        self, client: Client, timer: Timer, background: Background, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.event = Signal()
        self.background = background
        self.steps = Steps()
        self._client = client
        self._timer = timer
        self._clock = clock
        self._handlers: dict[str, Callable[[Event], None]] = {}
        self._cancelled: dict[str, float] = {}
        self._waiting: deque[Event] = deque()
        timer.setInterval(_INTERVAL_MS)
        timer.connect("timeout()", self._tick)

    @property
    def running(self) -> bool:
        """Whether there is a worker that takes requests."""
        return self._client.running

    def start(self) -> None:
        """Start the worker if there is none.

        Raises:
            OSError: its Python cannot be run.
        """
        if not self._client.running:
            self._client.start()
        self._timer.start()

    def ask(self, request: str, handler: Callable[[Event], None], **fields: Any) -> str:
        """Send a request; ``handler`` gets its events, the last of which is final.

        Raises:
            OSError: the worker cannot be started.
        """
        self.start()
        name = self._client.send(request, **fields)
        self._handlers[name] = handler
        return name

    def cancel(self, name: str) -> None:
        """Ask for the end of a request; its final event tells what was kept.

        Where the worker does not answer in time, its handler gets a final event ``cancelled`` from here, and what the
        worker says of it later is not heard.
        """
        self._cancelled.setdefault(name, self._clock() + CANCEL_SECONDS)
        self._client.cancel(name)

    def forget(self, name: str) -> None:
        """Cancel a request and hear no more of it."""
        self._handlers.pop(name, None)
        self._cancelled.pop(name, None)
        self._client.cancel(name)

    def log(self) -> str:
        """The last lines that the worker wrote for people."""
        return self._client.log()

    def stop(self) -> None:
        """End the worker and listen no more. Returns at once; the process is killed if it does not end in time."""
        self._timer.stop()
        self._handlers.clear()
        self._cancelled.clear()
        self._waiting.clear()
        self.background.forget()
        self.steps.forget()
        self._client.close()

    def _tick(self) -> None:
        self.background.give_way(_WAY_SECONDS)
        self.background.poll()
        deadline = time.monotonic() + _SLICE_SECONDS
        self.steps.poll(_STEP_SECONDS)
        self._waiting.extend(self._client.poll())
        self._waiting = deque(newest_only(self._waiting))
        while self._waiting and time.monotonic() < deadline:
            self._hand_out(self._waiting.popleft())
        self._give_up_on_cancelled()

    def _give_up_on_cancelled(self) -> None:
        """End requests whose cancel the worker has not answered in time."""
        late = [name for name, until in self._cancelled.items() if self._clock() >= until]
        if self._waiting:  # the answer may be among what was heard and not handed out yet
            return
        for name in late:
            self._hand_out({"event": "cancelled", "id": name, "kept": "previews", "result": None, "previews": []})

    def _hand_out(self, event: Event) -> None:
        name = event.get("id")
        if name is None:
            self.event.emit(event)
            return
        last = event.get("event") in _FINAL
        if last:
            self._cancelled.pop(name, None)
        handler = self._handlers.pop(name, None) if last else self._handlers.get(name)
        if handler is not None:
            handler(event)


def newest_only(events: Iterable[Event]) -> list[Event]:
    """Leave out previews and progress that a later event of the same kind replaces.

    Example:
        >>> [e["n"] for e in newest_only([{"event": "progress", "id": "1", "n": n} for n in range(3)])]
        [2]
    """
    kept: list[Event] = []
    seen: set[tuple[Any, ...]] = set()
    for event in reversed(list(events)):
        if event.get("event") in ("preview", "progress"):
            key = (event["event"], event.get("id"), event.get("method"))
            if key in seen:
                continue
            seen.add(key)
        kept.append(event)
    return kept[::-1]
