"""Read a DICOM series, after checking that its slices really make one volume.

ITK stacks whatever files it is given as if they were evenly spaced. Here the positions in the headers are checked
first, and the affine is measured from them.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from camlime.errors import ScanError
from camlime.scan.dicom_files import files_of, is_dicom, slice_files
from camlime.scan.geometry import LPS_RAS, check_numbers
from camlime.scan.pixels import Pixels
from camlime.scan.quiet import quiet

GAP_TOLERANCE = 0.05
"""Part of the median gap between slices by which a gap may differ: headers round, a missing slice doubles the gap."""

SHIFT_TOLERANCE = 0.1
"""Part of the median gap by which a slice may lie off the straight line from the first slice to the last."""

ORIENTATION_TOLERANCE = 1e-3
"""By how much direction cosines of one series may differ (rounding); a localizer differs by far more."""

SAME_POSITION = 1e-3
"""mm: slices closer than this lie at the same position."""

_IO = "GDCMImageIO"

# SOP classes of DICOM files that are no pictures and may lie beside the slices: presentation states, waveforms, raw
# data and segmentations, parametric maps, reports, encapsulated documents, radiotherapy structures, plans and records,
# spectroscopy.
_NO_PICTURE = tuple(
    f"1.2.840.10008.5.1.4.1.1.{tail}"
    for tail in (
        *("11.", "9.", "30", "66", "67", "88.", "104."),
        *("481.3", "481.4", "481.5", "481.6", "481.7", "481.8", "4.2"),
    )
)


@dataclass(frozen=True)
class Slice:
    """What one DICOM file says of itself; positions and directions are LPS mm."""

    file: Path
    series_uid: str
    instance_uid: str
    modality: str
    description: str
    acquisition: str
    time: str
    size: tuple[int, ...]
    components: int
    spacing: tuple[float, float] | None
    thickness: float
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None


def read_dicom(path: Path, *, series: str | None = None) -> Pixels:
    """Read one series from a folder, or the series that a DICOM file belongs to, from the file's folder.

    Raises:
        ScanError: as :func:`stacked_slices`, or pixels that cannot be read.
    """
    chosen, affine = stacked_slices(path, series=series)
    first = chosen[0]
    unsized = f"{first.file.name} does not say how large its pixels are (PixelSpacing): they are taken for 1 mm"
    return Pixels(
        _values(path, chosen),
        LPS_RAS @ affine,
        series_uid=first.series_uid,
        notes=() if first.spacing else (unsized,),
    )


def stacked_slices(path: Path, *, series: str | None = None) -> tuple[list[Slice], np.ndarray]:
    """Find the slices of one series in the order of the volume's last axis, and the volume's place.

    Args:
        path: a folder, searched with its sub-folders, or one file of the series.
        series: the series instance UID, needed where the folder holds several.

    Returns:
        The slices, and the 4x4 affine, voxel index to **LPS** mm.

    Raises:
        ScanError: if there is no DICOM, no such series or several to choose from, a file is truncated or may not
            be read, or the slices of the series do not make one evenly spaced volume.
    """
    if path.is_dir():
        slices = _slices(files_of(path, deep=True))
        if not slices:
            raise ScanError(f"the folder {path} holds no DICOM images", hint="name the folder of the DICOM series")
    else:
        own = _header(path)
        if series is not None and series != own.series_uid:
            raise ScanError(
                f"{path} belongs to series {own.series_uid}, not to {series}",
                hint="leave the series out",
            )
        series = own.series_uid
        slices = _slices(files_of(path.parent, deep=False))
    chosen = _choose(path, slices, series)
    if len(chosen) > 1:
        _check_alike(path, chosen)
    return _stack(path, chosen)


def _slices(files: list[Path]) -> list[Slice]:
    """Read the headers of the DICOM images among the files; one that is broken is an error, it may be a slice."""
    found = []
    for file in slice_files(files):
        if _media_class(file).startswith(_NO_PICTURE):
            continue
        found.append(_header(file))
    return found


def _media_class(file: Path) -> str:
    """Return the SOP class in a file's meta header (always explicit little endian), or an empty string."""
    with file.open("rb") as stream:
        head = stream.read(1024)
    start = head.find(b"\x02\x00\x02\x00UI")  # tag (0002,0002), then two bytes of length, then the text
    if start < 0:
        return ""
    length = int.from_bytes(head[start + 6 : start + 8], "little")
    return head[start + 8 : start + 8 + length].decode("ascii", "replace").strip("\0 ")


