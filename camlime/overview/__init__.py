"""The picture of an explanation: slices through the strongest point, every map over the scan, the answer above them.

matplotlib is imported when a picture is drawn, so that the words of this package come without it.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from camlime.explanation import Explanation
    from camlime.overview.page import Page


__all__ = ["compose", "draw_overview"]

MARGIN = 0.4
PICTURES_3D = 3.4
PICTURES_2D = 2.2
NARROWEST = 5.6


def draw_overview(explanation: Explanation, path: str | Path) -> None:
    """Draw an explanation as a PNG.

    Volumes are shown in three slices through the strongest point of the map to show first, in radiological
    convention, at one scale in mm. The first row is the scan as the network saw it; then come the maps over it, the one
    to show first before the others, each with the verdict on it and, where known, its standard deviation. Warm speaks
    for the explained class, cool against it; opacity grows with magnitude. A map that is not supported has a red frame.
    Padding, which is no anatomy, is hatched. Colours only scale the view: the maps are not changed.

    Args:
        explanation: what to draw.
        path: the PNG file; replaced if it is there.

    Example:
        >>> draw_overview(explanation, "overview.png")  # doctest: +SKIP
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        page = compose(explanation)
        page.figure.savefig(path, dpi=page.figure.dpi, format="png")


def compose(explanation: Explanation) -> Page:
    """Lay out and draw the page of :func:`draw_overview`, as high as it needs to be, without saving it."""
    from camlime.overview.evidence import evidence_blocks
    from camlime.overview.header import agreement_note, footer, header, section
    from camlime.overview.page import Page, Typesetter
    from camlime.overview.panels import Panels
    from camlime.overview.structures import structure_blocks

    types = Typesetter()
    panels = Panels(explanation, PICTURES_3D if len(explanation.input.spatial_shape) == 3 else PICTURES_2D)
    width = max(panels.width, NARROWEST)
    letters = iter("abc")
    top = header(explanation, width, types)
    measured = evidence_blocks(explanation.evidence, width, types)
    proof = [*measured, *agreement_note(explanation, width, types)]
    if proof:  # that CAM and LIME agree does not say that the model uses what they show
        asked = "Did the model use what the maps show?" if measured else "Do CAM and LIME agree?"
        top += [section(next(letters), asked, width, types), *proof]
    named = structure_blocks(explanation, width, types)
    if named:
        top += [section(next(letters), "How much does each structure speak for the class?", width, types), *named]
    if proof or named:
        top.append(section(next(letters), "Where?", width, types))
    bottom = footer(explanation, width, types)
    height = sum(block.height for block in top) + panels.height + bottom.height + 2 * MARGIN
    page = Page(width + 2 * MARGIN, height)
    y = MARGIN
    for block in top:
        block.draw(page, MARGIN, y)
        y += block.height
    panels.draw(page, MARGIN, y, types)
    bottom.draw(page, MARGIN, y + panels.height)
    return page
