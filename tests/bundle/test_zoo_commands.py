"""Look-alikes of the Model Zoo's five classifiers through the command line, from files to files.

Their configs are written in our own words after the structure of the originals: imports, data sets, evaluators and
handlers that a stranger's machine could not run stand around the few ids that are needed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from bundle_factory import TINY, compose, metadata, network, step, write
from monai.networks.nets import TorchVisionFCModel
from PIL import Image
from typer.testing import CliRunner

from camlime.cli.app import app

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 48, 3), dtype=np.uint8)
PIXELS[10:20, 10:20] = 250
LOADED = [step("LoadImaged", "@image_key"), step("EnsureChannelFirstd", "@image_key", channel_dim=-1)]
DEVICE = "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')"


def around(**ids: Any) -> dict[str, Any]:
    """What all of them have: data and an engine, none of which may be touched."""
    engine = {"_target_": "SupervisedEvaluator", "network": "@network", "val_handlers": "@handlers", "amp": True}
    return {
        "imports": ["$import json", "$import os", "$import glob"],
        "bundle_root": ".",
        "image_key": "image",
        "output_dir": "$os.path.join(@bundle_root, 'eval')",
        "images": "$sorted(glob.glob(@bundle_root + '/*.png'))",
        "device": DEVICE,
        "network": "$@network_def.to(@device)",
        "dataset": {"_target_": "Dataset", "data": "$[{'image': i} for i in @images]", "transform": "@preprocessing"},
        "inferer": {"_target_": "SimpleInferer"},
        "handlers": [{"_target_": "StatsHandler", "output_transform": "$lambda x: None"}],
        "evaluator": engine,
        "initialize": ["$monai.utils.set_determinism(seed=123)", "$import scripts"],
        "run": ["$@evaluator.run()"],
        **ids,
    }


def dense(channels: int, classes: Any) -> dict[str, Any]:
    return {"_target_": "DenseNet", "spatial_dims": 2, "in_channels": channels, "out_channels": classes, **TINY}


def endoscopic(folder: Path) -> tuple[Path, Path, dict[str, Any]]:
    config = around(
        load_pretrain=True,
        test_fp="$open(@bundle_root + '/label/test.json', 'r', encoding='utf8')",
        test_dict="$json.load(@test_fp)",
        network_def=dense(3, 2),
        preprocessing=compose(
            *LOADED,
            step("Resized", "@image_key", spatial_size=[48, 48], mode="bilinear"),
            step("CastToTyped", "@image_key", dtype="$torch.float32"),
            step("NormalizeIntensityd", "@image_key", nonzero=True, channel_wise=True),
            step("EnsureTyped", "@image_key"),
        ),
        postprocessing=compose(
            step("AsDiscreted", ["pred"], argmax=True, to_onehot=2),
            step("SaveClassificationd", "pred", meta_keys="$@image_key + '_meta_dict'", output_dir="@output_dir"),
        ),
        finalize=["$@test_fp.close()"],
    )
    root = write(folder / "endoscopic", config, metadata([48, 48], 3, ["in body", "out body"]), network(2, 3))
    return root, picture(folder), {"activation": "softmax", "assumed": "softmax is assumed", "left": "test_fp"}


def breast_density(folder: Path) -> tuple[Path, Path, dict[str, Any]]:
    arguments = {"model_name": "shufflenet_v2_x0_5", "num_classes": 4, "pool": None, "use_conv": False, "bias": True}
    config = around(
        data={"_target_": "scripts.createList.CreateImageLabelList", "filename": "./configs/sample.json"},
        test_imagelist="$@data.create_dataset('Test')[0]",
        network_def={"_target_": "TorchVisionFCModel", **arguments, "pretrained": True},
        preprocessing=compose(
            *LOADED, step("ScaleIntensityd", minv=0.0, maxv=1.0), step("Resized", spatial_size=[64, 64])
        ),
        postprocessing=compose(step("Activationsd", "pred", sigmoid=True)),
        evaluating=["$setattr(torch.backends.cudnn, 'benchmark', True)"],
    )
    config["import"] = config.pop("imports")
    torch.manual_seed(0)
    root = write(folder / "breast", config, metadata([64, 64], 3, list("ABCD")), TorchVisionFCModel(**arguments).eval())
    return root, picture(folder), {"activation": "sigmoid", "assumed": "pretrained weights", "left": "test_imagelist"}


def tumor_detection(folder: Path) -> tuple[Path, Path, dict[str, Any]]:
    arguments = {"model_name": "resnet18", "num_classes": 1, "use_conv": True, "pool": ["avg", {"kernel_size": 2}]}
    config = around(
        patch_size=[64, 64],
        network_def={"_target_": "TorchVisionFCModel", **arguments, "pretrained": True},
        preprocessing=compose(
            step("CastToTyped", dtype="float32"),
            step("ScaleIntensityRanged", a_min=0.0, a_max=255.0, b_min=-1.0, b_max=1.0),
            step("ToTensord"),
        ),
        datalist={"_target_": "CSVDataset", "transform": step("Lambdad", func="$lambda x: os.path.join('a', x)")},
        dataset={"_target_": "MaskedPatchWSIDataset", "data": "@datalist", "reader": "cuCIM"},
        postprocessing=compose(
            step("EnsureTyped", "pred"), step("Activationsd", "pred", sigmoid=True), step("ToNumpyd", "pred")
        ),
    )
    torch.manual_seed(0)
    built = TorchVisionFCModel(**{**arguments, "pool": ("avg", {"kernel_size": 2})}).eval()
    root = write(folder / "tumor", config, metadata([64, 64], 3, ["metastasis"]), built)
    return root, picture(folder, 64), {"activation": "sigmoid", "assumed": "pretrained weights", "left": "datalist"}


def nuclei(folder: Path) -> tuple[Path, Path, dict[str, Any]]:
    keys = ["image", "label"]
    config = around(
        labels="$sorted(glob.glob(@bundle_root + '/*.png'))[:1]",
        network_def=dense(4, 4),
        preprocessing=compose(
            step("LoadImaged", keys, dtype="uint8", image_only=False),
            step("EnsureChannelFirstd", keys),
            step("ScaleIntensityRanged", a_min=0.0, a_max=255.0, b_min=-1.0, b_max=1.0),
            step("AddLabelAsGuidanced", source="label"),
        ),
        postprocessing=compose(
            step("Activationsd", "pred", softmax=True),
            step("SaveImaged", "pred", meta_keys="pred_meta_dict", output_dir="@output_dir", output_ext=".json"),
        ),
    )
    names = ["Other", "Inflammatory", "Epithelial", "Spindle-Shaped"]
    root = write(folder / "nuclei", config, metadata([40, 48], 4, names), network(2, 4, 4))
    mask = np.zeros((40, 48, 1), dtype=np.uint8)
    mask[10:20, 10:20] = 1
    path = folder / "tile_and_mask.mha"
    sitk.WriteImage(sitk.GetImageFromArray(np.concatenate([PIXELS, mask], axis=2), isVector=True), str(path))
    return root, path, {"activation": "softmax", "assumed": None, "left": "labels"}


def template(folder: Path) -> tuple[Path, Path, dict[str, Any]]:
    text = f"""