def _header(file: Path) -> Slice:
    if file.stat().st_size == 0:
        raise ScanError(f"{file} is an empty file of zero bytes", hint="copy it again, or remove it from the folder")
    reader = sitk.ImageFileReader()
    reader.SetImageIO(_IO)
    reader.SetFileName(str(file))
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError as error:
        if is_dicom(file):
            raise ScanError(
                f"{file} is DICOM, but its image cannot be read: it is truncated, damaged or of a kind without pixels",
                hint="copy the series again, or remove this file from its folder",
            ) from error
        raise ScanError(
            f"{file} is damaged, or is not a DICOM file", hint="remove it from the folder or copy it again"
        ) from error

    def text(tag: str) -> str:
        value = reader.GetMetaData(tag) if reader.HasMetaDataKey(tag) else ""
        return str(value).encode("utf-8", "replace").decode("utf-8").strip("\0 ")

    def numbers(tag: str, count: int) -> tuple[float, ...] | None:
        try:
            values = tuple(float(part) for part in text(tag).split("\\"))
        except ValueError:
            return None
        return values if len(values) == count and all(map(math.isfinite, values)) else None

    size = tuple(int(n) for n in reader.GetSize())
    if math.prod(size[2:]) > 1:
        raise ScanError(
            f"{file} is a multi-frame DICOM file of {math.prod(size[2:])} frames: their positions cannot be checked",
            hint="convert it to NIfTI (dcm2niix) or to single-frame DICOM, one file a slice",
        )
    if "complex" in sitk.GetPixelIDValueAsString(reader.GetPixelIDValue()):
        raise ScanError(f"{file} holds complex numbers", hint="export the magnitude images")
    # PixelSpacing, ImagerPixelSpacing, NominalScannedPixelSpacing: y first
    rows_columns = numbers("0028|0030", 2) or numbers("0018|1164", 2) or numbers("0018|2010", 2)
    across = reader.GetSpacing()[:2]  # GDCM knows more places; where it finds none, it says 1
    return Slice(
        file=file,
        series_uid=text("0020|000e"),
        instance_uid=text("0008|0018"),
        modality=text("0008|0060"),
        description=text("0008|103e"),
        acquisition=text("0020|0012"),
        time=text("0020|0100") or text("0018|1060") or text("0008|0032"),
        size=size[:2],
        components=reader.GetNumberOfComponents(),
        spacing=(rows_columns[1], rows_columns[0]) if rows_columns else None if across == (1.0, 1.0) else across,
        thickness=(numbers("0018|0050", 1) or (0.0,))[0],
        position=numbers("0020|0032", 3),
        orientation=numbers("0020|0037", 6),
    )


def _choose(path: Path, slices: list[Slice], series: str | None) -> list[Slice]:
    by_series: dict[str, list[Slice]] = defaultdict(list)
    for one in slices:
        by_series[one.series_uid].append(one)
    listing = "; ".join(
        f"{uid or '(no UID)'}: {group[0].modality or '?'} {group[0].description or '(no description)'!r}, "
        f"{len(group)} slice{'s' * (len(group) > 1)}"
        for uid, group in by_series.items()
    )
    if series is not None:
        if series not in by_series:
            raise ScanError(f"{path} holds no series {series}, but {listing}", hint="give one of these UIDs in full")
        return by_series[series]
    if len(by_series) > 1:
        raise ScanError(f"{path} holds {len(by_series)} series: {listing}", hint="choose one by its UID with --series")
    return slices


