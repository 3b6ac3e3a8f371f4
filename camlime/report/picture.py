"""The slices through the strongest point as one picture: for print, and for browsers without WebGL 2."""

from __future__ import annotations

import base64
import io
import warnings

from camlime.explanation import Explanation
from camlime.overview import PICTURES_2D, PICTURES_3D
from camlime.overview.page import Page, Typesetter
from camlime.overview.panels import Panels

MARGIN = 0.12


def static_picture(explanation: Explanation) -> str:
    """The panels of the overview as a data URL of a PNG."""
    types = Typesetter()
    panels = Panels(explanation, PICTURES_3D if len(explanation.input.spatial_shape) == 3 else PICTURES_2D)
    page = Page(panels.width + 2 * MARGIN, panels.height + 2 * MARGIN)
    with warnings.catch_warnings(), io.BytesIO() as file:
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        panels.draw(page, MARGIN, MARGIN, types)
        page.figure.savefig(file, dpi=page.figure.dpi, format="png")
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
