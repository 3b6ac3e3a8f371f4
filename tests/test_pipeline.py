"""The pipeline refuses early, in words, what it cannot do, and keeps what it has when it is cancelled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.blob_bundle import write_blob_bundle

import camlime
from camlime.errors import DeviceError, RegionsError, RequestError
from camlime.phantom import blob
from camlime.pipeline import METHODS, answer
from camlime.scan import Scan, save_volume

SHAPE = (20, 18, 16)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> camlime.Bundle:
    return camlime.Bundle.load(write_blob_bundle(tmp_path_factory.mktemp("bundles") / "blob", SHAPE))


@pytest.fixture(scope="module")
def scan() -> Scan:
    return blob(SHAPE, radius_mm=4)


def explain(scan: Scan, bundle: camlime.Bundle, **settings: Any) -> camlime.Explanation:
    return camlime.explain(
        scan,
        bundle,
        **{"n_regions": 30, "budget": 64, "device": "cpu", "batch_size": 16, "evidence_budget": 0, **settings},
    )


def test_every_method_runs_and_is_recorded(scan: Scan, bundle: camlime.Bundle, tmp_path: Path) -> None:
    explanation = explain(scan, bundle, methods=METHODS)
    assert tuple(explanation.attributions) == METHODS
    assert explanation.complete
    assert explanation.provenance["seed"] == 0
    assert explanation.provenance["bundle"]["sha256"]["models/model.pt"]
    for attribution in explanation.attributions.values():
        assert attribution.values.shape == SHAPE
        assert attribution.values.dtype == np.float32
        assert np.isfinite(attribution.values).all()
    explanation.save(tmp_path / "out")
    again = camlime.Explanation.load(tmp_path / "out")
    assert tuple(again.attributions) == METHODS


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"methods": ["shap"]}, RequestError, "no method 'shap'"),
        ({"methods": ["scorecam"]}, RequestError, "fails in 3D"),
        ({"methods": []}, None, ""),
        ({"class_name": "grey"}, RequestError, "no class 'grey'.*dark, bright"),
        ({"methods": ["lime", "gradcam"], "target_layer": "nope"}, RequestError, "nope"),
        ({"methods": ["lime"], "target_layer": "nope"}, RequestError, "'nope' is for CAMs, and none is .*: lime"),
        ({"budget": 0}, RequestError, "budget of 0"),
        ({"budget": 16, "segmentations": 7, "methods": ["lime", "fused"]}, RequestError, "too small"),
        ({"segmentations": 0}, RequestError, "segmentations"),
        ({"baseline": "black"}, RequestError, "no baseline 'black'"),
        ({"device": "cuda:99"}, DeviceError, "cuda:99"),
        ({"device": "abacus"}, DeviceError, "abacus"),
        ({"point": (0, 0, 0)}, RequestError, "outside|whole image"),
        ({"regions": "nowhere.nii.gz"}, RegionsError, "label map.*nowhere"),
        ({"budget": "Auto"}, RequestError, "budget 'Auto'"),
        ({"n_regions": 100_000}, RegionsError, "too many"),
        ({"segmentations": 500}, RequestError, "500 segmentations"),
        ({"lime_mode": "fast", "methods": ["lime"]}, RequestError, "no mode 'fast'"),
        ({"lime_mode": "stock", "budget": "auto", "methods": ["lime"]}, RequestError, "standard errors"),
        ({"batch_size": 0}, RequestError, "batch size"),
        ({"seed": -1}, RequestError, "seed -1"),
    ],
)
def test_refused_before_any_masked_image(
    scan: Scan, bundle: camlime.Bundle, settings: dict[str, Any], error: type[Exception] | None, words: str
) -> None:
    asked: list[object] = []
    listeners = camlime.Listeners(on_progress=asked.append)
    if error is None:  # an empty list is "as the bundle says", not nothing
        assert explain(scan, bundle, listeners=listeners, **settings).attributions
        return
    with pytest.raises(error, match=words):
        explain(scan, bundle, listeners=listeners, **settings)
    assert not asked


def test_mixed_precision_on_a_cpu_is_warned_of(scan: Scan, bundle: camlime.Bundle) -> None:
    def warned(**settings: Any) -> bool:
        warnings = explain(scan, bundle, methods=["gradcam"], evidence_budget=0, **settings).warnings
        return any("mixed precision on a CPU" in warning for warning in warnings)

    assert warned(amp=True) and not warned()


def test_regions_of_the_user_are_named(scan: Scan, bundle: camlime.Bundle, tmp_path: Path) -> None:
    labels = np.ones(SHAPE, np.int16)
    labels[:, 9:] = 2
    labels[:, :, 8:] += 2
    path = save_volume(tmp_path / "labels.nii.gz", labels, scan.affine)
    explanation = explain(scan, bundle, regions=path, methods=["lime", "fused"])
    assert [row["name"] for row in explanation.region_table()] == ["label_1", "label_2", "label_3", "label_4"]
    assert explanation.attributions["lime"].parameters["segmentations"] == 1
    elsewhere = np.diag([3.0, 3.0, 3.0, 1.0])
    with pytest.raises(RegionsError, match="another voxel grid"):
        explain(scan, bundle, regions=save_volume(tmp_path / "off.nii.gz", labels, elsewhere))


def test_cancelled_in_the_middle_of_lime_keeps_what_there_is(scan: Scan, bundle: camlime.Bundle) -> None:
    seen: list[camlime.Attribution] = []
    passes: list[int] = []
    listeners = camlime.Listeners(
        on_progress=lambda p: passes.append(p.done),
        on_attribution=seen.append,
        cancelled=lambda: bool(passes) and passes[-1] >= 32,
    )
    explanation = explain(scan, bundle, budget=4096, listeners=listeners)
    assert not explanation.complete
    assert list(explanation.attributions) == ["gradcam", "lime"] == [a.method for a in seen]
    assert 32 <= explanation.attributions["lime"].forward_passes < 128
    assert explanation.attributions["lime"].parameters["cancelled"]


def test_cancelled_at_once_has_nothing(scan: Scan, bundle: camlime.Bundle) -> None:
    explanation = explain(scan, bundle, listeners=camlime.Listeners(cancelled=lambda: True))
    assert not explanation.attributions
    assert not explanation.complete


def test_until_certain_says_why_it_stopped(scan: Scan, bundle: camlime.Bundle) -> None:
    explanation = explain(scan, bundle, budget="auto", methods=["fused"], segmentations=1)
    (reason,) = explanation.attributions["fused"].parameters["stopped_because"]
    assert "certain enough" in reason


def test_the_network_is_left_as_it_was(scan: Scan, bundle: camlime.Bundle) -> None:
    before = {name: tensor.clone() for name, tensor in bundle.network.state_dict().items()}
    flags = [p.requires_grad for p in bundle.network.parameters()]
    bundle.network.train()
    try:
        explain(scan, bundle, methods=METHODS)
        assert all(module.training for module in bundle.network.modules())
    finally:
        bundle.network.eval()
    assert [p.requires_grad for p in bundle.network.parameters()] == flags
    assert all(p.grad is None for p in bundle.network.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in bundle.network.modules())
    for name, tensor in bundle.network.state_dict().items():
        assert tensor.equal(before[name]), name


def test_a_view_of_nothing_is_said_to_be_nothing(bundle: camlime.Bundle) -> None:
    values = np.full((1, *SHAPE), 100.0, np.float32)
    whole = Scan.from_array(np.concatenate([values, values + 1], axis=1), np.eye(4))
    flat = Scan(whole.image[:, : SHAPE[0]], whole.source)
    explained = explain(flat, bundle, methods=["lime"], regions=None, n_regions=8).warnings
    answered = answer(flat, bundle).warnings
    for warnings in (explained, answered):
        assert ["the same everywhere" in warning for warning in warnings].count(True) == 1


def test_the_batch_size_that_was_measured_is_recorded(bundle: camlime.Bundle, scan: Scan) -> None:
    asked: dict[str, Any] = {"methods": ["gradcam"], "n_regions": 8, "segmentations": 1, "evidence_budget": 0}
    measured = camlime.explain(scan, bundle, **asked, device="cpu").provenance
    assert measured["batch_size"] is None and measured["batch_size_used"] >= 1
    given = camlime.explain(scan, bundle, **asked, device="cpu", batch_size=3).provenance
    assert (given["batch_size"], given["batch_size_used"]) == (3, 3)


def test_what_was_made_up_of_the_scans_place_is_a_warning(scan: Scan, bundle: camlime.Bundle) -> None:
    noted = replace(scan, notes=("it does not say where it lies",))
    assert noted.notes[0] in answer(noted, bundle, device="cpu").warnings
    assert noted.notes[0] in explain(noted, bundle, methods=["gradcam"]).warnings
