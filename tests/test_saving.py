"""An explanation on disk: everything comes back, and what fails leaves nothing."""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from camlime import saving
from camlime.attribution import Attribution
from camlime.bundle.model_input import ModelInput
from camlime.errors import OutputError
from camlime.explanation import Explanation, Prediction, strongest_voxel
from camlime.methods.agreement import Agreement
from camlime.regions import Regions
from camlime.scan import Scan

SHAPE = (8, 7, 5)


def explanation(channels: int = 1, shape: tuple[int, ...] = SHAPE) -> Explanation:
    rng = np.random.default_rng(0)
    labels = rng.integers(1, 4, shape).astype(np.int32)
    labels.ravel()[:3] = [1, 2, 3]
    affine = np.eye(4)
    affine[:3, :3] = np.diag([-0.7, 0.7, 1.25])
    affine[:3, 3] = (10.0, -20.0, 30.0)
    valid = torch.ones(shape, dtype=torch.bool)
    valid[0] = False
    regions = Regions(labels, names=("lung", "vessel", "nodule"))
    weights, errors = np.array([0.1, -0.2, 1.5]), np.array([0.01, 0.02, 0.03])
    fused = Attribution(
        "fused",
        regions.paint(weights),
        regions.paint(errors),
        weights,
        errors,
        100,
        8,
        1.5,
        "layer2",
        {"share": np.float64(0.9)},
    )
    gradcam = Attribution("gradcam++", rng.normal(size=shape).astype(np.float32), target_layer="layer2")
    spacing = (0.7, 0.7, 1.25)[: len(shape)]
    return Explanation(
        Prediction("malignant", {"benign": 0.1, "malignant": 0.9}, {"benign": -1.0, "malignant": 1.2}),
        "malignant",
        {"gradcam++": gradcam, "fused": fused},
        regions,
        ModelInput(torch.rand(channels, *shape), affine, valid, spacing),
        Agreement("gradcam", 0.5, (0.2, 0.8), float("inf"), 0.9, 0.7, 10, "concordant"),
        {"seed": 3, "nan": float("nan")},
        ("a warning",),
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [SHAPE, (9, 6)])
def test_what_is_saved_is_what_is_loaded(tmp_path: Path, channels: int, shape: tuple[int, ...]) -> None:
    before = explanation(channels, shape)
    files = before.save(tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(p.name for p in files)
    after = Explanation.load(tmp_path / "out")
    assert after.prediction == before.prediction
    assert after.agreement is not None and after.agreement.badge == "concordant"
    assert after.warnings == before.warnings and after.complete
    np.testing.assert_array_equal(after.regions.labels, before.regions.labels)
    assert after.regions.names == before.regions.names
    np.testing.assert_array_equal(after.input.image, before.input.image)
    np.testing.assert_array_equal(after.input.valid, before.input.valid)
    np.testing.assert_allclose(after.input.affine, before.input.affine)
    for name, attribution in before.attributions.items():
        np.testing.assert_array_equal(after.attributions[name].values, attribution.values)
    np.testing.assert_allclose(after.attributions["fused"].std, before.attributions["fused"].std)
    np.testing.assert_allclose(after.attributions["fused"].region_std, [0.01, 0.02, 0.03])


def test_the_json_holds_what_is_promised(tmp_path: Path) -> None:
    before = explanation()
    before.save(tmp_path)
    record = json.loads((tmp_path / "explanation.json").read_text())
    assert record["prediction"] == {
        "class": "malignant",
        "probabilities": {"benign": 0.1, "malignant": 0.9},
        "logits": {"benign": -1.0, "malignant": 1.2},
        "presumes": None,
        "outside_because": None,
        "unconfirmed": False,
    }
    assert record["attributions"]["fused"]["std_file"] == "fused_std.nii.gz"
    assert record["attributions"]["gradcam++"]["file"] == "gradcampp.nii.gz"
    for entry in record["attributions"].values():
        assert (tmp_path / entry["file"]).is_file()
    row = record["regions"][2]
    assert (row["id"], row["name"], row["weight"], row["standard_error"]) == (3, "nodule", 1.5, 0.03)
    voxels = np.argwhere(before.regions.labels == 3)
    assert row["volume_ml"] == pytest.approx(len(voxels) * 0.7 * 0.7 * 1.25 / 1000)
    centre = before.input.affine[:3, :3] @ voxels.mean(axis=0) + before.input.affine[:3, 3]
    assert row["centre_ras_mm"] == pytest.approx(centre.tolist())
    assert record["agreement"]["log_evidence_gain"] is None  # JSON knows no infinity


def test_volumes_carry_the_affine(tmp_path: Path) -> None:
    before = explanation()
    before.save(tmp_path)
    for name in ("input", "fused", "fused_std", "gradcampp", "regions", "valid"):
        np.testing.assert_allclose(nib.load(tmp_path / f"{name}.nii.gz").affine, before.input.affine, atol=1e-5)


def test_native_grid(tmp_path: Path) -> None:
    before = explanation()
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = (12.0, -22.0, 28.0)
    scan = Scan.from_array(np.random.default_rng(1).random((1, 14, 12, 11)), affine)
    before.save(tmp_path, native=scan)
    volume = nib.load(tmp_path / "native" / "regions.nii.gz")
    np.testing.assert_allclose(volume.affine, affine, atol=1e-5)
    labels = np.asarray(volume.dataobj)
    for index in np.ndindex(scan.shape):
        position = np.linalg.solve(before.input.affine, affine @ [*index, 1])[:3]
        inside = (position >= -0.5).all() and (position < np.array(SHAPE) - 0.5).all()
        nearest = tuple(np.clip(np.rint(position), 0, np.array(SHAPE) - 1).astype(int))
        if np.abs(position % 1 - 0.5).min() > 1e-3:
            assert labels[index] == (before.regions.labels[nearest] if inside else 0)


def test_a_failure_leaves_nothing_and_keeps_an_earlier_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a" / "b"

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(saving, "draw_overview", full)
        with pytest.raises(OutputError, match="No space left"):
            explanation().save(folder)
        assert not (tmp_path / "a").exists()
    explanation().save(folder)
    kept = {p: p.read_bytes() for p in folder.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(saving, "draw_overview", full)
        with pytest.raises(OutputError):
            explanation(3).save(folder)
    assert {p: p.read_bytes() for p in folder.iterdir()} == kept


def contents(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


def scan_for_native() -> Scan:
    return Scan.from_array(np.random.default_rng(1).random((1, 6, 5, 4)), np.diag([-1.0, 1.0, 1.0, 1.0]))


def only_gradcam() -> Explanation:
    """Writes neither fused, nor a standard deviation, nor a mask of valid voxels."""
    whole = explanation()
    image = dataclasses.replace(whole.input, valid=torch.ones(SHAPE, dtype=torch.bool))
    return dataclasses.replace(whole, attributions={"gradcam++": whole.attributions["gradcam++"]}, input=image)


def test_no_file_of_an_earlier_explanation_stays(tmp_path: Path) -> None:
    explanation().save(tmp_path, native=scan_for_native())
    assert (tmp_path / "native" / "fused_std.nii.gz").exists() and (tmp_path / "valid.nii.gz").exists()
    files = only_gradcam().save(tmp_path)
    assert sorted(tmp_path.rglob("*")) == sorted(files)


def test_files_that_are_not_ours_stay(tmp_path: Path) -> None:
    (tmp_path / "native").mkdir()
    foreign = [tmp_path / name for name in ("scan.nii.gz", "lime.nii.gz", "native/mine.nii.gz", ".hidden")]
    for path in foreign:
        path.write_text("mine")
    explanation().save(tmp_path, native=scan_for_native())
    files = only_gradcam().save(tmp_path)
    assert {p for p in tmp_path.rglob("*") if p.is_file()} == {*files, *foreign}
    assert all(path.read_text() == "mine" for path in foreign)


def test_an_earlier_json_cannot_have_other_files_removed(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    explanation().save(folder)
    victims = [tmp_path / "a.nii.gz", folder / "notes.txt", folder / ".b.nii.gz"]
    for path in victims:
        path.write_text("mine")
    record = json.loads((folder / "explanation.json").read_text())
    record["attributions"]["fused"].update(file="../a.nii.gz", std_file="notes.txt", native_file=str(victims[0]))
    record["attributions"]["gradcam++"].update(std_file=".b.nii.gz", native_file="native/../../a.nii.gz")
    (folder / "explanation.json").write_text(json.dumps(record))
    only_gradcam().save(folder)
    assert all(path.read_text() == "mine" for path in victims)


@pytest.mark.parametrize("text", ['{"format": "camlime explanation 0"}', '{"format": "camlime explanation 1"}'])
def test_an_earlier_json_that_cannot_be_read_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "explanation.json").write_text(text)
    (tmp_path / "fused.nii.gz").write_text("mine")
    only_gradcam().save(tmp_path)
    assert (tmp_path / "fused.nii.gz").read_text() == "mine"
    assert list(Explanation.load(tmp_path).attributions) == ["gradcam++"]


@pytest.mark.parametrize("name", ["input.nii.gz", "gradcampp.nii.gz", "overview.png", "scan.txt", "explanation.json"])
def test_a_file_that_no_earlier_explanation_names_is_not_replaced(tmp_path: Path, name: str) -> None:
    brought = tmp_path / "elsewhere" / "scan.txt"
    brought.parent.mkdir()
    brought.write_text("new")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / name).write_text('{"format": "another"}')
    with pytest.raises(OutputError, match="is there already, and no earlier result") as caught:
        only_gradcam().save(folder, also=[brought])
    assert name in caught.value.message
    assert contents(folder) == {folder / name: b'{"format": "another"}'}


def test_a_file_that_was_brought_along_is_replaced_by_its_successor_alone(tmp_path: Path) -> None:
    brought = tmp_path / "elsewhere" / "scan.txt"
    brought.parent.mkdir()
    brought.write_text("first")
    folder = tmp_path / "out"
    explanation().save(folder, also=[brought])
    only_gradcam().save(folder)
    assert (folder / "scan.txt").read_text() == "first"
    brought.write_text("second")
    only_gradcam().save(folder, also=[brought])
    assert (folder / "scan.txt").read_text() == "second"


def test_a_folder_is_in_the_way(tmp_path: Path) -> None:
    only_gradcam().save(tmp_path)
    (tmp_path / "fused.nii.gz").mkdir()
    before = contents(tmp_path)
    with pytest.raises(OutputError, match=r"fused\.nii\.gz is a folder") as caught:
        explanation(3).save(tmp_path)
    assert "move it away" in caught.value.hint
    assert contents(tmp_path) == before


def test_a_file_is_in_the_way_of_the_native_folder(tmp_path: Path) -> None:
    only_gradcam().save(tmp_path)
    (tmp_path / "native").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(OutputError, match="native is a file"):
        explanation(3).save(tmp_path, native=scan_for_native())
    assert contents(tmp_path) == before


def moves_into_place(target: Path) -> bool:
    """And not one that is part of writing a volume in the hidden folder."""
    return ".camlime-" not in str(target) or ".earlier-" in str(target)


@pytest.mark.parametrize("broken", [0, 3, 7, 8, 12, 19])
def test_a_move_that_fails_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int) -> None:
    """At each of the moves: what was there goes aside (8 files), what is new comes in (12)."""
    explanation().save(tmp_path)
    before = contents(tmp_path)
    original, count = Path.replace, iter(range(1000))

    def fails_once(self: Path, target: Path) -> Path:
        if moves_into_place(target) and next(count) == broken:
            raise PermissionError(13, "Permission denied")
        return original(self, target)

    monkeypatch.setattr(Path, "replace", fails_once)
    with pytest.raises(OutputError, match="Permission denied"):
        explanation(3).save(tmp_path, native=scan_for_native())
    assert contents(tmp_path) == before


def test_what_cannot_be_put_back_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    explanation().save(tmp_path)
    kept = sorted(p.read_bytes() for p in tmp_path.iterdir())
    original, count = Path.replace, iter(range(1000))

    def breaks(self: Path, target: Path) -> Path:
        if moves_into_place(target) and next(count) >= 3:
            raise OSError(5, "Input/output error")
        return original(self, target)

    monkeypatch.setattr(Path, "replace", breaks)
    with pytest.raises(OutputError, match="put back") as caught:
        explanation().save(tmp_path)
    aside = Path(caught.value.hint.removeprefix("earlier files are in "))
    there = [*tmp_path.iterdir(), *aside.iterdir()]
    assert sorted(p.read_bytes() for p in there if p.is_file()) == kept


def test_ctrl_c_while_moving_keeps_the_earlier_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    explanation().save(tmp_path)
    before = contents(tmp_path)
    listener = signal.getsignal(signal.SIGINT)
    original = Path.replace
    presses = [signal.SIGINT, signal.SIGINT]

    def pressed(self: Path, target: Path) -> Path:
        if presses and moves_into_place(target) and self.name == "regions.nii.gz":
            signal.raise_signal(presses.pop())
        return original(self, target)

    monkeypatch.setattr(Path, "replace", pressed)
    with pytest.raises(KeyboardInterrupt):
        explanation(3).save(tmp_path)
    assert contents(tmp_path) == before
    assert signal.getsignal(signal.SIGINT) is listener


def test_output_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="cannot write"):
        explanation().save(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_loading_what_is_not_there_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="missing"):
        Explanation.load(tmp_path)
    explanation().save(tmp_path)
    (tmp_path / "fused.nii.gz").write_bytes(b"not a volume")
    with pytest.raises(OutputError, match="damaged"):
        Explanation.load(tmp_path)
    (tmp_path / "explanation.json").write_text("{")
    with pytest.raises(OutputError, match="damaged"):
        Explanation.load(tmp_path)


