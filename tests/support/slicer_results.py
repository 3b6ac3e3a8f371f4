"""What an explanation says, made up: small maps with known places, for tests of what the module shows."""

from __future__ import annotations

from typing import Any

import numpy as np

from camlime.levels import agreement_levels, evidence_levels


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
