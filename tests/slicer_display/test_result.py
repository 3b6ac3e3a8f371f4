"""What the scene is made of, read from a folder or the worker's events: the same, and clear errors for what is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.report_case import volume_explanation

pytest.importorskip("slicer_core", reason="needs the slicer extra: slicer-core")

from SlicerXAILib.result import Preview, Result

from camlime.attribution import Attribution
from camlime.bundle.model_input import ModelInput
from camlime.errors import OutputError
from camlime.evidence.bundle_record import RecordedCheck
from camlime.evidence.randomisation import Randomisation
from camlime.evidence.repeatability import Repeatability
from camlime.explanation import Explanation, Prediction
from camlime.levels import agreement_levels, evidence_levels
from camlime.methods.agreement import Agreement
from camlime.overview.words import agreement_in_numbers, agreement_in_words, evidence_in_words, unit_of
from camlime.regions import Regions


def explanation(shape: tuple[int, ...]) -> Explanation:
    rng = np.random.default_rng(0)
    affine = np.array([[-0.6, 0.2, 0.3, 10], [0.1, 0.7, -0.4, -20], [0.2, 0.1, 1.2, 30], [0, 0, 0, 1.0]])
    affine[:3, :3] = np.linalg.qr(affine[:3, :3])[0] @ np.diag([0.7, 0.8, 1.25])
    labels = rng.integers(1, 4, shape).astype(np.int32)
    labels.ravel()[:3] = [1, 2, 3]
    valid = torch.ones(shape, dtype=torch.bool)
    valid[0] = False
    regions = Regions(labels)
    weights, errors = np.array([0.1, -0.9, 1.5]), np.array([0.01, 0.02, 0.03])
    maps = {
        "gradcam": Attribution("gradcam", rng.normal(size=shape).astype(np.float32), target_layer="layer2"),
        "lime": Attribution("lime", regions.paint(weights), regions.paint(errors), weights, errors),
        "fused": Attribution(
            "fused",
            regions.paint(2 * weights),
            regions.paint(errors),
            2 * weights,
            errors,
            parameters={"interval_factor": 2.6},
        ),
    }
    return Explanation(
        Prediction("malignant", {"benign": 0.1, "malignant": 0.9}, {"benign": -1.0, "malignant": 1.2}),
        "malignant",
        maps,
        regions,
        ModelInput(torch.rand(1, *shape), affine, valid, (0.7, 0.8, 1.25)[: len(shape)]),
        Agreement("gradcam", 0.5, (0.2, 0.8), float("inf"), float("nan"), 0.7, 10, "concordant"),
        {"seed": 3},
        ("a warning",),
    )


@pytest.mark.parametrize("shape", [(8, 7, 5), (9, 6)])
def test_a_folder_gives_what_the_engine_has(tmp_path: Path, shape: tuple[int, ...]) -> None:
    before = explanation(shape)
    before.save(tmp_path)
    after = Result.from_folder(tmp_path)
    full = (*shape, *[1] * (3 - len(shape)))
    assert list(after.maps) == ["gradcam", "lime", "fused"] and after.lead == "fused"
    for key, told in after.maps.items():
        attribution = before.attributions[key]
        np.testing.assert_array_equal(told.values, attribution.values.reshape(full))
        assert told.unit == unit_of(attribution)
        assert (told.std is None) == (attribution.std is None)
    np.testing.assert_allclose(after.affine_ras, before.input.affine)
    np.testing.assert_array_equal(after.regions, before.regions.labels.reshape(full))
    valid, maps = before.input.valid.numpy(), before.attributions
    evidence = evidence_levels(maps["fused"].values, valid, std=maps["fused"].std, factor=maps["fused"].interval_factor)
    np.testing.assert_array_equal(after.levels["evidence"], evidence.reshape(full))
    agreement = agreement_levels(maps["gradcam"].values, maps["lime"].values, valid)
    np.testing.assert_array_equal(after.levels["agreement"], agreement.reshape(full))
    np.testing.assert_allclose(after.strongest_point_ras, before.strongest_point_ras())
    assert after.agreement["in_words"] == agreement_in_words(before.agreement)
    assert after.agreement["in_numbers"] == agreement_in_numbers(before.agreement)
    assert after.region_table[1]["weight"] == pytest.approx(-1.8)
    assert after.warnings == ("a warning",) and after.complete and after.evidence == {}


def test_evidence_with_all_its_parts_is_read(tmp_path: Path) -> None:
    measured = replace(
        volume_explanation().evidence["fused"],
        randomisation=Randomisation(0.12, 0.2, 0.5, 3, False),
        repeatability=Repeatability(10, 0.6, 0.87, 500, False),
        bundle_record=RecordedCheck("fused", {}, (0.1, 0.2, 0.9)),
    )
    before = replace(explanation((8, 7, 5)), evidence={"fused": measured})
    before.save(tmp_path)
    after = Result.from_folder(tmp_path).evidence["fused"]
    assert after["in_words"] == evidence_in_words(measured)
    assert "On 3 other cases" in str(after["in_words"])


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is missing"):
        Result.from_folder(tmp_path)
    (tmp_path / "explanation.json").write_text("{")
    with pytest.raises(OutputError, match="is damaged"):
        Result.from_folder(tmp_path)
    (tmp_path / "explanation.json").write_text('{"format": "other"}')
    with pytest.raises(OutputError, match="has format 'other'"):
        Result.from_folder(tmp_path)


@pytest.mark.parametrize("path", [("warnings",), ("attributions", "fused", "parameters"), ("input", "affine_ras")])
def test_a_record_without_a_key_is_of_another_version_as_the_engine_says(tmp_path: Path, path: tuple[str, ...]) -> None:
    explanation((8, 7, 5)).save(tmp_path)
    file = tmp_path / "explanation.json"
    record = part = json.loads(file.read_text())
    for key in path[:-1]:
        part = part[key]
    del part[path[-1]]
    file.write_text(json.dumps(record))
    said = []
    for read in (Result.from_folder, Explanation.load):
        with pytest.raises(
            OutputError, match=f"written by another version of camlime: it lacks '{path[-1]}'"
        ) as caught:
            read(tmp_path)
        said.append(str(caught.value))
    assert said[0] == said[1] and "explain the scan again with this one" in said[0]


@pytest.fixture(scope="module")
def two_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Explanations on two grids, ``a`` and ``b``."""
    both = tmp_path_factory.mktemp("explanations")
    explanation((8, 7, 5)).save(both / "a")
    explanation((8, 7, 6)).save(both / "b")
    return both


