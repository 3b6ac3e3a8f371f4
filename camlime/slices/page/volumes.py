"""The volumes of the page of slices: the scan, the stacked maps and levels, and which slices were answered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlime.explanation import Explanation
from camlime.levels import AGREEMENT_LEVELS, EVIDENCE_LEVELS, GROUP_NAMES, CaseLevels, Level, case_levels, first_to_show
from camlime.overview.colours import evidence_scale, spread_scale
from camlime.overview.units import PICTURE_FILES
from camlime.overview.words import unit_of
from camlime.report.reduction import MOST_BYTES, Grid, packed, reduced_grid
from camlime.report.volumes import (
    RASTER,
    SMALLEST_3D,
    Volume,
    Volumes,
    context,
    signed,
    spread,
    window_of,
    with_data,
)
from camlime.same_scan import check_scan_known
from camlime.scan import Scan
from camlime.slices.answers import UNCONFIRMED
from camlime.slices.loading import SavedSlices

ANSWERED = (
    Level(1, "flagged", "Flagged, no class", "Outside the training domain, or constant.", (220, 60, 60)),
    Level(2, "classified", "Classified", "Has an answer of its own.", (110, 120, 130)),
    Level(3, "explained", "Explained", "Has maps.", (250, 200, 70)),
    Level(
        4,
        "unconfirmed",
        "Unconfirmed, no class",
        "Has a class only if it shows what the model presumes.",
        (90, 150, 200),
    ),
)
"""States of slices, in the terms of the viewer's label maps."""

Drawn = tuple[Volume, NDArray[Any]]