def _check_alike(path: Path, slices: list[Slice]) -> None:
    """All slices must have one size, pixel spacing and direction, and say so."""
    for one in slices:
        if one.position is None or one.orientation is None:
            raise ScanError(
                f"{one.file} does not say where it lies (ImagePositionPatient, ImageOrientationPatient), "
                f"so {len(slices)} slices cannot be stacked",
                hint="name a single file's own folder, or convert the series to NIfTI",
            )
        if one.spacing is None:
            raise ScanError(
                f"{one.file} does not say how large its pixels are (PixelSpacing), so {len(slices)} slices make no "
                "volume of a known size",
                hint="export the series again with its PixelSpacing, or convert it to NIfTI with the right spacing",
            )
        check_numbers(one.spacing, one.position, str(one.file))
    sizes = Counter((one.size, one.components) for one in slices)
    if len(sizes) > 1:
        kinds = ", ".join(f"{n} of {'x'.join(map(str, size))} with {c} channel(s)" for (size, c), n in sizes.items())
        raise ScanError(
            f"{path}: the series mixes slices of different sizes: {kinds}",
            hint="is a localizer among them? keep the slices of one size in a folder of their own",
        )
    for what, key, tolerance in (
        ("orientations", "orientation", ORIENTATION_TOLERANCE),
        ("pixel spacings", "spacing", 1e-3 * max(slices[0].spacing or (0,))),
    ):
        groups: list[tuple[np.ndarray, int]] = []
        for one in slices:
            value = np.array(getattr(one, key))
            for n, (known, count) in enumerate(groups):
                if np.abs(value - known).max() <= tolerance:
                    groups[n] = (known, count + 1)
                    break
            else:
                groups.append((value, 1))
        if len(groups) > 1:
            kinds = ", ".join(f"{count} with {np.round(value, 3).tolist()}" for value, count in groups)
            raise ScanError(
                f"{path}: the series mixes slices of different {what}: {kinds}",
                hint="is a localizer among them? keep the slices of one direction in a folder of their own",
            )


def _stack(path: Path, slices: list[Slice]) -> tuple[list[Slice], np.ndarray]:
    """Sort the slices along their normal and measure the LPS affine from their positions."""
    first = slices[0]
    axes = np.array(first.orientation or (1, 0, 0, 0, 1, 0)).reshape(2, 3)
    if np.abs(axes).max() > 2 or not np.allclose(axes @ axes.T, np.eye(2), atol=1e-2):
        raise ScanError(
            f"{first.file}: ImageOrientationPatient {axes.ravel().tolist()} is not two directions at right angles, "
            "so the affine is singular or sheared",
            hint="repair the header",
        )
    spacing = first.spacing or (1.0, 1.0)  # of a single image, as of a picture
    if min(spacing) <= 0:
        raise ScanError(
            f"{first.file}: the pixel spacing {spacing} is zero or negative, so the affine is singular",
            hint="repair the header",
        )
    normal = np.cross(axes[0], axes[1])
    affine = np.eye(4)
    affine[:3, 0] = axes[0] * spacing[0]
    affine[:3, 1] = axes[1] * spacing[1]
    if len(slices) == 1:
        affine[:3, 2] = normal * (first.thickness if first.thickness > 0 else 1.0)
        affine[:3, 3] = first.position or (0, 0, 0)
        return slices, affine

    slices = sorted(slices, key=lambda one: float(np.dot(normal, one.position or (0, 0, 0))))
    positions = np.array([one.position for one in slices])
    _check_positions(path, slices, positions, positions @ normal)
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(slices) - 1)
    affine[:3, 3] = positions[0]
    return slices, affine


