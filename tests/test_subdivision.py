"""Named structures cut into parts: no part crosses a border, and a structure's error is that of the sum."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from support.blob_bundle import write_blob_bundle

import camlime
from camlime.attribution import Attribution
from camlime.bundle.model_input import ModelInput
from camlime.cli.console import stdout
from camlime.errors import RegionsError, RequestError
from camlime.overview import compose
from camlime.phantom import blob
from camlime.region_source import names_from_file
from camlime.regions import Regions
from camlime.scan import Scan, save_volume
from camlime.subdivision import std_of_sums, subdivided, with_structures

SHAPE = (24, 20, 12)
NAMES = {1: "left half", 2: "right half", 7: "corner"}


def halves() -> np.ndarray:
    labels = np.ones(SHAPE, dtype=np.int16)
    labels[12:] = 2
    labels[:4, :4, :4] = 7
    labels[:, -2:] = 0
    return labels


def given() -> ModelInput:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.random((1, *SHAPE)).astype(np.float32))
    return ModelInput(image, np.diag([1.0, 1.0, 2.0, 1.0]), torch.ones(SHAPE, dtype=torch.bool), (1.0, 1.0, 2.0))


def structures() -> Regions:
    labels = np.searchsorted([1, 2, 7], halves()) + 1
    return Regions(np.where(halves() == 0, 0, labels).astype(np.int32), names=tuple(NAMES.values()))


@pytest.mark.parametrize("count", [2, 20, 60])
def test_no_part_crosses_a_border_and_all_is_covered(count: int) -> None:
    whole = structures()
    parts = subdivided(whole, given(), count)
    assert parts.structures == tuple(NAMES.values()) and parts.structure_of is not None and parts.names is not None
    np.testing.assert_array_equal(parts.labels > 0, whole.labels > 0)
    for part in range(1, parts.count + 1):
        (inside,) = np.unique(whole.labels[parts.labels == part])
        assert inside == parts.structure_of[part - 1] + 1
    assert len(parts.names) == len(parts.structure_of) == parts.count == len(np.unique(parts.labels)) - 1
    assert set(parts.structure_of.tolist()) == {0, 1, 2}
    assert 0.5 * count <= parts.count <= 1.6 * count + 3
    sizes = [int((parts.structure_of == i).sum()) for i in range(3)]
    assert abs(sizes[0] - sizes[1]) <= 0.5 * max(sizes[:2]) and sizes[2] <= min(sizes[:2])
    assert sizes[2] == 1 and parts.names[-1] == "corner"  # a structure in one piece keeps its name


@pytest.mark.parametrize("count", [1, 10**6])
def test_a_number_of_parts_that_makes_no_sense_is_refused(count: int) -> None:
    with pytest.raises(RegionsError, match="cannot be cut"):
        subdivided(structures(), given(), count)


def test_the_error_of_a_sum_is_that_of_many_draws() -> None:
    rng = np.random.default_rng(3)
    root = rng.normal(size=(6, 6))
    covariance, structure_of = root @ root.T, np.array([0, 0, 1, 2, 2, 2])
    draws = rng.normal(size=(400_000, 6)) @ root.T
    slow = [draws[:, structure_of == i].sum(axis=1).std() for i in range(3)]
    found = std_of_sums(covariance, structure_of)
    np.testing.assert_allclose(found, slow, rtol=0.01)
    naive = [np.sqrt(np.diag(covariance)[structure_of == i].sum()) for i in range(3)]
    assert abs(found[2] - naive[2]) > 0.1  # the root of the sum of squares is another number


def test_an_attribution_without_covariance_stays_as_it_is() -> None:
    parts = subdivided(structures(), given(), 20)
    plain = Attribution("lime", np.zeros(SHAPE, dtype=np.float32), region_weights=np.zeros(parts.count))
    assert with_structures(plain, parts) is plain
    known = Attribution("lime", plain.values, region_covariance=np.eye(parts.count))
    std = with_structures(known, parts).structure_std
    assert std is not None and std[2] == 1 and with_structures(known, structures()) is known


@pytest.fixture(scope="module")
def scan() -> Scan:
    made = blob(SHAPE, center_ras=(6.0, 6.0, 6.0), radius_mm=4.0)
    return Scan.from_array(made.image.numpy() / 1000, made.affine)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> camlime.Bundle:
    return camlime.Bundle.load(write_blob_bundle(tmp_path_factory.mktemp("bundle") / "ball", SHAPE))


@pytest.fixture
def label_map(tmp_path: Path, scan: Scan) -> Path:
    save_volume(tmp_path / "organs.nii.gz", halves(), scan.affine)
    return tmp_path / "organs.nii.gz"


@pytest.fixture
def names(tmp_path: Path) -> Path:
    (tmp_path / "names.json").write_text(json.dumps({"0": "background", **{str(k): v for k, v in NAMES.items()}}))
    return tmp_path / "names.json"


def explain(scan: Scan, bundle: camlime.Bundle, **settings: Any) -> camlime.Explanation:
    few = {"budget": 256, "device": "cpu", "batch_size": 32, "class_name": "bright", "evidence_budget": 0}
    return camlime.explain(scan, bundle, **{**few, **settings})


def test_names_from_a_file(scan: Scan, bundle: camlime.Bundle, label_map: Path, names: Path) -> None:
    for given_names in (names, NAMES):
        explanation = explain(scan, bundle, regions=label_map, region_names=given_names, methods=["lime"])
        assert [row["name"] for row in explanation.region_table()] == list(NAMES.values())
        assert explanation.structure_table() == []
    partly = explain(scan, bundle, regions=label_map, region_names={2: "right"}, methods=["lime"])
    assert partly.regions.names == ("label_1", "right", "label_7")
    row = partly.region_table()[0]
    reach = partly.attributions["lime"].interval_factor * row["standard_error"]
    assert row["interval_95"] == pytest.approx([row["weight"] - reach, row["weight"] + reach])
    texts = [text.get_text() for text in compose(partly).figure.findobj(Text)]
    assert "right" in texts and any("each structure" in text for text in texts)


def test_structures_have_weights_by_occlusion_alone(scan: Scan, bundle: camlime.Bundle, label_map: Path) -> None:
    explanation = explain(scan, bundle, regions=label_map, subdivide=30, methods=["occlusion"])
    rows, wholes = explanation.region_table(), explanation.structure_table()
    for whole in wholes:
        assert whole["weight"] == pytest.approx(sum(rows[part - 1]["weight"] for part in whole["parts"]))
        assert whole["standard_error"] is None and whole["interval_95"] is None


def test_structures_are_weighed_as_wholes_and_in_parts(
    scan: Scan,
    bundle: camlime.Bundle,
    label_map: Path,
    names: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    explanation = explain(scan, bundle, regions=label_map, region_names=names, subdivide=30)
    rows, wholes = explanation.region_table(), explanation.structure_table()
    assert [whole["name"] for whole in wholes] == list(NAMES.values())
    for whole in wholes:
        parts = [rows[part - 1] for part in whole["parts"]]
        assert {part["structure"] for part in parts} == {whole["name"]}
        for method in ("lime", "fused"):
            total = sum(part["by_method"][method]["weight"] for part in parts)
            assert whole["by_method"][method]["weight"] == pytest.approx(total)
        assert whole["volume_ml"] == pytest.approx(sum(part["volume_ml"] for part in parts))
    assert sum(len(whole["parts"]) for whole in wholes) == len(rows) > 15
    assert abs(wholes[0]["weight"]) > abs(wholes[1]["weight"])  # the ball lies in the left half
    explanation.save(tmp_path / "out")
    again = camlime.Explanation.load(tmp_path / "out")
    assert again.structure_table() == wholes and again.region_table() == rows
    assert json.loads((tmp_path / "out" / "explanation.json").read_text())["structures"] == wholes
    texts = [text.get_text() for text in compose(again).figure.findobj(Text)]
    assert {"left half", "right half", "corner"} <= set(texts)
    stdout().explanation(again)
    said = capsys.readouterr().out
    assert "left half" in said and "parts" in said
    for whole in wholes:
        for method in ("lime", "fused"):
            attribution = explanation.attributions[method]
            index = [part - 1 for part in whole["parts"]]
            assert attribution.region_covariance is not None
            slow = np.sqrt(sum(attribution.region_covariance[i, j] for i in index for j in index))
            assert whole["by_method"][method]["standard_error"] == pytest.approx(slow)


@pytest.mark.parametrize(
    "text",
    ["", "[1]", "{}", '{"liver": 1}', '{"1": 2}', '{"1": "  "}', '{"-1": "liver"}', '{"1.5": "liver"}', "\x00"],
)
def test_names_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "names.json").write_text(text)
    with pytest.raises(RegionsError, match="names") as error:
        names_from_file(tmp_path / "names.json")
    assert '{"1": "liver"' in error.value.hint


def test_names_of_other_labels_a_missing_file_and_no_regions(
    scan: Scan, bundle: camlime.Bundle, label_map: Path, tmp_path: Path
) -> None:
    with pytest.raises(RegionsError, match="is given a name") as error:
        explain(scan, bundle, regions=label_map, region_names={3: "liver"})
    assert "1, 2, 7" in error.value.hint
    with pytest.raises(RegionsError, match="cannot be read"):
        explain(scan, bundle, regions=label_map, region_names=tmp_path / "missing.json")
    for settings in ({"region_names": NAMES}, {"subdivide": 9}):
        with pytest.raises(RequestError, match="no regions"):
            explain(scan, bundle, **settings)
