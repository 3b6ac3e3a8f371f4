"""The commands on a volume with a 2D bundle: as a user types them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.blob_bundle import write_blob_bundle
from support.slice_cases import SIZE, STEPS
from typer.testing import CliRunner

from camlime.cli.app import app

runner = CliRunner()


def run(*words):
    return runner.invoke(app, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture(scope="module")
def explained(bundle_path, volume_file, tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "out"
    words = ("--plane", "axial", "--methods", "gradcam", "--class", "bright", "--n-explained", 2)
    done = run("explain", volume_file, "--bundle", bundle_path, "--output", out, *words, "--evidence-budget", 0)
    assert done.exit_code == 0, done.output
    return done, out


def test_classify_prints_a_line_a_slice(bundle_path, volume_file):
    done = run("classify", volume_file, "--bundle", bundle_path, "--plane", "coronal", "--slices", "20:30")
    assert done.exit_code == 0
    assert "coronal slices" in done.stdout
    assert "no class for the volume" in done.stdout
    assert sum("  score " in line for line in done.stdout.splitlines()) == 11


def test_classify_as_json(bundle_path, volume_file):
    done = run("classify", volume_file, "--bundle", bundle_path, "--slice", 12, "--json")
    record = json.loads(done.stdout)
    assert [row["index"] for row in record["slices"]] == [12]
    assert record["volume_class"] is None
    assert record["domain"]["quantile"] == pytest.approx(0.98)


def test_explain_writes_stacked_maps_and_a_folder_a_slice(explained):
    done, out = explained
    record = json.loads((out / "explanation.json").read_text())
    chosen = [row["index"] for row in record["slices"] if "explanation" in row]
    assert len(chosen) == 2
    assert done.stdout.count("  explained") == 2
    for n in chosen:
        assert json.loads((out / f"slice_{n:03d}" / "explanation.json").read_text())["explained_class"] == "bright"
    assert {"input.nii.gz", "slices.nii.gz", "gradcam.nii.gz", "overview.png"} <= set(record["files"])


def test_the_picture_is_one(explained):
    from PIL import Image

    with Image.open(explained[1] / "overview.png") as picture:
        assert min(picture.size) > 500


@pytest.fixture(scope="module")
def picture_file(tmp_path_factory):
    from PIL import Image

    file = tmp_path_factory.mktemp("picture") / "tile.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (SIZE, SIZE), np.uint8)).save(file)
    return file


@pytest.mark.parametrize("words", [(), ("--slice", 0), ("--slices", "0:0"), ("--plane", "native")])
def test_a_picture_is_not_said_to_be_turned(picture_file, tmp_path_factory, words):
    """Of a bundle that says nothing of how slices are held: of a picture there is nothing to say."""
    path = write_blob_bundle(tmp_path_factory.mktemp("bundle") / "plain", (SIZE, SIZE), steps=STEPS)
    done = run("classify", picture_file, "--bundle", path, *words)
    assert done.exit_code == 0, done.output
    for untrue in ("turned", "axial", "volume", "series"):
        assert untrue not in done.output
    assert ("one image, taken as it is" in done.stdout) is bool(words)


@pytest.mark.parametrize("command", ["classify", "explain"])
@pytest.mark.parametrize(("words", "missing"), [(("--slice", 3), 3), (("--slices", "0:3"), 1)])
def test_a_picture_has_one_slice(bundle_path, picture_file, tmp_path, command, words, missing):
    output = ("--output", tmp_path / "out") if command == "explain" else ()
    done = run(command, picture_file, "--bundle", bundle_path, *words, *output)
    assert done.exit_code == 6, done.output
    said = " ".join(done.output.split())
    assert f"there is no slice {missing}: " in said
    assert "tile.png is a picture, which has one slice" in said and "it is slice 0" in said


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("command", ["classify", "explain"])
def test_a_picture_has_no_plane_of_a_patient(bundle_path, picture_file, tmp_path, command, plane):
    output = ("--output", tmp_path / "out") if command == "explain" else ()
    done = run(command, picture_file, "--bundle", bundle_path, "--plane", plane, *output)
    assert done.exit_code == 6, done.output
    said = " ".join(done.output.split())
    assert f"is a picture, which lies in no patient and has no {plane} slices" in said
    assert "leave --plane out" in said


@pytest.mark.parametrize("looks_at", ["a part", "the whole"])
@pytest.mark.parametrize(
    ("words", "options"),
    [
        (("--slice", 3), "--slice"),
        (("--seen", "3:4"), "--seen"),
        (("--plane", "axial", "--slices", "3:4"), "--plane and --slices"),
        (("--slice", 3, "--point", 12, -9, 31), "--slice"),
    ],
)
def test_a_bundle_for_volumes_tells_what_it_takes_instead(volume_file, tmp_path, words, options, looks_at):
    """The hint is followed: without the slices, and with a point exactly where it speaks of one, there is an answer."""
    explain = {"field_of_view_mm": [60.0] * 3} if looks_at == "a part" else {}
    resize = {"_target_": "Resized", "keys": "image", "spatial_size": [16, 16, 16]}
    path = write_blob_bundle(tmp_path / "solid", (16, 16, 16), steps=[resize], explain=explain)
    for command in (("classify",), ("explain", "--output", tmp_path / "out")):
        done = run(*command, volume_file, "--bundle", path, *words)
        assert done.exit_code == 6, done.output
        said = " ".join(done.output.split())
        assert f"leave {options} out" in said
        assert ("--point R A S in mm" in said) is (looks_at == "a part")
        assert ("it looks at the whole volume" in said) is (looks_at == "the whole")
    followed = ("--point", 12, -9, 31) if looks_at == "a part" else ()
    assert run("classify", volume_file, "--bundle", path, *followed).exit_code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--slices", "9:3"), 2, "is not A:B"),
        (("--slices", "all"), 2, "is not A:B"),
        (("--slices", "30:99"), 6, "slices are 0 to 31"),
        (("--slice", "77"), 6, "slices are 0 to 31"),
        (("--plane", "oblique"), 2, "oblique"),
        (("--point", "1", "2", "3"), 6, "--slice"),
    ],
)
def test_what_cannot_be_done_is_said(bundle_path, volume_file, tmp_path, words, code, said):
    done = run("explain", volume_file, "--bundle", bundle_path, "--output", tmp_path / "out", *words)
    assert done.exit_code == code, done.output
    assert said in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()
