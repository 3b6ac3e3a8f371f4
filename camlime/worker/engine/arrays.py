"""Arrays by file: NumPy's own format, complete when it has its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlime.errors import OutputError, RegionsError, ScanError
from camlime.scan import Scan
from camlime.staging import whole_file


class ArrayFolder:
    """A folder that arrays of one request are written to.

    Args:
        path: made if it is not there.

    Raises:
        OutputError: it cannot be made, or is not empty.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            taken = any(self.path.iterdir())
        except OSError as error:
            raise OutputError(
                f"cannot make the folder {self.path}: {error.strerror or error}", hint="give another folder"
            ) from error
        if taken:
            raise OutputError(f"the folder {self.path} is not empty", hint="give a new folder for each explanation")

    def write(self, name: str, array: NDArray[Any]) -> dict[str, Any]:
        """Write ``name.npy``, in C order and without padding bits; what an event says of it.

        Raises:
            OutputError: it cannot be written; nothing is left behind.
        """
        values = np.ascontiguousarray(array.astype(np.uint8) if array.dtype == bool else array)
        values = values.astype(values.dtype.newbyteorder("<"), copy=False)
        path = self.path / f"{name}.npy"
        try:
            with whole_file(path) as aside, aside.open("wb") as file:
                np.save(file, values, allow_pickle=False)
        except OSError as error:
            raise OutputError(
                f"cannot write {path}: {error.strerror or error}", hint="is there space left, and may it be written to?"
            ) from error
        return {"file": str(path), "shape": list(values.shape), "dtype": values.dtype.name}

    def remove(self, written: dict[str, Any]) -> None:
        """Remove a file that nobody will ask for; one that is still open somewhere stays."""
        try:
            Path(written["file"]).unlink(missing_ok=True)
        except OSError:
            return


def scan_from_array(described: dict[str, Any]) -> Scan:
    """The scan that a request describes by a ``.npy`` of shape ``(C, *S)``, its affine to RAS mm and perhaps a header.

    Raises:
        ScanError: the file cannot be read, or is no scan.
    """
    source = described.get("name") or Path(described["array"]).name
    try:
        array = np.load(described["array"], allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ScanError(f"{described['array']} cannot be read: {error}", hint="write it with numpy.save") from error
    if not isinstance(array, np.ndarray) or array.ndim not in (3, 4):
        raise ScanError(
            f"{described['array']} does not hold a scan", hint="its axes have to be channel, i, j and, for a volume, k"
        )
    told = described.get("header")
    header = None if told is None else {name: value for name, value in told.items() if value is not None}
    return Scan.from_array(array, np.array(described["affine_ras"], dtype=float), source=source, header=header)


def mask_array(path: str) -> NDArray[Any]:
    """A mask from a ``.npy``.

    Raises:
        RegionsError: it cannot be read.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise RegionsError(f"{path} cannot be read: {error}", hint="write it with numpy.save") from error
    if not isinstance(array, np.ndarray):
        raise RegionsError(f"{path} does not hold one array", hint="write it with numpy.save")
    return array
