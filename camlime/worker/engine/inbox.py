"""What the worker tells the engine, heard by a thread of its own while the engine works."""

from __future__ import annotations

import queue
import threading
from typing import IO, Any

from camlime.worker.lines import LineError, parse, read_lines
from camlime.worker.processes import end_myself


class Inbox:
    """Requests in order; a cancel is known at once. When the worker is gone, this process ends.

    Args:
        stream: from the worker.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._cancelled: Any = None
        threading.Thread(target=self._read, args=(stream,), name="inbox", daemon=True).start()

    def next(self) -> dict[str, Any]:
        """The next request, waiting for it."""
        return self._requests.get()

    def cancelled(self, name: str | int) -> bool:
        """Whether the request of this name, the one that runs, is to end."""
        return bool(self._cancelled == name)

    def _read(self, stream: IO[bytes]) -> None:
        for line in read_lines(stream):
            if isinstance(line, LineError):
                continue
            message = parse(line)
            if message["request"] == "cancel":
                self._cancelled = message["id"]
            else:
                self._cancelled = None  # which came too late for the request before; another may have its name
                self._requests.put(message)
        end_myself()
