"""Prediction, levels and regions as a Structured Report: TID 1500, Measurement Report."""

from __future__ import annotations

from typing import Any

import numpy as np

from camlime.explanation import Explanation
from camlime.export.dicom.codes import (
    LONGEST_MEANING,
    MAKER,
    described,
    fit,
    level_code,
    name_scheme,
    private,
    spatial_concept,
)
from camlime.export.dicom.device import MODEL_NAME
from camlime.export.dicom.packages import highdicom
from camlime.export.dicom.parametric_map import slices_in_view
from camlime.export.dicom.segmentation import SegmentedLevels
from camlime.export.dicom.source import Source
from camlime.overview.words import clean, evidence_in_words, method_title, verdict_in_words
from camlime.scan.geometry import LPS_RAS
from camlime.version import __version__

MOST_REGIONS = 20
"""The report lists the regions with the largest weights; all are in ``explanation.json``."""


class MeasurementReport:
    """Makes the report of one explanation.

    Args:
        explanation: what is reported.
        source: the series that it is of.
        found: the levels on the source's grid; ``None`` where there is no map.
        segmentation: the Segmentation that holds them; ``None`` likewise.
    """

    def __init__(
        self, explanation: Explanation, source: Source, found: SegmentedLevels | None, segmentation: Any | None
    ) -> None:
        self._hd = highdicom()
        self._explanation = explanation
        self._source = source
        self._found = found
        self._segmentation = segmentation
        self._seen = source.headers[slices_in_view(explanation, source)]
        identification = self._hd.sr.AlgorithmIdentification
        self._algorithm = identification(name=MODEL_NAME, version=__version__)
        bundle = explanation.provenance.get("bundle") or {}
        self._model = identification(
            name=fit(bundle.get("name") or "unnamed model", 64), version=fit(bundle.get("version") or "unknown", 64)
        )

    def dataset(self, *, series_number: int) -> Any:
        """A highdicom ``Comprehensive3DSR``."""
        from pydicom.sr.codedict import codes
        from pydicom.sr.coding import Code

        sr = self._hd.sr
        device = sr.ObserverContext(
            observer_type=codes.DCM.Device,
            observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
                uid=self._hd.UID(), name=MODEL_NAME, manufacturer_name=MAKER, model_name=MODEL_NAME
            ),
        )
        report = sr.MeasurementReport(
            observation_context=sr.ObservationContext(observer_device_context=device),
            procedure_reported=Code("363679005", "SCT", "Imaging procedure"),
            imaging_measurements=[self._prediction(), *self._levels(), *self._regions()],
            title=codes.DCM.ImagingMeasurementReport,
        )
        evidence = list(self._seen)
        if self._segmentation is not None:
            evidence.append(self._segmentation)
        dataset = sr.Comprehensive3DSR(
            evidence=evidence,
            content=report,
            series_instance_uid=self._hd.UID(),
            series_number=series_number,
            sop_instance_uid=self._hd.UID(),
            instance_number=1,
            manufacturer=MAKER,
            is_complete=self._explanation.complete,
            is_final=False,
            is_verified=False,
            series_description=described(
                "camlime prediction and evidence" if self._explanation.prediction.has_class else "camlime evidence",
                self._explanation,
            ),
        )
        dataset.ManufacturerModelName = MODEL_NAME
        dataset.SoftwareVersions = __version__
        name_scheme(dataset)
        return dataset

    def _prediction(self) -> Any:
        """Which class, how probable each is, whether the evidence holds and the methods agree; of which images."""
        from pydicom.sr.codedict import codes

        sr, prediction = self._hd.sr, self._explanation.prediction
        names = list(prediction.probabilities)
        explained = (
            "Explained class" if prediction.has_class else "Class that the maps are about; the image was given no class"
        )
        classes = {name: private(f"class_{i}", name) for i, name in enumerate(names)}
        said = (
            []
            if not prediction.has_class
            else [(private("predicted", "Predicted class"), classes[prediction.most_probable])]
        )
        if self._explanation.explained_class in classes:
            said.append((private("explained", explained), classes[self._explanation.explained_class]))
        for method, evidence in self._explanation.evidence.items():
            value = {True: "supported", False: "not_supported", None: "not_judged"}[evidence.supported]
            name = private("verdict", f"Verdict on the map {method}")
            said.append((name, private(value, verdict_in_words(evidence).capitalize())))
        if self._explanation.agreement is not None:
            badge = self._explanation.agreement.badge
            name = private("methods_agree", "Agreement of CAM and masked images")
            said.append((name, private(badge.lower().replace("cam ", "")[:16], badge)))
        group = sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(uid=self._hd.UID(), identifier="Prediction"),
            finding_type=private("prediction", "Prediction of a classifier"),
            algorithm_id=self._model,
            source_images=[sr.SourceImageForMeasurementGroup.from_source_image(image) for image in self._seen],
            qualitative_evaluations=[sr.QualitativeEvaluation(name=name, value=value) for name, value in said],
            measurements=[
                sr.Measurement(
                    name=private(f"p_class_{i}", f"Probability of {fit(name, LONGEST_MEANING - 15)}"),
                    value=_decimal(prediction.probabilities[name]),
                    unit=codes.UCUM.NoUnits,
                )
                for i, name in enumerate(names if prediction.has_class else [])
            ],
        )
        group[0].ContentSequence.extend(
            sr.TextContentItem(name=codes.DCM.Comment, value=text, relationship_type=sr.RelationshipTypeValues.CONTAINS)
            for text in self._comments()
        )
        return group

    def _comments(self) -> list[str]:
        """What a reader should know before anything else, in sentences."""
        explanation = self._explanation
        stopped = (
            () if explanation.complete else ("The work was stopped on the way: a method or its evidence is missing.",)
        )
        judged = [
            f"{method_title(method)}: {sentence}"
            for method, evidence in explanation.evidence.items()
            for sentence in evidence_in_words(evidence)
        ]
        prediction = explanation.prediction
        shows = f"that the image shows {clean(prediction.presumes)}"
        unsaid = []
        if prediction.no_class:
            unsaid.append(f"{prediction.no_class[0].upper()}{clean(prediction.no_class[1:])}.")
        elif prediction.unconfirmed:
            unsaid.append(f"No class: nobody said {shows}.")
        elif prediction.presumes:
            unsaid.append(f"Presumes {shows}.")
        return ["For research, not for diagnosis.", *unsaid, *stopped, *map(clean, explanation.warnings), *judged]

    def _levels(self) -> list[Any]:
        """Each level that has voxels on the scan's grid, with its volume there."""
        from pydicom.sr.codedict import codes

        if self._found is None or self._segmentation is None:
            return []
        sr = self._hd.sr
        voxel_ml = abs(float(np.linalg.det(self._source.affine[:3, :3]))) / 1000
        return [
            sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=sr.TrackingIdentifier(uid=self._hd.UID(), identifier=level.name),
                referenced_segment=sr.ReferencedSegment.from_segmentation(self._segmentation, level.label),
                finding_type=level_code(level),
                finding_category=spatial_concept(),
                algorithm_id=self._algorithm,
                measurements=[
                    sr.Measurement(
                        name=codes.SCT.Volume,
                        value=_decimal(self._found.voxels(level) * voxel_ml),
                        unit=_millilitre(),
                    )
                ],
            )
            for level in self._found.levels
            if self._found.voxels(level)
        ]

    def _regions(self) -> list[Any]:
        """The regions with the largest weights, each at its centre."""
        from pydicom.sr.codedict import codes

        sr = self._hd.sr
        rows = [row for row in self._explanation.region_table() if row.get("weight") is not None]
        rows.sort(key=lambda row: -abs(row["weight"]))
        groups = []
        for row in rows[:MOST_REGIONS]:
            centre = LPS_RAS[:3, :3] @ np.array(row["centre_ras_mm"])
            measured = [(private("weight", "Log-odds that the region adds"), row["weight"], codes.UCUM.NoUnits)]
            if row["standard_error"] is not None:
                name = private("weight_se", "Standard error of the log-odds that the region adds")
                measured.append((name, row["standard_error"], codes.UCUM.NoUnits))
            measured.append((codes.SCT.Volume, row["volume_ml"], _millilitre()))
            title = row["name"] if row["name"] is not None else f"Region {row['id']}"
            groups.append(
                sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
                    tracking_identifier=sr.TrackingIdentifier(uid=self._hd.UID(), identifier=fit(title, 64)),
                    referenced_volume_surface=sr.VolumeSurface(
                        graphic_type=sr.GraphicTypeValues3D.POINT,
                        graphic_data=centre[None],
                        frame_of_reference_uid=self._source.headers[0].FrameOfReferenceUID,
                        source_series=sr.SourceSeriesForSegmentation(self._source.headers[0].SeriesInstanceUID),
                    ),
                    finding_type=private("region", "Region of the image that was removed and put back"),
                    algorithm_id=self._algorithm,
                    measurements=[
                        sr.Measurement(name=name, value=_decimal(value), unit=unit) for name, value, unit in measured
                    ],
                )
            )
        return groups


def _millilitre() -> Any:
    from pydicom.sr.coding import Code

    return Code("ml", "UCUM", "milliliter")


def _decimal(value: float) -> float:
    """Six significant digits: DICOM's decimal strings hold 16 characters."""
    return float(f"{value:.6g}")
