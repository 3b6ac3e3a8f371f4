"""The overview as a Secondary Capture, for archives and viewers that take nothing else."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from camlime.explanation import Explanation
from camlime.export.dicom.codes import MAKER, described, keep_laterality
from camlime.export.dicom.device import MODEL_NAME
from camlime.export.dicom.packages import highdicom
from camlime.export.dicom.source import Source
from camlime.overview import draw_overview
from camlime.version import __version__


def secondary_capture(explanation: Explanation, source: Source, *, series_number: int) -> Any:
    """The overview, drawn without the name of the scan's file, which may be a patient's.

    Returns:
        A highdicom ``SCImage``, RGB, BurnedInAnnotation NO: no text in it identifies a patient.
    """
    hd = highdicom()
    nameless = dataclasses.replace(explanation, provenance={**explanation.provenance, "scan": {}})
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "overview.png"
        draw_overview(nameless, picture)
        with Image.open(picture) as image:
            pixels = np.asarray(image.convert("RGB"))
    dataset = hd.sc.SCImage.from_ref_dataset(
        source.headers[0],
        pixel_array=pixels,
        photometric_interpretation=hd.PhotometricInterpretationValues.RGB,
        bits_allocated=8,
        coordinate_system=hd.CoordinateSystemNames.PATIENT,
        patient_orientation=("L", "P"),  # highdicom asks for one; taken back below
        series_instance_uid=hd.UID(),
        series_number=series_number,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=MAKER,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        series_description=described("camlime overview of evidence", explanation),
    )
    dataset.PatientOrientation = None  # a page of several planes has no orientation of its own
    keep_laterality(dataset, source.headers[0])
    dataset.BurnedInAnnotation = "NO"
    dataset.ManufacturerModelName = MODEL_NAME
    dataset.SoftwareVersions = __version__
    dataset.DerivationDescription = "Picture of maps drawn over the source series; not for measurement"
    return dataset
