"""In what lengths and places of an explanation are told: mm in a patient, pixels of a picture, microns on a slide."""

from __future__ import annotations

from collections.abc import Sequence

from camlime.explanation import Explanation

PICTURE_FILES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def is_picture(explanation: Explanation) -> bool:
    """Whether the scan was a PNG, JPEG or the like, or a slide's tile: it lies in no patient, so it has no letters."""
    name = str(explanation.provenance.get("scan", {}).get("name", "")).lower()
    of_picture = "slide" in explanation.provenance or name.endswith(PICTURE_FILES)
    return len(explanation.input.spatial_shape) == 2 and of_picture


def unit_of_length(explanation: Explanation) -> tuple[str, float]:
    """The unit that lengths are told in, and how many of it one mm of the explanation's frame is.

    A picture's frame has one mm a pixel by convention, a tile's one mm a pixel of the resolution it was looked at.
    """
    microns = explanation.provenance.get("slide", {}).get("tile_microns_per_pixel")
    if microns is not None:
        return "µm", float(microns)
    return ("px" if is_picture(explanation) else "mm"), 1.0


def pixels_in_words(explanation: Explanation) -> str:
    """Of what size the network's pixels or voxels are, where that is known."""
    unit, per_mm = unit_of_length(explanation)
    if unit == "px":
        return "pixels"
    spacing = " × ".join(f"{s * per_mm:.3g}" for s in explanation.input.spacing)
    return f"{'pixels' if is_picture(explanation) else 'voxels'} of {spacing} {unit}"


def place_in_words(explanation: Explanation, point_ras: Sequence[float]) -> str:
    """A point: of a patient in RAS mm, of a picture in its pixels, of a tile in those of the slide's finest level."""
    slide = explanation.provenance.get("slide")
    if slide is not None:
        finer = float(slide["downsample"])
        x, y = ((value + 0.5) * finer for value in point_ras[:2])
        return f"slide pixel {x:.0f}, {y:.0f}"
    point = [f"{value:.1f}".replace("-", "−") for value in point_ras]
    return f"pixel {', '.join(point[:2])}" if is_picture(explanation) else f"R, A, S {', '.join(point)} mm"
