"""Tiles unlike the training data are flagged, and are not what a slide is judged or explained by."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.slides import GLASS, TILE, TISSUE, picture, write_pyramid, write_slide_bundle
from support.slides import SPOT as SPOT_COLOUR

from camlime.bundle import Bundle
from camlime.cli.slide_running import print_map
from camlime.domain import Domain, answers_and_features
from camlime.pipeline import classifier_of
from camlime.scan import Scan
from camlime.slides import SlideMap, find_tissue, map_slide, open_slide, save_map, tile_grid
from camlime.slides.mapping import flag_notes
from camlime.slides.picture import draw_map
from camlime.slides.saving import record_of

LAYERS = ["net.layer_0", "net.layer_1"]
STRANGE = (5, 3)
"""Row and column of a tile of dark stripes, which the toy network calls bright with more certainty than the spot."""
SPOT = (2, 6)
EDGE = 2 * TILE


def place(row: int, column: int) -> tuple[slice, slice]:
    return slice(row * EDGE, (row + 1) * EDGE), slice(column * EDGE, (column + 1) * EDGE)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    made = picture(640, 576, tissue=(EDGE, EDGE, 8 * EDGE, 7 * EDGE), spot=(SPOT[1] * EDGE, SPOT[0] * EDGE, EDGE, EDGE))
    stripes = np.where(np.arange(EDGE)[:, None, None] // 8 % 2, (0, 0, 60), (255, 200, 255))
    made[place(*STRANGE)] = np.broadcast_to(stripes, (EDGE, EDGE, 3))
    return made


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Its domain is what the network sees of plain tiles of any shade between glass and the spot."""
    root = write_slide_bundle(tmp_path_factory.mktemp("bundle") / "stain")
    rng = np.random.default_rng(0)
    plain = Bundle.load(root)
    images = []
    shades = np.array([GLASS, TISSUE, SPOT_COLOUR], dtype=float)
    for shade in [*np.linspace(0, 2, 60), *[1.0] * 40, *[2.0] * 40]:
        colour = [np.interp(shade, [0, 1, 2], shades[:, channel]) for channel in range(3)]
        tile = np.clip(colour + rng.normal(0, 1.5, (TILE, TILE, 1)), 0, 255).astype(np.uint8)
        images.append(plain.prepare(Scan.from_array(tile.transpose(2, 1, 0), np.eye(4))).image)
    import torch

    features = answers_and_features(classifier_of(plain, device="cpu"), torch.stack(images), LAYERS)[1]
    Domain.fit(features[::2], features[1::2], LAYERS, quantile=0.98).save(root / "models" / "domain.safetensors")
    file = root / "configs" / "explain.json"
    settings = json.loads(file.read_text())["explain"] | {
        "domain": {"file": "models/domain.safetensors", "layers": LAYERS}
    }
    file.write_text(json.dumps({"explain": settings}))
    return Bundle.load(root)


def mapped(path: Path, bundle: Bundle) -> SlideMap:
    with open_slide(path) as slide:
        tissue = find_tissue(slide)
        grid = tile_grid(slide, tissue, bundle)
        return map_slide(slide, bundle, classifier_of(bundle, device="cpu"), grid=grid, tissue=tissue)


