"""Boxes of a slide at any level and resolution are what the file holds; what is wrong with a file is said."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.slides import picture, write_pyramid

from camlime.errors import ScanError
from camlime.slides import open_slide

PIXELS = picture(300, 200, tissue=(20, 30, 150, 120), spot=(60, 70, 30, 30))

has_tiffslide = importlib.util.find_spec("tiffslide") is not None
has_codecs = importlib.util.find_spec("imagecodecs") is not None
SVS = "Aperio Image Library v12.0.0\r\n300x200 [0,0 300x200] (64x64) |AppMag = 20|MPP = 0.4990"


def write_svs(path: Path) -> Path:
    with tifffile.TiffWriter(path) as writer:
        writer.write(PIXELS, photometric="rgb", tile=(64, 64), description=SVS, metadata=None)
        small = np.asarray(Image.fromarray(PIXELS).reduce(2))
        writer.write(small[::4, ::4], photometric="rgb", description=SVS, metadata=None)  # the scanner's thumbnail
        writer.write(small, photometric="rgb", tile=(64, 64), description=SVS, metadata=None)
    return path


LAYOUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ome": ("a.ome.tif", {}),
    "tiff": ("a.tif", {}),
    "uncompressed": ("a.tif", {"compression": None}),
    "lzma": ("a.tif", {"compression": "lzma"}),
    "strips": ("a.tif", {"tile": None, "rowsperstrip": 7}),
    "one strip": ("a.tif", {"tile": None, "rowsperstrip": 200}),
    "large tiles": ("a.tif", {"tile": (512, 512)}),
    "differences": ("a.tif", {"predictor": True}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_boxes_are_what_was_written(layout: str, tmp_path: Path) -> None:
    name, options = LAYOUTS[layout]
    with open_slide(write_pyramid(tmp_path / name, PIXELS, **options)) as slide:
        assert [(level.width, level.height) for level in slide.levels] == [(300, 200), (150, 100), (75, 50)]
        assert [level.downsample for level in slide.levels] == [1, 2, 4]
        for x, y, width, height in ((0, 0, 300, 200), (63, 1, 2, 130), (290, 190, 10, 10), (64, 64, 64, 64)):
            assert (slide.read(0, x, y, width, height) == PIXELS[y : y + height, x : x + width]).all()
        small = np.asarray(Image.fromarray(PIXELS).reduce(4))
        assert (slide.read(2, 10, 20, 40, 30) == small[20:50, 10:50]).all()


def test_four_channels_lose_their_opacity(tmp_path: Path) -> None:
    pixels = np.dstack([PIXELS, np.full((200, 300), 7, np.uint8)])
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"], tile=(64, 64))
    with open_slide(tmp_path / "a.tif") as slide:
        assert (slide.read(0, 0, 0, 300, 200) == PIXELS).all()


def test_a_box_at_another_resolution_is_its_average(tmp_path: Path) -> None:
    """On a picture whose pixels grow linearly, wherever the box lies, at any downsampling, from any level."""
    x, y = np.meshgrid(np.arange(400), np.arange(320))
    pixels = np.stack([x * 0.5, y * 0.5, (x + y) * 0.25], axis=-1)
    path = write_pyramid(tmp_path / "a.tif", np.round(pixels).astype(np.uint8))
    with open_slide(path) as slide:
        for downsample in (1.0, 1.5, 2.0, 3.7, 4.0, 0.5):
            left, upper = 41.3, 57.9
            box = slide.read_scaled(left, upper, downsample, (40, 32))
            assert box.shape == (32, 40, 3)
            for row, column in ((8, 8), (16, 20), (23, 31)):
                at_x = left + (column + 0.5) * downsample - 0.5
                at_y = upper + (row + 0.5) * downsample - 0.5
                expected = (at_x * 0.5, at_y * 0.5, (at_x + at_y) * 0.25)
                assert np.abs(box[row, column] - expected).max() <= 1.3


def test_whole_pixels_are_not_resampled(tmp_path: Path) -> None:
    with open_slide(write_pyramid(tmp_path / "a.tif", PIXELS)) as slide:
        assert (slide.read_scaled(30, 20, 1.0, (50, 40)) == PIXELS[20:60, 30:80]).all()
        small = np.asarray(Image.fromarray(PIXELS).reduce(2))
        assert (slide.read_scaled(60, 40, 2.0, (50, 40)) == small[20:60, 30:80]).all()
        assert [slide.best_level(d) for d in (0.5, 1.0, 1.9995, 2.0, 3.0, 4.0, 9.0)] == [0, 0, 1, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("options", "microns"),
    [
        ({"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}, 0.5),
        ({"resolution": (25400, 25400), "resolutionunit": "INCH"}, 1.0),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
        ({"resolution": (4000, 4000), "resolutionunit": "NONE"}, None),
        ({}, None),
    ],
)
def test_resolution_of_plain_tiff(options: dict[str, Any], microns: float | None, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, photometric="rgb", tile=(64, 64), **options)
    with open_slide(tmp_path / "a.tif") as slide:
        assert slide.microns_per_pixel == (None if microns is None else pytest.approx(microns))


@pytest.mark.parametrize(
    ("size", "unit", "microns"), [(0.25, "µm", 0.25), (250, "nm", 0.25), (9, "µm", 9), (1, "cm", None)]
)
def test_resolution_of_ome_tiff(size: float, unit: str, microns: float | None, tmp_path: Path) -> None:
    metadata = {"axes": "YXS", "PhysicalSizeX": size, "PhysicalSizeXUnit": unit}
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS, photometric="rgb", tile=(64, 64), metadata=metadata)
    with open_slide(tmp_path / "a.ome.tif") as slide:
        assert slide.microns_per_pixel == (None if microns is None else pytest.approx(microns))


def test_the_largest_image_is_the_slide(tmp_path: Path) -> None:
    """Scanners also store a label and an overview."""
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        for pixels, microns in ((PIXELS[:50, :60], 8.0), (PIXELS, 0.25)):
            metadata = {"axes": "YXS", "PhysicalSizeX": microns, "PhysicalSizeXUnit": "µm"}
            writer.write(pixels, photometric="rgb", metadata=metadata)
    with open_slide(tmp_path / "a.ome.tif") as slide:
        assert (slide.width, slide.height, slide.microns_per_pixel) == (300, 200, 0.25)


def broken(tmp_path: Path) -> dict[str, Path]:
    """By what the message must say."""
    made = {}
    for name in ("not a TIFF", "zero bytes", "a folder", "exist", "8-bit RGB image", "axes are YX", "too large"):
        made[name] = tmp_path / f"{name.replace(' ', '_')}.tif"
    made["not a TIFF"].write_text("hello")
    made["zero bytes"].touch()
    made["a folder"].mkdir()
    tifffile.imwrite(made["8-bit RGB image"], PIXELS.astype(np.uint16), photometric="rgb", tile=(64, 64))
    tifffile.imwrite(made["axes are YX"], PIXELS[..., 0], tile=(64, 64))
    with tifffile.TiffWriter(made["too large"]) as writer:
        block = iter([b"x"])
        size = 12288
        writer.write(
            block, shape=(size, size, 3), dtype="uint8", photometric="rgb", compression="zlib", rowsperstrip=size
        )
    return made


@pytest.mark.parametrize(
    "word", ["not a TIFF", "zero bytes", "a folder", "exist", "8-bit RGB image", "axes are YX", "too large"]
)
def test_what_is_no_slide_is_refused(word: str, tmp_path: Path) -> None:
    with pytest.raises(ScanError, match=word) as caught:
        open_slide(broken(tmp_path)[word])
    assert caught.value.hint


@pytest.mark.parametrize("compression", ["zlib", None])
def test_a_truncated_file_is_refused_where_it_ends(compression: str | None, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb", tile=(64, 64), compression=compression)
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size - 3000)
    with open_slide(path) as slide, pytest.raises(ScanError, match="truncated or damaged at block"):
        slide.read(0, 0, 0, 300, 200)


def test_a_damaged_block_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb", tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].dataoffsets[3]
    with path.open("rb+") as file:
        file.seek(place)
        file.write(b"\0" * 40)
    with open_slide(path) as slide:
        slide.read(0, 0, 0, 64, 64)
        with pytest.raises(ScanError, match="block 3 of level 0"):
            slide.read(0, 0, 0, 300, 200)


def test_damaged_headers_are_refused(tmp_path: Path) -> None:
    """Whatever byte of the directory is wrong: an error of ours, or pixels; never another error."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS[:64, :64], photometric="rgb", tile=(64, 64), compression="zlib")
    whole = path.read_bytes()
    start = int.from_bytes(whole[4:8], "little")
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        data[start + int(rng.integers(0, 180))] = int(rng.integers(0, 256))
        path.write_bytes(data)
        try:
            with open_slide(path) as slide:
                slide.read(0, 0, 0, min(slide.width, 64), min(slide.height, 64))
        except ScanError:
            refused += 1
    assert refused > 10


