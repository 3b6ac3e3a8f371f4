"""Which of camlime's sources decide a case's numbers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from camlime.benchmark.state import PACKAGE, computing_modules, hash_of_sources


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(PACKAGE, tmp_path / "camlime", ignore=shutil.ignore_patterns("__pycache__"))


@pytest.mark.parametrize(
    ("file", "matters"),
    [
        ("methods/fused.py", True),
        ("evidence/curves.py", True),
        ("benchmark/peers/lime_package.py", True),
        ("scan/dicom.py", True),
        ("bundle/__init__.py", True),
        ("benchmark/page.py", False),
        ("cli/app.py", False),
        ("overview/page.py", False),
    ],
)
def test_a_change_counts_where_it_can_change_a_number(copy: Path, file: str, matters: bool) -> None:
    assert hash_of_sources(copy) == hash_of_sources()
    with (copy / file).open("a", encoding="utf-8") as source:
        source.write("\nCHANGED = True\n")
    assert (hash_of_sources(copy) != hash_of_sources()) == matters


def test_nothing_that_a_case_loads_is_forgotten(run_python: Callable[[str], str]) -> None:
    """But packages' own files that only list names, and what draws or writes."""
    code = "import sys, camlime.benchmark.work; print(*[m for m in sys.modules if m.split('.')[0] == 'camlime'])"
    stub = "import types, sys, pathlib, camlime; package = types.ModuleType('camlime.benchmark'); "
    stub += f"package.__path__ = [{str(PACKAGE / 'benchmark')!r}]; sys.modules['camlime.benchmark'] = package; "
    loaded = set(run_python(stub + code).split())
    packages = {"camlime", "camlime.benchmark", "camlime.benchmark.peers", "camlime.methods"}
    left = loaded - set(computing_modules()) - packages
    assert {name for name in left if not name.startswith(("camlime.overview", "camlime.saving"))} == set()
