"""Whether a scan that is given again is the one that was explained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlime.errors import RequestError
from camlime.explanation import Explanation
from camlime.scan import Scan

_MOST_POINTS = 100_000
_MOSTLY = 0.99
"""Share of the points: a few on the very edge may lie on either side of it, by rounding."""


def check_same_scan(explanation: Explanation, scan: Scan, *, option: str) -> None:
    """Find out whether a scan can be the one that was explained: by series UID, else by file name; and by its place.

    Args:
        explanation: of some scan.
        scan: the one that is given.
        option: of the command line, by which it was given; for the hint.

    Raises:
        RequestError: it is another series, a file of another name, or does not hold what the network saw.
    """
    check_scan_known(explanation.provenance.get("scan", {}), seen_points(explanation), scan, option=option)


def check_scan_known(known: Mapping[str, Any], seen: NDArray[np.float64], scan: Scan, *, option: str) -> None:
    """As :func:`check_same_scan`, for any result.

    Args:
        known: what its provenance says of the scan: ``series_uid`` and ``name``.
        seen: points that the scan must hold, RAS mm, shape ``(n, 3)``.
        scan: the one that is given.
        option: of the command line, by which it was given; for the hint.

    Raises:
        RequestError: it is another one.
    """
    uid, name = known.get("series_uid"), known.get("name")
    if uid and scan.series_uid != uid:
        raise RequestError(
            f"{scan.source} is another DICOM series than the one that was explained",
            hint=f"give {option} the folder that was explained",
        )
    if not uid and name and scan.source.name != name:
        raise RequestError(
            f"{scan.source.name} is not the scan that was explained", hint=f"give {option} the file that was explained"
        )
    if len(seen) and scan.covers(seen).mean() < _MOSTLY:
        raise RequestError(
            f"{scan.source} does not hold all that the network saw, so it is not the scan that was explained",
            hint=f"give {option} the whole scan that was explained",
        )


def seen_points(explanation: Explanation) -> NDArray[np.float64]:
    """RAS mm of the centres of voxels that the network saw, evenly picked, padding left out, shape ``(n, 3)``."""
    valid = explanation.input.valid.numpy()
    flat = np.flatnonzero(valid)
    index = np.stack(np.unravel_index(flat[:: max(1, len(flat) // _MOST_POINTS)], valid.shape), axis=-1)
    index = np.pad(index, [(0, 0), (0, 3 - valid.ndim)])
    affine = explanation.input.affine
    points: NDArray[np.float64] = index @ affine[:3, :3].T + affine[:3, 3]
    return points