@pytest.mark.skipif(not has_codecs, reason="imagecodecs is not installed")
def test_jpeg(tmp_path: Path) -> None:
    smooth = np.asarray(Image.fromarray(PIXELS).resize((30, 20)).resize((300, 200)))
    Image.fromarray(smooth).save(tmp_path / "ycbcr.tif", compression="jpeg")
    tifffile.imwrite(tmp_path / "rgb.tif", smooth, photometric="rgb", tile=(64, 64), compression="jpeg")
    for name in ("ycbcr.tif", "rgb.tif"):
        with open_slide(tmp_path / name) as slide:
            assert np.abs(slide.read(0, 0, 0, 300, 200).astype(int) - smooth).mean() < 3


@pytest.mark.skipif(has_codecs, reason="imagecodecs is installed")
def test_a_compression_that_needs_an_extra_says_so(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.tif", compression="jpeg")
    with open_slide(tmp_path / "a.tif") as slide, pytest.raises(ScanError, match="needs a further package") as caught:
        slide.read(0, 0, 0, 10, 10)
    assert "camlime[slides]" in caught.value.hint


@pytest.mark.skipif(not has_tiffslide, reason="tiffslide is not installed")
def test_a_scanners_format(tmp_path: Path) -> None:
    with open_slide(write_svs(tmp_path / "a.svs")) as slide:
        assert slide.microns_per_pixel == pytest.approx(0.499)
        assert [(level.width, level.height) for level in slide.levels] == [(300, 200), (150, 100)]
        assert (slide.read(0, 33, 20, 100, 90) == PIXELS[20:110, 33:133]).all()
        small = np.asarray(Image.fromarray(PIXELS).reduce(2))
        assert (slide.read(1, 17, 23, 50, 60) == small[23:83, 17:67]).all()


@pytest.mark.skipif(has_tiffslide, reason="tiffslide is installed")
def test_a_scanners_format_without_the_extra_says_so(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="scanner's own format") as caught:
        open_slide(write_svs(tmp_path / "a.svs"))
    assert "camlime[slides]" in caught.value.hint
