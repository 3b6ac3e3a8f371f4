"""Whether a scan is the kind of image that a bundle was trained on, as far as its headers and its name tell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from camlime.bundle.slice_settings import SequenceSettings
from camlime.scan import Scan
from camlime.scan.quiet import quiet

_DESCRIPTION = "0008|103e"  # SeriesDescription
_DESCRIPTIONS = (_DESCRIPTION, "0018|1030")  # and ProtocolName, which often lists all series of an examination
_MODALITY = "0008|0060"
_CONTRAST = "0018|0010"  # ContrastBolusAgent
GIVEN = {
    "modality": _MODALITY,
    "series_description": _DESCRIPTION,
    "protocol_name": "0018|1030",
    "contrast_agent": _CONTRAST,
}
"""Tags by their names in :attr:`camlime.Scan.header`."""

_DENY_CONTRAST = {"pre"}
_CONTRAST_WORDS = ("post", "contrast", "gad", "gd", "+c", "c+", "ce-", "-ce", "_ce", "enhanc", "t1c", "t1ce")


@dataclass(frozen=True)
class SequenceDoubts:
    """Why a scan may be of another kind than the training data.

    Args:
        warnings: in sentences; empty where nothing speaks against it.
        contradiction: what its header says outright: another modality, or a word of the series' description that names
            another sequence. ``None`` where it does not. File names, which anybody types, parts of longer words, the
            protocol's name and what is left unsaid never contradict.
    """

    warnings: tuple[str, ...] = ()
    contradiction: str | None = None


def sequence_doubts(scan: Scan, expected: SequenceSettings) -> SequenceDoubts:
    """Compare a scan with the training data.

    DICOM series are known by their modality, description and contrast agent; any other file by its name alone.

    Args:
        scan: as read.
        expected: what the bundle was trained on.

    Example:
        >>> sequence_doubts(Scan.read("flair/"), bundle.explain_settings.sequence).contradiction  # doctest: +SKIP
        "'FLAIRreg' speaks of flair"
    """
    tags = _tags(scan)
    described = " ".join(tags.get(tag, "") for tag in _DESCRIPTIONS).strip() if tags else scan.source.name
    text, shown = described.lower(), f"'{described}'"
    named: list[str] = []
    unsaid: list[str] = []
    if expected.modality and (tags.get(_MODALITY) or expected.modality) != expected.modality:
        named.append(f"the modality is {tags[_MODALITY]}, not {expected.modality}")
    post = any(word in text for word in _CONTRAST_WORDS) or bool(tags.get(_CONTRAST))
    found = [word for word in expected.unwanted if word.lower() in text]
    # "T1 PRE/POST GD" is no series before contrast.
    told = [word for word in found if not (post and word.lower() in _DENY_CONTRAST)]
    if outright := [word for word in told if _names(word, tags.get(_DESCRIPTION, ""))]:
        named.append(f"'{tags[_DESCRIPTION].strip()}' speaks of {', '.join(outright)}")
    elif found:
        unsaid.append(f"{shown} speaks of {', '.join(found)}")
    elif tags and expected.wanted and not any(word.lower() in text for word in expected.wanted):
        unsaid.append(f"{shown} does not speak of {' or '.join(expected.wanted)}")
    if tags and expected.contrast and not post:
        unsaid.append("no contrast agent is named")
    return SequenceDoubts(
        tuple(
            f"this may not be {expected.name}, which the bundle was trained on: {doubt}" for doubt in (*named, *unsaid)
        ),
        " and ".join(named) if tags and named else None,
    )


def _names(word: str, text: str) -> bool:
    """Whether a word stands in a text by itself: "FLAIRreg" and "t2w" name flair and t2, "PREOP" does not name pre."""
    for found in re.finditer(re.escape(word), text, flags=re.IGNORECASE):
        before, after = text[: found.start()][-1:], text[found.end() :][:1]
        if not (_runs_on(before, found[0][0]) or _runs_on(found[0][-1], after)):
            return True
    return False


def _runs_on(left: str, right: str) -> bool:
    """Whether two neighbours are of one word or number: letters, both capitals or both small, or digits."""
    if not (left.isalpha() and right.isalpha()):
        return left.isdigit() and right.isdigit()
    return left.isupper() == right.isupper()


def _tags(scan: Scan) -> dict[str, str]:
    """Header fields that came with the scan, else those of one file of its DICOM series; empty for any other format."""
    if scan.header is not None:
        return {tag: scan.header[name] for name, tag in GIVEN.items() if name in scan.header}
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
