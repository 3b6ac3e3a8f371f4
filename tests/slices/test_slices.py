"""A lesion at a known point of a volume is found there in every plane, and slices unlike the training are flagged."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from support.slice_cases import DIRECTIONS, PIXEL, lesion_volume

from camlime.bundle import Bundle
from camlime.errors import RequestError
from camlime.resampling import resample
from camlime.scan import Scan, save_volume
from camlime.slices import classify_slices, cut, explain_slices
from camlime.slices.stack import cut_labels, plane_of

POINT = np.array([12.0, -9.0, 31.0])
QUICK = {"budget": 192, "n_regions": 60, "evidence_budget": 0, "device": "cpu", "class_name": "bright", "count": 1}


def strongest_mm(values: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Centre of the positive half of a map, weighted, in RAS mm."""
    weight = np.clip(values - 0.5 * values.max(), 0, None)
    index = np.stack(np.meshgrid(*map(np.arange, values.shape), indexing="ij"), axis=-1)
    return affine[:3, :3] @ np.average(index.reshape(-1, 3), axis=0, weights=weight.ravel()) + affine[:3, 3]


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal", "native"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_maps_show_the_lesion_where_it_is(trusting_bundle, plane, direction):
    result = explain_slices(
        lesion_volume(DIRECTIONS[direction], POINT), trusting_bundle, plane=plane, methods=["gradcam", "lime"], **QUICK
    )
    stack = result.answers.stack
    (n,) = result.explanations
    # The slice next to the lesion's middle has the strongest evidence.
    distances = [abs((stack.centre_ras(k) - POINT) @ stack.affine[:3, 2]) / stack.step_mm for k in range(len(stack))]
    assert distances[n] == pytest.approx(min(distances))
    for method in ("gradcam", "lime"):
        found = strongest_mm(result.values(method), result.affine)
        # Half a step across the slices, and what the feature grid and the regions resolve within them.
        assert np.linalg.norm(found - POINT) < stack.step_mm / 2 + 2.5 * PIXEL, method
    assert np.linalg.norm(result.strongest_point_ras() - POINT) < 10


@pytest.mark.parametrize("plane", ["axial", "coronal"])
def test_what_the_network_saw_lies_where_the_scan_has_it(bundle, plane):
    scan = lesion_volume(DIRECTIONS["oblique"], POINT)
    result = explain_slices(scan, bundle, plane=plane, methods=["gradcam"], **QUICK)
    again = resample(scan.image[0].numpy(), scan.affine, result.shape, result.affine)
    images = result.images()
    inside = (again > 0) & (images > 0)
    assert inside.mean() > 0.3
    np.testing.assert_allclose(images[inside], again[inside], atol=0.03)


def test_flagged_slices_have_no_class(bundle):
    scan = lesion_volume(DIRECTIONS["LPS"], POINT)
    values = scan.image.numpy().copy()
    values[..., 5] = 0.7  # constant
    values[..., 6] = np.random.default_rng(0).random(values.shape[1:3])  # noise
    answers = classify_slices(Scan.from_array(values, scan.affine), bundle, device="cpu")
    assert (answers[5].flag, answers[5].class_name, dict(answers[5].probabilities)) == ("constant", None, {})
    assert (answers[6].flag, answers[6].class_name) == ("out of domain", None)
    assert answers[6].score > answers.threshold
    assert 6 not in answers.strongest(100)
    assert len(answers.in_domain) > len(answers.answers) / 2
    assert all(answer.class_name in ("dark", "bright") for answer in answers.in_domain)


def test_many_flagged_slices_cast_doubt_on_the_series(bundle):
    rng = np.random.default_rng(1)
    answers = classify_slices(Scan.from_array(rng.random((1, 60, 60, 8)), np.diag([1.5, 1.5, 3, 1])), bundle)
    assert not answers.in_domain
    assert any("8 of 8 slices are unlike the training data" in text for text in answers.warnings)


def test_slices_give_what_the_same_images_give_alone(bundle):
    scan = lesion_volume(DIRECTIONS["oblique"], POINT)
    answers = classify_slices(scan, bundle, plane="sagittal", slices=[30, 12], device="cpu")
    assert [answer.index for answer in answers.answers] == [12, 30]
    for answer in answers.answers:
        image = bundle.prepare(answers.stack.slice(answer.index)).image[None]
        with torch.no_grad():
            expected = torch.softmax(bundle.network(image), 1)[0]
        np.testing.assert_allclose(list(answer.probabilities.values()), expected, atol=1e-5)


def test_coarse_reformats_are_said(bundle):
    scan = lesion_volume(DIRECTIONS["RAS"], POINT, spacing=(1.0, 1.0, 5.0))
    warnings = classify_slices(scan, bundle, plane="coronal", device="cpu").warnings
    assert any("1.0 x 5.0 mm" in text for text in warnings)
    assert not any("reformatted" in text for text in classify_slices(scan, bundle, device="cpu").warnings)


@pytest.mark.parametrize(("slices", "said"), [([60], "slices are 0 to 31"), ([], "no slice was asked for")])
def test_slices_that_are_not_there(bundle, slices, said):
    with pytest.raises(RequestError, match=said):
        classify_slices(lesion_volume(DIRECTIONS["RAS"]), bundle, slices=slices, device="cpu")


