"""The engine as the worker sees it: a process that takes requests, sends events, and may end at any time."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from camlime.worker.lines import LineError, Writer, parse, read_lines
from camlime.worker.processes import apart, end_tree

COMMAND = (sys.executable, "-m", "camlime.worker.engine")
LOG_LINES = 40

Heard = Callable[[str, Any], None]
"""Told ``("event", object)`` for each event and at last ``("ended", exit code)``, from threads of the engine's own."""


class EngineProcess:
    """One run of the engine.

    Args:
        heard: is told what happens.
        command: what to run.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, heard: Heard, *, command: tuple[str, ...] = COMMAND) -> None:
        self._heard = heard
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **apart()
        )
        self.pid = self._process.pid
        self._outbox: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._copy_log)]
        for thread in (*self._threads, threading.Thread(target=self._send, daemon=True)):
            thread.start()

    def send(self, message: Mapping[str, Any]) -> None:
        """Hand over a request or a cancel; never waits for the engine to read it."""
        self._outbox.put(message)

    def kill(self) -> None:
        """End it and its children at once."""
        end_tree(self.pid)

    def log(self) -> str:
        """The last lines of its standard error."""
        return "".join(self._log)

    def _send(self) -> None:
        assert self._process.stdin is not None
        writer = Writer(self._process.stdin)
        with contextlib.suppress(OSError, ValueError):  # it has ended, which the reader hears
            while (message := self._outbox.get()) is not None:
                writer.write(message)
            self._process.stdin.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in read_lines(self._process.stdout):
            if isinstance(line, bytes):
                with contextlib.suppress(LineError):  # the last line of an engine that was killed may be cut
                    self._heard("event", parse(line))
        code = self._process.wait()
        self._outbox.put(None)
        self._threads[1].join(timeout=1)  # its last words
        end_tree(self.pid)  # children that it left behind
        self._heard("ended", code)

    def _copy_log(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = line.decode("utf-8", "replace")
            self._log.append(text)
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(text)
                sys.stderr.flush()
