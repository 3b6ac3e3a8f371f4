"""Where the engine and its Python are, and where this module may keep files."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import slicer

_MODULE = Path(__file__).resolve().parents[1]
_MARK = Path("camlime") / "version.py"
ENGINE_FOLDER = "SlicerXAIEngine"
"""Beside the module in an installed extension. In the repository the engine is one level up, in a wheel two."""


def engine_folder() -> Path:
    """The folder that holds ``camlime`` (and the shipped bundles, which the engine finds by itself).

    Raises:
        FileNotFoundError: the extension is incomplete.
    """
    for folder in (_MODULE / ENGINE_FOLDER, *_MODULE.parents[:2]):
        if (folder / _MARK).is_file():
            return folder
    raise FileNotFoundError(f"the engine is missing beside {_MODULE}: install the extension again")


def make_engine_importable() -> None:
    """Put the engine's folder at the end of ``sys.path``, so that nothing of Slicer's own is hidden by it."""
    folder = str(engine_folder())
    if folder not in sys.path:
        sys.path.append(folder)


def python_program() -> str:
    """The Python that runs the worker: ``PythonSlicer`` in Slicer, else the one that runs this."""
    return shutil.which("PythonSlicer") or sys.executable


def make_client() -> Any:
    """The client of a worker that is not started yet; imports nothing beyond the standard library."""
    from camlime.worker.client import WorkerClient

    return WorkerClient(python_program())


def bundle_home() -> Path:
    """Where bundles from zip files are kept, beside Slicer's own settings."""
    return Path(slicer.app.slicerUserSettingsFilePath).parent / "SlicerXAI" / "bundles"
