"""Processes that end with their parent and are ended with their children, on Linux, macOS and Windows."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

WATCH_SECONDS = 1.0
"""How often a parent is looked for."""

_STILL_RUNNING = 0x102  # WAIT_TIMEOUT
_SYNCHRONIZE = 0x100000


def apart() -> dict[str, Any]:
    """Options of ``subprocess.Popen`` for a process that can be ended with all its children, and opens no console."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def end_tree(pid: int) -> None:
    """End a process that was started :func:`apart`, and its children, without waiting; no error if it is gone."""
    if sys.platform == "win32":
        with contextlib.suppress(OSError):
            _start_taskkill(pid)
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def end_myself() -> None:
    """End this process at once, with its children if it was started :func:`apart`; never returns."""
    if sys.platform == "win32":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            _start_taskkill(os.getpid()).wait(timeout=10)  # which finds the children by a parent that is still there
    elif os.getpgid(0) == os.getpid():
        end_tree(os.getpid())
    os._exit(1)


def _start_taskkill(pid: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["taskkill", "/F", "/T", "/PID", str(pid)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def wait_for_end_of(pid: int) -> None:
    """Return when a process is gone."""
    gone = _gone_on_windows(pid) if sys.platform == "win32" else _gone(pid)
    while not gone():
        time.sleep(WATCH_SECONDS)


def _gone(pid: int) -> Callable[[], bool]:
    if (
        os.getppid() == pid
    ):  # exact: a number that is given out again, or a dead process that nobody buries, is no parent
        return lambda: os.getppid() != pid

    def gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    return gone


def _gone_on_windows(pid: int) -> Callable[[], bool]:
    import ctypes

    kernel: Any = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined, unused-ignore]
    kernel.OpenProcess.restype = ctypes.c_void_p
    handle = kernel.OpenProcess(_SYNCHRONIZE, False, pid)
    if not handle:
        return lambda: True
    return lambda: kernel.WaitForSingleObject(ctypes.c_void_p(handle), 0) != _STILL_RUNNING
