"""The levels of evidence as a DICOM Segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlime.explanation import Explanation
from camlime.export.dicom.codes import described, level_code, name_scheme, spatial_concept
from camlime.export.dicom.device import MODEL_NAME, equipment, settings_in_words
from camlime.export.dicom.packages import highdicom
from camlime.export.dicom.source import Source
from camlime.levels import AGREEMENT_LEVELS, EVIDENCE_LEVELS, GROUPS, CaseLevels, Level
from camlime.version import __version__


@dataclass(frozen=True)
class SegmentedLevels:
    """The levels on the scan's grid.

    Args:
        levels: one a segment; a segment's number is its level's label.
        masks: ``(slices, rows, columns, segments)``, uint8 0 or 1. Segments may overlap: a voxel of strong evidence can
            be one where the methods agree.
    """

    levels: tuple[Level, ...]
    masks: NDArray[np.uint8]

    def voxels(self, level: Level) -> int:
        """How many voxels a level has."""
        return int(self.masks[..., self.levels.index(level)].sum())


def segmented(case: CaseLevels, explanation: Explanation, source: Source) -> SegmentedLevels:
    """Bring the label maps onto the scan's grid by nearest neighbour."""
    levels: list[Level] = []
    masks: list[NDArray[np.bool_]] = []
    for key, labels in case.label_maps().items():
        frames = source.frames(labels, explanation.input.affine, mode="nearest")
        levels += GROUPS[key]
        masks += [frames == level.label for level in GROUPS[key]]
    return SegmentedLevels(tuple(levels), np.stack(masks, axis=-1).astype(np.uint8))


def segmentation(
    found: SegmentedLevels, case: CaseLevels, explanation: Explanation, source: Source, *, series_number: int
) -> Any:
    """A binary Segmentation with one segment a level, on the frames of the source where a level is.

    Returns:
        A highdicom ``Segmentation``. Levels without a voxel are described, but have no frame.
    """
    hd = highdicom()
    methods = {level: case.method for level in EVIDENCE_LEVELS}
    methods |= dict.fromkeys(AGREEMENT_LEVELS, f"{case.cam} and lime")
    segments = []
    for level in found.levels:
        algorithm = hd.AlgorithmIdentificationSequence(
            name=MODEL_NAME,
            family=_artificial_intelligence(),
            version=__version__,
            source="SlicerXAI",
            parameters=settings_in_words(explanation, methods[level]),
        )
        segments.append(
            hd.seg.SegmentDescription(
                segment_number=level.label,
                segment_label=level.name,
                segmented_property_category=spatial_concept(),
                segmented_property_type=level_code(level),
                algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=algorithm,
                tracking_uid=hd.UID(),
                tracking_id=level.key,
                display_color=hd.color.CIELabColor.from_rgb(*level.colour),
            )
        )
    dataset = hd.seg.Segmentation(
        source_images=source.headers,
        pixel_array=found.masks,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=hd.UID(),
        series_number=series_number,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        content_label="EVIDENCE",
        content_description=described("Levels of evidence", explanation),
        series_description=described("camlime levels of evidence", explanation),
        **equipment(),
    )
    name_scheme(dataset)
    return dataset


def _artificial_intelligence() -> Any:
    from pydicom.sr.codedict import codes

    return codes.cid7162.ArtificialIntelligence
