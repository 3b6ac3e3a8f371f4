"""Levels of evidence: one way to name, order, number and colour what a map shows, for every place that shows segments.

Maps are continuous; segments, DICOM and label maps need a few classes. There are two label maps: the *evidence* of one
signed map in disjoint bands, and whether two methods *agree* about a voxel. A voxel can be in both. Where a map knows
its standard deviation, a voxel has evidence only if its sign is certain at 95 %. The numbers are the labels, on disk
and in every export, and never change their meaning. Only numpy is needed, so that a viewer can use
this module without the engine's packages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from camlime.attribution import NORMAL_95

if TYPE_CHECKING:
    from camlime.explanation import Explanation

STRONG_SHARE = 0.5
"""Of the map's largest magnitude: evidence from here on is strong."""

MODERATE_SHARE = 0.25
"""Of the map's largest magnitude: below this there is no evidence to speak of."""

LabelMap = NDArray[np.uint8]

Map = tuple[NDArray[np.floating], "NDArray[np.floating] | None"]
"""Values and, where known, standard deviation of one method, each ``(*S,)``."""

_NO_CAM = frozenset({"lime", "fused", "occlusion", "mean", "geometric", "rank"})


@dataclass(frozen=True)
class Level:
    """One class of evidence.

    Args:
        label: its number in label maps.
        key: its name in files.
        name: its name on screens.
        meaning: one sentence for the reader.
        colour: red, green, blue, 0 to 255; warm speaks for the class, blue against it, as in the maps.
    """

    label: int
    key: str
    name: str
    meaning: str
    colour: tuple[int, int, int]


STRONG_FOR = Level(
    1,
    "strong_for",
    "Strong evidence for",
    "At least half of the map's largest magnitude, for the class.",
    (250, 200, 70),
)
MODERATE_FOR = Level(
    2, "moderate_for", "Moderate evidence for", "A quarter to a half of the largest magnitude, for the class.",
    (214, 96, 40),
)  # fmt: skip
AGAINST = Level(
    3, "against", "Evidence against", "At least a quarter of the largest magnitude, against the class.", (70, 170, 225)
)
AGREEMENT = Level(4, "agreement", "Methods agree", "The CAM and LIME both point the same way here.", (0, 158, 115))
CONFLICT = Level(5, "conflict", "Methods conflict", "The CAM and LIME point opposite ways here.", (204, 80, 165))

EVIDENCE_LEVELS = (STRONG_FOR, MODERATE_FOR, AGAINST)
AGREEMENT_LEVELS = (AGREEMENT, CONFLICT)
LEVELS = (*EVIDENCE_LEVELS, *AGREEMENT_LEVELS)

GROUPS = {"evidence": EVIDENCE_LEVELS, "agreement": AGREEMENT_LEVELS}
"""The levels of each label map, by its key, in the order to list them."""

GROUP_NAMES = {"evidence": "Levels of evidence", "agreement": "Agreement of methods"}
"""Names of the label maps on screens."""

CODE_SCHEME = "99CAMLIME"
"""Private designator of the levels' codes; their keys are the code values. It begins with 99 (PS3.16 section 8)."""


def evidence_levels(
    values: NDArray[np.floating],
    valid: NDArray[np.bool_],
    *,
    std: NDArray[np.floating] | None = None,
    factor: float = NORMAL_95,
) -> LabelMap:
    """The bands of a signed map: 1 strong for, 2 moderate for, 3 against, 0 none.

    Args:
        values: the map, shape ``(*S,)``; positive speaks for the class.
        valid: voxels that padding did not make up, ``(*S,)``; others are 0.
        std: the map's standard deviation, where known: a voxel whose sign is not certain is 0.
        factor: standard deviations to either side of a value that make its 95 % interval.

    Example:
        >>> evidence_levels(np.array([1.0, 0.3, 0.1, -0.6]), np.ones(4, dtype=bool)).tolist()
        [1, 2, 0, 3]
    """
    share = _share(values, valid)
    labels = np.zeros(values.shape, dtype=np.uint8)
    labels[share >= MODERATE_SHARE] = MODERATE_FOR.label
    labels[share >= STRONG_SHARE] = STRONG_FOR.label
    labels[share <= -MODERATE_SHARE] = AGAINST.label
    if std is not None:
        labels[np.abs(values) < factor * std] = 0
    return labels


