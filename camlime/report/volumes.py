"""The volumes of the page: the scan, each map, each standard deviation, the levels of evidence and the regions."""

from __future__ import annotations

import base64
import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlime.explanation import Explanation
from camlime.levels import AGREEMENT_LEVELS, EVIDENCE_LEVELS, GROUP_NAMES, Level, case_levels
from camlime.overview.colours import evidence_scale, spread_scale
from camlime.overview.units import is_picture
from camlime.overview.words import method_title, unit_of
from camlime.report.reduction import MOST_BYTES, box_of, packed, reduced_grid
from camlime.same_scan import check_same_scan
from camlime.scan import Scan

CONTEXT = 1.0
"""How far the scan reaches beyond the network's view on each side, in largest edges of the view."""

RASTER = np.diag([-1.0, -1.0, 1.0, 1.0])
"""A picture lies in no patient; so placed, its columns run to the viewer's right and its rows downwards."""

SMALLEST_3D = 8
"""Voxels along the shortest axis: a thinner slab has nothing to show from the side."""


@dataclass(frozen=True)
class Volume:
    """One volume of the page.

    Args:
        key: its name in the page.
        title: for the reader.
        kind: ``scan``, ``signed``, ``spread`` or ``labels``.
        data: base64 of a gzip-compressed NIfTI file.
        unit: of the values.
        low: value of the first colour.
        high: value of the last colour; for ``signed`` both are of the magnitude.
        levels: for ``labels``, what they mean.
        help: one sentence on how to read it.
    """

    key: str
    title: str
    kind: str
    data: str
    unit: str = ""
    low: float = 0.0
    high: float = 1.0
    levels: tuple[Level, ...] = ()
    help: str = ""


@dataclass(frozen=True)
class Volumes:
    """All of them, and what was done to them.

    Args:
        scan: what lies below the maps.
        overlays: what can be shown over it, the one to show first in front.
        regions: label map of the regions, for what is under the crosshair.
        point: RAS mm where to begin, in the page's frame.
        frame: takes RAS mm of the explanation to the page's frame, which differs for pictures.
        flat: a 2D image.
        solid: 3D is worth looking at.
        in_patient: positions are RAS mm in a patient.
        said: what was cropped, averaged and rounded, in sentences.
    """

    scan: Volume
    overlays: tuple[Volume, ...]
    regions: Volume
    point: tuple[float, float, float]
    frame: NDArray[np.float64]
    flat: bool
    solid: bool
    in_patient: bool
    said: tuple[str, ...]


