"""Where to look, in any of the frames that users have coordinates in; and whether results can be written somewhere."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from camlime.errors import OutputError

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
        """RAS mm in the scan's frame; ``None`` if no point is given."""
        if self.lps is not None:
            return -self.lps[0], -self.lps[1], self.lps[2]
        if self.voxel is not None:
            r, a, s = (float(x) for x in scan.voxel_to_ras(self.voxel))
            return r, a, s
        return self.ras


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