def agreement_levels(cam: NDArray[np.floating], lime: NDArray[np.floating], valid: NDArray[np.bool_]) -> LabelMap:
    """Where two signed maps both have something to say: 4 the same way, 5 opposite ways, 0 elsewhere.

    Args:
        cam: shape ``(*S,)``.
        lime: shape ``(*S,)``.
        valid: voxels that padding did not make up, ``(*S,)``.

    Example:
        >>> agreement_levels(np.array([1.0, -1.0, 0.1]), np.array([2.0, 2.0, 2.0]), np.ones(3, dtype=bool)).tolist()
        [4, 5, 0]
    """
    one, two = _share(cam, valid), _share(lime, valid)
    both = (np.abs(one) >= MODERATE_SHARE) & (np.abs(two) >= MODERATE_SHARE)
    labels = np.zeros(cam.shape, dtype=np.uint8)
    labels[both & (one * two > 0)] = AGREEMENT.label
    labels[both & (one * two < 0)] = CONFLICT.label
    return labels


@dataclass(frozen=True)
class CaseLevels:
    """The label maps of one explanation, on the grid of its input.

    Args:
        method: whose map the evidence is taken from, the one to show first.
        evidence: ``(*S,)``, labels of :data:`EVIDENCE_LEVELS`.
        cam: which CAM was compared with LIME; ``None`` where one of the two is missing.
        agreement: ``(*S,)``, labels of :data:`AGREEMENT_LEVELS`; ``None`` likewise.
    """

    method: str
    evidence: LabelMap
    cam: str | None
    agreement: LabelMap | None

    def label_maps(self) -> dict[str, LabelMap]:
        """Those that there are, by their key in :data:`GROUPS`."""
        found = {"evidence": self.evidence}
        return found if self.agreement is None else {**found, "agreement": self.agreement}


def first_to_show(methods: Iterable[str]) -> str | None:
    """The method whose map is to be shown first: fused, else lime, else the first there is.

    Example:
        >>> first_to_show(["gradcam", "lime"])
        'lime'
    """
    there = list(methods)
    return next((name for name in ("fused", "lime") if name in there), there[0] if there else None)


def levels_of(
    maps: Mapping[str, Map],
    valid: NDArray[np.bool_],
    *,
    factors: Mapping[str, float] | None = None,
    agreed: str | None = None,
) -> CaseLevels | None:
    """The label maps of one case; ``None`` if it has no map.

    Args:
        maps: by method, in the order in which they were made.
        valid: voxels that padding did not make up, ``(*S,)``.
        factors: by method, standard deviations to either side that make a 95 % interval; the normal one if not known.
        agreed: the CAM that the agreement speaks of; LIME is compared with the first that there is if it is not known.
    """
    method = first_to_show(maps)
    if method is None:
        return None
    values, std = maps[method]
    evidence = evidence_levels(values, valid, std=std, factor=(factors or {}).get(method, NORMAL_95))
    cam = compared_cam(maps, agreed)
    if cam is None or "lime" not in maps:
        return CaseLevels(method, evidence, None, None)
    return CaseLevels(method, evidence, cam, agreement_levels(maps[cam][0], maps["lime"][0], valid))


def case_levels(explanation: Explanation) -> CaseLevels | None:
    """The label maps of an explanation; ``None`` if it holds no map.

    The CAM is the one that the explanation's agreement speaks of, else the first there is.
    """
    return levels_of(
        {name: (one.values, one.std) for name, one in explanation.attributions.items()},
        explanation.input.valid.numpy(),
        factors={name: one.interval_factor for name, one in explanation.attributions.items()},
        agreed=None if explanation.agreement is None else explanation.agreement.cam,
    )


def compared_cam(methods: Iterable[str], agreed: str | None) -> str | None:
    """Which CAM LIME is compared with: the one that the agreement speaks of, else the first there is.

    Example:
        >>> compared_cam(["occlusion", "hirescam", "gradcam"], None)
        'hirescam'
    """
    cams = [name for name in methods if name not in _NO_CAM]
    return agreed if agreed in cams else next(iter(cams), None)


def _share(values: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The values as shares of the largest magnitude over valid voxels; 0 elsewhere, and everywhere for an empty map."""
    inside = np.where(valid, values, 0.0).astype(np.float64)
    largest = float(np.abs(inside).max(initial=0.0))
    return inside / largest if largest > 0 else inside
