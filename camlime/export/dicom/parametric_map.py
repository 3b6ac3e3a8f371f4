"""Maps and their standard deviations as DICOM Parametric Maps of floating-point values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlime.explanation import Explanation
from camlime.export.dicom.codes import described, fit, name_scheme, private
from camlime.export.dicom.device import equipment
from camlime.export.dicom.packages import highdicom
from camlime.export.dicom.source import Source
from camlime.overview.words import method_title, unit_of

ATTRIBUTION = ("attribution", "Attribution to the explained class; positive speaks for it")
DEVIATION = ("attribution_sd", "Standard deviation of an attribution to the explained class")


@dataclass(frozen=True)
class FloatMap:
    """One map to export.

    Args:
        name: of the file, without its ending.
        title: for readers.
        quantity: code value and meaning of what is mapped.
        unit: in words; log-odds have no unit, so the coded unit is 1.
        values: ``(*S,)``, on the grid of the network's input.
    """

    name: str
    title: str
    quantity: tuple[str, str]
    unit: str
    values: NDArray[np.float32]


def float_maps(explanation: Explanation) -> Iterator[FloatMap]:
    """Each method's map, followed by its standard deviation where it has one."""
    from camlime.record import file_stem

    for name, attribution in explanation.attributions.items():
        title, unit = method_title(name), unit_of(attribution)
        yield FloatMap(file_stem(name), title, ATTRIBUTION, unit, attribution.values)
        if attribution.std is not None:
            yield FloatMap(f"{file_stem(name)}_std", f"{title}, one SD", DEVIATION, unit, attribution.std)


def slices_in_view(explanation: Explanation, source: Source) -> slice:
    """The source's slices that the network's view reaches, from the first to the last.

    Example:
        >>> slices_in_view(explanation, source)  # doctest: +SKIP
        slice(41, 45, None)
    """
    view = np.ones(explanation.input.spatial_shape, dtype=np.uint8)
    frames = source.frames(view, explanation.input.affine, mode="nearest")
    reached = np.flatnonzero(frames.reshape(len(frames), -1).any(axis=1))
    return slice(int(reached[0]), int(reached[-1]) + 1) if len(reached) else slice(0, len(frames))


def parametric_map(
    one: FloatMap,
    explanation: Explanation,
    source: Source,
    *,
    series_uid: str,
    series_number: int,
    instance_number: int,
) -> Any:
    """A map on the scan's grid, trilinear, on the slices in view, as 32-bit floating-point pixels.

    Returns:
        A highdicom ``ParametricMap``; stored values are the map's own, slope 1 and intercept 0.
    """
    from pydicom.sr.codedict import codes

    hd = highdicom()
    view = slices_in_view(explanation, source)
    frames = source.frames(one.values, explanation.input.affine, mode="linear")[view].astype(np.float32)
    largest = float(np.abs(frames).max()) or 1.0
    signed = bool((frames < 0).any())
    value_range = (float(frames.min()), float(frames.max()))
    if value_range[0] == value_range[1]:  # an empty map; the range must still be one
        value_range = (value_range[0], value_range[0] + 1.0)
    mapping = hd.pm.RealWorldValueMapping(
        lut_label=fit(one.name, 16),
        lut_explanation=fit(f"{one.title} ({one.unit})", 64),
        unit=codes.UCUM.NoUnits,
        value_range=value_range,
        slope=1,
        intercept=0,
        quantity_definition=private(*one.quantity),
    )
    dataset = hd.pm.ParametricMap(
        source_images=source.headers[view],
        pixel_array=frames,
        series_instance_uid=series_uid,
        series_number=series_number,
        sop_instance_uid=hd.UID(),
        instance_number=instance_number,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[
            hd.VOILUTTransformation(
                window_center=0.0 if signed else largest / 2,
                window_width=2 * largest if signed else largest,
                voi_lut_function=hd.VOILUTFunctionValues.LINEAR_EXACT,  # LINEAR has no window narrower than 1
            )
        ],
        content_label=fit("".join(c if c.isalnum() else "_" for c in one.name).upper(), 16),
        content_description=described(one.title, explanation),
        series_description=described("camlime maps", explanation),
        **equipment(),
    )
    _order_frames(dataset, source)
    dataset.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [_anatomy(source.headers[0])]
    dataset.ContentCreatorName = None
    name_scheme(dataset)
    return dataset


def _order_frames(dataset: Any, source: Source) -> None:
    """Store the frames in the order of the source's slices, along their normal.

    A frame's place is in its header, but there are readers, dcmqi among them, that take the frames to lie one behind
    the other along the normal, as they are stored; highdicom stores them the other way round.
    """
    groups = list(dataset.PerFrameFunctionalGroupsSequence)
    slices = {header.SOPInstanceUID: k for k, header in enumerate(source.headers)}
    order = np.argsort(
        [slices[g.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID] for g in groups]
    )
    for number, group in enumerate(ordered := [groups[i] for i in order], start=1):
        group.FrameContentSequence[0].DimensionIndexValues = number
    dataset.PerFrameFunctionalGroupsSequence = ordered
    pixels = np.frombuffer(dataset.FloatPixelData, dtype="<f4").reshape(len(groups), dataset.Rows, dataset.Columns)
    dataset.FloatPixelData = pixels[order].tobytes()


def _anatomy(header: Any) -> Any:
    """What part of the body the frames show, as far as the source says; readers such as dcmqi rely on an answer."""
    from pydicom.dataset import Dataset

    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "38266002", "SCT", "Entire body"
    anatomy = Dataset()
    anatomy.AnatomicRegionSequence = header.get("AnatomicRegionSequence") or [region]
    anatomy.FrameLaterality = header.get("FrameLaterality") or "U"
    return anatomy
