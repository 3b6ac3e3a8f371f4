"""Read pixels of any supported format: one function a format, each turning a library's complaints into ScanError."""

from __future__ import annotations

import contextlib
import gzip
import re
import warnings
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from nibabel.filebasedimages import ImageFileError
from nibabel.openers import Opener
from nibabel.spatialimages import HeaderDataError
from PIL import Image, UnidentifiedImageError

from camlime.errors import ScanError
from camlime.scan.dicom import read_dicom
from camlime.scan.dicom_files import is_dicom
from camlime.scan.geometry import affine_from_itk
from camlime.scan.pixels import Pixels
from camlime.scan.quiet import quiet

VECTOR_INTENT = 1007
"""NIfTI's intent code for a vector at each voxel, stored along the fifth axis."""

_NIFTI_UNITS = {1: 1000.0, 3: 0.001}
"""Millimetres of NIfTI's codes for metres and micrometres; whatever else a header says is taken for millimetres."""

_COPY = "copy or export the file again"


def read_pixels(path: Path, *, series: str | None = None) -> Pixels:
    """Read an image file or a DICOM folder.

    Raises:
        ScanError: if it is missing, empty, of an unknown type, truncated or damaged.
    """
    _check_there(path)
    if path.is_dir() or path.suffix.lower() == ".dcm" or is_dicom(path):
        return read_dicom(path, series=series)
    if series is not None:
        raise ScanError(f"{path} is not DICOM, so it has no series {series}", hint="leave the series out")
    for suffixes, read in _READERS:
        if path.name.lower().endswith(suffixes):
            return read(path)
    known = " ".join(suffix for suffixes, _ in _READERS for suffix in suffixes)
    raise ScanError(f"{path} has an unknown type", hint=f"readable are {known}, and DICOM files or folders")


def read_labels(path: Path) -> Pixels:
    """Read a NIfTI, NRRD or MetaImage file, or a picture that loses nothing, the formats that hold label maps.

    Of a picture with a palette the places in the palette are read, not the colours: programs save labels that way.

    Raises:
        ScanError: as :func:`read_pixels`.
    """
    _check_there(path)
    for suffixes, read in _LABEL_READERS:
        if path.name.lower().endswith(suffixes):
            return read(path)
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise _smeared(path)
    known = " ".join(suffix for suffixes, _ in _LABEL_READERS for suffix in suffixes)
    raise ScanError(f"{path} is of a type that holds no label map", hint=f"readable are {known}")


def _check_there(path: Path) -> None:
    try:
        if path.is_dir():
            return
        if not path.exists():
            raise ScanError(f"{path} does not exist", hint="check the path")
        if not path.is_file():
            raise ScanError(f"{path} is neither a file nor a folder")
        if path.stat().st_size == 0:
            raise ScanError(f"{path} is an empty file of zero bytes", hint=_COPY)
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise ScanError(f"{path} cannot be opened: {error}", hint="check the path and its permissions") from error


