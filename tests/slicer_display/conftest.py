"""A desk with views, a phantom whose point is known, and an explanation of it on a grid of its own."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[2] / "SlicerXAI"))

HAS_SLICER = importlib.util.find_spec("slicer") is not None and importlib.util.find_spec("slicer_core") is not None
collect_ignore_glob: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that draw are skipped with the reason where there is no OpenGL."""
    drawn = [item for item in items if "drawn_desk" in getattr(item, "fixturenames", ())]
    if not drawn or not HAS_SLICER:
        return
    from support.slicer_desk import can_draw

    if not can_draw():
        for item in drawn:
            item.add_marker(pytest.mark.skip(reason="no off-screen OpenGL: install libegl1 and libgl1-mesa-dri"))


@pytest.fixture
def desk() -> Iterator[Any]:
    """A scene with Red, Green and Yellow slice views."""
    from support.slicer_desk import Desk

    made = Desk()
    yield made
    made.close()


@pytest.fixture
def drawn_desk(desk: Any) -> Any:
    """A desk in a place where its views can be drawn."""
    return desk


@pytest.fixture
def make_result() -> Callable[..., Any]:
    """Results whose ``lime`` map is largest at a known voxel."""
    from support.slicer_results import a_result

    return a_result
