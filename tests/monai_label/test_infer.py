"""Infer tasks of a running server, asked as the stock viewers ask, against the engine called directly."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests
import SimpleITK as sitk

from camlime.explanation import Explanation
from camlime.levels import evidence_levels
from camlime.pipeline import explain

from .conftest import SETTINGS, WIDE_POINT, needs_monai_label, oblique

pytestmark = needs_monai_label
nrrd = pytest.importorskip("nrrd", reason="needs MONAI Label")

SLICER = {**SETTINGS, "result_extension": ".nrrd", "result_dtype": "uint8"}
MAP = {**SLICER, "result_dtype": "float32"}


def directly(studies, bundles, study: str, bundle: str, method: str, **more) -> Explanation:
    settings = {**SETTINGS, "segmentations": 1, **more}
    return explain(studies / study, bundles[bundle], methods=[method], device="cpu", **settings)


def read(file) -> tuple[np.ndarray, np.ndarray]:
    """Voxels in the order of the file's axes, and the affine to RAS, both by ITK."""
    image = sitk.ReadImage(str(file))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).transpose(), np.diag([-1, -1, 1, 1]) @ affine


def test_the_tasks_are_listed_as_viewers_want_them(client):
    info = client.info()
    assert set(info["models"]) == {
        *[f"{bundle}_{method}" for bundle in ("ball", "spot", "disc") for method in ("gradcam", "lime", "fused")],
        "spot_fused_click",
    }
    types = {name: model["type"] for name, model in info["models"].items()}
    assert types.pop("spot_fused_click") == "deepedit"
    assert set(types.values()) == {"segmentation"}
    assert info["labels"] == ["Strong evidence for", "Moderate evidence for", "Evidence against"]
    assert next(iter(info["strategies"])) == "doubt" and list(info["scoring"]) == ["doubt"]
    assert "point" in info["models"]["spot_fused"]["config"] and "point" not in info["models"]["ball_fused"]["config"]


@pytest.mark.parametrize("method", ["gradcam", "lime", "fused"])
def test_levels_are_the_engines_own(client, studies, bundles, method):
    file, answer = client.infer(f"ball_{method}", "ball_b", dict(SLICER))
    labels, affine = read(file)
    expected = directly(studies, bundles, "ball_b.nii.gz", "ball", method)
    lead = expected.attributions[method]
    assert labels.dtype == np.uint8 and labels.any()
    levels = evidence_levels(lead.values, expected.input.valid.numpy(), std=lead.std, factor=lead.interval_factor)
    np.testing.assert_array_equal(labels, levels)
    np.testing.assert_allclose(affine, expected.input.affine, atol=1e-5)
    assert answer["prediction"]["probabilities"] == pytest.approx(dict(expected.prediction.probabilities))
    # 3D Slicer's plug-in sorts the names by number and gives the n-th the number n.
    names = [name for name, _ in sorted(answer["label_names"].items(), key=lambda item: item[1])]
    assert names == ["Strong evidence for", "Moderate evidence for", "Evidence against"]
    assert list(answer["label_names"].values()) == [1, 2, 3]


def test_the_float_map_is_the_engines_own(client, studies, bundles):
    file, answer = client.infer("ball_lime", "ball_b", dict(MAP))
    values, _ = read(file)
    expected = directly(studies, bundles, "ball_b.nii.gz", "ball", "lime").attributions["lime"]
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, expected.values, rtol=1e-4, atol=1e-5)
    assert answer["unit"] and answer["method"] == "lime"


def test_evidence_and_regions_are_in_the_json(client):
    _, answer = client.infer("ball_fused", "ball_b", {**SLICER, "evidence_budget": 1200})
    found = answer["evidence"]["fused"]
    assert found["verdict"] in {"supported", "NOT SUPPORTED", "not judged"} and found["in_words"]
    assert answer["agreement"]["badge"] in {"concordant", "CAM uninformative", "conflict"}
    assert answer["regions"] and {"weight", "interval_95", "centre_ras_mm"} <= set(answer["regions"][0])
    assert answer["provenance"]["scan"] == {"name": "ball_b"}
    assert 0 <= answer["doubt"]["value"] <= 1


@pytest.mark.parametrize("extension", [".nrrd", ".nii.gz"])
def test_an_oblique_study_keeps_its_geometry(client, extension):
    file, _ = client.infer("ball_gradcam", "askew", {**SLICER, "result_extension": extension})
    labels, affine = read(file)
    assert labels.shape == (16, 14, 12)
    np.testing.assert_allclose(affine, oblique(), atol=1e-4)


