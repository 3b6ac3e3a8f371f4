"""Where to look, in any of the frames that users have coordinates in; and whether the paths given can serve."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from camlime.errors import OutputError, RequestError, ScanError

if TYPE_CHECKING:
    from camlime.scan import Scan

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Place:
    """A point in one of three frames, or none.

    Args:
        ras: RAS mm.
        lps: LPS mm.
        voxel: index in the scan.

    Raises:
        typer.BadParameter: more than one is given.
    """

    ras: Triple | None = None
    lps: Triple | None = None
    voxel: Triple | None = None

    def __post_init__(self) -> None:
        if sum(point is not None for point in (self.ras, self.lps, self.voxel)) > 1:
            raise typer.BadParameter("give one of --point, --point-lps and --center-voxel, not several")

    def in_ras(self, scan: Scan) -> Triple | None:
        """RAS mm in the scan's frame; ``None`` if no point is given.

        Raises:
            RequestError: the point lies outside the scan; quotes what was typed.
        """
        typed = self.ras or self.lps or self.voxel
        if typed is None:
            return None
        if not all(map(math.isfinite, typed)):
            raise RequestError(f"({_said(typed)}) is not a point", hint="give three finite numbers")
        if self.voxel is not None:
            r, a, s = (float(x) for x in scan.voxel_to_ras(typed))
            ras = r, a, s
        else:
            ras = typed if self.lps is None else _flipped(typed)
        if not scan.covers(ras):
            raise self._outside_voxels(typed, scan) if self.voxel is not None else self._outside_mm(typed, ras, scan)
        return ras

    def _outside_voxels(self, typed: Triple, scan: Scan) -> RequestError:
        reach = ", ".join(f"0..{n - 1}" for n in (*scan.shape, 1)[:3])
        return RequestError(
            f"voxel ({_said(typed)}) is outside {reach}, the voxels of {scan.source}",
            hint="give the index of a voxel of the scan, counted from 0; a position in mm goes with --point",
        )

    def _outside_mm(self, typed: Triple, ras: Triple, scan: Scan) -> RequestError:
        frame, other, option = ("RAS", "LPS", "--point-lps") if self.lps is None else ("LPS", "RAS", "--point")
        low, high = scan.bounds.tolist()
        if self.lps is not None:
            low, high = _flipped(high)[:2] + (low[2],), _flipped(low)[:2] + (high[2],)
        reach = ", ".join(f"{f} {least:.1f} to {most:.1f}" for f, least, most in zip(frame, low, high, strict=True))
        hint = f"give a point in {frame} mm that lies in the scan"
        if scan.covers(_flipped(ras)):
            hint = f"it does lie inside if these numbers are {other}: pass them with {option}"
        return RequestError(
            f"the point ({_said(typed)}) mm {frame} is outside {scan.source}, which spans {reach}", hint=hint
        )


def _flipped(point: Triple) -> Triple:
    """From RAS to LPS and back."""
    return -point[0], -point[1], point[2]


def _said(point: Triple) -> str:
    return ", ".join(f"{x:.10g}" for x in point)


def check_scan(scan: Path) -> None:
    """Find out before the heavy imports whether there is a scan; what else may be wrong with it, reading tells.

    Raises:
        ScanError: there is none, in the words of :meth:`camlime.scan.Scan.read`.
    """
    try:
        there = scan.exists()
    except (OSError, ValueError):  # not allowed to look, an odd name: reading says what it is
        return
    if not there:
        raise ScanError(f"{scan} does not exist", hint="check the path")


def check_writable(folder: Path) -> None:
    """Find out before the long work whether a folder can be written to, or made; leaves nothing behind.

    Raises:
        OutputError: it cannot.
    """
    try:
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        if not there.is_dir():
            raise OutputError(f"{there} is a file, not a folder", hint="give --output a folder")
        with tempfile.TemporaryFile(dir=there):
            pass
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        why = getattr(error, "strerror", None) or str(error)
        raise OutputError(
            f"cannot write to {folder}: {why}", hint="give --output a folder that you may write to"
        ) from error