def page_volumes(explanation: Explanation, scan: Scan | None) -> Volumes:
    """Make an explanation's volumes fit for the page.

    Args:
        explanation: what to show.
        scan: the scan it is of, shown around the network's view; what the network saw is shown if it is ``None``.

    Raises:
        RequestError: the scan is not the one that was explained.
    """
    given = explanation.input
    picture = is_picture(explanation)
    frame = RASTER @ np.linalg.inv(given.affine) if picture else np.eye(4)
    overlays = _overlays(explanation)
    count = len(overlays) + 2
    valid = given.valid.numpy()
    grid = reduced_grid(frame @ given.affine, box_of(valid), MOST_BYTES // (2 * count))
    said = []
    if any(factor > 1 for factor in grid.factors):
        blocks = " × ".join(map(str, grid.factors))
        said.append(f"Maps are averaged over blocks of {blocks} voxels to bound the size of the page.")
    if not valid.all():
        said.append("Padding around the scan is cut off.")
    if scan is not None and not picture:
        check_same_scan(explanation, scan, option="--scan")
        below, size = context(scan, given.spatial_shape, given.affine, MOST_BYTES // count, said)
    else:
        below, size = _seen(explanation, grid), grid.shape
        said.append("Below the maps lies what the network saw, not the scan as it was taken.")
    said.append(
        "The scan has 256 levels of grey, maps 65 535 levels; exact values are in the explanation's NIfTI files."
    )
    drawn = []
    for one, values in overlays:
        kept = grid.picked(values) if one.kind == "labels" else grid.averaged(values)
        data = packed(kept, grid.affine, kind="labels" if one.kind == "labels" else "map")
        drawn.append(with_data(one, data))
    labels = packed(grid.picked(explanation.regions.labels), grid.affine, kind="labels")
    point = frame @ [*explanation.strongest_point_ras(), 1.0]
    return Volumes(
        scan=below,
        overlays=tuple(drawn),
        regions=with_data(Volume("regions", "Regions", "labels", ""), labels),
        point=(float(point[0]), float(point[1]), float(point[2])),
        frame=frame,
        flat=min(size) == 1,
        solid=min(size) >= SMALLEST_3D,
        in_patient=not picture,
        said=tuple(said),
    )


def _overlays(explanation: Explanation) -> list[tuple[Volume, NDArray[Any]]]:
    """The best map first, then its levels, the other maps, the standard deviations, the agreement."""
    valid = explanation.input.valid.numpy()
    best = explanation.best
    maps: list[tuple[Volume, NDArray[Any]]] = []
    spreads: list[tuple[Volume, NDArray[Any]]] = []
    for name, attribution in explanation.attributions.items():
        unit = unit_of(attribution)
        maps.append((signed(name, unit, evidence_scale(attribution.values[valid]).high), attribution.values))
        if attribution.std is not None:
            spreads.append((spread(name, unit, spread_scale(attribution.std[valid]).high), attribution.std))
    maps.sort(key=lambda pair: best is None or pair[0].key != best.method)
    levels = case_levels(explanation)
    grouped: list[tuple[Volume, NDArray[Any]]] = []
    if levels is not None:
        help_ = f"Bands of the map {method_title(levels.method)}, where its sign is certain."
        one = Volume("levels", GROUP_NAMES["evidence"], "labels", "", levels=EVIDENCE_LEVELS, help=help_)
        grouped.append((one, levels.evidence))
        if levels.agreement is not None and levels.cam is not None:
            help_ = f"Where {method_title(levels.cam)} and LIME both have something to say."
            one = Volume("agreement", GROUP_NAMES["agreement"], "labels", "", levels=AGREEMENT_LEVELS, help=help_)
            grouped.append((one, levels.agreement))
    return [*maps, *grouped, *spreads]


def signed(method: str, unit: str, high: float) -> Volume:
    """A method's map, its data still to come."""
    help_ = "Warm speaks for the class, blue against it."
    return Volume(method, method_title(method), "signed", "", unit, high=high, help=help_)


def spread(method: str, unit: str, high: float) -> Volume:
    """A method's standard deviation, its data still to come."""
    title = f"{method_title(method)} ± uncertainty"
    help_ = "One standard deviation: a value of less than two of them is not told from zero."
    return Volume(f"{method}_std", title, "spread", "", unit, high=high, help=help_)


def _seen(explanation: Explanation, grid: Any) -> Volume:
    """What the network saw: colour for a picture of three channels, else the first channel."""
    image = explanation.input.image.numpy()
    valid = explanation.input.valid.numpy()
    if image.ndim == 3 and len(image) == 3:
        low, high = np.percentile(image[:, valid], [0.5, 99.5])
        colour = np.stack([grid.averaged(channel) for channel in image], axis=-1)
        colour = np.clip((colour - low) / max(high - low, 1e-12), 0, 1)
        return with_data(Volume("scan", "Image", "colour", ""), packed(colour, grid.affine, kind="colour"))
    low, high = window_of(image[0][valid])
    grey = np.clip(grid.averaged(image[0]), low, high)
    one = Volume("scan", "What the network saw", "scan", "", low=low, high=high)
    return with_data(one, packed(grey, grid.affine, kind="grey"))


def context(
    scan: Scan, seen: tuple[int, ...], affine: NDArray[np.float64], most_voxels: int, said: list[str]
) -> tuple[Volume, tuple[int, ...]]:
    """The scan around the network's view.

    Args:
        scan: what was explained.
        seen: shape of the grid that the network saw, 2D or 3D.
        affine: 4x4, its voxel index to RAS mm.
        most_voxels: to be shown; blocks are averaged beyond.
        said: what was done is added to it.

    Returns:
        The volume, and its shape.
    """
    shape = np.array([*seen, *[1] * (3 - len(seen))])
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    reach = float((shape * spacing).max()) * (1 + 2 * CONTEXT)  # a cube, so that all planes show as much
    half = reach / 2 / spacing
    ends = [((n - 1) / 2 - h, (n - 1) / 2 + h) for n, h in zip(shape, half, strict=True)]
    corners = np.array(np.meshgrid(*ends)).reshape(3, -1).T
    if len(seen) == 2:
        corners[:, 2] = 0.0
    to_scan = np.linalg.inv(scan.affine) @ affine
    index = corners @ to_scan[:3, :3].T + to_scan[:3, 3]
    sizes = np.array([*scan.shape, *[1] * (3 - len(scan.shape))])
    low = np.clip(np.floor(index.min(axis=0)).astype(int), 0, sizes - 1)
    high = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, low + 1, sizes)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))[: len(scan.shape)]
    grid = reduced_grid(scan.affine, box, most_voxels)
    values = grid.averaged(scan.image[0].numpy())
    window = window_of(values)
    if any(part.stop - part.start < n for part, n in zip(box, scan.shape, strict=True)):
        said.append(f"The scan is cropped to a cube of about {reach:.0f} mm around what the network saw.")
    if any(factor > 1 for factor in grid.factors):
        said.append(f"The scan is averaged over blocks of {' × '.join(map(str, grid.factors))} voxels.")
    one = Volume("scan", "Scan", "scan", "", low=window[0], high=window[1])
    return with_data(one, packed(np.clip(values, *window), grid.affine, kind="grey")), grid.shape


def window_of(values: NDArray[np.floating]) -> tuple[float, float]:
    """Values of black and of white: the 0.5th and the 99.5th percentile."""
    low, high = np.percentile(values, [0.5, 99.5])
    return float(low), float(high) if high > low else float(low) + 1.0


def with_data(one: Volume, data: bytes) -> Volume:
    """A volume with its file, see :func:`camlime.report.reduction.packed`."""
    return dataclasses.replace(one, data=base64.b64encode(data).decode("ascii"))
