"""The process that makes the scene: the 3D Slicer module's own code on slicer-core, which the engine never imports."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camlime.errors import OutputError

_PACKAGE = Path(__file__).resolve().parents[2]
_PLACES = (_PACKAGE / "slicer_module", _PACKAGE.parent / "SlicerXAI", _PACKAGE.parents[1])
"""Inside an installed package; beside the package in the repository; above the engine in the extension."""

_LIBRARY = "SlicerXAILib"

_RUN = f"""\
import sys
sys.path[:1] = [sys.argv[1]]
from {_LIBRARY}.scene_file import main
sys.exit(main(sys.argv[2]))
"""
"""In place of the working directory, which ``-c`` puts first: no file of the user's is imported."""


def module_folder() -> Path:
    """The folder that holds the module's library.

    Raises:
        OutputError: the installation is incomplete, or slicer-core is not installed.
    """
    if importlib.util.find_spec("slicer_core") is None:
        raise OutputError(
            "the package slicer-core is needed to write a scene of 3D Slicer, and is not there",
            hint='install it with: pip install "camlime[slicer]" '
            "(it exists for Windows, Linux on x86-64 and macOS on ARM)",
        )
    for place in _PLACES:
        if (place / _LIBRARY / "scene_file.py").is_file():
            return place
    raise OutputError("the 3D Slicer module is missing from this installation", hint="install camlime again")


def write_scene(job: Mapping[str, Any], scratch: Path) -> None:
    """Run the module's :func:`main` of ``scene_file.py`` on a job, as it is described there.

    Args:
        job: what JSON can hold.
        scratch: a folder for the files that the two processes share.

    Raises:
        OutputError: the process failed; in its words where it found any.
    """
    folder = module_folder()
    file = scratch / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    command = [sys.executable, "-c", _RUN, str(folder), str(file)]
    done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        return
    told = scratch / "error.json"
    if told.is_file():
        words = json.loads(told.read_text(encoding="utf-8"))
        raise OutputError(words["message"], hint=words["hint"])
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()
    raise OutputError(
        f"3D Slicer's libraries ended with code {done.returncode}" + (f": {last[-1].strip()}" if last else ""),
        hint='install them again with: pip install --force-reinstall "camlime[slicer]"',
    )
