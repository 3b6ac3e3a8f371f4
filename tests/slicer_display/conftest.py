"""A desk with views, a phantom whose point is known, and an explanation of it on a grid of its own."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camlime.levels import agreement_levels, evidence_levels

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
    return a_result


def a_result(
    affine_ras: np.ndarray,
    shape: tuple[int, int, int] = (24, 20, 16),
    hottest: tuple[int, int, int] = (15, 6, 9),
    *,
    signed: bool = True,
) -> Any:
    """A LIME map with one blob for the class at ``hottest`` and one half as strong against it at the mirrored voxel."""
    from SlicerXAILib.result import MapData, Result

    index = np.stack(np.indices(shape), axis=-1)
    ahead = np.exp(-((index - np.array(hottest)) ** 2).sum(axis=-1) / 8.0)
    mirrored = np.array(shape) - 1 - np.array(hottest)
    against = np.exp(-((index - mirrored) ** 2).sum(axis=-1) / 8.0)
    lime = (2.0 * ahead - (1.0 * against if signed else 0.0)).astype(np.float32)
    lime[np.abs(lime) < 1e-3] = 0.0
    gradcam = (0.1 * ahead + 0.05 * against).astype(np.float32)
    std = np.full(shape, 0.05, dtype=np.float32)
    everywhere = np.ones(shape, dtype=bool)
    regions = np.ones(shape, dtype=np.int32)
    regions[lime > 0.5], regions[lime < -0.3] = 2, 3
    centre = affine_ras @ np.array([*hottest, 1.0])
    rows = [
        _row(1, "Lung", affine_ras @ np.array([0, 0, 0, 1.0]), 0.01, 0.02),
        _row(2, None, centre, 1.5, 0.1),
        _row(3, "Vessel", affine_ras @ np.array([*mirrored, 1.0]), -0.8, 0.2),
    ]
    curve = {"log_odds": [2.0, 0.0, -2.0], "probability": [0.9, 0.5, 0.1]}
    curves = {"fractions": [0.0, 0.5, 1.0], "most_first": curve, "insertion": curve, "least_first": curve}
    return Result(
        affine_ras=affine_ras,
        prediction={"class": "malignant", "probabilities": {"benign": 0.1, "malignant": 0.9}, "logits": {}},
        explained_class="malignant",
        lead="lime",
        maps={
            "gradcam": MapData("gradcam", "Grad-CAM", "log-odds a cell", gradcam),
            "lime": MapData("lime", "LIME", "log-odds a region", lime, std),
        },
        levels={
            "evidence": evidence_levels(lime, everywhere, std=std),
            "agreement": agreement_levels(gradcam, lime, everywhere),
        },
        regions=regions,
        region_table=tuple(rows),
        strongest_point_ras=tuple(float(x) for x in centre[:3]),
        agreement={"badge": "concordant", "in_words": "They agree.", "in_numbers": "g 0.5"},
        evidence={
            "lime": {
                "supported": False,
                "verdict": "NOT SUPPORTED",
                "in_words": ["A sentence."],
                "baselines": {"mean": {**curves, "controls": {"random": curves}}, "blur": {**curves, "controls": {}}},
            }
        },
        warnings=('a "warning" with <signs> & more\n2 lines',),
        provenance={"seed": 0},
        complete=True,
    )


def _row(number: int, name: str | None, centre: np.ndarray, weight: float, error: float) -> dict[str, Any]:
    return {
        "id": number,
        "name": name,
        "volume_ml": 0.1 * number,
        "centre_ras_mm": [float(x) for x in centre[:3]],
        "weight": weight,
        "standard_error": error,
        "interval_95": [weight - 1.96 * error, weight + 1.96 * error],
    }
