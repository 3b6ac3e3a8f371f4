"""A worker without a client: what stands between the two is written and read by the test."""

from __future__ import annotations

import json
import os
import queue
import threading
from functools import partial
from typing import IO, Any

from camlime.worker.engine_process import EngineProcess
from camlime.worker.front import Front

PATIENT = 300.0
"""Seconds that a test waits for an event at most; on a busy machine an engine may take long to import."""


class Pipes:
    """A worker in a thread: lines in, events out.

    Args:
        command: what its engine is.
        settings: of the worker.
    """

    def __init__(self, command: tuple[str, ...], **settings: Any) -> None:
        read_requests, write_requests = os.pipe()
        read_events, write_events = os.pipe()
        self.requests: IO[bytes] = os.fdopen(write_requests, "wb")
        self._events: IO[bytes] = os.fdopen(read_events, "rb")
        self._heard: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._closing = (os.fdopen(read_requests, "rb"), os.fdopen(write_events, "wb"))
        front = Front(*self._closing, start_engine=partial(EngineProcess, command=command), **settings)
        self._threads = (threading.Thread(target=self._run, args=(front,)), threading.Thread(target=self._read))
        for thread in self._threads:
            thread.start()

    def _run(self, front: Front) -> None:
        front.run()
        self._closing[1].close()

    def _read(self) -> None:
        for line in self._events:
            self._heard.put(json.loads(line))
        self._heard.put(None)

    def send(self, **request: Any) -> None:
        self.requests.write(json.dumps(request).encode() + b"\n")
        self.requests.flush()

    def next(self) -> dict[str, Any]:
        found = self._heard.get(timeout=PATIENT)
        assert found is not None, "the worker has ended"
        return found

    def until(self, event: str) -> dict[str, Any]:
        while (found := self.next())["event"] != event:
            pass
        return found

    def rest(self) -> list[str]:
        kinds = []
        while (found := self._heard.get(timeout=PATIENT)) is not None:
            kinds.append(found["event"])
        return kinds

    def close(self) -> None:
        if not self.requests.closed:
            self.requests.close()
        for thread in self._threads:
            thread.join(timeout=PATIENT)
            assert not thread.is_alive()
        self._events.close()
        self._closing[0].close()
