"""A shipped bundle's configs, and its own package as it is found in its folder."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BUNDLES = Path(__file__).resolve().parents[2] / "monai_bundle"


def config(bundle: Path, name: str) -> dict[str, Any]:
    """One of its configs as it stands in the file."""
    read: dict[str, Any] = json.loads((bundle / "configs" / f"{name}.json").read_text())
    return read


def scripts_of(bundle: Path, monkeypatch: pytest.MonkeyPatch, *modules: str, needs: tuple[str, ...]) -> ModuleType:
    """The bundle's ``scripts`` with these modules of it, in its folder, as under ``python -m monai.bundle`` there.

    Each bundle has a package of that name: another one's is forgotten. The test skips where a package is missing.
    """
    for name in needs:
        pytest.importorskip(name)
    monkeypatch.syspath_prepend(bundle)
    monkeypatch.chdir(bundle)
    for name in [name for name in sys.modules if name.split(".")[0] == "scripts"]:
        monkeypatch.delitem(sys.modules, name)
    for name in modules:
        importlib.import_module(f"scripts.{name}")
    return importlib.import_module("scripts")
