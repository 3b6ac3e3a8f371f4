"""A mask beside the image: from files and arrays to the channel that the network sees, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from bundle_factory import compose, inference, metadata, network, step, write
from PIL import Image
from typer.testing import CliRunner

import camlime
from camlime.bundle import Bundle
from camlime.cli.app import app
from camlime.errors import CamlimeError
from camlime.guidance import guided
from camlime.scan import Scan

FEW = {"budget": 32, "n_regions": 6, "segmentations": 1, "batch_size": 4, "device": "cpu", "evidence_budget": 0}


@pytest.fixture(scope="module")
def nuclei(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In the manner of the Zoo's pathology_nuclei_classification: the preprocessing makes a mask the last channel."""
    keys = ["image", "label"]
    config = inference(
        channels=4,
        classes=4,
        preprocessing=compose(
            step("LoadImaged", keys, dtype="uint8", image_only=False),
            step("EnsureChannelFirstd", keys),
            step("ScaleIntensityRanged", a_min=0.0, a_max=255.0, b_min=-1.0, b_max=1.0),
            step("AddLabelAsGuidanced", source="label"),
        ),
    )
    meta = metadata([32, 24], 4, ["Other", "Inflammatory", "Epithelial", "Spindle-Shaped"])
    return write(tmp_path_factory.mktemp("nuclei") / "b", config, meta, network(2, 4, 4))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A tile of 32 columns and 24 rows, and label maps of two nuclei, as rows of a picture."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(tmp_path / "tile.png")
    labels = np.zeros((24, 32), np.uint8)
    labels[4:9, 10:20], labels[15:20, 2:6] = 7, 3
    Image.fromarray(labels).save(tmp_path / "labels.png")
    Image.fromarray(np.dstack([labels] * 3)).save(tmp_path / "grey_in_colours.png")
    Image.fromarray(np.dstack([labels, labels, 2 * labels])).save(tmp_path / "colours.png")
    Image.fromarray(labels).save(tmp_path / "labels.jpg")
    Image.fromarray(labels[:-1]).save(tmp_path / "short.png")
    Image.fromarray(0 * labels + np.eye(24, 32, 40, dtype=np.uint8)).save(tmp_path / "empty.png")
    return tmp_path


def expected(*rows_columns: tuple[slice, slice]) -> np.ndarray:
    mask = np.zeros((32, 24), np.float32)
    for rows, columns in rows_columns:
        mask[columns, rows] = 1
    return mask


SEVEN, THREE = (slice(4, 9), slice(10, 20)), (slice(15, 20), slice(2, 6))


@pytest.mark.parametrize(
    ("name", "label", "marked"),
    [("labels.png", 7, (SEVEN,)), ("labels.png", None, (SEVEN, THREE)), ("grey_in_colours.png", 3, (THREE,))],
)
def test_the_mask_becomes_the_channel_pixel_by_pixel(
    nuclei: Path, files: Path, name: str, label: int | None, marked: tuple
) -> None:
    bundle, scan = Bundle.load(nuclei), Scan.read(files / "tile.png")
    image = bundle.prepare(guided(scan, bundle, files / name, label)).image
    np.testing.assert_array_equal(image[3], expected(*marked))
    torch.testing.assert_close(image[:3], scan.image.as_tensor() / 127.5 - 1)
    assert scan.channels == 3


def test_an_array_and_a_file_are_the_same(nuclei: Path, files: Path) -> None:
    bundle, scan = Bundle.load(nuclei), Scan.read(files / "tile.png")
    array = expected(SEVEN).astype(bool)
    from_file, from_array = guided(scan, bundle, files / "labels.png", 7), guided(scan, bundle, array)
    torch.testing.assert_close(bundle.prepare(from_array).image, bundle.prepare(from_file).image)


def test_a_label_map_of_a_part_of_a_volume_lies_where_its_affine_says(tmp_path: Path) -> None:
    meta = metadata([16, 16, 8], 2)
    steps = [step("AddLabelAsGuidanced", source="label"), step("ScaleIntensityd")]
    config = inference(3, 2, preprocessing=compose(*steps))
    bundle = Bundle.load(write(tmp_path / "b", config, meta, network(3, 2)))
    scan = Scan.from_array(np.random.default_rng(0).uniform(2, 3, (1, 16, 16, 8)), np.diag([2.0, 2.0, 3.0, 1]))
    part = sitk.GetImageFromArray(np.full((2, 3, 4), 5, np.uint8))
    part.SetSpacing((2.0, 2.0, 3.0))
    part.SetOrigin((-8.0, -6.0, 9.0))
    part.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(part, str(tmp_path / "part.nrrd"))
    mask = guided(scan, bundle, tmp_path / "part.nrrd").image.as_tensor()[1]
    assert np.argwhere(mask.numpy() > 0).min(0).tolist() == [4, 3, 3]
    assert np.argwhere(mask.numpy() > 0).max(0).tolist() == [7, 5, 4]
    part.SetSpacing((2.0, 2.0, 2.0))
    sitk.WriteImage(part, str(tmp_path / "part.nrrd"))
    with pytest.raises(CamlimeError, match="another voxel grid"):
        guided(scan, bundle, tmp_path / "part.nrrd")