@pytest.mark.parametrize("path", [("warnings",), ("prediction", "presumes"), ("attributions", "fused", "seconds")])
def test_a_record_without_a_key_is_of_another_version(tmp_path: Path, path: tuple[str, ...]) -> None:
    explanation().save(tmp_path)
    change(tmp_path, *path)
    with pytest.raises(OutputError, match=f"another version of camlime: it lacks '{path[-1]}'") as caught:
        Explanation.load(tmp_path)
    assert "explain the scan again" in caught.value.hint


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("prediction",), []),
        (("input", "shape"), [1, 2, 3]),
        (("input", "affine_ras"), "x"),
        (("attributions",), []),
        (("regions",), [3]),
    ],
)
def test_a_record_of_something_else_is_damaged(tmp_path: Path, path: tuple[str, ...], value: object) -> None:
    explanation().save(tmp_path)
    change(tmp_path, *path, to=value)
    with pytest.raises(OutputError, match="is damaged"):
        Explanation.load(tmp_path)


def test_a_prediction_without_probabilities_is_said_in_words(tmp_path: Path) -> None:
    explanation().save(tmp_path)
    change(tmp_path, "prediction", "probabilities", to={})
    with pytest.raises(OutputError, match=r"is damaged: .*the prediction has no probabilities"):
        Explanation.load(tmp_path)


@pytest.mark.parametrize("text", ["[]", "3", '"x"', "null"])
def test_json_that_is_no_record_is_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / "explanation.json").write_text(text)
    with pytest.raises(OutputError, match="is damaged"):
        Explanation.load(tmp_path)


def change(folder: Path, *path: str, to: object = ...) -> None:
    """Give a part of ``explanation.json`` another value; without one, take it out."""
    file = folder / "explanation.json"
    record = json.loads(file.read_text())
    part = record
    for key in path[:-1]:
        part = part[key]
    if to is ...:
        del part[path[-1]]
    else:
        part[path[-1]] = to
    file.write_text(json.dumps(record))


def test_strongest_voxel_lies_in_the_middle_of_a_plateau() -> None:
    values = np.zeros((9, 9))
    values[2:7, 3:6] = 1.0
    assert strongest_voxel(values).tolist() == [4, 4]
