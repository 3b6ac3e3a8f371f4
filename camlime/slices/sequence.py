"""Whether a scan is the kind of image that a bundle was trained on, as far as its headers and its name tell."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk

from camlime.bundle.slice_settings import SequenceSettings
from camlime.scan import Scan
from camlime.scan.quiet import quiet

_DESCRIPTIONS = ("0008|103e", "0018|1030")  # SeriesDescription, ProtocolName
_MODALITY = "0008|0060"
_CONTRAST = "0018|0010"  # ContrastBolusAgent
_CONTRAST_WORDS = ("post", "contrast", "gad", "gd", "+c", "c+", "ce-", "-ce", "_ce", "enhanc", "t1c", "t1ce")


def sequence_doubts(scan: Scan, expected: SequenceSettings) -> tuple[str, ...]:
    """Say why the scan may be of another kind than the training data; empty where nothing speaks against it.

    DICOM series are known by their modality, description and contrast agent; any other file by its name alone. Neither
    is proof: names are typed by people, so a doubt is a warning and never a refusal.

    Args:
        scan: as read.
        expected: what the bundle was trained on.
    """
    tags = _tags(scan)
    described = " ".join(tags.get(tag, "") for tag in _DESCRIPTIONS).strip() if tags else scan.source.name
    text, doubts = described.lower(), []
    shown = f"'{described}'"
    if expected.modality and tags.get(_MODALITY, expected.modality) != expected.modality:
        doubts.append(f"the modality is {tags[_MODALITY]}, not {expected.modality}")
    found = [word for word in expected.unwanted if word.lower() in text]
    if found:
        doubts.append(f"{shown} speaks of {', '.join(found)}")
    elif tags and expected.wanted and not any(word.lower() in text for word in expected.wanted):
        doubts.append(f"{shown} does not speak of {' or '.join(expected.wanted)}")
    given = tags.get(_CONTRAST, "").strip() or any(word in text for word in _CONTRAST_WORDS)
    if tags and expected.contrast and not given:
        doubts.append("no contrast agent is named")
    return tuple(f"this may not be {expected.name}, which the bundle was trained on: {doubt}" for doubt in doubts)


def _tags(scan: Scan) -> dict[str, str]:
    """Header fields of one file of the scan's DICOM series; empty for any other format."""
    file = _a_file(scan.source, scan.series_uid) if scan.series_uid is not None else None
    if file is None:
        return {}
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(file))
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError:
        return {}
    wanted = (*_DESCRIPTIONS, _MODALITY, _CONTRAST)
    found = {tag: reader.GetMetaData(tag) for tag in wanted if reader.HasMetaDataKey(tag)}
    return {tag: value.encode("utf-8", "replace").decode("utf-8").strip("\0 ") for tag, value in found.items()}


def _a_file(source: Path, series_uid: str | None) -> Path | None:
    if source.is_file():
        return source
    with quiet():
        folders = [source, *sorted(path for path in source.rglob("*") if path.is_dir())]
        for folder in folders:
            names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series_uid or "")
            if names:
                return Path(names[0])
    return None
