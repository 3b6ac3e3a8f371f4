"""Slices of a volume for a bundle that takes pictures: one as a case of its own, a range as a stack."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.slice_cases import DIRECTIONS, lesion_volume, write_slice_bundle
from worker.conftest import Talk

import camlime
from camlime.bundle import Bundle
from camlime.scan import Scan, save_volume
from camlime.slices import classify_slices, cut, explain_slices

POINT = (12.0, -9.0, 31.0)
FEW: dict[str, Any] = {"methods": ["gradcam", "lime"], "n_regions": 12, "budget": 64, "evidence_budget": 32, "seed": 3}


@pytest.fixture(scope="module")
def flat_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(write_slice_bundle(tmp_path_factory.mktemp("bundle") / "slices"))


@pytest.fixture(scope="module")
def lesion(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A volume whose axes are those of no view, by array."""
    scan = lesion_volume(DIRECTIONS["sagittal series"], POINT)
    path = tmp_path_factory.mktemp("scan") / "scan.npy"
    np.save(path, scan.image.numpy())
    return {"array": str(path), "affine_ras": scan.affine.tolist(), "name": "lesion"}


def scan_of(lesion: dict[str, Any]) -> Scan:
    return Scan.from_array(np.load(lesion["array"]), np.array(lesion["affine_ras"]))


def at_lesion(scan: Scan, plane: str) -> int:
    stack = cut(scan, plane)
    return int(np.rint(np.linalg.solve(stack.affine, [*POINT, 1.0])[2]))


def loaded(told: dict[str, Any]) -> np.ndarray:
    array = np.load(told["file"], allow_pickle=False)
    assert list(array.shape) == told["shape"]
    return array


@pytest.mark.parametrize(("beside", "class_name"), [(0, None), (3, "bright")])
def test_one_slice_is_a_case_of_its_own_held_as_the_bundle_wants_it(
    talk, flat_bundle, lesion, tmp_path, beside, class_name
):
    """Through the lesion's middle, where it is brighter than the training data, and beside it."""
    scan = scan_of(lesion)
    n = at_lesion(scan, "coronal") - beside
    asked = {"scan": lesion, "bundle": flat_bundle, "device": "cpu", "slices": {"plane": "coronal", "first": n}}
    result = talk.ask("explain", **asked, folder=tmp_path / "run", settings=FEW)
    bundle = Bundle.load(flat_bundle)
    stack = cut(scan, "coronal", bundle.explain_settings.slices)
    expected = camlime.explain(stack.slice(n), bundle, device="cpu", **FEW)
    values = loaded(result["maps"]["lime"]["values"])
    np.testing.assert_allclose(values, expected.attributions["lime"].values, atol=1e-5)
    np.testing.assert_array_equal(result["affine_ras"], expected.input.affine)
    assert result["prediction"]["class"] == expected.prediction.class_name == class_name
    assert (result["prediction"]["outside_because"] is None) is (class_name is not None)
    assert np.linalg.norm(np.array(result["strongest_point_ras_mm"]) - POINT) < 12
    probabilities = talk.ask("classify", **asked)["prediction"]["probabilities"]
    assert probabilities == pytest.approx(result["prediction"]["probabilities"])


def test_the_axis_of_the_scan_says_the_same_as_the_plane(talk, flat_bundle, lesion):
    scan = scan_of(lesion)
    for plane in ("axial", "coronal", "sagittal"):
        axis, n = cut(scan, plane).axis, at_lesion(scan, plane)
        asked = {"scan": lesion, "bundle": flat_bundle, "device": "cpu"}
        by_plane = talk.ask("classify", **asked, slices={"plane": plane, "first": n})
        by_axis = talk.ask("classify", **asked, slices={"axis": axis, "first": n})
        assert by_axis["prediction"] == by_plane["prediction"]


