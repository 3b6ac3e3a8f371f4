"""Every kind of network that the Model Zoo's classifiers use, explained from a bundle's configs alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle_factory import compose, inference, metadata, network, step, write
from monai.networks import nets
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

import camlime
from camlime.bundle import Bundle
from camlime.cli.app import app
from camlime.errors import RequestError
from camlime.scan import Scan

FEW = {"budget": 32, "n_regions": 6, "segmentations": 1, "batch_size": 4, "device": "cpu", "evidence_budget": 0}


@dataclass(frozen=True)
class Kind:
    """A network by its config."""

    target: str
    shape: tuple[int, ...]
    channels: int
    arguments: dict[str, Any]
    classes: int = 2
    cam: bool = True
    post: dict[str, Any] = field(default_factory=lambda: {"softmax": True})

    def built(self) -> nn.Module:
        plain = {k: tuple(v) if isinstance(v, list) else v for k, v in self.arguments.items()}
        torch.manual_seed(0)
        return getattr(nets, self.target)(**plain).eval()


SIGMOID = {"sigmoid": True}
TINY_DENSE = {"init_features": 4, "growth_rate": 2, "block_config": [1, 1], "bn_size": 1}
TINY_RES = {"block": "basic", "layers": [1, 1, 1, 1], "block_inplanes": [4, 4, 8, 8]}
KINDS = {
    "DenseNet, 2D": Kind(
        "DenseNet", (32, 24), 3, {"spatial_dims": 2, "in_channels": 3, "out_channels": 2, **TINY_DENSE}
    ),
    "DenseNet, 3D, 5 channels, 4 classes": Kind(
        "DenseNet", (24, 20, 16), 5, {"spatial_dims": 3, "in_channels": 5, "out_channels": 4, **TINY_DENSE}, 4
    ),
    "DenseNet, multi-label": Kind(
        "DenseNet", (32, 32), 1, {"spatial_dims": 2, "in_channels": 1, "out_channels": 3, **TINY_DENSE}, 3, post=SIGMOID
    ),
    "ResNet, 3D, one output": Kind(
        "ResNet",
        (24, 24, 16),
        2,
        {**TINY_RES, "spatial_dims": 3, "n_input_channels": 2, "num_classes": 1, "conv1_t_stride": 2},
        1,
        post=SIGMOID,
    ),
    "ResNet, 2D": Kind("ResNet", (48, 40), 1, {**TINY_RES, "spatial_dims": 2, "n_input_channels": 1, "num_classes": 2}),
    "SEResNet50": Kind("SEResNet50", (64, 64), 3, {"spatial_dims": 2, "in_channels": 3, "num_classes": 2}),
    "EfficientNetBN": Kind(
        "EfficientNetBN",
        (64, 48),
        3,
        {"model_name": "efficientnet-b0", "pretrained": False, "spatial_dims": 2, "in_channels": 3, "num_classes": 3},
        3,
    ),
    "EfficientNetBN, 3D": Kind(
        "EfficientNetBN",
        (32, 32, 32),
        1,
        {"model_name": "efficientnet-b0", "pretrained": False, "spatial_dims": 3, "in_channels": 1, "num_classes": 2},
    ),
    "Inception": Kind(
        "TorchVisionFCModel",
        (99, 99),
        3,
        {"model_name": "inception_v3", "num_classes": 4, "pool": None, "use_conv": False, "bias": True},
        4,
        post=SIGMOID,
    ),
    "TorchVisionFCModel with a convolution at its end": Kind(
        "TorchVisionFCModel",
        (64, 64),
        3,
        {"model_name": "resnet18", "num_classes": 1, "use_conv": True, "pool": ["avg", {"kernel_size": 2}]},
        1,
        post=SIGMOID,
    ),
    "ViT": Kind(
        "ViT",
        (32, 32),
        1,
        {
            **{"in_channels": 1, "img_size": [32, 32], "patch_size": [8, 8], "hidden_size": 24, "mlp_dim": 32},
            **{"num_layers": 1, "num_heads": 2, "classification": True, "spatial_dims": 2, "num_classes": 2},
        },
        cam=False,
    ),
    "ViT, 3D": Kind(
        "ViT",
        (16, 16, 16),
        1,
        {
            **{"in_channels": 1, "img_size": [16, 16, 16], "patch_size": [8, 8, 8], "hidden_size": 24, "mlp_dim": 32},
            **{"num_layers": 1, "num_heads": 2, "classification": True, "spatial_dims": 3, "num_classes": 2},
        },
        cam=False,
    ),
}


def bundle_of(root: Path, kind: Kind) -> tuple[Path, Scan]:
    config = inference(
        channels=kind.channels,
        network_def={"_target_": kind.target, **kind.arguments},
        postprocessing=compose(step("Activationsd", "pred", **kind.post)),
        steps=[step("ScaleIntensityd")],
    )
    meta = metadata(list(kind.shape), kind.channels, [f"c{index}" for index in range(kind.classes)])
    values = np.random.default_rng(0).uniform(0, 255, (kind.channels, *kind.shape))
    return write(root, config, meta, kind.built()), Scan.from_array(values, np.eye(4))


@pytest.mark.parametrize("name", KINDS)
def test_from_configs_alone(tmp_path: Path, name: str) -> None:
    kind = KINDS[name]
    if kind.target == "ViT":
        pytest.importorskip("einops", reason="MONAI's ViT needs einops")
    root, scan = bundle_of(tmp_path / "b", kind)
    bundle = Bundle.load(root)
    methods = ["gradcam", "lime", "occlusion"] if kind.cam else ["lime", "occlusion"]
    found = camlime.explain(scan, bundle, methods=methods, class_name=f"c{kind.classes - 1}", **FEW)
    assert list(found.attributions) == methods
    for attribution in found.attributions.values():
        assert attribution.values.shape == kind.shape
        assert np.isfinite(attribution.values).all()
        assert np.ptp(attribution.values) > 0, attribution.method
    with torch.no_grad():
        output = kind.built()(bundle.prepare(scan).image[None])
    logits = torch.as_tensor(output[0] if isinstance(output, tuple) else output).reshape(-1)
    expected = logits.sigmoid() if kind.post == SIGMOID else logits.softmax(0)
    assert list(found.prediction.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-4)
    if not kind.cam:
        for method in ("gradcam", "hirescam", "fused"):
            with pytest.raises(RequestError, match=r"works on tokens.*transformer.*--methods lime,occlusion"):
                camlime.explain(scan, bundle, methods=[method], **FEW)


def test_a_transformer_gets_methods_that_work(tmp_path: Path) -> None:
    pytest.importorskip("einops", reason="MONAI's ViT needs einops")
    root, _ = bundle_of(tmp_path / "b", KINDS["ViT"])
    run: Callable[..., Any] = CliRunner().invoke
    done = run(app, ["add-explain", str(root)])
    assert done.exit_code == 0, done.output
    assert Bundle.load(root).explain_settings.methods == ("lime", "occlusion")
    said = run(app, ["check-bundle", str(root)]).stdout
    assert "CAM does not apply to this network" in said


@pytest.mark.parametrize("suffix", ["pt", "safetensors", "ts"])
def test_formats_of_weights_give_the_same_answers(tmp_path: Path, suffix: str) -> None:
    root = write(tmp_path / "b", weights=False)
    path = root / "models" / f"model.{suffix}"
    if suffix == "pt":
        torch.save(network().state_dict(), path)
    elif suffix == "safetensors":
        save_file(network().state_dict(), path)
    else:
        torch.jit.trace(network(), torch.zeros(1, 1, 16, 16)).save(str(path))
    scan = Scan.from_array(np.random.default_rng(0).normal(size=(1, 16, 16)), np.eye(4))
    trust = suffix == "ts"
    found = camlime.explain(scan, root, methods=["lime", "occlusion"], trust_code=trust, **FEW)
    with torch.no_grad():
        expected = network()(scan.image.as_tensor()[None]).softmax(1)[0]
    assert list(found.prediction.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-5)
    assert found.provenance["bundle"]["trusted_code"] is trust
    if trust:
        assert any("TorchScript and was run on your trust" in said for said in found.warnings)
        with pytest.raises(RequestError, match=r"CAM does not apply.*TorchScript, which hides its layers"):
            camlime.explain(scan, root, methods=["gradcam"], trust_code=True, **FEW)
    else:
        assert "gradcam" in camlime.explain(scan, root, methods=["gradcam"], **FEW).attributions


def test_trust_is_recorded(tmp_path: Path) -> None:
    config = inference(steps=[step("Lambdad", func="$lambda x: x * 2")])
    scan = Scan.from_array(np.random.default_rng(0).normal(size=(1, 16, 16)), np.eye(4))
    found = camlime.explain(scan, write(tmp_path / "b", config), methods=["lime"], trust_code=True, **FEW)
    found.save(tmp_path / "out")
    recorded = camlime.Explanation.load(tmp_path / "out").provenance["bundle"]
    assert recorded["trusted_code"] is True
    assert any("run on your trust: '$lambda x: x * 2'" in said for said in recorded["assumptions"])
