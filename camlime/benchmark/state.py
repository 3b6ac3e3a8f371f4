"""What a case's numbers are computed with: versions of packages, and camlime's own sources."""

from __future__ import annotations

import ast
from functools import lru_cache
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

from camlime.version import __version__

COMPUTING_PACKAGES = (
    "torch",
    "monai",
    "numpy",
    "scipy",
    "scikit-image",
    "scikit-learn",
    "SimpleITK",
    "nibabel",
    "pillow",
    "grad-cam",
    "lime",
    "captum",
    "torchcam",
)
"""Another version of these may give other numbers."""

PACKAGE = Path(__file__).parents[1]

START = "camlime.benchmark.work"
"""The module that does a case."""

NUMBERLESS = ("camlime.overview", "camlime.saving")
"""Draw and write what was computed before: not followed."""


def versions() -> dict[str, str | None]:
    """Versions of camlime and of the packages that compute; ``None`` where one is not installed."""
    found: dict[str, str | None] = {"camlime": __version__}
    for name in COMPUTING_PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


@lru_cache(maxsize=1)
def computing_state() -> dict[str, Any]:
    """``versions`` and ``sources`` of this process, as they were when it was first asked."""
    return {"versions": versions(), "sources": hash_of_sources()}


def hash_of_sources(package: Path = PACKAGE) -> str:
    """Hash of the modules of camlime that a case's result can depend on, whatever their version says.

    Args:
        package: the folder ``camlime``.
    """
    whole = sha256()
    for name, path in sorted(computing_modules(package).items()):
        whole.update(f"{name} {sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()[:16]


def computing_modules(package: Path = PACKAGE) -> dict[str, Path]:
    """The module that does a case, and all of camlime that it imports, directly or not, also within functions.

    Commands, pages and viewers are not among them: a change there is no reason to compute anything again.
    """
    found: dict[str, Path] = {}
    waiting = [START]
    while waiting:
        name = waiting.pop()
        path = _file_of(name, package)
        if path is None or name in found or name in NUMBERLESS:
            continue
        found[name] = path
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                parts = [f"{node.module}.{alias.name}" for alias in node.names]
                modules = [part for part in parts if _file_of(part, package)]
                waiting += modules if len(modules) == len(parts) else [*modules, node.module]
    return found


def _file_of(name: str, package: Path) -> Path | None:
    """Where a module of camlime lies; ``None`` for anything else."""
    first, *rest = name.split(".")
    if first != "camlime":
        return None
    stem = package.joinpath(*rest)
    for path in (stem / "__init__.py", stem.with_name(f"{stem.name}.py")):
        if path.is_file():
            return path
    return None