def _check_copies(path: Path, slices: list[Slice]) -> None:
    """No image may be there twice; the copy has the position of the first as well, if UIDs are worth anything."""
    known: dict[tuple[str, tuple[float, ...] | None], Slice] = {}
    for one in sorted(slices, key=lambda one: one.file):
        first = known.setdefault((one.instance_uid, one.position), one)
        if one.instance_uid and first is not one:
            raise ScanError(
                f"{path} holds the same image twice, {first.file} and {one.file} (SOPInstanceUID {one.instance_uid})",
                hint="remove one of the two, and other copies likewise",
            )


def _check_positions(path: Path, slices: list[Slice], positions: np.ndarray, along: np.ndarray) -> None:
    """Slices must follow each other evenly, on a straight line."""
    gaps = np.diff(along)
    same = np.flatnonzero(gaps < SAME_POSITION)
    if len(same):
        _check_copies(path, slices)
        n = int(same[0])
        acquisitions = {one.acquisition for one in slices}
        times = {slices[m + 1].time for m in same} - {slices[m].time for m in same}  # slices differ in time anyway
        reason = "the series seems to hold several acquisitions or time points"
        if len(acquisitions) > 1:
            reason = f"the series holds {len(acquisitions)} acquisition number(s)"
        elif times:
            reason = "they were taken at different times"
        raise ScanError(
            f"{path}: {len(same)} of {len(slices)} slices lie where another one lies, "
            f"first {slices[n].file.name} and {slices[n + 1].file.name} at {along[n]:.2f} mm: {reason}",
            hint="keep the slices of one acquisition in a folder of their own",
        )
    usual = float(np.median(gaps))
    uneven = np.flatnonzero(np.abs(gaps - usual) > GAP_TOLERANCE * usual)
    if len(uneven):
        n = int(uneven[0])
        ratio = gaps[n] / usual
        missing = round(ratio) - 1
        guess = ""
        if missing >= 1 and abs(ratio - missing - 1) <= 2 * GAP_TOLERANCE:
            guess = f", as if {missing} slice{'s were' if missing > 1 else ' was'} missing"
        raise ScanError(
            f"{path}: slices are not evenly spaced: {gaps[n]:.2f} mm between {along[n]:.2f} mm "
            f"({slices[n].file.name}) and {along[n + 1]:.2f} mm ({slices[n + 1].file.name}), "
            f"but {usual:.2f} mm elsewhere{guess}; {len(uneven)} gap(s) differ by over {GAP_TOLERANCE:.0%}",
            hint="fetch the missing slices, or resample the series evenly with a tool of your choice",
        )
    line = positions[0] + np.linspace(0, 1, len(slices))[:, None] * (positions[-1] - positions[0])
    off = np.linalg.norm(positions - line, axis=1)
    if off.max() > SHIFT_TOLERANCE * usual:
        n = int(np.argmax(off))
        raise ScanError(
            f"{path}: slice {slices[n].file.name} lies {off[n]:.2f} mm off the line from the first slice to the last "
            f"(tolerance {SHIFT_TOLERANCE:.0%} of the gap of {usual:.2f} mm)",
            hint="is it one acquisition? resample the series evenly with a tool of your choice",
        )


def _values(path: Path, slices: list[Slice]) -> np.ndarray:
    """Read pixels as ``(C, i, j, k)`` float32, slope and intercept of each slice applied."""
    kind = sitk.sitkFloat32 if slices[0].components == 1 else sitk.sitkVectorFloat32
    files = [str(one.file) for one in slices]
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO(_IO)
    reader.SetFileNames(files)
    reader.SetOutputPixelType(kind)  # else the first slice's type rules, and rounds slices whose slope is no integer
    try:
        with quiet():
            image = reader.Execute()
    except RuntimeError as error:
        reason = (str(error).strip().splitlines() or [""])[-1].strip()
        raise ScanError(
            f"{path}: the pixels of the series cannot be read, a file is truncated or damaged: {reason}",
            hint="copy the series again",
        ) from error
    array = np.array(sitk.GetArrayViewFromImage(image).T, order="C")
    return array if slices[0].components > 1 else array[None]