def test_the_answer_that_ohif_reads(server):
    """It asks for the image alone, uncompressed, and takes its bytes as they come."""
    params = {**SLICER, "result_compress": False, "restore_label_idx": False}
    url = f"{server.address}/infer/ball_fused?image=ball_b&output=image"
    answer = requests.post(url, data={"params": json.dumps(params)}, timeout=60)
    assert answer.status_code == 200
    head, _, voxels = answer.content.partition(b"\n\n")
    assert b"encoding: raw" in head and b"type: uint8" in head and b"sizes: 16 14 12" in head
    assert len(voxels) == 16 * 14 * 12 and set(voxels) <= {0, 1, 2, 3}


def test_json_alone_only_where_it_is_asked_for(server):
    url = f"{server.address}/infer/ball_fused?image=ball_b"
    both = requests.post(url, data={"params": json.dumps(SLICER)}, timeout=60)
    assert both.headers["content-type"].startswith("multipart/form-data")
    alone = requests.post(f"{url}&output=json", data={"params": json.dumps(SLICER)}, timeout=60)
    assert alone.json()["method"] == "fused"


def test_a_picture(client):
    file, answer = client.infer("disc_fused", "picture", {**SLICER, "class_name": "bright"})
    labels, affine = read(file)
    assert labels.shape == (20, 16, 1)
    np.testing.assert_array_equal(affine, np.diag([-1, -1, 1, 1]))  # as ITK and 3D Slicer read a PNG
    assert answer["explained_class"] == "bright"
    middle = np.argwhere(labels[..., 0] == 1).mean(axis=0)
    np.testing.assert_allclose(middle, (13.5, 5.5), atol=3)  # the bright square


@pytest.mark.parametrize(
    "place",
    [
        {"point": "10 -6 4"},
        {"point": [10, -6, 4]},
        {"point_lps": [-10, 6, 4]},
        {"foreground": [[0, 0, 0], [30, 24, 20]]},
        {"Strong evidence for": [[30, 24, 20]], "label": "Strong evidence for"},
    ],
)
def test_a_region_bundle_looks_where_the_client_says(client, place):
    task = "spot_fused_click" if "label" in place else "spot_gradcam"
    file, answer = client.infer(task, "wide", {**SLICER, **place})
    labels, affine = read(file)
    assert labels.shape == (60, 56, 40) and labels.any()
    np.testing.assert_allclose(answer["point_ras_mm"], WIDE_POINT)
    shown = np.argwhere(labels) @ affine[:3, :3].T + affine[:3, 3]
    assert (np.abs(shown - WIDE_POINT) <= np.array([16, 14, 12]) / 2 + 1).all()


def test_a_point_is_remembered_for_the_study(server, client, bundles):
    client.infer("spot_gradcam", "wide", {**SLICER, "point": [9, -6, 4]})
    _, answer = client.infer("spot_lime", "wide", dict(SLICER))
    assert answer["point_ras_mm"] == [9, -6, 4]


def test_a_crop_is_looked_at_in_its_middle(client):
    _, answer = client.infer("spot_gradcam", "ball_a", dict(SLICER))
    np.testing.assert_allclose(
        answer["point_ras_mm"], np.array([-30, 2, -72]) + np.array([7.5, 6.5, 5.5]) * (1.5, 1.5, 2)
    )


def test_an_upload_is_explained_and_not_kept(client, studies, server):
    file, answer = client.infer("ball_gradcam", "", dict(SLICER), file=str(studies / "ball_b.nii.gz"))
    labels, _ = read(file)
    kept, _ = client.infer("ball_gradcam", "ball_b", dict(SLICER))
    np.testing.assert_array_equal(labels, read(kept)[0])
    assert answer["provenance"]["scan"] == {"name": "the upload"}


def test_a_session_as_3d_slicer_makes_one(client, studies):
    session = client.create_session(str(studies / "ball_b.nii.gz"))["session_id"]
    file, _ = client.infer("ball_gradcam", "", dict(SLICER), session_id=session)
    assert read(file)[0].any()
    client.remove_session(session)


def test_results_are_stored_with_tags_for_review(client, tmp_path):
    client.infer("ball_fused", "ball_c", {**SLICER, "save_label": True})
    client.infer("ball_lime", "ball_c", {**SLICER, "save_label": True})
    client.infer("ball_lime", "ball_c", {**MAP, "save_label": True})
    client.infer("ball_gradcam", "ball_c", {**SLICER, "save_label": True, "label_tag": "second look"})
    labels = client.datastore()["objects"]["ball_c"]["labels"]
    assert {"ball_fused", "original", "ball_lime", "ball_lime_map", "second look"} <= set(labels)
    # What 3D Slicer's plug-in loads beside a study that it gets next.
    assert list(labels["original"]["info"]["params"]["label_names"].values()) == [1, 2, 3]
    assert labels["original"]["info"]["params"]["doubt"]["value"] >= 0
    kept, _ = read(client.download_label("ball_c", "original"))
    asked, _ = read(client.infer("ball_fused", "ball_c", dict(SLICER))[0])
    np.testing.assert_array_equal(kept, asked)