def test_a_range_is_what_the_engine_says_of_it(talk: Talk, flat_bundle: Path, lesion, tmp_path: Path) -> None:
    scan, bundle = scan_of(lesion), Bundle.load(flat_bundle)
    like = [answer.index for answer in classify_slices(scan, bundle, plane="axial", device="cpu").in_domain]
    first, last = min(zip(like, like[2:], strict=False), key=lambda ends: ends[1] - ends[0])  # three to be explained
    asked = {"plane": "axial", "first": first, "last": last}
    name = talk.client.send(
        "explain", scan=lesion, bundle=flat_bundle, device="cpu", slices=asked, folder=tmp_path / "run", settings=FEW
    )
    result = talk.final(name)
    assert result["event"] == "result" and result["complete"], result
    wanted = range(first, last + 1)
    expected = explain_slices(scan, bundle, plane="axial", slices=wanted, count=len(wanted), device="cpu", **FEW)
    assert len(expected.explanations) == 3
    assert result["shape"] == list(expected.shape)
    np.testing.assert_allclose(result["affine_ras"], expected.affine)
    np.testing.assert_allclose(loaded(result["maps"]["lime"]["values"]), expected.values("lime"), atol=1e-5)
    np.testing.assert_allclose(loaded(result["maps"]["lime"]["std"]), expected.std("lime"), atol=1e-5)
    np.testing.assert_array_equal(loaded(result["input"]["image"])[0], expected.images())
    assert result["strongest_point_ras_mm"] == pytest.approx(expected.strongest_point_ras().tolist())
    assert result["prediction"] is None and result["evidence"] == {}
    answers = result["slices"]["answers"]
    assert [answer["index"] for answer in answers] == list(wanted)
    for answer in answers:
        own = expected.explanations.get(answer["index"])
        assert (answer["explanation"] is None) == (own is None)
        if own is not None:
            supported = {name: each.supported for name, each in own.evidence.items()}
            told = {name: each["supported"] for name, each in answer["explanation"]["evidence"].items()}
            assert told == supported
            assert answer["class"] == own.prediction.class_name
    labels, table = loaded(result["regions"]["labels"]), result["regions"]["table"]
    assert sorted(np.unique(labels[labels > 0])) == [row["id"] for row in table]
    for row in table:
        assert set(np.unique(np.nonzero(labels == row["id"])[2])) == {row["slice"] - first}
    for row in result["levels"]["legend"]:
        of = loaded(result["levels"][row["map"]]) == row["label"]
        assert row["voxels"] == of.sum() > 0
        assert row["volume_ml"] == pytest.approx(of.sum() * abs(np.linalg.det(expected.affine[:3, :3])) / 1000)

    events = talk.of(name)
    told = next(event for event in events if event["event"] == "prediction")
    assert [answer["index"] for answer in told["slices"]["answers"]] == list(wanted)
    finals = [(e["method"], e["slice"]) for e in events if e["event"] == "preview" and e["final"]]
    assert finals == [(method, at) for at in expected.explanations for method in ("gradcam", "lime")]
    assert all(event["shape"] == result["shape"] for event in events if event["event"] == "preview")
    progress = [event for event in events if event["event"] == "progress" and event["total"]]
    assert list(dict.fromkeys(event["slice"] for event in progress)) == list(expected.explanations)
    assert all(event["seconds_left"] >= 0 for event in progress)

    exported = talk.ask("export", explanation=name, folder=tmp_path / "kept")
    assert {"explanation.json", "lime.nii.gz", "overview.png"} <= {Path(file).name for file in exported["files"]}


def test_a_range_is_classified_without_maps(talk, flat_bundle, lesion):
    scan = scan_of(lesion)
    asked = {"axis": cut(scan, "axial").axis, "first": 3, "last": 9}
    answer = talk.ask("classify", scan=lesion, bundle=flat_bundle, device="cpu", slices=asked)
    expected = classify_slices(scan, Bundle.load(flat_bundle), plane="axial", slices=range(3, 10), device="cpu")
    assert [a["class"] for a in answer["slices"]["answers"]] == [a.class_name for a in expected.answers]
    assert [a["flag"] for a in answer["slices"]["answers"]] == [a.flag for a in expected.answers]