@pytest.mark.parametrize(("explained", "said"), [(12, "was not classified"), (60, "slices are 0 to 31")])
def test_a_slice_to_explain_is_there_and_asked_about(bundle, explained, said):
    with pytest.raises(RequestError, match=said):
        explain_slices(lesion_volume(DIRECTIONS["RAS"]), bundle, slices=[3, 4], explained=[explained], device="cpu")


def test_a_single_slice_that_is_not_there(bundle):
    scan = lesion_volume(DIRECTIONS["RAS"])
    one = Scan.from_array(scan.image.numpy()[..., 12:13], scan.affine, source="head")
    with pytest.raises(RequestError, match="there is no slice 12: head has one axial slice"):
        classify_slices(one, bundle, slices=[12], device="cpu")


def test_a_bundle_for_volumes_has_no_slices(tmp_path):
    from support.blob_bundle import write_blob_bundle

    bundle = Bundle.load(write_blob_bundle(tmp_path / "b", (16, 16, 16)))
    with pytest.raises(RequestError, match="takes whole volumes"):
        classify_slices(lesion_volume(DIRECTIONS["RAS"]), bundle)


def test_what_is_saved_is_what_was_found(bundle, tmp_path):
    scan = lesion_volume(DIRECTIONS["oblique"], POINT)
    result = explain_slices(scan, bundle, methods=["gradcam", "lime"], **{**QUICK, "count": 2})
    files = result.save(tmp_path / "out", native=scan)
    assert all(path.exists() for path in files)
    record = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert all((tmp_path / "out" / name).is_file() for name in record["files"])
    assert record["volume_class"] is None
    assert len(record["slices"]) == 32
    stacked = nib.load(tmp_path / "out" / "gradcam.nii.gz")
    np.testing.assert_allclose(stacked.affine, result.affine, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(stacked.dataobj), result.values("gradcam"))
    states = np.asarray(nib.load(tmp_path / "out" / "slices.nii.gz").dataobj)
    assert [int(n) for n in np.flatnonzero((states == 2).all((0, 1)))] == list(result.explanations)
    native = nib.load(tmp_path / "out" / "native" / "gradcam.nii.gz")
    assert native.shape == scan.shape
    assert np.linalg.norm(strongest_mm(np.asarray(native.dataobj), native.affine) - POINT) < 7
    for row in record["slices"]:
        if row["flag"]:
            assert row["class"] is None
            assert row["probabilities"] is None
    # Other slices in the same folder take the place of these, folders and all.
    other = explain_slices(scan, bundle, methods=["gradcam"], explained=[3], **{k: QUICK[k] for k in ("device",)})
    other.save(tmp_path / "out")
    left = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert left == {"explanation.json", *json.loads((tmp_path / "out" / "explanation.json").read_text())["files"]}


def test_cancelled_slices_keep_what_is_done(bundle):
    from camlime.pipeline import Listeners

    seen = []
    listeners = Listeners(cancelled=lambda: len(seen) >= 2)
    result = explain_slices(
        lesion_volume(DIRECTIONS["RAS"], POINT),
        bundle,
        methods=["gradcam"],
        listeners=listeners,
        on_slice=seen.append,
        **{**QUICK, "count": 3},
    )
    assert not result.complete
    assert len(result.explanations) == 1


def test_a_single_picture_that_is_unlike_the_training_is_said_to_be(bundle, tmp_path):
    import camlime

    noise = np.random.default_rng(0).random((1, 96, 96)).astype(np.float32)
    scan = Scan.from_array(noise, np.eye(4))
    explanation = camlime.explain(scan, bundle, methods=["gradcam"], evidence_budget=0, device="cpu")
    assert any("unlike the training data" in text for text in explanation.warnings)
    assert explanation.likeness is not None
    assert explanation.likeness.unlike
    explanation.save(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "explanation.json").read_text())["likeness"]["unlike_training_data"] is True
    assert camlime.Explanation.load(tmp_path / "out").likeness == explanation.likeness


def test_names_of_files_give_doubts(bundle_path, tmp_path):
    import shutil

    path = tmp_path / "bundle"
    shutil.copytree(bundle_path, path)
    file = path / "configs" / "explain.json"
    settings = json.loads(file.read_text())
    settings["explain"]["sequence"] = {"name": "a T1 series", "unwanted": ["flair"]}
    file.write_text(json.dumps(settings))
    scan = lesion_volume(DIRECTIONS["RAS"])
    for name, doubted in (("ax_FLAIR.nii.gz", True), ("ax_t1.nii.gz", False)):
        saved = save_volume(tmp_path / name, scan.image[0].numpy(), scan.affine)
        warnings = classify_slices(Scan.read(saved), Bundle.load(path), device="cpu").warnings
        assert any("may not be a T1 series" in text for text in warnings) == doubted


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("direction", list(DIRECTIONS))
def test_label_maps_are_cut_and_turned_as_the_scan_is(direction, plane):
    scan = lesion_volume(DIRECTIONS[direction])
    labels = np.arange(np.prod(scan.shape), dtype=np.int32).reshape(scan.shape)
    same = cut(Scan.from_array(labels[None].astype(np.float32), scan.affine), plane)
    np.testing.assert_array_equal(cut_labels(labels, cut(scan, plane)), same.image[0].numpy())
    axis = cut(scan, plane).axis
    assert plane_of(scan, axis) == plane
