"""What attacks on the screen and fuzzing found: each was a hole, a crash or a standstill once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle_factory import inference, network, network_def, step, write
from refusing import SCAN, assert_refused

from camlime.bundle import Bundle
from camlime.errors import BundleError
from camlime.scan import Scan


@pytest.mark.parametrize("role", ["preprocessing", "inferer", "postprocessing"])
def test_no_role_fetches_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    """EfficientNetBN asks for pretrained weights by default: also where no network belongs, none are fetched."""

    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("tried to reach the network")

    monkeypatch.setattr("socket.socket.connect", no_network)
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    fetching = {"_target_": "EfficientNetBN", "model_name": "efficientnet-b0"}
    config = inference()
    if role == "preprocessing":
        config["preprocessing"]["transforms"].append(fetching)
    elif role == "inferer":
        config["inferer"] = fetching
    else:
        config["postprocessing"] = step("Activationsd", "pred", other=fetching)
    try:
        Bundle.load(write(tmp_path / "b", config)).prepare(SCAN)
    except BundleError as error:
        assert role != "postprocessing"
        assert "EfficientNet" in str(error)


def test_names_of_mappings_do_not_reach_expressions(tmp_path: Path, marker: Path) -> None:
    key = f"' + open({str(marker)!r}, 'w') + '"
    for text in ("$'\\x25::x'", "$'\\x25\\x23x'", "$'%::x'", "$'%#x'"):
        config = inference(steps=[step("ScaleIntensityd", minv={key: {"a": text}})])
        assert_refused(write(tmp_path / str(len(text)) / "b", config), marker, "configs/inference.json")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"_target_": "Resized", "spatial_size": "$[200000, 200000]"}, "spatial_size"),
        ({"_target_": "Resized", "spatial_size": "$@edge * 100"}, "too large"),
        ({"_target_": "Resized", "spatial_size": 60000, "size_mode": "longest"}, "60000 x 60000"),
        ({"_target_": "Resized", "spatial_size": 10**15}, "too large"),
        ({"_target_": "Spacingd", "pixdim": [0.002, 0.0002]}, "pixdim"),
        ({"_target_": "Spacingd", "pixdim": [0.002, 0.002], "lazy": True}, "too large|cannot"),
        ({"_target_": "DivisiblePadd", "k": 10**6}, "'k"),
        ({"_target_": "CropForegroundd", "source_key": "image", "k_divisible": [40000, 40000]}, "k_divisible"),
        ({"_target_": "GaussianSmoothd", "sigma": 1e9}, "sigma"),
        ({"_target_": "AsDiscreted", "to_onehot": 10**9}, "to_onehot"),
        ({"_target_": "HistogramNormalized", "num_bins": "$10000 * 1000000"}, "num_bins"),
        ({"_target_": "SpatialPadd", "spatial_size": [float("nan"), 5]}, "spatial_size"),
    ],
)
def test_sizes_when_expressions_have_their_values(
    tmp_path: Path, marker: Path, arguments: dict[str, Any], named: str
) -> None:
    config = inference(steps=[{"keys": "image", **arguments}], edge=[10**5, 10**5])
    large = Scan.from_array(np.arange(10000.0).reshape(1, 100, 100), np.diag([0.9, 0.9, 1, 1]))
    with pytest.raises(BundleError, match=named):
        Bundle.load(write(tmp_path / "b", config)).prepare(large)


def test_a_network_that_grows_while_it_is_built(tmp_path: Path, marker: Path) -> None:
    """Refused before its memory is taken, also where the number only appears when an expression has its value."""
    config = inference(network_def={**network_def(), "init_features": "$10000 * 1000"})
    assert_refused(write(tmp_path / "b", config), marker, "'network'", "is too large", error=BundleError)


@pytest.mark.parametrize("role", ["preprocessing", "postprocessing"])
def test_lists_that_multiply(tmp_path: Path, marker: Path, role: str) -> None:
    config = inference(**{role: "@n0"})
    for index in range(24):
        config[f"n{index}"] = [f"@n{index + 1}", f"@n{index + 1}"]
    config["n24"] = step("ScaleIntensityd") if role == "preprocessing" else step("Activationsd", "pred")
    root = write(tmp_path / "b", config)
    if role == "preprocessing":
        assert_refused(root, marker, "more than 500 steps", error=BundleError)
    else:
        assert Bundle.load(root).activation == "softmax"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("network: !!omap [a: \"$open('MARKER', 'w')\"]", "holds a tuple"),
        ("network: !!set {\"$open('MARKER', 'w')\"}", "holds a set"),
        ("network: !!binary aGFsbG8=", "holds a bytes"),
        ("network: {_target_: DenseNet, 3: 4}", "is not a name"),
        (f"network: {10**30}", "whole number of 100 bits"),
    ],
)
def test_yaml_that_json_does_not_have(tmp_path: Path, marker: Path, text: str, said: str) -> None:
    root = write(tmp_path / "b", text.replace("MARKER", str(marker)), config_name="inference.yaml")
    assert_refused(root, marker, said, error=BundleError)


def test_yaml_merge_keys_that_multiply(tmp_path: Path, marker: Path) -> None:
    text = "a0: &a0 {" + ", ".join(f"k{i}: 1" for i in range(10)) + "}\n"
    for level in range(1, 9):
        text += f"a{level}: &a{level}\n  <<: [{', '.join([f'*a{level - 1}'] * 10)}]\n  own{level}: 1\n"
    # PyYAML before 6.0.4 multiplies them, and is stopped; later versions do not
    assert_refused(write(tmp_path / "b", text, config_name="inference.yaml"), marker, error=BundleError)


@pytest.mark.parametrize("macro", ["%a\0.json::x", "%" + "a" * 5000 + ".json::x"])
def test_names_that_are_no_names_of_files(tmp_path: Path, marker: Path, macro: str) -> None:
    assert_refused(write(tmp_path / "b", inference(inferer=macro)), marker, "name of a file", error=BundleError)


def test_a_link_to_itself(tmp_path: Path, marker: Path) -> None:
    root = write(tmp_path / "b", weights=False)
    (root / "models" / "model.pt").symlink_to(root / "models" / "model.pt")
    assert_refused(root, marker, error=BundleError)


@pytest.mark.parametrize("inferer", ["text", "@dataset::-1", {"_target_": "torch.nn.ReLU"}, 3])
def test_an_inferer_that_is_none(tmp_path: Path, marker: Path, inferer: Any) -> None:
    assert_refused(write(tmp_path / "b", inference(inferer=inferer)), marker, "no inferer", error=BundleError)


def test_lazy_layers(tmp_path: Path, marker: Path) -> None:
    config = inference(network_def={"_target_": "torch.nn.LazyLinear", "out_features": 2})
    assert_refused(write(tmp_path / "b", config), marker, "lazy", error=BundleError)


def test_torchscript_by_another_name(tmp_path: Path, marker: Path) -> None:
    root = write(tmp_path / "b", weights=False)
    torch.jit.trace(network(), torch.zeros(1, 1, 16, 16)).save(str(root / "models" / "model.pt"))
    assert_refused(root, marker, "TorchScript, which is code")


def test_a_field_of_view_beyond_floats(tmp_path: Path, marker: Path) -> None:
    root = write(tmp_path / "b", explain={"explain": {"field_of_view_mm": 10**400}})
    assert_refused(root, marker, "configs/explain.json", error=BundleError)


def test_damaged_archives_of_weights(tmp_path: Path) -> None:
    """Wherever a byte is changed or missing: an error that names the file, or sound weights."""
    root = write(tmp_path / "b")
    path = root / "models" / "model.pt"
    sound = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(sound)
        at = int(rng.integers(len(sound) - 4000, len(sound)))
        if rng.random() < 0.5:
            content[at] ^= 0xFF
        else:
            del content[at : at + 7]
        path.write_bytes(bytes(content))
        try:
            Bundle.load(root)
        except BundleError as error:
            assert "model.pt" in str(error)