@pytest.mark.parametrize("name", ["lime.nii.gz", "fused_std.nii.gz", "regions.nii.gz"])
def test_a_volume_that_is_missing_damaged_or_of_another_case_is_named(
    two_folders: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(two_folders, tmp_path, dirs_exist_ok=True)
    (tmp_path / "a" / name).write_bytes((tmp_path / "b" / name).read_bytes())
    with pytest.raises(OutputError, match=rf"{name} has \(8, 7, 6\) voxels, not \(8, 7, 5\)"):
        Result.from_folder(tmp_path / "a")
    (tmp_path / "a" / name).write_bytes(b"no image")
    with pytest.raises(OutputError, match=f"{name} is missing or damaged"):
        Result.from_folder(tmp_path / "a")
    (tmp_path / "a" / name).unlink()
    with pytest.raises(OutputError, match=f"{name} is missing or damaged"):
        Result.from_folder(tmp_path / "a")


def test_events_name_files_that_are_read(tmp_path: Path, make_result: Callable[..., Any]) -> None:
    wanted = make_result(np.eye(4))
    written = as_event(wanted, tmp_path)
    read = Result.from_event(json.loads(json.dumps(written)))
    for key, told in wanted.maps.items():
        np.testing.assert_array_equal(read.maps[key].values, told.values)
        assert (read.maps[key].std is None) == (told.std is None)
    for which, labels in wanted.levels.items():
        np.testing.assert_array_equal(read.levels[which], labels)
    assert (read.lead, read.prediction, read.evidence) == (wanted.lead, wanted.prediction, wanted.evidence)
    (tmp_path / "lime.npy").write_bytes(b"")
    with pytest.raises(OutputError, match=r"lime\.npy is missing or damaged"):
        Result.from_event(written)


def test_a_preview_of_a_picture_is_one_slice(tmp_path: Path) -> None:
    event = {
        "method": "lime",
        "title": "LIME",
        "unit": "log-odds a region",
        "explained_class": "malignant",
        "affine_ras": np.eye(4).tolist(),
        "values": array(np.zeros((6, 5), np.float32), tmp_path / "v.npy"),
        "std": None,
    }
    preview = Preview.from_event(event)
    assert preview.map.values.shape == (6, 5, 1) and preview.map.std is None and preview.map.key == "lime"


def array(values: np.ndarray, path: Path) -> dict[str, Any]:
    np.save(path, values)
    return {"file": str(path), "shape": list(values.shape), "dtype": str(values.dtype)}


def as_event(result: Result, folder: Path) -> dict[str, Any]:
    maps = {
        key: {
            "title": told.title,
            "unit": told.unit,
            "values": array(told.values, folder / f"{key}.npy"),
            "std": None if told.std is None else array(told.std, folder / f"{key}_std.npy"),
        }
        for key, told in result.maps.items()
    }
    levels = {which: array(labels, folder / f"levels_{which}.npy") for which, labels in result.levels.items()}
    return {
        "affine_ras": result.affine_ras.tolist(),
        "prediction": result.prediction,
        "explained_class": result.explained_class,
        "lead": result.lead,
        "maps": maps,
        "levels": {**levels, "legend": []},
        "regions": {"labels": array(result.regions, folder / "regions.npy"), "table": list(result.region_table)},
        "strongest_point_ras_mm": list(result.strongest_point_ras),
        "agreement": result.agreement,
        "evidence": result.evidence,
        "warnings": list(result.warnings),
        "provenance": result.provenance,
        "complete": True,
    }
