"""What a real worker answers: the same as the engine in this process."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.blob_bundle import write_blob_bundle
from typer.testing import CliRunner
from worker.conftest import SHAPE, Talk, with_code

import camlime
from camlime.levels import evidence_levels
from camlime.scan import Scan, save_volume

FEW: dict[str, Any] = {"budget": 64, "n_regions": 12, "batch_size": 16, "seed": 3}


def loaded(described: dict[str, Any]) -> np.ndarray:
    array = np.load(described["file"], allow_pickle=False)
    assert list(array.shape) == described["shape"] and array.dtype.name == described["dtype"]
    assert array.flags.c_contiguous
    return array


def test_the_greeting(talk: Talk) -> None:
    hello, starting, ready = talk.heard[:3]
    assert [event["event"] for event in (hello, starting, ready)] == ["hello", "starting", "ready"]
    assert hello["protocol"] == 1 and hello["camlime"] == camlime.__version__
    assert hello["packages"]["numpy"] == np.__version__ and hello["pid"] == talk.client.pid
    assert ready["devices"][-1]["name"] == "cpu"
    if sys.platform != "win32":
        assert ready["devices"][-1]["memory_bytes"] > 1 << 28
    from camlime.bundle import Bundle, shipped_bundles

    assert [b["name"] for b in ready["bundles"]] == list(shipped_bundles())
    for described in ready["bundles"]:
        read = Bundle.load(described["name"])
        assert described["class_names"] == list(read.class_names)
        assert described["spatial_dims"] == read.spatial_dims
        assert described["needs_point"] == (read.explain_settings.field_of_view_mm is not None)


def test_classify(talk: Talk, volume: Path, bundle: Path) -> None:
    answer = talk.ask("classify", scan=volume, bundle=bundle, device="cpu")
    expected = camlime.classify(volume, bundle, device="cpu")
    assert answer["prediction"]["class"] == expected.class_name
    assert answer["prediction"]["probabilities"] == pytest.approx(expected.probabilities, abs=1e-6)
    assert answer["prediction"]["logits"] == pytest.approx(expected.logits, abs=1e-5)


def test_classify_says_what_speaks_against_its_answer(talk: Talk, volume: Path, tmp_path: Path) -> None:
    """Of one image; of a range of slices, once for all of them."""
    explain = {"sequence": {"name": "a T1 series", "unwanted": ["ball"]}}
    said = "this may not be a T1 series, which the bundle was trained on: 'ball.nii.gz' speaks of ball"
    whole = write_blob_bundle(tmp_path / "whole", SHAPE, explain=explain)
    answer = talk.ask("classify", scan=volume, bundle=whole, device="cpu")
    assert (answer["warnings"], answer["assumptions"]) == ([said], [])
    assert warnings_before_the_maps(talk, tmp_path / "one", scan=volume, bundle=whole) == answer["warnings"]
    flat = write_blob_bundle(tmp_path / "flat", SHAPE[:2], explain=explain)
    slices = {"axis": 2, "first": 5, "last": 6}
    answer = talk.ask("classify", scan=volume, bundle=flat, device="cpu", slices=slices)
    assert said in answer["warnings"]
    assert not set(answer["warnings"]) & set(answer["assumptions"])
    told = warnings_before_the_maps(talk, tmp_path / "two", scan=volume, bundle=flat, slices=slices)
    assert told == answer["warnings"]


def warnings_before_the_maps(talk: Talk, folder: Path, **asked: Any) -> list[str]:
    """What an ``explain`` says with its prediction."""
    name = talk.client.send("explain", folder=folder, device="cpu", settings={**FEW, "evidence_budget": 0}, **asked)
    assert talk.final(name)["event"] == "result"
    (told,) = [event for event in talk.of(name) if event["event"] == "prediction"]
    warnings: list[str] = told["warnings"]
    return warnings


def test_explain_is_what_the_engine_says(talk: Talk, volume: Path, bundle: Path, tmp_path: Path) -> None:
    name = talk.client.send(
        "explain", scan=volume, bundle=bundle, folder=tmp_path / "run", device="cpu", quality="thorough", settings=FEW
    )
    result = talk.final(name)
    assert result["event"] == "result" and result["complete"], result
    expected = camlime.explain(volume, bundle, device="cpu", segmentations=4, **FEW)
    assert list(result["maps"]) == list(expected.attributions) and result["lead"] == "fused"
    for method, attribution in expected.attributions.items():
        told = result["maps"][method]
        np.testing.assert_array_equal(loaded(told["values"]), attribution.values)
        assert (told["std"] is None) == (attribution.std is None)
        if attribution.std is not None:
            np.testing.assert_array_equal(loaded(told["std"]), attribution.std)
    np.testing.assert_array_equal(loaded(result["regions"]["labels"]), expected.regions.labels)
    np.testing.assert_array_equal(loaded(result["input"]["image"]), expected.input.image.numpy())
    np.testing.assert_array_equal(result["affine_ras"], expected.input.affine)
    assert result["regions"]["table"] == expected.region_table()
    assert expected.agreement is not None and result["agreement"]["badge"] == expected.agreement.badge
    assert result["evidence"]["fused"]["supported"] == expected.evidence["fused"].supported
    assert result["evidence"]["fused"]["sentence"] in result["evidence"]["fused"]["in_words"][0]
    assert result["strongest_point_ras_mm"] == expected.strongest_point_ras().tolist()

    lead = expected.attributions["fused"]
    labels = loaded(result["levels"]["evidence"])
    np.testing.assert_array_equal(
        labels,
        evidence_levels(lead.values, np.ones(lead.values.shape, bool), std=lead.std, factor=lead.interval_factor),
    )
    for row in result["levels"]["legend"]:
        of = loaded(result["levels"][row["map"]]) == row["label"]
        assert row["voxels"] == of.sum() > 0 and row["volume_ml"] == pytest.approx(of.sum() * 4.5 / 1000)

    events = [event["event"] for event in talk.of(name)]
    assert events[0] == "accepted" and events[-1] == "result"
    assert events.index("prediction") < events.index("preview")
    finals = [event["method"] for event in talk.of(name) if event["event"] == "preview" and event["final"]]
    assert finals == ["gradcam", "lime", "fused"]
    stages = list(dict.fromkeys(event["stage"] for event in talk.of(name) if event["event"] == "progress"))
    steps = ["loading", "reading", "preparing", "measuring", "regions", "lime", "fused", "evidence", "writing"]
    assert stages == steps
    assert all(e["seconds_left"] >= 0 for e in talk.of(name) if e["event"] == "progress" and e["total"])


def test_export_writes_what_the_command_line_writes(talk: Talk, volume: Path, bundle: Path, tmp_path: Path) -> None:
    from camlime.cli.app import app

    quick = {"evidence_budget": 0, **FEW}
    name = talk.client.send(
        "explain", scan=volume, bundle=bundle, folder=tmp_path / "run", device="cpu", settings=quick
    )
    assert talk.final(name)["event"] == "result"
    told = talk.ask("export", explanation=name, folder=tmp_path / "worker", native_grid=True)
    options = ["--budget", "64", "--n-regions", "12", "--batch-size", "16", "--seed", "3", "--evidence-budget", "0"]
    arguments = ["explain", str(volume), "--bundle", str(bundle), "--output", str(tmp_path / "cli"), "--native-grid"]
    done = CliRunner().invoke(app, [*arguments, "--device", "cpu", *options])
    assert done.exit_code == 0, done.output
    names = sorted(str(path.relative_to(tmp_path / "cli")) for path in (tmp_path / "cli").rglob("*") if path.is_file())
    assert sorted(str(Path(path).relative_to(tmp_path / "worker")) for path in told["files"]) == names
    for file in names:
        if file.endswith(".nii.gz"):
            assert unpacked(tmp_path / "cli" / file) == unpacked(tmp_path / "worker" / file), file
    records = [json.loads((tmp_path / place / "explanation.json").read_text()) for place in ("cli", "worker")]
    assert records[0]["regions"] == records[1]["regions"] and records[0]["prediction"] == records[1]["prediction"]


def unpacked(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


def test_a_scan_and_a_mask_by_array(talk: Talk, volume: Path, bundle: Path, tmp_path: Path) -> None:
    scan = Scan.read(volume)
    np.save(tmp_path / "scan.npy", scan.image.numpy())
    mask = (scan.image[0].numpy() > 0.5).astype(np.uint8)
    np.save(tmp_path / "mask.npy", mask)
    described = {"array": str(tmp_path / "scan.npy"), "affine_ras": scan.affine.tolist(), "name": "ball"}
    by_array = talk.ask("classify", scan=described, bundle=bundle)
    assert by_array["prediction"] == talk.ask("classify", scan=volume, bundle=bundle)["prediction"]

    answer = talk.ask("what_if", scan=described, bundle=bundle, mask={"array": str(tmp_path / "mask.npy")})
    expected = camlime.what_if(volume, bundle, mask=mask).as_dict()
    assert answer["part"] == expected["part"]
    assert [a["class"] for a in answer["answers"]] == [a["class"] for a in expected["answers"]]
    assert answer["untouched"]["class"] == by_array["prediction"]["class"]
    assert answer["answers"][0]["log_odds"] == pytest.approx(expected["answers"][0]["log_odds"], abs=1e-4)

    save_volume(tmp_path / "mask.nii.gz", mask, scan.affine)
    by_file = talk.ask("what_if", scan=volume, bundle=bundle, mask=tmp_path / "mask.nii.gz", label=1)
    assert by_file["answers"][0]["log_odds"] == pytest.approx(answer["answers"][0]["log_odds"])


def test_describe_and_estimate(talk: Talk, volume: Path, bundle: Path) -> None:
    described = talk.ask("describe", bundle=bundle)["bundle"]
    assert described["name"] == str(bundle) and described["title"] == "Blob" and not described["shipped"]
    assert described["class_names"] == ["dark", "bright"] and not described["needs_point"]
    blank = talk.ask("estimate", bundle=bundle, device="cpu")
    given = talk.ask("estimate", bundle=bundle, scan=volume, device="cpu")
    for answer in (blank, given):
        passes = [answer["qualities"][name]["passes"] for name in ("quick", "standard", "thorough", "until_certain")]
        assert passes == sorted(passes) and answer["seconds_per_pass"] > 0 and answer["device"] == "cpu"
        assert [q for q, expected in answer["qualities"].items() if expected["at_most"]] == ["until_certain"]
    assert blank["qualities"]["quick"]["passes"] == 3 + 256 + 256


def test_the_planned_passes_are_those_that_are_made(talk: Talk, volume: Path, bundle: Path, tmp_path: Path) -> None:
    planned = talk.ask("estimate", bundle=bundle, scan=volume, device="cpu")["qualities"]["quick"]["passes"]
    result = talk.ask("explain", bundle=bundle, scan=volume, device="cpu", folder=tmp_path / "run", quality="quick")
    made = sum(m["forward_passes"] + 2 * m["backward_passes"] for m in result["maps"].values())
    assert 0.9 * planned <= made <= planned


def test_a_changed_file_is_read_again(talk: Talk, volume: Path, bundle: Path, tmp_path: Path) -> None:
    scan = Scan.read(volume)
    path = save_volume(tmp_path / "scan.nii.gz", scan.image[0].numpy(), scan.affine)
    before = talk.ask("classify", scan=path, bundle=bundle)["prediction"]
    save_volume(path, scan.image[0].numpy() * 4, scan.affine)
    after = talk.ask("classify", scan=path, bundle=bundle)["prediction"]
    assert before["class"] == "dark" and after["class"] == "bright"


def test_maps_sharpen_and_their_files_are_complete(talk: Talk, volume: Path, slow_bundle: Path, tmp_path: Path) -> None:
    """Each file is read when its event comes, as a viewer would."""
    name = talk.client.send(
        "explain",
        **{"scan": volume, "bundle": slow_bundle, "trust_code": True, "device": "cpu", "folder": tmp_path / "run"},
        settings={**FEW, "batch_size": 2, "budget": 640, "evidence_budget": 0, "methods": ["gradcam", "lime"]},
    )
    spread: list[float] = []
    while (event := talk.next(name))["event"] not in {"result", "error", "cancelled"}:
        if event["event"] == "preview":
            values = loaded(event["values"])
            assert values.shape == (16, 14, 12) and np.isfinite(values).all()
            np.testing.assert_array_equal(event["affine_ras"], Scan.read(volume).affine)
            if event["method"] == "lime":
                spread.append(float(loaded(event["std"]).max()))
    assert event["event"] == "result"
    assert len(spread) >= 3, "two on the way and the last"
    assert not list((tmp_path / "run").glob(".*")), "no temporary file stays"
    assert len(list((tmp_path / "run").glob("lime-preview-*"))) <= 2


def test_prints_of_libraries_do_not_break_the_protocol(talk: Talk, volume: Path, tmp_path: Path) -> None:
    noise = "print('noise-python'), os.write(1, b'noise-descriptor\\n'), os.system('echo noise-child')"
    bundle = with_code(tmp_path / "noisy", prepare=f"({noise}, x)[-1]")
    talk.ask("classify", scan=volume, bundle=bundle, trust_code=True)
    talk.ask("classify", scan=volume, bundle=bundle, trust_code=True)
    log = talk.client.log()
    assert "noise-python" in log and "noise-descriptor" in log and "noise-child" in log
    assert "not an event" not in log


def test_a_picture(talk: Talk, tmp_path: Path) -> None:
    pixels = np.full((24, 32, 3), 30, dtype=np.uint8)
    pixels[6:14, 18:26] = 250
    Image.fromarray(pixels).save(tmp_path / "spot.png")
    scale = {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": 255, "b_min": 0.0, "b_max": 1.0}
    spots = write_blob_bundle(tmp_path / "spots", (32, 24), channels=3, steps=[scale])
    quick = {**FEW, "evidence_budget": 0}
    result = talk.ask("explain", scan=tmp_path / "spot.png", bundle=spots, folder=tmp_path / "run", settings=quick)
    assert result["shape"] == [32, 24] and loaded(result["input"]["image"]).shape == (3, 32, 24)
    assert np.shape(result["affine_ras"]) == (4, 4)
    values = loaded(result["maps"]["fused"]["values"])
    assert values.shape == (32, 24) and values[18:26, 6:14].mean() > values.mean()


def test_a_slice_of_a_volume(talk: Talk, tmp_path: Path) -> None:
    """An oblique plane comes back as the plane that it was, resized and flipped as the bundle's input is."""
    steps = [
        {"_target_": "Resized", "keys": "image", "spatial_size": [16, 12]},
        {"_target_": "Flipd", "keys": "image", "spatial_axis": 0},
    ]
    flat = write_blob_bundle(tmp_path / "flat", (16, 12), steps=steps)
    plane = np.array([[0, 0, 2.0, 5], [0.9, -0.8, 0, 7], [1.2, 0.6, 0, -3], [0, 0, 0, 1]])
    pixels = np.random.default_rng(0).random((1, 32, 24)).astype(np.float32)
    np.save(tmp_path / "plane.npy", pixels)
    scan = {"array": str(tmp_path / "plane.npy"), "affine_ras": plane.tolist()}
    settings = {**FEW, "evidence_budget": 0, "methods": ["gradcam"]}
    result = talk.ask("explain", scan=scan, bundle=flat, folder=tmp_path / "run", settings=settings)
    # voxel i of the input is at 2 (15 - i) + 0.5 of the plane's first axis, j at 2 j + 0.5 of its second
    to_plane = np.array([[-2.0, 0, 0, 30.5], [0, 2, 0, 0.5], [0, 0, 1, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(result["affine_ras"], plane @ to_plane, atol=1e-6)