def slices_volumes(found: SavedSlices, scan: Scan | None) -> Volumes:
    """Make the volumes of slices fit for the page.

    Args:
        found: what to show.
        scan: the scan that was cut, to lie below the maps; what the network saw if it is ``None``.

    Raises:
        RequestError: the scan is not the one that was cut.
    """
    picture = str(found.provenance.get("scan", {}).get("name", "")).lower().endswith(PICTURE_FILES)
    frame = RASTER @ np.linalg.inv(found.affine) if picture else np.eye(4)
    drawn = [*_maps(found), *_grouped(found), _answered(found), *_spreads(found)]
    count = len(drawn) + 2
    whole = tuple(slice(0, n) for n in found.shape)
    grid = reduced_grid(frame @ found.affine, whole, MOST_BYTES // (2 * count))
    said = []
    if any(factor > 1 for factor in grid.factors):
        said.append(f"Maps are averaged over blocks of {' × '.join(map(str, grid.factors))} voxels.")
    if scan is not None and not picture:
        points = np.array([answer.centre_ras for answer in found.answers])
        check_scan_known(found.provenance.get("scan", {}), points, scan, option="--scan")
        below, size = context(scan, found.shape, found.affine, MOST_BYTES // count, said)
    else:
        low, high = window_of(found.images)
        grey = packed(np.clip(grid.averaged(found.images), low, high), grid.affine, kind="grey")
        below = with_data(Volume("scan", "What the network saw", "scan", "", low=low, high=high), grey)
        size = grid.shape
        said.append("Below the maps lies what the network saw, not the scan as it was taken.")
    said.append(
        "The scan has 256 levels of grey, maps 65 535 levels; exact values are in the explanation's NIfTI files."
    )
    return Volumes(
        scan=below,
        overlays=tuple(_kept(one, values, grid) for one, values in drawn),
        regions=_kept(Volume("regions", "Slices", "labels", ""), _numbers(found), grid),
        point=_start(found, frame),
        frame=frame,
        flat=min(size) == 1,
        solid=min(size) >= SMALLEST_3D,
        in_patient=not picture,
        said=tuple(said),
    )


def _kept(one: Volume, values: NDArray[Any], grid: Grid) -> Volume:
    labels = one.kind == "labels"
    return with_data(
        one,
        packed(
            grid.picked(values) if labels else grid.averaged(values), grid.affine, kind="labels" if labels else "map"
        ),
    )


def _start(found: SavedSlices, frame: NDArray[np.float64]) -> tuple[float, float, float]:
    """The strongest point, else the middle of the volume."""
    at = found.point
    if at is None:
        at = found.affine[:3] @ [*((np.array(found.shape) - 1) / 2), 1.0]
    x, y, z = (float(value) for value in (frame @ [*at, 1.0])[:3])
    return x, y, z


def _methods(found: SavedSlices) -> list[str]:
    """Those that any slice has a map of, the one to show first in front."""
    names = list(dict.fromkeys(name for one in found.explanations.values() for name in one.attributions))
    best = first_to_show(names)
    return sorted(names, key=lambda name: name != best)


def _part(method: str, part: str) -> Callable[[Explanation], NDArray[Any] | None]:
    """Reads ``values`` or ``std`` of a method's map, where an explanation has it."""

    def read(explanation: Explanation) -> NDArray[Any] | None:
        values: NDArray[Any] | None = getattr(explanation.attributions.get(method), part, None)
        return values

    return read


def _maps(found: SavedSlices) -> Iterator[Drawn]:
    for name in _methods(found):
        have = [one for one in found.explanations.values() if name in one.attributions]
        scale = evidence_scale(np.concatenate([e.attributions[name].values[e.input.valid.numpy()] for e in have]))
        one = signed(name, unit_of(have[0].attributions[name]), scale.high)
        values = found.stack(_part(name, "values"))
        yield dataclasses.replace(one, help=f"{one.help} Only explained slices have a map."), values


def _spreads(found: SavedSlices) -> Iterator[Drawn]:
    for name in _methods(found):
        values = found.stack(_part(name, "std"))
        if values.any():
            unit = next(unit_of(e.attributions[name]) for e in found.explanations.values() if name in e.attributions)
            yield spread(name, unit, spread_scale(values[values > 0]).high), values


def _grouped(found: SavedSlices) -> Iterator[Drawn]:
    """Levels of evidence and agreement, each slice's own shares of its own largest magnitude."""
    known = {n: levels for n, one in found.explanations.items() if (levels := case_levels(one)) is not None}
    of = {id(one): known.get(n) for n, one in found.explanations.items()}

    def part(read: Any) -> NDArray[Any]:
        def one(explanation: Explanation) -> NDArray[Any] | None:
            levels: CaseLevels | None = of[id(explanation)]
            return None if levels is None else read(levels)

        return found.stack(one, dtype=np.uint8)

    if not known:
        return
    help_ = "Bands of each slice's own map, where its sign is certain."
    yield (
        Volume("levels", GROUP_NAMES["evidence"], "labels", "", levels=EVIDENCE_LEVELS, help=help_),
        part(lambda levels: levels.evidence),
    )
    if any(levels.agreement is not None for levels in known.values()):
        help_ = "Where the CAM and LIME both have something to say."
        yield (
            Volume("agreement", GROUP_NAMES["agreement"], "labels", "", levels=AGREEMENT_LEVELS, help=help_),
            part(lambda levels: levels.agreement),
        )


def _answered(found: SavedSlices) -> Drawn:
    """Flagged, classified, explained and unconfirmed slices, each in a colour of its own."""
    values = np.zeros(found.shape, dtype=np.uint8)
    for answer in found.answers:
        state = 4 if answer.flag == UNCONFIRMED else 1 if answer.flag is not None else 2
        values[..., answer.index - found.first] = 3 if answer.index in found.explanations else state
    help_ = "A flagged slice is outside the training domain, or constant: its answer means nothing."
    return Volume("answered", "Which slices were answered", "labels", "", levels=ANSWERED, help=help_), values


def _numbers(found: SavedSlices) -> NDArray[np.int32]:
    """Number of each slice that was asked about, from 1, for what is under the crosshair."""
    values = np.zeros(found.shape, dtype=np.int32)
    for answer in found.answers:
        values[..., answer.index - found.first] = answer.index + 1
    return values