def test_what_a_view_shows_is_seen_and_a_range_is_not(talk, flat_bundle, lesion, tmp_path):
    path = tmp_path / "presuming"
    shutil.copytree(flat_bundle, path)
    file = path / "configs" / "explain.json"
    record = json.loads(file.read_text())
    record["explain"]["presumes"] = "a lesion"
    file.write_text(json.dumps(record))
    asked = {"scan": lesion, "bundle": path, "device": "cpu"}
    within = classify_slices(scan_of(lesion), Bundle.load(flat_bundle), plane="axial", device="cpu").in_domain
    n = within[len(within) // 2].index
    one = talk.ask("classify", **asked, slices={"plane": "axial", "first": n})["prediction"]
    assert one["class"] in ("dark", "bright")
    assert (one["presumes"], one["outside_because"]) == ("a lesion", None)
    told = talk.ask("classify", **asked, slices={"plane": "axial", "first": n, "last": n + 1})["slices"]
    assert told["presumes"] == "a lesion"
    several = told["answers"]
    assert several[0]["class"] is None
    assert several[0]["flag"] == "unconfirmed"
    assert several[0]["class_if_present"] == one["class"]
    assert talk.ask("describe", bundle=path)["bundle"]["presumes"] == "a lesion"
    assert talk.ask("describe", bundle=flat_bundle)["bundle"]["presumes"] is None


def test_a_single_slice_outside_the_training_domain_has_no_class(talk, flat_bundle, tmp_path):
    noise = np.random.default_rng(0).random((1, 60, 60, 4)).astype(np.float32)
    np.save(tmp_path / "noise.npy", noise)
    scan = {"array": str(tmp_path / "noise.npy"), "affine_ras": np.diag([1.5, 1.5, 3.0, 1.0]).tolist(), "name": "noise"}
    asked = {"scan": scan, "bundle": flat_bundle, "device": "cpu", "slices": {"plane": "axial", "first": 1}}
    prediction = talk.ask("classify", **asked)["prediction"]
    assert prediction["class"] is None
    assert prediction["outside_because"] == "unlike the training data"
    said, padding = talk.ask("classify", **asked)["warnings"]
    assert "of what the network sees is padding" in padding
    assert said.startswith("the image is unlike the training data (score")
    result = talk.ask("explain", **asked, folder=tmp_path / "run", settings=FEW)
    assert result["prediction"]["class"] is None
    assert said in result["warnings"]
    mask = np.zeros(noise.shape[1:], dtype=np.uint8)
    mask[20:30, 20:30] = 1
    np.save(tmp_path / "mask.npy", mask)
    answer = talk.ask("what_if", **asked, mask={"array": str(tmp_path / "mask.npy")})
    assert {one["class"] for one in (answer["untouched"], *answer["answers"])} == {None}


def test_a_header_that_names_another_sequence_leaves_no_class(talk, flat_bundle, lesion, tmp_path):
    path = tmp_path / "wanting"
    shutil.copytree(flat_bundle, path)
    file = path / "configs" / "explain.json"
    record = json.loads(file.read_text())
    record["explain"]["sequence"] = {"name": "a T1 series", "modality": "MR", "unwanted": ["flair"]}
    file.write_text(json.dumps(record))
    within = classify_slices(scan_of(lesion), Bundle.load(flat_bundle), plane="axial", device="cpu").in_domain
    n = within[len(within) // 2].index
    one, several = {"plane": "axial", "first": n}, {"plane": "axial", "first": n, "last": n + 1}
    other = {**lesion, "header": {"modality": "MR", "series_description": "Ax FLAIR", "contrast_agent": None}}
    right = {**lesion, "header": {"modality": "MR", "series_description": "Ax T1"}}
    for given, reason in ((lesion, None), (other, "'Ax FLAIR' speaks of flair"), (right, None)):
        asked = {"scan": given, "bundle": path, "device": "cpu"}
        prediction = talk.ask("classify", **asked, slices=one)["prediction"]
        assert prediction["outside_because"] == reason
        assert (prediction["class"] is None) is (reason is not None)
        flags = {answer["flag"] for answer in talk.ask("classify", **asked, slices=several)["slices"]["answers"]}
        assert ("other sequence" in flags, None in flags) == (reason is not None, reason is None)


def test_a_label_map_of_the_volume_gives_each_slice_its_regions(talk, flat_bundle, lesion, tmp_path):
    scan = scan_of(lesion)
    index = np.stack(np.indices(scan.shape), axis=-1) @ scan.affine[:3, :3].T + scan.affine[:3, 3]
    labels = np.where(index[..., 0] > POINT[0], 7, 4).astype(np.int32)
    path = save_volume(tmp_path / "halves.nii.gz", labels, scan.affine)
    n = at_lesion(scan, "axial")
    for last in (n, n + 1):
        asked = {"plane": "axial", "first": n, "last": last}
        result = talk.ask(
            "explain",
            **{"scan": lesion, "bundle": flat_bundle, "device": "cpu", "slices": asked, "regions": path},
            folder=tmp_path / f"run-{last}",
            settings={key: value for key, value in FEW.items() if key != "n_regions"},
        )
        assert {row["name"] for row in result["regions"]["table"]} == {"label_4", "label_7"}
        for row in result["regions"]["table"]:
            assert (row["centre_ras_mm"][0] > POINT[0]) == (row["name"] == "label_7")


def test_what_if_the_lesion_were_not_in_this_slice(talk, flat_bundle, lesion, tmp_path):
    scan = scan_of(lesion)
    n = at_lesion(scan, "coronal")
    index = np.stack(np.indices(scan.shape), axis=-1) @ scan.affine[:3, :3].T + scan.affine[:3, 3]
    mask = (((index - POINT) ** 2).sum(axis=-1) < 15**2).astype(np.uint8)
    np.save(tmp_path / "mask.npy", mask)
    asked = {"scan": lesion, "bundle": flat_bundle, "device": "cpu", "slices": {"plane": "coronal", "first": n}}
    answer = talk.ask("what_if", **asked, mask={"array": str(tmp_path / "mask.npy")})
    assert answer["answers"][0]["log_odds"]["bright"] < answer["untouched"]["log_odds"]["bright"]
    file = save_volume(tmp_path / "mask.nii.gz", mask, scan.affine)
    assert talk.ask("what_if", **asked, mask=file, label=1)["answers"] == answer["answers"]


def test_cancelled_in_the_middle_of_a_range_the_slices_so_far_are_kept(talk, flat_bundle, lesion, tmp_path):
    n = at_lesion(scan_of(lesion), "axial")
    name = talk.client.send(
        "explain",
        **{"scan": lesion, "bundle": flat_bundle, "device": "cpu", "folder": tmp_path / "run"},
        slices={"plane": "axial", "first": n - 4, "last": n + 4},
        settings={**FEW, "budget": 4096, "batch_size": 8},
    )
    first = talk.until("preview", name, final=True, method="lime")
    talk.client.cancel(name)
    last = talk.final(name)
    assert last["event"] == "cancelled"
    if last["kept"] == "result":
        assert not last["result"]["complete"]
        explained = [a["index"] for a in last["result"]["slices"]["answers"] if a["explanation"] is not None]
        assert first["slice"] in explained and len(explained) < 9
    else:
        assert {preview["method"] for preview in last["previews"]} == {"gradcam", "lime"}


@pytest.mark.parametrize(
    ("slices", "kind", "said"),
    [
        ({"plane": "axial"}, "protocol", "slices"),
        ({"plane": "axial", "axis": 2, "first": 1}, "protocol", "slices"),
        ({"plane": "axial", "first": 4, "last": 2}, "protocol", "slices"),
        ({"axis": 2, "first": 99999}, "request", "there is no"),
        ({"axis": 0, "first": 0, "last": 99999}, "request", "there is no"),
    ],
)
def test_slices_that_are_none_are_refused(talk, flat_bundle, lesion, slices, kind, said):
    error = talk.refused("classify", scan=lesion, bundle=flat_bundle, slices=slices)
    assert error["kind"] == kind and said in error["message"]


@pytest.mark.parametrize("request_", ["what_if", "estimate"])
def test_only_maps_and_classes_are_had_of_a_range(talk, flat_bundle, lesion, tmp_path, request_):
    np.save(tmp_path / "mask.npy", np.ones((4, 4), np.uint8))
    more = {"mask": {"array": str(tmp_path / "mask.npy")}} if request_ == "what_if" else {}
    asked = {"plane": "axial", "first": 3, "last": 4}
    error = talk.refused(request_, scan=lesion, bundle=flat_bundle, slices=asked, **more)
    assert error["kind"] == "request" and "one slice" in error["message"]


def test_a_picture_is_its_own_slice_and_has_no_plane_of_a_patient(talk, flat_bundle, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (48, 48), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "tile.png")
    asked = {"scan": tmp_path / "tile.png", "bundle": flat_bundle, "device": "cpu"}
    alone = talk.ask("classify", **asked)["prediction"]["probabilities"]
    for slices in ({"axis": 2, "first": 0}, {"plane": "native", "first": 0}):
        assert talk.ask("classify", slices=slices, **asked)["prediction"]["probabilities"] == pytest.approx(alone)
    for slices in ({"axis": 1, "first": 0}, {"plane": "axial", "first": 0}):
        error = talk.refused("classify", slices=slices, **asked)
        assert error["kind"] == "request" and "is a picture, which lies in no patient" in error["message"]


def test_a_bundle_that_takes_volumes_has_no_slices(talk, bundle, lesion):
    error = talk.refused("classify", scan=lesion, bundle=bundle, slices={"axis": 2, "first": 3})
    assert error["kind"] == "request" and "whole volumes" in error["message"]
