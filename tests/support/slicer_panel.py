"""The module's real panel without the desktop, for tests and pictures; skips with the reason where it cannot run."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "SlicerXAI" / "SlicerXAI.py"


def bootstrapped() -> Any:
    """The package ``slicer``, dressed as Slicer's, once a process; skips what asks for it where it cannot be had.

    With ``SLICER_PYTHON`` the module runs on Slicer's own Python files, else on the harness's stand-ins for them.
    """
    for package in ("slicer", "PySide6"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (extra 'test')", allow_module_level=True)
    import slicer_harness

    slicer = slicer_harness.bootstrap(sources())
    folder = str(MODULE.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return slicer


def sources() -> str | None:
    """Slicer's own Python files, where ``SLICER_PYTHON`` names them."""
    folder = os.environ.get("SLICER_PYTHON", "")
    return folder if (Path(folder) / "ScriptedLoadableModule.py").is_file() else None


def until(condition: Callable[[], Any], *, seconds: float = 120, each: Callable[[], None] | None = None) -> None:
    """Let Qt work until a condition holds; fails after so many seconds, which no test that passes comes near."""
    import slicer

    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail("what was waited for did not come")
        slicer.app.processEvents()
        if each is not None:
            each()
        time.sleep(0.002)
