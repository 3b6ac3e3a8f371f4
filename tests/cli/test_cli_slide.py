"""``camlime slide``: what it writes and says, what it refuses, and what Ctrl-C keeps."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.slides import picture, write_pyramid, write_slide_bundle

from camlime.cli.progress import Watch
from camlime.methods.case import Progress

resource = pytest.importorskip("resource", reason="no limits of a process to be had")

Run = Callable[..., Any]
FEW = ("--budget", "64", "--batch-size", "16", "--device", "cpu", "--evidence-budget", "0")
SPOT = "x320_y192"
"""The tile that the dark spot fills."""


@pytest.fixture(scope="module")
def slide_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pixels = picture(800, 600, tissue=(128, 64, 448, 320), spot=(320, 192, 64, 64))
    return write_pyramid(tmp_path_factory.mktemp("slide") / "spot.ome.tif", pixels)


@pytest.fixture(scope="module")
def stain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slide_bundle(tmp_path_factory.mktemp("bundle") / "stain")


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "slide.json").read_text())
    return found


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_maps_and_explains_the_most_probable_tile(camlime: Run, slide_path: Path, stain: Path, tmp_path: Path) -> None:
    arguments = ("slide", slide_path, "--bundle", stain, "--output", tmp_path, "--class", "bright", *FEW)
    result = camlime(*arguments, "--tiles", 1)
    assert result.exit_code == 0, result.stderr
    assert "bright: most probable on 1, highest probability 100.0 %" in result.stdout
    told = record(tmp_path)
    assert [entry["folder"] for entry in told["explained"]] == [f"tiles/{SPOT}"] and told["complete"] is True
    assert (told["explained"][0]["x"], told["explained"][0]["y"]) == (320, 192)
    explained = json.loads((tmp_path / f"tiles/{SPOT}/explanation.json").read_text())
    assert explained["explained_class"] == "bright" and explained["provenance"]["slide"]["x"] == 320
    for name in names(tmp_path):
        assert str(tmp_path / name) in result.stdout

    again = camlime(*arguments, "--tile", "140,70", "--quiet")
    assert again.exit_code == 0 and sorted(again.stdout.split()) == [str(tmp_path / name) for name in names(tmp_path)]
    assert [entry["folder"] for entry in record(tmp_path)["explained"]] == ["tiles/x128_y64"]
    assert not (tmp_path / "tiles" / SPOT).exists()


def test_without_a_class_the_commonest_is_shown_and_each_tile_explained_for_its_own(
    camlime: Run, slide_path: Path, stain: Path, tmp_path: Path
) -> None:
    result = camlime("slide", slide_path, "--bundle", stain, "--output", tmp_path, "--tile", "350,200", *FEW)
    assert result.exit_code == 0, result.stderr
    assert record(tmp_path)["shown_class"] == "dark"
    assert json.loads((tmp_path / f"tiles/{SPOT}/explanation.json").read_text())["explained_class"] == "bright"


def test_a_tile_that_nobody_pointed_at_has_no_class_where_something_is_presumed(
    camlime: Run, slide_path: Path, tmp_path: Path
) -> None:
    bundle = write_slide_bundle(tmp_path / "stain", explain={"presumes": "a tumour"})
    output = tmp_path / "out"
    result = camlime(
        "slide", slide_path, "--bundle", bundle, "--output", output, "--class", "bright", "--tiles", 1,
        "--tile", "140,70", *FEW
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    before, after = result.stdout.split("  dark: most probable on ", 1)
    assert before.rstrip().endswith("no class unless a tile shows a tumour, in which case:")
    assert "it cannot tell where there is none" in after
    assert record(output)["presumes"] == "a tumour"
    picked, asked = (
        json.loads((output / "tiles" / name / "explanation.json").read_text())["prediction"]
        for name in (SPOT, "x128_y64")
    )
    assert picked["class"] is None and picked["unconfirmed"] is True and picked["probabilities"]["bright"] > 0.99
    assert asked["class"] == "dark" and asked["unconfirmed"] is False and asked["presumes"] == "a tumour"
    told = after.split(f"tile {SPOT}")[1]
    assert "no class unless the image shows a tumour" in told


def test_tissue_0_takes_every_tile(camlime: Run, slide_path: Path, stain: Path, tmp_path: Path) -> None:
    result = camlime("slide", slide_path, "--bundle", stain, "--output", tmp_path, "--tissue", 0, "--tiles", 0, *FEW)
    assert result.exit_code == 0, result.stderr
    assert record(tmp_path)["tissue"]["tiles_classified"] == (800 // 64) * (600 // 64)


WRONG: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "missing": (3, "does not exist", ("no.tif",)),
    "text": (3, "not a TIFF", ("text.tif",)),
    "truncated": (3, "truncated", ("cut.tif",)),
    "glass": (3, "no tissue", ("glass.tif",)),
    "black": (3, "single value", ("black.tif", "--tissue", "0")),
    "too small": (3, "less than one tile", ("small.tif",)),
    "class": (6, "no class 'green'", ("good.tif", "--class", "green")),
    "method": (6, "no method", ("good.tif", "--methods", "magic")),
    "place": (6, "no tile at", ("good.tif", "--tile", "9000,5")),
    "bundle": (4, "3D", ("good.tif", "--bundle", "volume")),
    "device": (9, "device", ("good.tif", "--device", "abacus")),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_are_said_and_leave_nothing(
    camlime: Run, bundle: Path, slide_path: Path, stain: Path, tmp_path: Path, name: str
) -> None:
    code, word, (file, *options) = WRONG[name]
    pixels = {
        "glass.tif": picture(200, 200, tissue=(0, 0, 0, 0), spot=(0, 0, 0, 0)),
        "black.tif": np.zeros((200, 200, 3), np.uint8),
        "small.tif": picture(20, 200, tissue=(5, 5, 10, 100), spot=(0, 0, 0, 0)),
        "cut.tif": picture(200, 200, tissue=(20, 20, 100, 100), spot=(0, 0, 0, 0)),
    }.get(file)
    path = slide_path if file == "good.tif" else tmp_path / file
    if pixels is not None:
        write_pyramid(path, pixels, levels=1)
    if file == "text.tif":
        path.write_text("hello")
    if file == "cut.tif":
        os.truncate(path, path.stat().st_size - 2000)
    options = [str(bundle) if option == "volume" else option for option in options]
    chosen = () if "--bundle" in options else ("--bundle", stain)
    before = names(tmp_path)
    result = camlime("slide", path, *chosen, "--output", tmp_path / "out", "--batch-size", 16, *options)
    assert result.exit_code == code, result.stderr
    lines = result.stderr.splitlines()
    assert lines[0].startswith("error: ") and word in lines[0] and "Traceback" not in result.stderr
    assert result.stdout == "" and names(tmp_path) == before and not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["5", "a,b", "1,2,3", "nan,1"])
def test_a_tile_that_is_no_place_is_a_usage_error(
    camlime: Run, slide_path: Path, stain: Path, tmp_path: Path, text: str
) -> None:
    result = camlime("slide", slide_path, "--bundle", stain, "--output", tmp_path, "--tile", text)
    assert result.exit_code == 2 and "--tile" in result.stderr


def test_a_full_disk_leaves_the_map_of_an_earlier_run(
    camlime: Run, slide_path: Path, stain: Path, tmp_path: Path
) -> None:
    """A limit on the size of files stands for a disk without space: writing fails on the way."""
    arguments = ("slide", slide_path, "--bundle", stain, "--output", tmp_path / "out", "--tiles", 0, *FEW)
    assert camlime(*arguments).exit_code == 0
    before = {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    heard = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
        result = camlime(*arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, heard)
    assert result.exit_code == 8 and "cannot write to" in result.stderr
    assert {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")} == before


def interrupt_at(monkeypatch: pytest.MonkeyPatch, method: str, times: int) -> None:
    """Press Ctrl-C when a part of the work reports for so many times."""
    heard = Watch._progress
    count = [0]

    def pressed(self: Watch, progress: Progress) -> None:
        heard(self, progress)
        count[0] += progress.method == method
        if progress.method == method and count[0] == times:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Watch, "_progress", pressed)


def test_interrupted_while_mapping_keeps_the_tiles_so_far(
    camlime: Run, slide_path: Path, stain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, "map", 1)
    result = camlime("slide", slide_path, "--bundle", stain, "--output", tmp_path, "--tiles", 1, *FEW)
    assert result.exit_code == 130 and "kept the answers on 32 tiles and 0 explanation(s)" in result.stderr
    told = record(tmp_path)
    assert told["complete"] is False and told["tissue"]["tiles_classified"] == 32 and told["explained"] == []
    assert names(tmp_path) == ["map.ome.tif", "overview.png", "slide.json", "tiles.csv"]


def test_interrupted_while_explaining_keeps_map_and_explanations(
    camlime: Run, slide_path: Path, stain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, "lime", 6)
    result = camlime("slide", slide_path, "--bundle", stain, "--output", tmp_path, "--tiles", 3, *FEW)
    assert result.exit_code == 130 and "35 tiles and 2 explanation(s)" in result.stderr
    told = record(tmp_path)
    assert told["complete"] is False and len(told["explained"]) == 2
    complete = [
        json.loads((tmp_path / entry["folder"] / "explanation.json").read_text())["complete"]
        for entry in told["explained"]
    ]
    assert complete == [True, False]
    assert not list(tmp_path.rglob(".*"))
