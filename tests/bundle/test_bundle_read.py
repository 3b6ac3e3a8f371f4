"""Weights, activations, names, settings, ids and fingerprints."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle_factory import compose, inference, metadata, network, network_def, step, write
from monai.networks.nets import UNet
from safetensors.torch import save_file
from torch import nn

from camlime.bundle import Bundle, ExplainSettings, NamedOptions, flatten_output, shipped_bundles
from camlime.bundle.expressions import check_expression, expression_globals
from camlime.bundle.targets import RefusedTarget, locate_target
from camlime.errors import BundleError
from camlime.scan import Scan

SCAN = Scan.from_array(np.random.default_rng(0).normal(size=(1, 16, 16)), np.eye(4))


def same_weights(bundle: Bundle) -> bool:
    return all(torch.equal(a, b) for a, b in zip(bundle.network.parameters(), network().parameters(), strict=True))


# weights


@pytest.mark.parametrize("key", ["model", "state_dict", "network", "net"])
def test_nested_checkpoint(tmp_path: Path, key: str) -> None:
    bundle = Bundle.load(write(tmp_path / "b", weights={"epoch": 3, key: network().state_dict()}))
    assert same_weights(bundle)
    assert not bundle.network.training


def test_data_parallel_and_legacy_format(tmp_path: Path) -> None:
    root = write(tmp_path / "b", weights=False)
    state = {f"module.{name}": value for name, value in network().state_dict().items()}
    torch.save({"model": {"state_dict": state}}, root / "models" / "model.pt", _use_new_zipfile_serialization=False)
    assert same_weights(Bundle.load(root))


def test_safetensors(tmp_path: Path) -> None:
    root = write(tmp_path / "b", weights=False)
    path = root / "models" / "model.safetensors"
    save_file(network().state_dict(), path)
    bundle = Bundle.load(root)
    assert same_weights(bundle)
    assert bundle.fingerprint["models/model.safetensors"] == hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BundleError, match="damaged"):
        Bundle.load(root)


def test_weights_of_another_network(tmp_path: Path) -> None:
    with pytest.raises(
        BundleError, match=r"another network .*of another shape: .*class_layers.out.weight \(5, .*instead of"
    ):
        Bundle.load(write(tmp_path / "b", weights=network(classes=5)))
    with pytest.raises(BundleError, match=r"missing: .*, \.\.\.; 2 unexpected: weight, bias"):
        Bundle.load(write(tmp_path / "c", weights=nn.Linear(3, 2)))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_weights(tmp_path: Path, share: float) -> None:
    root = write(tmp_path / "b")
    path = root / "models" / "model.pt"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(BundleError, match=r"damaged|empty"):
        Bundle.load(root)


def test_other_broken_weights(tmp_path: Path) -> None:
    root = write(tmp_path / "b", weights=False)
    with pytest.raises(BundleError, match="has no weights"):
        Bundle.load(root)
    (root / "large_files.yml").write_text("large_files: []")
    with pytest.raises(BundleError, match="large files"):
        Bundle.load(root)
    (root / "models" / "model.pt").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(BundleError, match="git lfs pull"):
        Bundle.load(root)
    for content in ([1, 2], {"epoch": 3}, {"model": {"epoch": 3}}, torch.zeros(3), {}):
        torch.save(content, root / "models" / "model.pt")
        with pytest.raises(BundleError, match="not a checkpoint"):
            Bundle.load(root)
    (root / "models" / "model.pt").unlink()
    (root / "models" / "model.pt").mkdir()
    with pytest.raises(BundleError, match="not a file"):
        Bundle.load(root)


def test_weights_that_are_not_numbers(tmp_path: Path) -> None:
    broken = network()
    with torch.no_grad():
        broken.class_layers.out.bias[0] = float("nan")
    with pytest.raises(BundleError, match=r"NaN.*class_layers\.out\.bias"):
        Bundle.load(write(tmp_path / "b", weights=broken))


def test_weights_larger_than_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camlime.bundle.weights.MAX_WEIGHT_BYTES", 1000)
    with pytest.raises(BundleError, match="larger than"):
        Bundle.load(write(tmp_path / "b"))


# what the outputs mean


@pytest.mark.parametrize(
    ("post", "classes", "expected", "assumed"),
    [
        (compose(step("Activationsd", "pred", softmax=True)), 2, "softmax", False),
        (compose(step("Activationsd", "pred", sigmoid=True)), 2, "sigmoid", False),
        (step("Activationsd", ["label", "pred"], sigmoid=[False, True]), 2, "sigmoid", False),
        ({"_target_": "Activations", "sigmoid": True}, 2, "sigmoid", False),
        (compose(compose({"_target_": "torch.nn.Softmax", "dim": 1})), 2, "softmax", False),
        ({"_target_": "torch.nn.Sigmoid"}, 2, "sigmoid", False),
        (step("Activationsd", "pred", other="$torch.sigmoid"), 2, "sigmoid", False),
        ("$[@act]", 2, "softmax", False),
        (compose(step("AsDiscreted", "pred", argmax=True)), 2, "softmax", True),
        (compose(step("Activationsd", "pred", softmax=False)), 1, "sigmoid", True),
        (None, 1, "sigmoid", True),
    ],
)
def test_activation(tmp_path: Path, post: Any, classes: int, expected: str, assumed: bool) -> None:
    config = inference(classes=classes, postprocessing=post, act=step("Activationsd", "pred", softmax=True))
    names = ["healthy", "ill"][:classes]
    root = write(tmp_path / "b", config, metadata([16, 16], names=names), network(classes=classes))
    bundle = Bundle.load(root)
    assert bundle.activation == expected
    assert any("is assumed" in note for note in bundle.assumptions) == assumed
    other = "sigmoid" if expected == "softmax" else "softmax"
    assert Bundle.load(root, activation=other).activation == other
    with pytest.raises(BundleError, match="no activation 'relu'"):
        Bundle.load(root, activation="relu")  # type: ignore[arg-type]


def test_class_names(tmp_path: Path) -> None:
    meta = metadata([16, 16])
    output = meta["network_data_format"]["outputs"]["pred"]
    output["channel_def"] = {"1": "ill"}
    assert Bundle.load(write(tmp_path / "a", meta=meta)).class_names == ("class_0", "ill")
    del output["channel_def"]
    bundle = Bundle.load(write(tmp_path / "b", meta=meta))
    assert bundle.class_names == ("class_0", "class_1")
    assert any("names no classes" in note for note in bundle.assumptions)
    assert Bundle.load(write(tmp_path / "c", meta={"version": "1"})).class_names == ("class_0", "class_1")
    output["channel_def"] = ["a", "b"]
    with pytest.raises(BundleError, match="channel_def"):
        Bundle.load(write(tmp_path / "d", meta=meta))


def test_two_names_for_one_output(tmp_path: Path) -> None:
    meta = metadata([16, 16])
    meta["network_data_format"]["outputs"]["pred"]["num_channels"] = 1
    bundle = Bundle.load(write(tmp_path / "b", inference(classes=1, postprocessing=None), meta, network(classes=1)))
    bundle.prepare(SCAN)
    assert (bundle.class_names, bundle.activation) == (("healthy", "ill"), "sigmoid")


def test_number_of_outputs_is_checked(tmp_path: Path) -> None:
    bundle = Bundle.load(write(tmp_path / "b", meta=metadata([16, 16], names=["a", "b", "c"])))
    with pytest.raises(BundleError, match=r"has 2 output\(s\), and the bundle names 3 class\(es\): a, b, c"):
        bundle.prepare(SCAN)


def test_segmentation_is_refused(tmp_path: Path) -> None:
    arguments = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "channels": [4, 8], "strides": [2]}
    config = inference(network_def={"_target_": "UNet", **arguments})
    bundle = Bundle.load(write(tmp_path / "b", config, weights=UNet(**arguments)))
    with pytest.raises(BundleError, match=r"shape \(1, 2, 16, 16\): a segmentation"):
        bundle.prepare(SCAN)


def test_network_that_ends_in_a_softmax_is_said(tmp_path: Path) -> None:
    arguments = {"in_shape": [1, 16, 16], "classes": 2, "channels": [2], "strides": [4]}
    config = inference(network_def={"_target_": "Classifier", **arguments, "last_act": "SIGMOID"})
    root = write(tmp_path / "b", config, weights=False)
    torch.save(locate_target("Classifier")(**arguments, last_act="SIGMOID").state_dict(), root / "models" / "model.pt")
    assert any("ends in Sigmoid" in note for note in Bundle.load(root).assumptions)


def test_flatten_output() -> None:
    assert flatten_output(torch.zeros(4)).shape == (4, 1)
    assert flatten_output((torch.zeros(4, 2, 1, 1, 1), None)).shape == (4, 2)
    for bad in ({"a": 1}, torch.tensor(1.0), [], torch.zeros(1, 2, 3)):
        with pytest.raises(BundleError):
            flatten_output(bad)


# configs


def test_ids_of_all_kinds(tmp_path: Path) -> None:
    config = inference(
        network_def={
            **network_def(),
            "spatial_dims": "$@sizes#dims",
            "in_channels": "@sizes::list::0",
            "out_channels": "@##two",
        },
        sizes={"dims": "$4 // 2 if @sizes::list[0] == 1 else 3", "list": ["$int('1')", 5]},
        two="$max(@sizes::list::0, len([1, 2]))",
        network="%configs/other.yaml#net",
    )
    config["sizes#list#1"] = "$@sizes#list#0"
    config["inferer"] = {"_target_": "SimpleInferer", "_desc_": "$this is not evaluated", "_mode_": "default"}
    root = write(tmp_path / "b", config)
    (root / "configs" / "other.yaml").write_text("net: $@network_def.to(device=@device, non_blocking=True)\n")
    bundle = Bundle.load(root)
    assert same_weights(bundle)
    assert type(bundle.inferer).__name__ == "SimpleInferer"
    assert set(bundle.fingerprint) == {
        "models/model.pt",
        "configs/inference.json",
        "configs/metadata.json",
        "configs/other.yaml",
    }
    for name, digest in bundle.fingerprint.items():
        assert digest == hashlib.sha256((root / name).read_bytes()).hexdigest()


def test_disabled_components_and_null_references(tmp_path: Path) -> None:
    disabled = {"_target_": "os.system", "_disabled_": True}
    config = inference(steps=[disabled, "@off", step("ScaleIntensityd", minv="@nothing", maxv="@nothing", factor=1.0)])
    config.update(off={**disabled, "_disabled_": "True"}, nothing=None)
    image = Bundle.load(write(tmp_path / "b", config)).prepare(SCAN).image
    torch.testing.assert_close(image, SCAN.image.as_tensor() * 2)


def test_device_stays_the_cpu(tmp_path: Path) -> None:
    config = inference(
        steps=[step("EnsureTyped", device="cuda:0"), step("ToDeviced", device="@device")], device="cuda:0"
    )
    config["inferer"] = {
        "_target_": "SlidingWindowInferer",
        "roi_size": [8, 8],
        "device": "@device",
        "sw_device": "cuda",
    }
    bundle = Bundle.load(write(tmp_path / "b", config))
    assert bundle.prepare(SCAN).image.device.type == "cpu"
    assert bundle.inferer.device is None


def test_loading_leaves_the_random_state_alone(tmp_path: Path) -> None:
    root = write(tmp_path / "b")
    torch.manual_seed(0)
    before = torch.get_rng_state()
    Bundle.load(root)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network_def": None, "network": None}, "define no network"),
        ({"network": 3}, "makes a int, not a network"),
        ({"network": "@inferer"}, "makes a SimpleInferer, not a network"),
        ({"network": {"_target_": "DenseNet", "wrong": 1}}, "cannot be built: TypeError"),
        ({"preprocessing": 3}, "holds a int, which is not a transform"),
        ({"network": "@####x"}, "points outside the config"),
    ],
)
def test_configs_that_make_no_sense(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        Bundle.load(write(tmp_path / "b", inference(**change)))


def test_missing_parts(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="there is no bundle 'nowhere'"):
        Bundle.load("nowhere")
    (tmp_path / "file.zip").write_text("x")
    with pytest.raises(BundleError, match="neither a bundle's folder nor a zip"):
        Bundle.load(tmp_path / "file.zip")
    with pytest.raises(BundleError, match="metadata"):
        Bundle.load(tmp_path)
    root = write(tmp_path / "b")
    (root / "configs" / "inference.json").unlink()
    with pytest.raises(BundleError, match="no configs/inference"):
        Bundle.load(root)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$1 + 2 * 3 - 4 / 2", 5.0),
        ("$(1, 2) + (3,)", (1, 2, 3)),
        ("$[0] * 3", [0, 0, 0]),
        ("$'a' + 'b'", "ab"),
        ("$-7 // 2 % 5", 1),
        ("$torch.float32", torch.float32),
        ("$np.uint8", np.uint8),
        ("$numpy.inf", float("inf")),
        ("$monai.utils.CommonKeys.IMAGE", "image"),
        ("$monai.utils.enums.GridSampleMode.BILINEAR", "bilinear"),
        ("$torch.nn.ReLU", nn.ReLU),
        ("$torch.cuda.is_available()", False),
        ("$torch.device('cuda:0')", torch.device("cpu")),
        ("$list(range(3))", [0, 1, 2]),
        ("$str(3) if not 1 > 2 and 2 in [2] else None", "3"),
        ("$[1, 2, 3][1:]", [2, 3]),
        ("$min(3, abs(-2))", 2),
    ],
)
def test_expressions_that_are_allowed(expression: str, value: Any) -> None:
    text = check_expression(expression, {}).render({})
    assert eval(text[1:], expression_globals()) == value


def test_targets_that_are_allowed() -> None:
    names = ["DenseNet121", "SEResNet50", "EfficientNetBN", "ViT", "resnet18", "monai.networks.nets.densenet.DenseNet"]
    names += ["monai.transforms.Resized", "ResizeD", "monai.transforms.spatial.dictionary.ResizeDict", "SimpleInferer"]
    names += ["torch.nn.Linear", "torch.nn.modules.conv.Conv3d", "torchvision.models.resnet18", "AddLabelAsGuidanced"]
    for name in names:
        assert callable(locate_target(name)), name
    with pytest.raises(RefusedTarget):
        locate_target("torchvision.models.get_model")


# settings


def test_settings(tmp_path: Path) -> None:
    block = {
        "methods": ["cam"],
        "field_of_view_mm": [40, 40.5, 8],
        "baseline": {"name": "constant", "value": 0.1},
        "score_baselines": ["blur", {"name": "mean"}],
        "target_layer": "features.norm5",
        "n_regions": 100,
        "budget": 512,
        "demo_phantom": "nodule",
    }
    bundle = Bundle.load(
        write(tmp_path / "b", explain={"explain": block, "preprocessing": compose(step("ScaleIntensityd"))})
    )
    settings = bundle.explain_settings
    assert settings.methods == ("cam",)
    assert settings.field_of_view_mm == bundle.field_of_view_mm == (40, 40.5, 8)
    assert settings.baseline == NamedOptions("constant", {"value": 0.1})
    assert [baseline.name for baseline in settings.score_baselines] == ["blur", "mean"]
    assert (settings.target_layer, settings.n_regions, settings.budget) == ("features.norm5", 100, 512)
    assert settings.demo_phantom == NamedOptions("nodule")
    assert "configs/explain.json" in bundle.fingerprint
    assert float(bundle.prepare(SCAN).image.max()) == pytest.approx(1)


def test_settings_default(tmp_path: Path) -> None:
    assert Bundle.load(write(tmp_path / "b")).explain_settings == ExplainSettings()
    assert ExplainSettings.parse({"baseline": None}) == ExplainSettings()


@pytest.mark.parametrize(
    ("block", "key"),
    [
        ({"metods": []}, "metods"),
        ({"methods": "cam"}, "methods"),
        ({"methods": []}, "methods"),
        ({"field_of_view_mm": -1}, "field_of_view_mm"),
        ({"field_of_view_mm": [1, 2, 3, 4]}, "field_of_view_mm"),
        ({"field_of_view_mm": "40"}, "field_of_view_mm"),
        ({"field_of_view_mm": True}, "field_of_view_mm"),
        ({"baseline": {"value": 3}}, "baseline"),
        ({"score_baselines": "blur"}, "score_baselines"),
        ({"score_baselines": [3]}, "score_baselines"),
        ({"target_layer": 3}, "target_layer"),
        ({"n_regions": 0}, "n_regions"),
        ({"n_regions": 1.5}, "n_regions"),
        ({"budget": True}, "budget"),
        ([], "explain"),
    ],
)
def test_settings_that_are_wrong(tmp_path: Path, block: Any, key: str) -> None:
    with pytest.raises(BundleError, match=key):
        Bundle.load(write(tmp_path / "b", explain={"explain": block}))


# shipped


def test_shipped_bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, folder in shipped_bundles().items():
        assert json.loads((folder / "configs" / "metadata.json").read_text())["version"], name
    monkeypatch.setattr("camlime.bundle.shipped._PLACES", (tmp_path / "none", tmp_path / "some"))
    assert shipped_bundles() == {}
    write(tmp_path / "some" / "tiny")
    (tmp_path / "some" / "other").mkdir()
    assert list(shipped_bundles()) == ["tiny"]
    bundle = Bundle.load("tiny")
    assert (bundle.name, bundle.version, bundle.root) == ("Tiny", "1.2.3", (tmp_path / "some" / "tiny").resolve())
    with pytest.raises(BundleError, match="a shipped one: tiny"):
        Bundle.load("tinny")


def test_two_classes_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="two classes the same name: 'a'") as caught:
        Bundle.load(write(tmp_path / "b", meta=metadata([16, 16], names=["a", "a"])))
    assert "channel_def" in caught.value.hint
