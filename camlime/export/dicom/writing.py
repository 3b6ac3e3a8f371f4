"""All DICOM objects of an explanation, written to a folder: all of them or none."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from camlime.errors import OutputError, RequestError, ScanError
from camlime.explanation import Explanation
from camlime.export.dicom.capture import secondary_capture
from camlime.export.dicom.codes import keep_identity_statements
from camlime.export.dicom.measurements import MeasurementReport
from camlime.export.dicom.packages import highdicom
from camlime.export.dicom.parametric_map import float_maps, parametric_map
from camlime.export.dicom.segmentation import segmentation, segmented
from camlime.export.dicom.source import Source, read_source
from camlime.levels import case_levels
from camlime.staging import staged

FIRST_SERIES_NUMBER = 9000
"""Of the four new series of the study; high, so that they are listed after the scanner's own."""


def export_dicom(explanation: Explanation, source: str | Path, folder: str | Path) -> list[Path]:
    """Write an explanation as DICOM objects that refer to the series that it explains.

    ``segmentation.dcm`` (levels of evidence), one Parametric Map a map and a standard deviation, ``report.dcm`` (TID
    1500: prediction, levels, regions) and ``overview.dcm`` (Secondary Capture). They belong to the source's patient and
    study and lie on its grid: label maps by nearest neighbour, maps by trilinear interpolation.

    Args:
        explanation: of a DICOM series.
        source: the folder of that series.
        folder: where to; made if it is not there; files of these names are replaced.

    Returns:
        The files written.

    Raises:
        ScanError: see :func:`camlime.export.dicom.source.read_source`, or headers that lack what the new objects must
            copy.
        RequestError: the folder lies inside the source's.
        OutputError: highdicom is not installed, or the files cannot be written; then none is.

    Example:
        >>> export_dicom(Explanation.load("explanation"), "chest_ct/", "dicom/")  # doctest: +SKIP
    """
    highdicom()
    source, folder = Path(source), Path(folder)
    if folder.resolve().is_relative_to(source.resolve()):
        raise RequestError(
            f"{folder} lies in the folder of the source series, where the new objects would be taken for slices",
            hint="give --dicom another folder",
        )
    series = read_source(source, explanation)
    names = []
    try:
        with staged(folder) as stage, warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", module=r"(highdicom|pydicom)\b", category=UserWarning
            )  # on the source's names
            for name, dataset in _objects(explanation, series):
                keep_identity_statements(dataset, series.headers[0])
                dataset.save_as(stage / f"{name}.dcm", enforce_file_format=True)
                names.append(f"{name}.dcm")
    except OutputError as error:
        raise OutputError(error.message, hint="give --dicom a folder that you may write to, with space left") from error
    return [folder / name for name in names]


def _objects(explanation: Explanation, source: Source) -> Iterator[tuple[str, Any]]:
    """Name and dataset, one after the other, so that one map at a time is in memory."""
    numbers = iter(range(FIRST_SERIES_NUMBER, FIRST_SERIES_NUMBER + 4))
    try:
        case = case_levels(explanation)
        found = levels = None
        if case is not None:
            found = segmented(case, explanation, source)
            levels = segmentation(found, case, explanation, source, series_number=next(numbers))
            yield "segmentation", levels
        maps_uid, maps_number = highdicom().UID(), next(numbers)
        for i, one in enumerate(float_maps(explanation), start=1):
            yield (
                one.name,
                parametric_map(
                    one, explanation, source, series_uid=maps_uid, series_number=maps_number, instance_number=i
                ),
            )
        report = MeasurementReport(explanation, source, found, levels)
        yield "report", report.dataset(series_number=next(numbers))
        yield "overview", secondary_capture(explanation, source, series_number=next(numbers))
    except AttributeError as error:
        if "Dataset" not in str(error):
            raise
        raise ScanError(
            f"the source series lacks what the new objects must copy: {error}",
            hint="export the series again from where it came from",
        ) from error
