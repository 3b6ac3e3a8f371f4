"""The hot tile lies where the spot is, in the map, the table and the explanation; glass is not looked at."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from matplotlib.text import Text
from PIL import Image
from slides.conftest import SIZE, SPOT_BOX, SPOT_TILE, TISSUE_BOX
from support.slides import TISSUE, picture, write_huge, write_pyramid, write_slide_bundle

import camlime
from camlime.bundle import Bundle
from camlime.errors import BundleError, RequestError, ScanError
from camlime.overview import compose
from camlime.pipeline import classifier_of
from camlime.scan import Scan
from camlime.slides import (
    Slide,
    SlideMap,
    explain_tile,
    find_tissue,
    map_slide,
    open_slide,
    save_map,
    tile_grid,
)
from camlime.slides.picture import draw_map


def mapped(slide: Slide, bundle: Bundle, **settings: float) -> SlideMap:
    tissue = find_tissue(slide)
    grid = tile_grid(slide, tissue, bundle, **settings)
    classifier = classifier_of(bundle, device="cpu", batch_size=16)
    return map_slide(slide, bundle, classifier, grid=grid, tissue=tissue)


@pytest.fixture(scope="module")
def made(slide_path: Path, bundle: Bundle) -> SlideMap:
    with open_slide(slide_path) as slide:
        return mapped(slide, bundle)


def test_the_hot_tile_is_where_the_spot_is(made: SlideMap) -> None:
    bright = made.probabilities[made.class_index("bright")]
    assert np.unravel_index(np.nanargmax(bright), bright.shape) == SPOT_TILE
    assert bright[SPOT_TILE] > 0.99 and np.nanmedian(bright) < 0.2
    first, second = made.strongest("bright", 2)
    assert (first.row, first.column) == SPOT_TILE and (first.x, first.y) == SPOT_BOX[:2]
    assert (second.row, second.column) != SPOT_TILE
    assert made.counts()["bright"] == 1 and made.commonest() == "dark" and made.complete


def test_tissue_only(made: SlideMap) -> None:
    """A tile is classified if a quarter of it lies in the box of tissue, give or take a pixel of the small picture."""
    x, y, width, height = TISSUE_BOX
    for row in range(made.grid.wanted.shape[0]):
        for column in range(made.grid.wanted.shape[1]):
            tile = made.grid.tile(row, column)
            wide = max(min(tile.x + tile.width, x + width) - max(tile.x, x), 0)
            high = max(min(tile.y + tile.height, y + height) - max(tile.y, y), 0)
            share = wide * high / (tile.width * tile.height)
            assert made.grid.share[row, column] == pytest.approx(share, abs=0.05)
            known = np.isfinite(made.probabilities[:, row, column])
            assert known.all() == known.any() == made.grid.wanted[row, column]


def test_probabilities_are_those_of_each_tile_as_a_picture(slide_path: Path, bundle: Bundle, tmp_path: Path) -> None:
    """The slow way: average the finest level, save each tile as a PNG, and classify it alone."""
    pixels = picture(*SIZE, tissue=TISSUE_BOX, spot=SPOT_BOX)
    with open_slide(slide_path) as slide:
        made = mapped(slide, bundle)
    for row, column in (SPOT_TILE, (3, 4), (6, 11), (2, 3), (11, 16)):
        cut = pixels[row * 64 : row * 64 + 64, column * 64 : column * 64 + 64]
        Image.fromarray(cut).reduce(2).save(tmp_path / "tile.png")
        expected = camlime.classify(tmp_path / "tile.png", bundle, device="cpu").probabilities
        for name, p in expected.items():
            assert made.probabilities[made.class_index(name), row, column] == pytest.approx(p, abs=1e-5)


@pytest.mark.parametrize("layout", ["no pyramid", "strips", "other levels", "odd resolution"])
def test_the_map_does_not_depend_on_how_the_slide_is_stored(
    layout: str, made: SlideMap, bundle: Bundle, tmp_path: Path
) -> None:
    pixels = picture(*SIZE, tissue=TISSUE_BOX, spot=SPOT_BOX)
    options = {
        "no pyramid": {"levels": 1},
        "strips": {"levels": 1, "tile": None, "rowsperstrip": 13},
        "other levels": {"levels": 4, "tile": (128, 256)},
        "odd resolution": {"microns": 0.52},
    }[layout]
    with open_slide(write_pyramid(tmp_path / "a.ome.tif", pixels, **options)) as slide:
        other = mapped(slide, bundle)
    if layout == "odd resolution":
        assert other.grid.downsample == pytest.approx(1 / 0.52)
        x, y = (SPOT_BOX[0] + 32, SPOT_BOX[1] + 32)
        hot = other.strongest("bright", 1)[0]
        assert hot == other.grid.at(x, y) and hot.x <= x < hot.x + hot.width and hot.y <= y < hot.y + hot.height
    else:
        assert np.nanmax(np.abs(other.probabilities - made.probabilities)) < 1e-4
        assert (np.isnan(other.probabilities) == np.isnan(made.probabilities)).mean() > 0.98


def test_an_explained_tile_is_the_picture_of_it_with_a_place(
    slide_path: Path, bundle: Bundle, made: SlideMap, tmp_path: Path
) -> None:
    few = {"methods": ["gradcam", "lime"], "budget": 64, "evidence_budget": 0, "class_name": "bright"}
    tile = made.grid.tile(*SPOT_TILE)
    with open_slide(slide_path) as slide:
        classifier = classifier_of(bundle, device="cpu", batch_size=16)
        explained = explain_tile(slide, bundle, classifier, grid=made.grid, tile=tile, **few)
        cut = slide.read_scaled(tile.x, tile.y, made.grid.downsample, made.grid.size)
    Image.fromarray(cut).save(tmp_path / "tile.png")
    alone = camlime.explain(Scan.read(tmp_path / "tile.png"), bundle, device="cpu", batch_size=16, **few)
    for name, attribution in alone.attributions.items():
        assert np.allclose(explained.attributions[name].values, attribution.values, atol=1e-5)
    assert explained.input.affine[:2, 3] == pytest.approx([SPOT_TILE[1] * 32, SPOT_TILE[0] * 32])
    assert explained.input.spacing == (1.0, 1.0)
    place = explained.provenance["slide"]
    assert (place["slide"], place["x"], place["y"], place["width"]) == (slide_path.name, *SPOT_BOX[:2], 64)
    assert (place["slide_microns_per_pixel"], place["tile_microns_per_pixel"], place["downsample"]) == (0.5, 1.0, 2.0)
    explained.save(tmp_path / "out")
    assert json.loads((tmp_path / "out/explanation.json").read_text())["provenance"]["slide"] == place
    assert camlime.Explanation.load(tmp_path / "out").provenance["slide"] == place


def test_a_tile_lies_in_no_patient_and_is_measured_in_microns(slide_path: Path, bundle: Bundle, made: SlideMap) -> None:
    few = {"methods": ["lime"], "budget": 64, "evidence_budget": 0, "class_name": "bright"}
    tile = made.grid.tile(*SPOT_TILE)
    with open_slide(slide_path) as slide:
        classifier = classifier_of(bundle, device="cpu", batch_size=16)
        explained = explain_tile(slide, bundle, classifier, grid=made.grid, tile=tile, **few)
    said = [text.get_text() for text in compose(explained).figure.findobj(Text) if text.get_text()]
    title = next(text for text in said if "input" in text)
    assert "input 32 × 32 pixels of 1 × 1 µm" in title
    x, y = (float(number) for number in title.split("slide pixel ")[1].split(", "))
    assert tile.x <= x <= tile.x + tile.width and tile.y <= y <= tile.y + tile.height
    assert "10 µm" in said and not {"R", "L", "A", "P"} & set(said) and not any(" mm" in text for text in said)


def test_saved_map_table_and_record_agree(made: SlideMap, tmp_path: Path) -> None:
    files = save_map(made, tmp_path, shown="bright", tiles=made.strongest("bright", 1), warnings=["beware"])
    assert sorted(path.name for path in files) == sorted(path.name for path in tmp_path.iterdir())
    record = json.loads((tmp_path / "slide.json").read_text())
    with tifffile.TiffFile(tmp_path / record["map_file"]) as file:
        values = file.asarray()
        assert file.is_ome and file.series[0].axes == "CYX"
        ome = file.ome_metadata
    assert ome is not None
    assert 'PhysicalSizeX="32.0"' in ome and 'Name="bright"' in ome
    assert np.array_equal(values, made.probabilities, equal_nan=True)
    rows = list(csv.DictReader((tmp_path / record["table_file"]).open()))
    assert len(rows) == made.classified == record["tissue"]["tiles_classified"]
    for row in rows:
        place = int(row["row"]), int(row["column"])
        assert float(row["bright"]) == pytest.approx(float(values[(made.class_index("bright"), *place)]), abs=1e-6)
        assert float(row["x"]) == place[1] * 64 and float(row["y"]) == place[0] * 64
    assert record["tiles_by_most_probable_class"] == made.counts() and record["warnings"] == ["beware"]
    with Image.open(tmp_path / record["picture_file"]) as drawn:
        assert drawn.width > 600
        colours = np.asarray(drawn.convert("RGB")).reshape(-1, 3)
    assert (np.ptp(colours, axis=1) > 100).any()


def test_the_number_of_a_tile_at_the_edge_lies_in_the_picture(bundle: Bundle, tmp_path: Path) -> None:
    """With and without outlined tiles: what differs lies in the two panels, the number of a tile at the edge in it."""
    pixels = picture(256, 256, tissue=(0, 0, 256, 256), spot=(64, 64, 64, 64))
    with open_slide(write_pyramid(tmp_path / "a.ome.tif", pixels, levels=1)) as slide:
        made = mapped(slide, bundle)
    assert made.grid.wanted.shape == (4, 4)  # no room beyond the last column
    tiles = [made.grid.tile(row, column) for row, column in ((0, 0), (0, 3), (2, 3), (3, 3), (2, 1))]
    drawn = []
    for name, outlined in (("plain", []), ("numbered", tiles)):
        draw_map(made, tmp_path / f"{name}.png", shown="bright", tiles=outlined)
        with Image.open(tmp_path / f"{name}.png") as opened:
            drawn.append(np.asarray(opened.convert("RGB")).astype(int))
    differs = (drawn[0] != drawn[1]).any(axis=2)
    inch, panel = 130, 7 * 130  # as the module draws
    tile, top = panel // 4, differs.shape[0] - 26 - panel
    outside = differs.copy()
    for left in (26, 26 + panel + round(0.2 * inch)):
        seen = differs[top : top + panel, left : left + panel]
        outside[top : top + panel, left : left + panel] = False
        for row in range(4):
            for column in range(4):
                inner = seen[row * tile + 6 : (row + 1) * tile - 5, column * tile + 6 : (column + 1) * tile - 5]
                assert inner.any() == ((row, column) in {(0, 0), (0, 3), (2, 3), (3, 3), (1, 2)}), (row, column)
    assert not outside.any()


def test_what_is_assumed_is_said(slide_path: Path, tmp_path: Path) -> None:
    pixels = picture(*SIZE, tissue=TISSUE_BOX, spot=SPOT_BOX)
    without = write_slide_bundle(tmp_path / "without", explain={"microns_per_pixel": None})
    plain = write_pyramid(tmp_path / "a.tif", pixels)
    with open_slide(slide_path) as slide:
        grid = tile_grid(slide, find_tissue(slide), Bundle.load(without))
        assert grid.downsample == 1 and "does not say the resolution of its tiles" in grid.notes[0]
        assert grid.tile_microns == 0.5
    with_resolution = Bundle.load(write_slide_bundle(tmp_path / "with"))
    with open_slide(plain) as slide:
        grid = tile_grid(slide, find_tissue(slide), with_resolution)
        assert grid.downsample == 1 and "1 microns a pixel are assumed" in grid.notes[0] and grid.tile_microns is None
        grid = tile_grid(slide, find_tissue(slide), with_resolution, slide_microns=0.25)
        assert grid.downsample == 4 and grid.notes == ()
        grid = tile_grid(slide, find_tissue(slide), with_resolution, slide_microns=2.0)
        assert grid.downsample == 0.5 and "coarser" in grid.notes[0]


def test_tile_size_of_the_bundle(slide_path: Path, tmp_path: Path) -> None:
    own = Bundle.load(write_slide_bundle(tmp_path / "own", explain={"tile_size": [64, 48]}))
    with open_slide(slide_path) as slide:
        grid = tile_grid(slide, find_tissue(slide), own)
    assert grid.size == (64, 48) and grid.wanted.shape == (1100 // 96, 1500 // 128)


def test_tissue_beyond_the_last_whole_tile_is_said(bundle: Bundle, tmp_path: Path) -> None:
    pixels = picture(200, 200, tissue=(150, 20, 50, 100), spot=(0, 0, 0, 0))
    with open_slide(write_pyramid(tmp_path / "a.ome.tif", pixels, levels=1)) as slide:
        assert any("beyond the last whole tile" in note for note in tile_grid(slide, find_tissue(slide), bundle).notes)


def test_a_slide_that_is_all_tissue_is_all_looked_at(bundle: Bundle, tmp_path: Path) -> None:
    """Otsu alone would cut such a slide in two."""
    rng = np.random.default_rng(0)
    pixels = np.clip(rng.normal(TISSUE, 12, (256, 256, 3)), 0, 255).astype(np.uint8)
    pixels[:, 128:] = np.clip(rng.normal((228, 170, 215), 6, (256, 128, 3)), 0, 255)
    with open_slide(write_pyramid(tmp_path / "a.ome.tif", pixels, levels=1)) as slide:
        assert find_tissue(slide).mask.mean() > 0.99


def test_glass_alone_is_no_tissue(tmp_path: Path) -> None:
    pixels = picture(256, 256, tissue=(0, 0, 0, 0), spot=(0, 0, 0, 0))
    with (
        open_slide(write_pyramid(tmp_path / "a.tif", pixels, levels=1)) as slide,
        pytest.raises(ScanError, match="no tissue") as caught,
    ):
        find_tissue(slide)
    assert "--tissue" in caught.value.hint


def test_what_cannot_be_tiled_is_refused(slide_path: Path, bundle: Bundle, tmp_path: Path) -> None:
    small = picture(50, 300, tissue=(5, 5, 40, 40), spot=(0, 0, 0, 0))
    with (
        open_slide(write_pyramid(tmp_path / "a.ome.tif", small, levels=1)) as slide,
        pytest.raises(ScanError, match="less than one tile"),
    ):
        tile_grid(slide, find_tissue(slide), bundle)
    with open_slide(slide_path) as slide:
        tissue = find_tissue(slide)
        speck = type(tissue)(tissue.thumbnail, tissue.mask.copy(), tissue.downsample, tissue.threshold)
        speck.mask[:] = False
        speck.mask[100, 100] = True
        with pytest.raises(ScanError, match=r"no tile .* has 25% of tissue"):
            tile_grid(slide, speck, bundle)
        grid = tile_grid(slide, tissue, bundle)
        assert (grid.at(704, 448).row, grid.at(767.9, 511.9).column) == SPOT_TILE
        for x, y in ((-1, 5), (5, 1090), (1499, 5)):
            with pytest.raises(RequestError, match="no tile at"):
                grid.at(x, y)


def test_a_bundle_for_other_images_is_refused(slide_path: Path, tmp_path: Path) -> None:
    from support.blob_bundle import write_blob_bundle

    volume = Bundle.load(write_blob_bundle(tmp_path / "volume", (16, 14, 12)))
    with open_slide(slide_path) as slide, pytest.raises(BundleError, match=r"1 channel.* in 3D"):
        tile_grid(slide, find_tissue(slide), volume)


def test_cancelled_on_the_way_keeps_what_is_there(slide_path: Path, bundle: Bundle, tmp_path: Path) -> None:
    heard: list[int] = []
    with open_slide(slide_path) as slide:
        tissue = find_tissue(slide)
        made = map_slide(
            slide,
            bundle,
            classifier_of(bundle, device="cpu", batch_size=8),
            grid=tile_grid(slide, tissue, bundle),
            tissue=tissue,
            on_progress=lambda progress: heard.append(progress.done),
            cancelled=lambda: len(heard) == 2,
        )
    assert heard == [32, 64] and made.classified == 64 and not made.complete
    save_map(made, tmp_path, shown="bright")
    assert json.loads((tmp_path / "slide.json").read_text())["complete"] is False


MEASURE = """
from pathlib import Path
from camlime.bundle import Bundle
from camlime.pipeline import classifier_of
from camlime.slides import find_tissue, map_slide, open_slide, tile_grid
import torch
torch.set_num_threads(1)
bundle = Bundle.load({bundle!r})
classifier = classifier_of(bundle, device="cpu", batch_size=16)
for path in {paths!r}:
    with open_slide(path) as slide:
        tissue = find_tissue(slide)
        grid = tile_grid(slide, tissue, bundle)
        made = map_slide(slide, bundle, classifier, grid=grid, tissue=tissue)
    hot = made.strongest("bright", 1)[0]
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(slide.width, made.classified, hot.x, hot.y, int(peak.split()[1]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no peak memory of a process to be had")
def test_memory_does_not_grow_with_the_slide(
    run_python: Callable[[str], str], bundle_path: Path, tmp_path: Path
) -> None:
    """1.2 GB of pixels after 0.3 GB of them, in one process: its peak hardly moves."""
    paths = [str(write_huge(tmp_path / f"{size}.tif", size)) for size in (10240, 20480)]
    small, large = (
        line.split() for line in run_python(MEASURE.format(bundle=str(bundle_path), paths=paths)).splitlines()
    )
    assert (small[0], large[0]) == ("10240", "20480")
    for one, blocks in ((small, 10), (large, 20)):
        block = blocks**2 // 2
        row, column = divmod(block, blocks)
        assert (float(one[2]), float(one[3])) == (1024 * column, 1024 * row)
        assert int(one[1]) == (256 // 32) ** 2
    assert int(large[4]) - int(small[4]) < 60
