"""Bundles that try to run code: each payload would write a marker file, and each error has to name what was refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle_factory import compose, inference, metadata, network, network_def, step, write
from refusing import SCAN, assert_refused

from camlime.bundle import Bundle
from camlime.errors import BundleError, UntrustedBundleError

EXPRESSIONS = [
    "$__import__('os').system('touch MARKER')",
    "$os.system('touch MARKER')",
    "$torch.os.system('touch MARKER')",
    "$monai.utils.misc.os.system('touch MARKER')",
    "$np.f2py.os.system('touch MARKER')",
    "$open('MARKER', 'w').close()",
    '$eval(\'open("MARKER", "w")\')',
    '$exec(\'open("MARKER", "w")\')',
    "$(lambda: open('MARKER', 'w'))()",
    "$[open('MARKER', 'w') for _ in [1]]",
    "$().__class__.__base__.__subclasses__()",
    "$@network_def.__class__.__init__.__globals__['os'].system('touch MARKER')",
    "$@network_def.to(open('MARKER', 'w'))",
    "$@network_def.to(@device).register_forward_hook(print)",
    "$@network_def.to('cpu').__class__",
    "$getattr(torch, 'os').system('touch MARKER')",
    "$setattr(torch.backends.cudnn, 'benchmark', True)",
    "$monai.utils.optional_import('os')[0].system('touch MARKER')",
    "$torch.hub.load('x', 'y', source='local')",
    "$torch.load('MARKER')",
    "$np.load('MARKER', allow_pickle=True)",
    "$monai.bundle.ConfigParser.load_config_file('MARKER')",
    "$'{0.__class__}'.format(1)",
    "$'%s' % @network_def",
    "$f\"{open('MARKER', 'w')}\"",
    "$import os",
    "$from os import system",
    "$(x := 1)",
    "$10 ** 10 ** 10",
    "$1 << 10000000000",
    "$*[1],",
    "$[i for i in range(10)]",
    "$range.__class__",
    "$camlime_allowed['int']",
    "$camlime_ref0",
    "$\uff43amlime_ref7",
    "$\uff43amlime_allowed['int']",
    "$@device.\uff3f\uff3fclass__",
    "$'@device'",
    "$'\\x40device'",
    "$torch.device.__call__('cpu')",
    "$torch.nn.Module.__init__",
    "$torch._C",
    "$torch.nn.modules",
    "$type('x', (), {})",
    "$print('x')",
    "$" + "(" * 500 + "1" + ")" * 500,
    "$" + "-" * 1500 + "1",
    "$9" + "9" * 300,
    "$",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expression_in_an_argument(tmp_path: Path, marker: Path, expression: str) -> None:
    written = expression.replace("MARKER", str(marker))
    config = inference(steps=[step("ScaleIntensityd", minv=written)])
    message = assert_refused(write(tmp_path / "b", config), marker, "configs/inference.json", "--trust-code")
    assert written[:250] in message
    assert "preprocessing::transforms::2::minv" in message


@pytest.mark.parametrize(
    "place",
    [
        "network",
        "device",
        "spatial_dims",
        "preprocessing",
        "transforms",
        "inferer",
        "postprocessing",
        "requires",
        "disabled",
    ],
)
def test_expression_wherever_it_is_reached(tmp_path: Path, marker: Path, place: str) -> None:
    attack = f"$open('{marker}', 'w')"
    config = inference()
    if place in {"network", "preprocessing", "inferer", "postprocessing"}:
        config[place] = attack
    elif place == "device":
        config["device"] = attack
        config["preprocessing"] = compose(step("EnsureTyped", data_type="@device"))
    elif place == "spatial_dims":
        config["network_def"]["spatial_dims"] = "@hidden"
        config["hidden"] = "@deeper::0::x"
        config["deeper"] = [{"x": attack}]
    elif place == "transforms":
        config["preprocessing"]["transforms"] = f"$@hidden + [{attack[1:]}]"
        config["hidden"] = []
    elif place == "requires":
        config["network_def"]["_requires_"] = [attack]
    else:
        config["network_def"]["_disabled_"] = attack
    assert_refused(write(tmp_path / "b", config), marker, str(marker), "configs/inference.json")


TARGETS = [
    "os.system",
    "posix.system",
    "subprocess.Popen",
    "builtins.eval",
    "builtins.exec",
    "builtins.open",
    "eval",
    "torch.hub.load",
    "torch.load",
    "torch.os.system",
    "torch.nn.modules.module.functools.partial",
    "torch.nn.functional.relu",
    "torch.nn.parallel.DataParallel",
    "monai.utils.optional_import",
    "monai.utils.module.instantiate",
    "monai.transforms.io.array.locate",
    "monai.networks.nets.densenet.load_state_dict_from_url",
    "monai.networks.nets.get_pretrained_resnet_medicalnet",
    "monai.networks.nets.hovernet.download_url",
    "monai.networks.nets.Transchex",
    "monai.apps.download_url",
    "monai.bundle.run",
    "monai.bundle.ConfigParser",
    "monai.transforms.Lambdad",
    "Lambdad",
    "TorchVisiond",
    "monai.transforms.Invertd",
    "monai.transforms",
    "monai",
    "functools.partial",
    "operator.attrgetter",
    "importlib.import_module",
    "pickle.loads",
    "numpy.load",
    "logging.config.fileConfig",
    "scripts.Payload",
    "this.module.does.not.exist",
    "torch.nn..Linear",
    "torch.nn.Linear.__init__",
    "",
    "   ",
]


@pytest.mark.parametrize("target", TARGETS)
def test_target(tmp_path: Path, marker: Path, target: str) -> None:
    config = inference(steps=[{"_target_": target, "keys": "image", "command": f"touch {marker}"}])
    root = write(tmp_path / "b", config)
    (root / "scripts").mkdir()
    (root / "scripts" / "__init__.py").write_text(f"open({str(marker)!r}, 'w')\nclass Payload: pass\n")
    (root / "this.py").write_text(f"open({str(marker)!r}, 'w')\n")
    here = Path.cwd()
    os.chdir(root)
    try:
        assert_refused(root, marker, f"'{target}'", "preprocessing::transforms::2::_target_", "configs/inference.json")
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    "target", ["$open('MARKER', 'w')", "@network_def", "%configs/other.json::x", ["os.system"], 3, None]
)
def test_target_that_is_not_a_name(tmp_path: Path, marker: Path, target: Any) -> None:
    written = target.replace("MARKER", str(marker)) if isinstance(target, str) else target
    root = write(tmp_path / "b", inference(inferer={"_target_": written, "x": 1}))
    (root / "configs" / "other.json").write_text('{"x": "os.system"}')
    assert_refused(root, marker, "inferer", "configs/inference.json", str(written)[:40])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("TorchVisionFCModel", {"model_name": "get_model"}),
        ("TorchVisionFCModel", {"model_name": "@hidden"}),
        ("TorchVisionFCModel", {"model_name": "$'get' + '_model'"}),
        ("TorchVisionFCModel", {"model_name": ["resnet18"]}),
    ],
)
def test_arguments_that_reach_for_names(tmp_path: Path, marker: Path, name: str, arguments: dict[str, Any]) -> None:
    root = write(tmp_path / "b", inference(hidden="list_models", network_def={"_target_": name, **arguments}))
    assert_refused(root, marker, "model_name")


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize(
    "extra", [{"_mode_": "debug"}, {"_debug_": True}, {"_mode_": "$'debug'"}, {"_target": 1, "_x_": 1}]
)
def test_debuggers_are_never_allowed(tmp_path: Path, marker: Path, extra: dict[str, Any], trust: bool) -> None:
    root = write(tmp_path / "b", inference(inferer={"_target_": "SimpleInferer", **extra}))
    with pytest.raises(UntrustedBundleError, match=r"inferer in configs/inference.json is not allowed"):
        Bundle.load(root, trust_code=trust)


def test_reader_of_a_skipped_loader_is_never_looked_up(tmp_path: Path, marker: Path) -> None:
    reader = {"reader": "subprocess.getoutput", "cmd": f"touch {marker}"}
    config = inference()
    config["preprocessing"]["transforms"][0] = step("LoadImaged", **reader)
    Bundle.load(write(tmp_path / "b", config)).prepare(SCAN)
    config["inferer"] = step("LoadImage", **reader)
    assert_refused(write(tmp_path / "c", config), marker, "'LoadImage'")
    assert not marker.exists()


def test_writers_in_the_postprocessing_are_left_out(tmp_path: Path, marker: Path) -> None:
    post = compose(
        {"_target_": "SaveImaged", "keys": "pred", "output_dir": str(marker), "writer": "subprocess.getoutput"},
        {"_target_": "Lambdad", "keys": "pred", "func": f"$lambda x: open('{marker}', 'w')"},
        step("Activationsd", "pred", sigmoid=True),
    )
    bundle = Bundle.load(write(tmp_path / "b", inference(postprocessing=post)))
    bundle.prepare(SCAN)
    assert bundle.activation == "sigmoid"
    assert not marker.exists()


def test_what_is_left_behind_never_runs(tmp_path: Path, marker: Path) -> None:
    attack = f"$open('{marker}', 'w')"
    config = inference(
        dataset={"_target_": "subprocess.Popen", "args": ["touch", str(marker)]},
        evaluator=attack,
        initialize=[attack],
        run=[attack],
        handlers=[{"_target_": "os.system", "command": f"touch {marker}"}],
        unused={"nested": {"x": attack}},
    )
    config["imports"] += ["$import payload"]
    root = write(tmp_path / "b", config)
    (root / "payload.py").write_text(f"open({str(marker)!r}, 'w')")
    (root / "configs" / "logging.conf").write_text(
        f"[loggers]\nkeys=root\n[handlers]\nkeys=h\n[handler_h]\nclass=open\nargs=({str(marker)!r}, 'w')\n"
    )
    bundle = Bundle.load(root)
    bundle.prepare(SCAN)
    assert not marker.exists()
    assert {"dataset", "evaluator", "initialize", "run", "handlers", "unused", "imports"} <= set(bundle.left_behind)


def test_imports_cannot_rename_what_is_allowed(tmp_path: Path, marker: Path) -> None:
    config = inference(steps=[step("CastToTyped", dtype="$torch.device('x')")])
    config["imports"] += ["$import os as torch"]
    assert_refused(write(tmp_path / "b", config), marker, "torch.device")


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize(
    "macro", ["%../other.json::x", "%/tmp/other.json::x", "%configs/../../other.json#x", "%configs/link.json::x"]
)
def test_macro_out_of_the_bundle(tmp_path: Path, macro: str, trust: bool) -> None:
    root = write(tmp_path / "b", inference(inferer=macro))
    (tmp_path / "other.json").write_text('{"x": {"_target_": "SimpleInferer"}}')
    (root / "configs" / "link.json").symlink_to(tmp_path / "other.json")
    with pytest.raises(UntrustedBundleError, match="leads out of the bundle"):
        Bundle.load(root, trust_code=trust)


def test_macro_carries_what_it_names_through_the_screen(tmp_path: Path, marker: Path) -> None:
    root = write(tmp_path / "b", inference(inferer="%configs/other.json::x"))
    (root / "configs" / "other.json").write_text(json.dumps({"x": f"$open('{marker}', 'w')"}))
    assert_refused(root, marker, "configs/other.json", str(marker))


@pytest.mark.parametrize(
    "name", ["configs/inference.json", "configs/metadata.json", "models/model.pt", "configs", "models"]
)
def test_links_out_of_the_bundle(tmp_path: Path, marker: Path, name: str) -> None:
    root = write(tmp_path / "b")
    outside = tmp_path / "outside"
    (root / name).rename(outside)
    (root / name).symlink_to(outside)
    assert_refused(root, marker, "leads out of the bundle")


@pytest.mark.parametrize(
    "text",
    [
        "network: !!python/object/apply:os.system ['touch MARKER']",
        "network: !!python/name:os.system",
        "network: !!python/object/new:subprocess.Popen [['touch', 'MARKER']]",
        "network: !custom 3",
    ],
)
def test_yaml_tags(tmp_path: Path, marker: Path, text: str) -> None:
    root = write(tmp_path / "b", text.replace("MARKER", str(marker)), config_name="inference.yaml")
    assert_refused(root, marker, "configs/inference.yaml")


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("legacy", [False, True])
def test_pickle_that_runs_code(tmp_path: Path, marker: Path, legacy: bool) -> None:
    root = write(tmp_path / "b", weights=False)
    content = {"model": network().state_dict(), "extra": Payload(marker)}
    torch.save(content, root / "models" / "model.pt", _use_new_zipfile_serialization=not legacy)
    assert_refused(root, marker, "system", "models/model.pt")
    with pytest.raises(UntrustedBundleError):
        Bundle.load(root, trust_code=True)
    assert not marker.exists()


def test_whole_pickled_network(tmp_path: Path, marker: Path) -> None:
    root = write(tmp_path / "b", weights=False)
    torch.save(network(), root / "models" / "model.pt")
    assert_refused(root, marker, "monai.networks.nets.densenet.DenseNet")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n"
    for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (BOMB + "network: *j\n", "inference.yaml"),
        ("network: &a [*a]\n", "inference.yaml"),
        ('{"network": ' + "[" * 5000 + "]" * 5000 + "}", "inference.json"),
        ('{"network": "' + "x" * 600_000 + '"}', "inference.json"),
        ('{"network": "@a", "a": "@b", "b": "@a"}', "inference.json"),
        ('{"network": "%network"}', "inference.json"),
        ('{"network": "%"}', "inference.json"),
        ('{"network": "@nothing"}', "inference.json"),
        ('{"network": 1', "inference.json"),
        ("[1, 2]", "inference.json"),
        ("", "inference.yaml"),
        ('{"network": ' + "9" * 5000 + "}", "inference.json"),
    ],
)
def test_configs_made_to_exhaust_or_confuse(tmp_path: Path, marker: Path, text: str, name: str) -> None:
    assert_refused(write(tmp_path / "b", text, config_name=name), marker, error=BundleError)


def test_references_that_multiply(tmp_path: Path, marker: Path) -> None:
    config = inference(network="@n0")
    for index in range(40):
        config[f"n{index}"] = f"$@n{index + 1} + @n{index + 1}"
    config["n40"] = [1]
    assert_refused(write(tmp_path / "b", config), marker, "too long", error=BundleError)


@pytest.mark.parametrize(
    "expression", ["$list(range(10 * 10 ** 1))", "$[0] * 1000000000", "$'x' * 1000000000", "$int('9' * 4000)"]
)
def test_sizes_in_expressions(tmp_path: Path, marker: Path, expression: str) -> None:
    config = inference(steps=[step("ScaleIntensityd", minv=expression)])
    assert_refused(write(tmp_path / "b", config), marker, error=BundleError)


@pytest.mark.parametrize(
    ("transform", "named"),
    [
        (step("Resized", spatial_size=[100000, 100000]), "spatial_size"),
        (step("SpatialPadd", spatial_size="@huge"), "spatial_size"),
        (step("BorderPadd", spatial_border=10**9), "spatial_border"),
        (step("Spacingd", pixdim=[1e-9, 1e-9]), "pixdim"),
        (step("Zoomd", zoom=1e6), "zoom"),
    ],
)
def test_sizes_in_transforms(tmp_path: Path, marker: Path, transform: dict[str, Any], named: str) -> None:
    config = inference(steps=[transform], huge=[10**6, 10**6])
    assert_refused(write(tmp_path / "b", config), marker, named, "too large", error=BundleError)


def test_size_of_a_network(tmp_path: Path, marker: Path) -> None:
    config = inference(network_def={**network_def(), "init_features": 10**7})
    assert_refused(write(tmp_path / "b", config), marker, "'network'", "TooLarge", "is too large", error=BundleError)


def test_trust_runs_it_and_says_so(tmp_path: Path, marker: Path) -> None:
    config = inference(
        steps=[
            {"_target_": "scripts.Double", "keys": "image"},
            step("Lambdad", func="$lambda x: x + os.path.exists('.')"),
        ]
    )
    root = write(tmp_path / "b", config)
    (root / "scripts.py").write_text(
        f"open({str(marker)!r}, 'w').close()\n"
        "class Double:\n    def __init__(self, keys):\n        self.key = keys\n"
        "    def __call__(self, data):\n        return {**data, self.key: data[self.key] * 2}\n"
    )
    assert_refused(root, marker, "scripts.Double", "and 2 more")
    bundle = Bundle.load(root, trust_code=True)
    assert bundle.trusted_code
    assert marker.exists()
    assert any("on your trust" in note and "lambda x" in note for note in bundle.assumptions)
    torch.testing.assert_close(bundle.prepare(SCAN).image, SCAN.image.as_tensor() * 2 + 1)


def test_trust_without_need_changes_nothing(tmp_path: Path) -> None:
    assert not Bundle.load(write(tmp_path / "b"), trust_code=True).trusted_code


def test_torchscript_needs_trust(tmp_path: Path, marker: Path) -> None:
    root = write(tmp_path / "b", meta=metadata([16, 16]), weights=False)
    torch.jit.trace(network(), torch.zeros(1, 1, 16, 16)).save(str(root / "models" / "model.ts"))
    assert_refused(root, marker, "TorchScript", "--trust-code")
    bundle = Bundle.load(root, trust_code=True)
    assert bundle.trusted_code
    torch.testing.assert_close(bundle.network(SCAN.image.as_tensor()[None]), network()(SCAN.image.as_tensor()[None]))
    (root / "models" / "model.ts").write_bytes(b"not a script")
    with pytest.raises(BundleError, match="cannot be loaded as TorchScript"):
        Bundle.load(root, trust_code=True)
