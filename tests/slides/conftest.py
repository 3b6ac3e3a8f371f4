"""A slide with a dark spot in a known tile, and a bundle that finds it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.slides import picture, write_pyramid, write_slide_bundle

from camlime.bundle import Bundle

SPOT_TILE = (7, 11)
"""Row and column of the tile that the spot fills: tiles are 32 pixels at 1 micron, so 64 of the slide's pixels."""

TISSUE_BOX = (200, 150, 900, 600)
SPOT_BOX = (704, 448, 64, 64)
SIZE = (1500, 1100)


@pytest.fixture(scope="session")
def slide_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OME-TIFF of three levels, 0.5 microns a pixel."""
    pixels = picture(*SIZE, tissue=TISSUE_BOX, spot=SPOT_BOX)
    return write_pyramid(tmp_path_factory.mktemp("slide") / "spot.ome.tif", pixels)


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slide_bundle(tmp_path_factory.mktemp("bundle") / "stain")


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> Bundle:
    return Bundle.load(bundle_path)