imports: [$import os, $import json, $import glob]
image: $monai.utils.CommonKeys.IMAGE
label: $monai.utils.CommonKeys.LABEL
pred: $monai.utils.CommonKeys.PRED
num_classes: 4
device: {DEVICE}
bundle_root: .
ckpt_path: $@bundle_root + '/models/model.pt'
test_fp: "$open(@bundle_root+'/data/test_samples.json', 'r', encoding='utf8')"
network_def: {json.dumps(dense(1, "@num_classes"))}
network: $@network_def.to(@device)
transforms:
- {{_target_: LoadImaged, keys: '@image'}}
- {{_target_: EnsureChannelFirstd, keys: '@image'}}
- {{_target_: ScaleIntensityd, keys: '@image'}}
preprocessing: {{_target_: Compose, transforms: $@transforms}}
inferer: {{_target_: SimpleInferer}}
postprocessing:
  _target_: Compose
  transforms:
  - {{_target_: Activationsd, keys: '@pred', softmax: true}}
  - {{_target_: AsDiscreted, keys: ['@pred', '@label'], argmax: [true, false], to_onehot: '@num_classes'}}
  - {{_target_: ToTensord, keys: ['@pred', '@label'], device: '@device'}}
val_handlers:
- {{_target_: CheckpointLoader, _disabled_: $not os.path.exists(@ckpt_path), load_dict: {{model: '@network'}}}}
run: [$@evaluator.run()]
"""
    meta = metadata([48, 48], 1, ["background", "circle", "triangle", "rectangle"])
    root = write(folder / "template", text, meta, network(2, 1, 4), config_name="inference.yaml")
    path = folder / "slice.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(PIXELS[None, :, :, 0].astype(np.float32)), str(path))
    return root, path, {"activation": "softmax", "assumed": None, "left": "val_handlers"}


def picture(folder: Path, size: int = 0) -> Path:
    pixels = np.tile(PIXELS, (2, 2, 1))[:size, :size] if size else PIXELS
    Image.fromarray(pixels).save(folder / "picture.png")
    return folder / "picture.png"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("tried to reach the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


@pytest.mark.parametrize("make", [endoscopic, breast_density, tumor_detection, nuclei, template])
def test_explained_from_configs_alone(tmp_path: Path, make: Any) -> None:
    root, scan, expected = make(tmp_path)
    few = {"budget": 64, "n-regions": 8, "segmentations": 1, "batch-size": 8, "device": "cpu", "evidence-budget": 0}
    options = [word for name, value in few.items() for word in (f"--{name}", str(value))]
    asked = ["--methods", "gradcam,lime,fused,occlusion", "--output", str(tmp_path / "out"), *options]
    done = CliRunner().invoke(app, ["explain", str(scan), "--bundle", str(root), *asked])
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert set(record["attributions"]) == {"gradcam", "lime", "fused", "occlusion"}
    assert record["provenance"]["bundle"]["trusted_code"] is False
    found = json.loads(CliRunner().invoke(app, ["check-bundle", str(root), "--json"]).stdout)
    assert found["activation"] == expected["activation"]
    assert {"run", expected["left"]} <= set(found["left_behind"])
    said = " ".join(found["assumptions"])
    assert said == "" if expected["assumed"] is None else expected["assumed"] in said
    if make is nuclei:
        assert found["guidance_channels"] == [3]
        assert "of which number 3 a mask that stays" in CliRunner().invoke(app, ["check-bundle", str(root)]).stdout
