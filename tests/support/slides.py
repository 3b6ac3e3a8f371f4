"""Slides that tests make themselves: glass, tissue, and a spot that the toy bundle must find."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from support.blob_bundle import write_blob_bundle

GLASS = (242, 240, 243)
TISSUE = (200, 130, 180)
SPOT = (40, 20, 60)
"""Dark: the toy bundle turns brightness round."""

TILE = 32
"""Pixels of the toy bundle's input."""


def picture(width: int, height: int, *, tissue: tuple[int, int, int, int], spot: tuple[int, int, int, int]) -> Any:
    """Glass with a box of tissue and in it a darker box; boxes are (x, y, width, height)."""
    rng = np.random.default_rng(0)
    pixels = np.empty((height, width, 3), dtype=np.float64)
    pixels[:] = GLASS
    for (x, y, wide, high), colour in ((tissue, TISSUE), (spot, SPOT)):
        pixels[y : y + high, x : x + wide] = colour
    return np.clip(pixels + rng.normal(0, 3, (height, width, 1)), 0, 255).astype(np.uint8)


def write_pyramid(path: Path, pixels: Any, *, microns: float | None = 0.5, levels: int = 3, **options: Any) -> Path:
    """An OME-TIFF (or, by its name, a plain TIFF) with levels of half the size each."""
    ome = path.name.endswith(".ome.tif")
    metadata: dict[str, Any] = {"axes": "YXS"}
    if microns is not None:
        for axis in "XY":
            metadata |= {f"PhysicalSize{axis}": microns, f"PhysicalSize{axis}Unit": "µm"}
    how = {"photometric": "rgb", "tile": (64, 64), "compression": "zlib", **options}
    with tifffile.TiffWriter(path, ome=ome) as writer:
        writer.write(pixels, subifds=levels - 1, metadata=metadata if ome else None, **how)
        for level in range(1, levels):
            small = np.asarray(Image.fromarray(pixels).reduce(2**level))
            writer.write(small, subfiletype=1, metadata=None, **how)
    return path


def write_huge(path: Path, size: int, *, tile: int = 1024) -> Path:
    """A square slide of one level: compressed blocks of glass, all the same, and one with a corner of tissue."""
    glass, tissue = (np.full((tile, tile, 3), colour, dtype=np.uint8) for colour in (GLASS, TISSUE))
    tissue[tile // 4 :] = tissue[:, tile // 4 :] = GLASS
    tissue[: tile // 16, : tile // 16] = SPOT
    packed = [zlib.compress(block.tobytes(), 1) for block in (glass, tissue)]
    count = (size // tile) ** 2

    def blocks() -> Iterator[bytes]:
        for index in range(count):
            yield packed[index == count // 2]

    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(
            blocks(),
            shape=(size, size, 3),
            dtype="uint8",
            tile=(tile, tile),
            photometric="rgb",
            compression="zlib",
            metadata=None,
        )
    return path


def write_slide_bundle(root: Path, *, explain: dict[str, Any] | None = None) -> Path:
    """An RGB bundle for tiles of 32 x 32 pixels: dark stain is "bright" for its network, glass and tissue are not."""
    scale = {
        "_target_": "ScaleIntensityRanged",
        "keys": "image",
        "a_min": 20,
        "a_max": 120,
        "b_min": 1.0,
        "b_max": 0.0,
    }
    settings = {"microns_per_pixel": 1.0, "n_regions": 12, "methods": ["gradcam", "lime"], **(explain or {})}
    return write_blob_bundle(root, (TILE, TILE), channels=3, steps=[scale], explain=settings)
