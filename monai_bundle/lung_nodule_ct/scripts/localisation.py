"""What a map that knows nothing but the middle of the box scores against the radiologists' outlines."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score

from .augment import Augment
from .study import Study


def centre_blob(study: Study, augment: Augment, shifts: int = 4, seed: int = 0) -> dict[str, dict[str, float]]:
    """Score a round blob in the middle of the box, on centred boxes and on boxes shifted as in training.

    A map must be judged against this baseline: the crops are centred on the nodule.

    Args:
        study: cases with stored volumes.
        augment: where the box and the largest shift come from.
        shifts: random shifts of each case.
        seed: of the shifts.

    Returns:
        For ``centred`` and ``shifted``: ``pointing``, the share of boxes whose middle voxel lies in the outline;
        ``average_precision`` of the blob; ``prevalence``, what a map without any information scores.
    """
    grid, spacing = np.asarray(augment.grid), np.asarray(augment.spacing)
    middle = grid // 2
    offsets = (np.stack(np.indices(grid), -1) - middle) * spacing
    blob = -np.linalg.norm(offsets, axis=-1).ravel()
    room = np.asarray(study.volumes.voxels.shape[2:])
    rng = np.random.default_rng(seed)
    rows: dict[str, list[tuple[float, float, float]]] = {"centred": [], "shifted": []}
    for volume in study.volumes.voxels[:, 1]:
        for i in range(1 + shifts):
            far = np.round(rng.uniform(-1, 1, 3) * augment.shift_mm / spacing).astype(int) if i else 0
            start = np.clip(room // 2 - middle + far, 0, room - grid)
            part = tuple(slice(a, a + n) for a, n in zip(start, grid, strict=True))
            inside = (volume[part] > 0.5).numpy()
            if inside.any():
                row = (inside[tuple(middle)], average_precision_score(inside.ravel(), blob), inside.mean())
                rows["shifted" if i else "centred"].append(row)
    names = ("pointing", "average_precision", "prevalence")
    return {kind: dict(zip(names, np.mean(values, 0).tolist(), strict=True)) for kind, values in rows.items()}