@pytest.fixture(scope="module")
def made(pixels: np.ndarray, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> SlideMap:
    return mapped(write_pyramid(tmp_path_factory.mktemp("slide") / "a.ome.tif", pixels), bundle)


def test_the_strange_tile_is_flagged_and_the_tissue_is_not(made: SlideMap) -> None:
    assert made.flagged[STRANGE]
    assert made.flagged.sum() <= 3
    assert not made.flagged[SPOT]
    assert flag_notes(made)[0].startswith(f"{made.flagged.sum()} of {made.classified} tiles are unlike")


def test_scores_are_those_of_each_tile_alone(made: SlideMap, pixels: np.ndarray, bundle: Bundle) -> None:
    domain = Domain.of(bundle)
    assert domain is not None
    classifier = classifier_of(bundle, device="cpu")
    for row, column in (STRANGE, SPOT, (3, 4)):
        cut = np.asarray(Image.fromarray(pixels[place(row, column)]).reduce(2))
        image = bundle.prepare(Scan.from_array(cut.transpose(2, 1, 0), np.eye(4))).image
        alone = domain.scores(answers_and_features(classifier, image[None], LAYERS)[1])[0]
        assert made.scores is not None
        assert made.scores[row, column] == pytest.approx(alone, rel=0.02)


def test_it_is_neither_counted_nor_explained(made: SlideMap) -> None:
    strongest = made.strongest("bright", made.classified)
    assert STRANGE not in {(tile.row, tile.column) for tile in strongest}
    assert len(strongest) == sum(made.counts().values()) == made.classified - made.flagged.sum()


def test_table_and_record_say_so(made: SlideMap, tmp_path: Path) -> None:
    save_map(made, tmp_path, shown="bright")
    record = json.loads((tmp_path / "slide.json").read_text())
    assert record["domain"] == {"score_above": pytest.approx(made.threshold), "tiles": int(made.flagged.sum())}
    rows = {(int(row["row"]), int(row["column"])): row for row in csv.DictReader((tmp_path / "tiles.csv").open())}
    assert rows[STRANGE]["flagged"] == "1" and rows[SPOT]["flagged"] == "0"
    assert float(rows[STRANGE]["score"]) > made.threshold > float(rows[SPOT]["score"])


def test_the_picture_shows_it_in_grey(made: SlideMap, tmp_path: Path) -> None:
    from dataclasses import replace

    drawn = []
    for kind in (made, replace(made, scores=None, threshold=None)):
        save_map(kind, tmp_path, shown="bright")
        with Image.open(tmp_path / "overview.png") as file:
            drawn.append(np.asarray(file.convert("RGB")).astype(int))
    changed = np.abs(drawn[0] - drawn[1]).max(-1) > 20
    inside = drawn[0][changed]
    assert changed.sum() > 500
    assert np.median(np.ptp(inside, axis=1)) < 20


def test_where_all_are_flagged_the_resolution_is_doubted_and_no_tile_has_a_class(
    made: SlideMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = replace(made, threshold=-1.0)
    assert strange.flagged.sum() == strange.classified
    assert "--mpp" in flag_notes(strange)[0]
    assert strange.strongest("bright", 2) == [] and set(strange.counts().values()) == {0}
    shown = strange.commonest()
    draw_map(strange, tmp_path / "map.png", shown=shown)
    record = record_of(strange, shown=shown, provenance={}, warnings=())
    assert record["domain"]["tiles"] == strange.classified
    assert set(record["tiles_by_most_probable_class"].values()) == {0}
    print_map(strange, ())
    printed = capsys.readouterr().out
    assert "every tile is flagged: none has a class" in printed and "most probable" not in printed


def test_a_bundle_that_cannot_tell_flags_nothing(pixels: np.ndarray, tmp_path: Path) -> None:
    silent = mapped(write_pyramid(tmp_path / "a.ome.tif", pixels), Bundle.load(write_slide_bundle(tmp_path / "b")))
    assert silent.scores is None and not silent.flagged.any() and flag_notes(silent) == ()
    save_map(silent, tmp_path / "out", shown="bright")
    assert json.loads((tmp_path / "out" / "slide.json").read_text())["domain"] is None
    assert "flagged" not in (tmp_path / "out" / "tiles.csv").read_text().splitlines()[0]


def test_the_batch_size_that_was_asked_for_holds(bundle):
    import torch

    classifier, sizes = classifier_of(bundle, device="cpu", batch_size=3), []
    handle = classifier.network.register_forward_hook(lambda module, given, output: sizes.append(len(output)))
    try:
        logits, features = answers_and_features(classifier, torch.rand(8, 3, TILE, TILE), LAYERS)
    finally:
        handle.remove()
    assert sizes == [3, 3, 2]
    assert len(logits) == len(features) == 8