def _read_nifti(path: Path) -> Pixels:
    packed = path.name.lower().endswith(".gz")
    with path.open("rb") as file:
        if packed and file.read(2) != b"\x1f\x8b":
            raise ScanError(
                f"{path} is named .gz but is not gzip-compressed", hint="is it a NIfTI file? if so, rename it to .nii"
            )
    shape: tuple[int, ...] = ()
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = nib.load(path, mmap=False)
            if not isinstance(image, nib.Nifti1Image):
                raise ScanError(f"{path} is not a NIfTI file", hint="NIfTI files start with a header of 348 bytes")
            affine = np.array(image.affine, dtype=np.float64)
            affine[:3] *= _NIFTI_UNITS.get(int(image.header["xyzt_units"]) & 7, 1.0)  # above are the bits of time
            shape = tuple(int(n) for n in image.shape)
            _check_nifti_shape(path, shape, int(image.header["intent_code"]))
            _check_nifti_spacing(path, image.header)
            proxy: Any = image.dataobj
            scaled = (proxy.slope, proxy.inter) != (1.0, 0.0)
            array = (
                image.get_fdata(dtype=np.float32, caching="unchanged") if scaled else np.asarray(proxy.get_unscaled())
            )
    except MemoryError as error:
        raise ScanError(
            f"{path} says in its header that its shape is {shape}, which does not fit into memory: the header is "
            "damaged or the volume too large",
            hint=_COPY + ", or cut the volume down",
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ScanError(f"{path} is truncated or damaged: {error}", hint=_COPY) from error
    except (ImageFileError, HeaderDataError) as error:
        raise ScanError(f"{path} is not a NIfTI file, or its header is damaged: {error}", hint=_COPY) from error
    except (OSError, ValueError, TypeError, OverflowError, KeyError) as error:
        raise ScanError(f"{path} is truncated or damaged: {error}", hint=_COPY) from error
    notes = _nifti_notes(path, image.header)
    if array.dtype.names:  # RGB and RGBA are stored as records
        if not set("RGB") <= set(array.dtype.names):
            raise ScanError(f"{path} holds values of type {array.dtype}", hint="save real numbers, such as float32")
        return Pixels(np.stack([array[name] for name in "RGB"]), affine, notes=notes)
    if array.ndim == 5:
        return Pixels(np.moveaxis(array[:, :, :, 0], -1, 0), affine, notes=notes)
    return Pixels(array.reshape(shape[:3])[None], affine, notes=notes)


def _nifti_notes(path: Path, header: nib.Nifti1Header) -> tuple[str, ...]:
    if int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0:
        return ()
    return (
        f"{path.name} does not say where it lies in the patient (neither sform nor qform): left and right, and all "
        "positions in mm, are a guess",
    )


def _check_nifti_shape(path: Path, shape: tuple[int, ...], intent: int) -> None:
    if 0 in shape or not shape:
        raise ScanError(f"{path} is empty: its shape is {shape}", hint=_COPY)
    vector = len(shape) == 5 and shape[3] == 1 and intent == VECTOR_INTENT
    if len(shape) < 2:
        raise ScanError(f"{path} has one dimension only", hint="an image has two or three")
    if any(n > 1 for n in shape[3:]) and not vector:
        name = path.name
        raise ScanError(
            f"{path} has {len(shape)} dimensions {shape}: a time series or several volumes, not one image",
            hint="extract one volume, for instance the first with nibabel: "
            f"nibabel.save(nibabel.load({name!r}).slicer[..., 0], 'first.nii.gz')",
        )


def _check_nifti_spacing(path: Path, read: nib.Nifti1Header) -> None:
    """Refuse zero spacing; nibabel makes it 1 mm as it reads, so the header is read again as it is."""
    if int(read["sform_code"]) > 0:  # which says itself how large voxels are
        return
    with Opener(path) as file:
        header = type(read).from_fileobj(file, check=False)
    lengths = header["dim"][1 : 1 + min(3, int(header["dim"][0]))]
    for axis, (length, step) in enumerate(zip(lengths, header["pixdim"][1:], strict=False)):
        if length > 1 and step == 0:
            raise ScanError(
                f"{path}: the voxel spacing along axis {axis} is zero, so the affine is singular",
                hint="repair the spacing in the header (pixdim)",
            )


def _read_nrrd(path: Path) -> Pixels:
    pixels = _read_itk(path, "NrrdImageIO")
    with path.open("rb") as file:
        head = file.read(2**16).replace(b"\r", b"").split(b"\n\n")[0].lower()
    fields = {line.split(b":")[0].strip() for line in head.split(b"\n")}
    if pixels.array.ndim < 4 or b"space directions" in fields:  # a picture lies nowhere anyway
        return pixels
    sized = "" if b"spacings" in fields else " and how large its voxels are, taken for 1 mm"
    return replace(
        pixels,
        notes=(
            f"{path.name} does not say where it lies in the patient (no space directions){sized}: left and right, and "
            "all positions in mm, are a guess",
        ),
    )


def _read_meta_image(path: Path) -> Pixels:
    return _read_itk(path, "MetaImageIO")


def _read_itk(path: Path, image_io: str) -> Pixels:
    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    try:
        with quiet():
            reader.ReadImageInformation()
            header = _text_fields(reader)
            _check_itk_header(path, reader, header)
            image = reader.Execute()
    except RuntimeError as error:
        raise _itk_error(path, str(error)) from error
    except (OverflowError, UnicodeError, MemoryError) as error:
        raise ScanError(f"{path} is damaged: {error}", hint=_COPY) from error
    affine = affine_from_itk(image.GetSpacing(), image.GetDirection(), image.GetOrigin())
    # ITK's arrays are (k, j, i) with components last; a transposed view is (components, i, j, k). Copied, because the
    # view borrows memory of an image that ends with this function.
    array = np.array(sitk.GetArrayViewFromImage(image).T, order="C")
    if image.GetNumberOfComponentsPerPixel() == 1:
        array = array[None]
    return Pixels(array, affine, header=header)


def _text_fields(reader: sitk.ImageFileReader) -> dict[str, str]:
    fields = {}
    for key in reader.GetMetaDataKeys():
        with contextlib.suppress(TypeError, UnicodeError):  # a key in an unknown encoding cannot be asked for
            fields[key] = reader.GetMetaData(key).encode("utf-8", "replace").decode("utf-8")
    return fields


def _check_itk_header(path: Path, reader: sitk.ImageFileReader, header: dict[str, str]) -> None:
    size = reader.GetSize()
    if 0 in size:
        raise ScanError(f"{path} is empty: its shape is {size}", hint=_COPY)
    # A sequence saved by 3D Slicer is a "list" of volumes, which ITK takes for components of one volume.
    listed = header.get("NRRD_kinds[pixel]") == "list" and not any(key.startswith("Segment") for key in header)
    if len(size) > 3 or listed:
        full = (*size, reader.GetNumberOfComponents()) if listed else size
        raise ScanError(
            f"{path} has {len(full)} dimensions {full}: a time series or several volumes, not one image",
            hint="extract one volume, for instance with SimpleITK: image[:, :, :, 0]",
        )
    if len(size) < 2:
        raise ScanError(f"{path} has one dimension only", hint="an image has two or three")
    if "complex" in sitk.GetPixelIDValueAsString(reader.GetPixelIDValue()):
        raise ScanError(f"{path} holds complex numbers", hint="save the magnitude as float32")


def _itk_error(path: Path, text: str) -> ScanError:
    # MetaIO's last line is whatever the system said last, "Success" for a file that is too short.
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("Reason:")]
    reason = re.sub(r"^ITK ERROR: \w+\(\w+\): ", "", lines[-1]) if lines else text
    if "size is zero" in text:
        return ScanError(f"{path} is empty: an axis has no voxels", hint=_COPY)
    if "spacing is not supported" in text:
        return ScanError(
            f"{path}: the voxel spacing along an axis is zero, so the affine is singular",
            hint="repair the spacing in the header",
        )
    if "eterminant" in text:
        return ScanError(
            f"{path}: the affine is singular, two voxel axes point the same way", hint="repair the header's orientation"
        )
    if "4D" in text or "dimension" in text.lower():
        return ScanError(f"{path} has more dimensions than can be read: {reason}", hint="extract one volume")
    return ScanError(f"{path} is truncated or damaged, or the data file that it names is missing: {reason}", hint=_COPY)