@pytest.mark.parametrize(
    ("name", "label", "said"),
    [
        ("labels.jpg", None, "JPEG, whose compression"),
        ("colours.png", None, "picture in colours"),
        ("short.png", None, r"32 x 23 pixels.*32 x 24"),
        ("empty.png", None, "marks nothing"),
        ("labels.png", 4, r"has no label 4.*labels: 3, 7"),
        ("missing.png", None, "does not exist"),
    ],
)
def test_what_does_not_fit_is_refused(nuclei: Path, files: Path, name: str, label: int | None, said: str) -> None:
    bundle, scan = Bundle.load(nuclei), Scan.read(files / "tile.png")
    with pytest.raises(CamlimeError, match=said):
        guided(scan, bundle, files / name, label)


def test_arrays_that_do_not_fit_are_refused(nuclei: Path, files: Path) -> None:
    bundle, scan = Bundle.load(nuclei), Scan.read(files / "tile.png")
    with pytest.raises(CamlimeError, match="values of type float32"):
        guided(scan, bundle, expected(SEVEN))
    with pytest.raises(CamlimeError, match=r"shape \(24, 32\), the scan \(32, 24\)"):
        guided(scan, bundle, expected(SEVEN).astype(bool).T)
    with pytest.raises(CamlimeError, match="no guidance to take a label from"):
        guided(scan, bundle, None, 7)


def test_a_bundle_or_scan_that_has_no_room_for_it_is_said(tmp_path: Path, nuclei: Path, files: Path) -> None:
    scan = Scan.read(files / "tile.png")
    plain = Bundle.load(write(tmp_path / "plain", inference(channels=3), metadata([32, 24], 3), network(2, 3)))
    with pytest.raises(CamlimeError, match="takes no guidance"):
        guided(scan, plain, files / "labels.png")
    bundle = Bundle.load(nuclei)
    with pytest.raises(CamlimeError, match=r"3 channel\(s\) and the guidance.*has 4"):
        guided(guided(scan, bundle, files / "labels.png"), bundle, files / "labels.png")


def test_the_command_line_and_python_say_the_same_and_the_answer_depends_on_it(nuclei: Path, files: Path) -> None:
    def answer(*options: str) -> dict:
        asked = [str(files / "tile.png"), "--bundle", str(nuclei), "--json", "--device", "cpu", *options]
        done = CliRunner().invoke(app, ["classify", *asked])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)["probabilities"]

    mask = ["--guidance", str(files / "labels.png")]
    one, other = answer(*mask, "--guidance-label", "7"), answer(*mask, "--guidance-label", "3")
    assert one != other
    array = expected(SEVEN).astype(np.uint8)
    found = camlime.explain(files / "tile.png", nuclei, guidance=array, methods=["gradcam", "lime", "occlusion"], **FEW)
    assert dict(found.prediction.probabilities) == pytest.approx(one, abs=1e-6)
    assert found.provenance["guidance"] == {"name": "array", "label": None}


def test_explain_writes_what_was_given_and_without_it_nothing(nuclei: Path, files: Path) -> None:
    few = [word for name, value in FEW.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    asked = ["explain", str(files / "tile.png"), "--bundle", str(nuclei), "--output", str(files / "out"), *few]
    refused = CliRunner().invoke(app, asked)
    assert refused.exit_code != 0
    assert "--guidance MASK" in " ".join(refused.output.split())
    assert not (files / "out").exists()
    done = CliRunner().invoke(app, [*asked, "--guidance", str(files / "labels.png"), "--guidance-label", "7"])
    assert done.exit_code == 0, done.output
    record = json.loads((files / "out" / "explanation.json").read_text())
    assert record["provenance"]["guidance"] == {"name": "labels.png", "label": 7}


def test_what_if_and_layers_take_it_too(nuclei: Path, files: Path) -> None:
    mask = sitk.GetImageFromArray(np.pad(np.ones((4, 4), np.uint8), ((2, 18), (2, 26)))[None])
    mask.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(mask, str(files / "part.nrrd"))
    given = ["--bundle", str(nuclei), "--guidance", str(files / "labels.png")]
    for command in (["what-if", "--mask", str(files / "part.nrrd"), "--device", "cpu"], ["layers"]):
        done = CliRunner().invoke(app, [*command, str(files / "tile.png"), *given])
        assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, ["layers", *given])
    assert done.exit_code == 2
    assert "needs a scan" in done.output
