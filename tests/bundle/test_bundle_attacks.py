"""What attacks on the screen and fuzzing found: each was a hole, a crash or a standstill once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle_factory import inference, metadata, network, network_def, step, write
from refusing import SCAN, assert_refused
from support.hostile_bundles import bare_pickle, torch_archive

import camlime
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


@pytest.mark.parametrize(
    "transform",
    [
        step("EnsureTyped", data_type="numpy", dtype="S1000000000"),
        step("CastToTyped", dtype="V1000000000"),
        step("CastToTyped", dtype=["float32", "U100000000"]),
        step("EnsureTyped", data_type="numpy", dtype="(10000,1000)f8"),
        step("EnsureTyped", data_type="numpy", dtype="$'S' + str(10 * 100000000)"),
        step("CastToTyped", dtype="f8,f8"),
        step("MapLabelValued", orig_labels=[1], target_labels=[2], dtype="object"),
    ],
)
def test_types_that_are_none_of_numbers(tmp_path: Path, marker: Path, transform: dict[str, Any]) -> None:
    """A voxel of a gigabyte passes every bound on grids."""
    root = write(tmp_path / "b", inference(steps=[transform]))
    assert_refused(root, marker, "is not a plain type of numbers", error=BundleError)


@pytest.mark.parametrize("dtype", ["float32", "torch.float64", "uint8", "<f4", "half", "$torch.float32", "$np.int16"])
def test_types_of_numbers(tmp_path: Path, dtype: str) -> None:
    config = inference(steps=[step("CastToTyped", dtype=dtype)])
    try:
        Bundle.load(write(tmp_path / "b", config)).prepare(SCAN)
    except BundleError as error:  # names that MONAI does not know, such as half
        assert "plain type" not in str(error)


@pytest.mark.parametrize("content", [bare_pickle, torch_archive])
def test_pickles_by_the_name_of_safetensors(tmp_path: Path, marker: Path, content: Any) -> None:
    root = write(tmp_path / "b", weights=False)
    (root / "models" / "model.safetensors").write_bytes(content(marker))
    assert_refused(root, marker, "model.safetensors are damaged", error=BundleError)


def test_safetensors_that_announce_more_than_they_hold(tmp_path: Path, marker: Path) -> None:
    root = write(tmp_path / "b", weights=False)
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}}).encode()
    for size in (len(header), 2**62):
        content = size.to_bytes(8, "little") + header + bytes(4)
        (root / "models" / "model.safetensors").write_bytes(content)
        assert_refused(root, marker, "are damaged", error=BundleError)


def test_a_tensor_that_says_it_is_larger_than_its_bytes(tmp_path: Path, marker: Path) -> None:
    state = {name: torch.zeros(1).expand(2**40) for name in network().state_dict()}
    assert_refused(write(tmp_path / "b", weights=state), marker, "belong to another network", error=BundleError)


@pytest.mark.parametrize("kind", ["outside", "pickle", "large", "link"])
def test_a_domain_that_is_none(tmp_path: Path, marker: Path, kind: str) -> None:
    """The file of the out-of-domain score is read when an image is explained."""
    root = write(tmp_path / "b", inference())
    name = "../domain.safetensors" if kind == "outside" else "models/domain.safetensors"
    path = root / name
    if kind == "pickle":
        path.write_bytes(bare_pickle(marker))
    elif kind == "link":
        path.symlink_to(root.parent / "elsewhere")
        (root.parent / "elsewhere").write_bytes(bytes(8))
    else:
        with path.open("wb") as file:
            file.truncate(2**33 if kind == "large" else 8)
    settings = {"explain": {"domain": {"file": name, "layers": ["features"]}}}
    (root / "configs" / "explain.json").write_text(json.dumps(settings))
    with pytest.raises(BundleError, match="domain"):
        camlime.explain(SCAN, root, methods=["lime"], device="cpu", budget=16, n_regions=4, evidence_budget=0)
    assert not marker.exists()


def test_texts_that_look_like_payloads_stay_texts(tmp_path: Path, marker: Path) -> None:
    """In metadata, descriptions, logging and files that nothing names, and as the value of a harmless expression."""
    payload = f"$open({str(marker)!r}, 'w')"
    config = inference(
        inferer={"_target_": "SimpleInferer", "_desc_": payload},
        postprocessing=step("Activationsd", "pred", softmax=True, _desc_="@nothing"),
    )
    config["preprocessing"]["_desc_"] = "%../outside.json::x"
    meta = metadata([16, 16], 1, [payload, "%configs/x.json::y"], description=payload, task="@run")
    root = write(tmp_path / "b", config, meta)
    (root / "configs" / "logging.conf").write_text("[loggers]\nkeys=root\n")
    (root / "configs" / "inference.yaml").write_text("network: !!python/object/apply:os.system [ls]")
    (root / "configs" / "explain.yaml").write_text("explain: !!python/object/apply:os.system [ls]")
    bundle = Bundle.load(root)
    bundle.prepare(SCAN)
    assert bundle.class_names == (payload, "%configs/x.json::y")
    assert not marker.exists()


def test_what_an_expression_makes_is_not_evaluated_again(tmp_path: Path, marker: Path) -> None:
    made = "$'$' + 'open(' + @quoted + ')'"
    config = inference(steps=[step("ScaleIntensityd", minv="@made")], made=made, quoted=f"'{marker}', 'w'")
    assert_refused(write(tmp_path / "b", config), marker, "ScaleIntensityd fails", error=BundleError)


@pytest.mark.parametrize("name", ["logging.conf", "notes.txt"])
def test_macros_reach_configs_alone(tmp_path: Path, marker: Path, name: str) -> None:
    root = write(tmp_path / "b", inference(steps=[step("ScaleIntensityd", minv=f"%configs/{name}::x")]))
    (root / "configs" / name).write_text(json.dumps({"x": 1}))
    assert_refused(root, marker, "names an id that is not there", error=BundleError)