def _is_jpeg(picture: Image.Image) -> bool:
    """Whatever the file is called; a TIFF may hold one."""
    return picture.format in ("JPEG", "MPO") or picture.info.get("compression") in ("jpeg", "tiff_jpeg")


def _smeared(path: Path) -> ScanError:
    return ScanError(f"{path} is a JPEG, whose compression smears labels over their neighbours", hint="save it as PNG")


def _read_picture(path: Path, *, palette_as_labels: bool = False) -> Pixels:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's advice on large pictures and odd tags
            with Image.open(path) as picture:
                frames = getattr(picture, "n_frames", 1)
                if frames > 1 and picture.format != "MPO":  # MPO: a JPEG with a preview behind it
                    raise ScanError(
                        f"{path} holds {frames} pictures", hint="save one page, or the stack as NIfTI, NRRD or DICOM"
                    )
                if palette_as_labels and _is_jpeg(picture):
                    raise _smeared(path)
                picture.load()
                as_labels = palette_as_labels and picture.mode == "P"
                array = np.asarray(picture) if as_labels else _picture_array(picture, path)
    except UnidentifiedImageError as error:
        raise ScanError(f"{path} is not a picture, or of a kind that cannot be read", hint=_COPY) from error
    except Image.DecompressionBombError as error:
        raise ScanError(f"{path} is too large: {error}", hint="cut a tile out of it") from error
    except (OSError, ValueError, SyntaxError, TypeError, EOFError, IndexError, RuntimeError, zlib.error) as error:
        raise ScanError(f"{path} is truncated or damaged: {error}", hint=_COPY) from error
    # rows, columns -> columns, rows, as MONAI's PILReader and every other format has it
    return Pixels(array.T if array.ndim == 3 else array.T[None], np.eye(4))


def _picture_array(picture: Image.Image, path: Path) -> np.ndarray:
    """Return (rows, columns) or (rows, columns, 3)."""
    if picture.format == "PNG" and _png_is_16_bit_colour(path):  # Pillow would round it to 8 bits
        image = sitk.ReadImage(str(path), imageIO="PNGImageIO")
        colours = sitk.GetArrayFromImage(image)
        return colours[..., :3] if colours.shape[-1] >= 3 else colours[..., 0]
    mode = picture.mode
    if mode == "LA":
        return np.asarray(picture.getchannel("L"))
    if mode == "1" or mode in ("L", "F") or mode.startswith("I"):
        return np.asarray(picture)
    return np.asarray(picture.convert("RGB"))


def _png_is_16_bit_colour(path: Path) -> bool:
    with path.open("rb") as file:
        header = file.read(26)  # bytes 24 and 25 of a PNG: bit depth, colour type (0 is grey)
    return header[24] == 16 and header[25] != 0


_Readers = tuple[tuple[tuple[str, ...], Callable[[Path], Pixels]], ...]
_READERS: _Readers = (
    ((".nii", ".nii.gz"), _read_nifti),
    ((".nrrd", ".nhdr"), _read_nrrd),
    ((".mha", ".mhd"), _read_meta_image),
    ((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"), _read_picture),
)
_LABEL_READERS: _Readers = (
    *_READERS[:-1],
    ((".png", ".tif", ".tiff", ".bmp"), partial(_read_picture, palette_as_labels=True)),
)
