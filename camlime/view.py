"""Which part of a scan a network looks at, and that it lies as near as can be to where the user pointed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from camlime.bundle import Bundle
from camlime.bundle.model_input import ModelInput
from camlime.errors import RequestError
from camlime.scan import Scan

FURTHEST = 4
"""Voxels that a crop may be made longer by; a view that lies farther off does so by the bundle's own intent."""

WHOLE_SCAN_FACTOR = 2.5
"""A scan that is larger than a region bundle's field of view by this factor along two axes needs a point to look at."""


def focus(scan: Scan, bundle: Bundle, point: Sequence[float] | None) -> Scan:
    """Cut the scan down to what a region bundle looks at around a point (RAS mm); without a point, the scan itself.

    Raises:
        RequestError: the point lies outside the scan; the bundle does not work on a region; or it does, the scan is
            much larger, and there is no point.
    """
    view = bundle.field_of_view_mm
    if point is not None:
        if view is None or len(view) != 3:
            raise RequestError(
                f"bundle '{bundle.name}' looks at the whole image, so there is no point to give",
                hint="leave the point out",
            )
        return scan.crop(tuple(point), view)
    if bundle.explain_settings.field_of_view_mm is not None and len(scan.shape) == 3 and view is not None:
        extent = np.array(scan.shape) * np.array(scan.spacing)
        if int((extent > WHOLE_SCAN_FACTOR * max(view)).sum()) >= 2:
            raise RequestError(
                f"bundle '{bundle.name}' looks at {_mm(view)} mm, the scan is {_mm(extent)} mm: "
                "it has to know where to look",
                hint="give --point R A S in mm (the position that 3D Slicer shows), --point-lps or --center-voxel",
            )
    return scan


def input_around(scan: Scan, bundle: Bundle, point: Sequence[float] | None) -> ModelInput:
    """What the network sees of a scan around a point (RAS mm); without a point, of the scan itself.

    A crop has whole voxels, and preprocessing takes the middle of it in steps of its own, so that the middle of what
    the network sees can lie more than a slice's thickness from the point. The crop is made a little longer at one end
    of an axis where that brings the middle nearer; nothing is interpolated for it.

    Raises:
        RequestError: as :func:`focus`.
        BundleError: as :meth:`camlime.Bundle.prepare`.
    """
    found = bundle.prepare(focus(scan, bundle, point))
    view = bundle.field_of_view_mm
    if point is None or view is None:
        return found
    wanted, further = np.asarray(point, dtype=float), np.zeros(3, dtype=int)

    def away(other: ModelInput) -> np.ndarray:
        return np.asarray(np.linalg.inv(scan.affine[:3, :3]) @ (wanted - other.centre_ras) * scan_spacing)

    scan_spacing = np.array([*scan.spacing, 1.0])[:3]
    for axis in range(len(scan.shape)):
        if abs(away(found)[axis]) <= min(found.spacing) / 2:
            continue
        aim = round(2 * away(found)[axis] / scan_spacing[axis])
        start = further.copy()
        for steps in (aim, aim - 1, aim + 1):
            longer = start.copy()
            longer[axis] += steps
            if not steps or abs(longer[axis]) > FURTHEST:
                continue
            other = bundle.prepare(scan.crop(tuple(point), view, further=longer))
            same = other.image.shape == found.image.shape and np.allclose(other.affine[:3, :3], found.affine[:3, :3])
            if same and np.linalg.norm(away(other)) < np.linalg.norm(away(found)):
                found, further = other, longer
    return found


def _mm(lengths: Sequence[float] | np.ndarray) -> str:
    return " x ".join(f"{length:.0f}" for length in lengths)