def test_anothers_work_is_not_written_over(client, studies, tmp_path):
    theirs = studies / "askew.nii.gz"
    client.save_label("askew", str(theirs), tag="original", params={"model": "a person"})
    client.infer("ball_fused", "askew", {**SLICER, "save_label": True})
    labels = client.datastore()["objects"]["askew"]["labels"]
    assert labels["original"]["info"]["model"] == "a person" and "ball_fused" in labels


def test_many_at_once_are_as_one_after_the_other(client, server, studies, bundles, tmp_path):
    asked = [("ball_lime", f"ball_{study}", seed) for study in "abc" for seed in (11, 12)]
    asked += [("ball_fused", "ball_a", 13), ("spot_gradcam", "ball_b", 14), ("disc_lime", "picture", 15)]

    def infer(request):
        task, study, seed = request
        own = server.client(f"reader {seed}")
        own._tmpdir = str(tmp_path / f"{task}-{study}-{seed}")
        return read(own.infer(task, study, {**MAP, "seed": seed, "save_label": True})[0])[0]

    with ThreadPoolExecutor(len(asked) + 1) as pool:
        volumes = list(pool.map(infer, asked))
        assert pool.submit(client.info).result(timeout=60)["name"] == "camlime"
    for (_, study, seed), volume in zip(asked[:6], volumes[:6], strict=True):
        alone = directly(studies, bundles, f"{study}.nii.gz", "ball", "lime", seed=seed)
        np.testing.assert_allclose(volume, alone.attributions["lime"].values, rtol=1e-4, atol=1e-5)
    stored = client.datastore()["objects"]
    assert all(f"{task}_map" in stored[study]["labels"] for task, study, _ in asked)


def test_the_server_answers_while_it_explains(server, client):
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(server.client().infer, "ball_lime", "ball_a", {**SLICER, "budget": 6000, "seed": 99})
        answered = 0
        while not long.done():
            assert client.info()["name"] == "camlime"
            answered += 1
        long.result()
    assert answered > 1


def test_a_2d_bundle_explains_one_slice_of_a_volume(client, studies):
    import nibabel as nib

    volume = nib.load(studies / "ball_c.nii.gz")
    middle = (-20.0, 12.0, -60.0)
    file, answer = client.infer("disc_lime", "ball_c", {"point": list(middle), "result_dtype": "float32"})
    k = int(np.rint((np.linalg.inv(volume.affine) @ [*middle, 1.0])[2]))
    assert answer["slice"] | {"flagged": 0} == {
        "index": k, "plane": "axial", "of": volume.shape[2], "flag": None, "reason": "", "pointed": True,
        "flagged": 0, "asked": 1,
    }  # fmt: skip
    assert answer["prediction"]["class"] in answer["prediction"]["probabilities"]
    assert answer["prediction"]["presumes"] == "a ball"
    result = nib.load(file)
    assert result.shape == volume.shape
    np.testing.assert_allclose(result.affine, volume.affine, atol=1e-4)
    filled = [n for n in range(volume.shape[2]) if np.asarray(result.dataobj)[..., n].any()]
    assert filled == [k]
    _, strongest = client.infer("disc_gradcam", "ball_c", {})
    assert strongest["slice"]["of"] == volume.shape[2]
    assert strongest["slice"]["pointed"] and strongest["slice"]["flag"] is None  # the last point is kept


def test_a_slice_that_the_server_chose_stays_unconfirmed(client):
    """Nobody pointed at it, so nobody said that it shows what the bundle presumes: not at the second time either."""
    for task in ("disc_fused", "disc_gradcam"):
        _, unseen = client.infer(task, "ball_b", {})
        assert unseen["slice"]["flag"] == "unconfirmed"
        assert unseen["slice"]["reason"] == "nobody said that it shows a ball"
        assert not unseen["slice"]["pointed"]
        assert unseen["prediction"]["class"] is None
        assert unseen["prediction"]["unconfirmed"] is True
    _, seen = client.infer("disc_gradcam", "ball_b", {"point": unseen["point_ras_mm"]})
    assert seen["slice"]["index"] == unseen["slice"]["index"]
    assert seen["prediction"]["class"] is not None
