"""The engine's loop: a request, its events, and whatever may go wrong as an event."""

from __future__ import annotations

import os
import re
import sys
import time
import traceback
from typing import Any

import torch

from camlime.cli.noise import without_noise
from camlime.device import causes, is_failure, is_out_of_memory
from camlime.errors import (
    BundleError,
    CamlimeError,
    DeviceError,
    OutputError,
    RegionsError,
    RequestError,
    ScanError,
    UntrustedBundleError,
)
from camlime.worker.engine.answers import answer
from camlime.worker.engine.describe import devices, shipped
from camlime.worker.engine.inbox import Inbox
from camlime.worker.engine.task import Stopped, Task
from camlime.worker.engine.warm import Warm
from camlime.worker.lines import Writer

KINDS: tuple[tuple[type[CamlimeError], str], ...] = (
    (ScanError, "scan"),
    (UntrustedBundleError, "untrusted"),
    (BundleError, "bundle"),
    (RequestError, "request"),
    (RegionsError, "regions"),
    (OutputError, "output"),
    (DeviceError, "device"),
)


class Engine:
    """Does requests one after the other until the process ends.

    Args:
        events: to the worker.
        inbox: from the worker.
        started: when the process began, of ``time.perf_counter``.
    """

    def __init__(self, events: Writer, inbox: Inbox, *, started: float) -> None:
        self._events = events
        self._inbox = inbox
        self._started = started
        self._warm = Warm()

    def run(self) -> None:
        """Say what there is, then work."""
        with without_noise():
            there = {"cuda": torch.version.cuda, "devices": devices(), "bundles": shipped(self._warm.bundle)}
            seconds = round(time.perf_counter() - self._started, 1)
            self._events.write({"event": "ready", "seconds": seconds, "pid": os.getpid(), **there})
            while True:
                self._do(self._inbox.next())

    def _do(self, request: dict[str, Any]) -> None:
        name = request["id"]
        task = Task(request, self._events, lambda: self._inbox.cancelled(name))
        full = broken = False
        try:
            given = answer(task, self._warm)
            if given.complete:
                task.emit("result", **given.fields)
            else:
                task.emit("cancelled", kept="result", result=given.fields, previews=[])
        except Stopped:
            task.emit("cancelled", kept="nothing", result=None, previews=[])
        except CamlimeError as error:
            kind = next(kind for known, kind in KINDS if isinstance(error, known))
            self._error(task, kind, error.message, in_fields(error.hint))
            full, broken = any(map(is_out_of_memory, causes(error))), any(map(is_failure, causes(error)))
        except Exception as error:
            self._unexpected(task, error)
            full, broken = isinstance(error, MemoryError) or is_out_of_memory(error), is_failure(error)
        if broken:  # a process does not recover from a GPU that failed: the worker starts another
            sys.exit(1)
        if full:  # only now is nothing held by the error's traceback
            self._warm.clear()
        torch.cuda.empty_cache()  # what is idle leaves the GPU's memory to others
        self._events.write({"event": "idle"})

    def _unexpected(self, task: Task, error: Exception) -> None:
        details = "".join(traceback.format_exception(error))
        sys.stderr.write(details)
        if isinstance(error, MemoryError) or is_out_of_memory(error):
            hint = "close other programs, use another device, or a smaller scan"
            self._error(task, "memory", "memory ran out", hint, details)
            return
        said = f"this should not have happened: {type(error).__name__}: {error}"
        self._error(task, "defect", said, "report it with the details", details)

    def _error(self, task: Task, kind: str, message: str, hint: str, details: str = "") -> None:
        task.emit("error", kind=kind, message=message, hint=hint, details=details)


def in_fields(hint: str) -> str:
    """A hint that speaks of fields where the command line has options.

    Example:
        >>> in_fields("use --device cpu")
        "use 'device' cpu"
    """
    return re.sub(r"--(\w[\w-]*)", lambda option: f"'{option[1].replace('-', '_')}'", hint)
