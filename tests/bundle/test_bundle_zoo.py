"""Miniatures of the Model Zoo's classifiers: the same kinds of configs, with tiny networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from bundle_factory import compose, inference, metadata, network, network_def, step, write
from monai.networks.nets import TorchVisionFCModel

from camlime.bundle import Bundle
from camlime.errors import BundleError
from camlime.scan import Scan

DATA = ("imports", "dataset", "evaluator", "run", "images", "output_dir")


def picture(channels: int, shape: tuple[int, ...] = (20, 30)) -> Scan:
    values = np.random.default_rng(0).uniform(0, 255, (channels, *shape))
    return Scan.from_array(values, np.eye(4))


def check_left(bundle: Bundle) -> None:
    for name in DATA:
        assert name in bundle.left_behind


def test_endoscopic(tmp_path: Path) -> None:
    config = inference(
        channels=3,
        steps=[
            step("Resized", "@image_key", spatial_size=[64, 64], mode="bilinear"),
            step("CastToTyped", "@image_key", dtype="$torch.float32"),
            step("NormalizeIntensityd", "@image_key", nonzero=True, channel_wise=True),
            step("EnsureTyped", "@image_key"),
        ],
        image_key="image",
        postprocessing=compose(
            step("AsDiscreted", ["pred"], argmax=True, to_onehot=2),
            {"_target_": "SaveClassificationd", "keys": "pred", "output_dir": "@output_dir"},
        ),
        initialize=["$monai.utils.set_determinism(seed=123)"],
    )
    meta = metadata([64, 64], 3, ["in body", "out body"])
    bundle = Bundle.load(write(tmp_path / "b", config, meta, network(2, 3)))
    prepared = bundle.prepare(picture(3))
    assert prepared.image.shape == (3, 64, 64)
    assert prepared.image.dtype == torch.float32
    assert type(prepared.image) is torch.Tensor
    assert bundle.class_names == ("in body", "out body")
    assert bundle.activation == "softmax"
    assert any("softmax is assumed" in note for note in bundle.assumptions)
    assert not bundle.trusted_code
    check_left(bundle)


def test_breast_density(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("tried to reach the network")

    monkeypatch.setattr("socket.socket.connect", no_network)
    arguments = {"model_name": "shufflenet_v2_x0_5", "num_classes": 4, "pool": None, "use_conv": False, "bias": True}
    config = inference(
        channels=3,
        steps=[step("ScaleIntensityd", minv=0.0, maxv=1.0), step("Resized", spatial_size=[64, 64])],
        data={"_target_": "scripts.createList.CreateImageLabelList", "filename": "./configs/sample.json"},
        network_def={"_target_": "TorchVisionFCModel", **arguments, "pretrained": True},
        postprocessing=compose(step("Activationsd", "pred", sigmoid=True)),
    )
    config["import"] = ["$import torchvision", *config.pop("imports")]
    root = write(tmp_path / "b", config, metadata([64, 64], 3, list("ABCD")), TorchVisionFCModel(**arguments))
    bundle = Bundle.load(root)
    assert bundle.prepare(picture(3)).image.shape == (3, 64, 64)
    assert bundle.activation == "sigmoid"
    assert bundle.class_names == ("A", "B", "C", "D")
    assert any("pretrained" in note for note in bundle.assumptions)
    assert "data" in bundle.left_behind
    assert "import" in bundle.left_behind


def test_tumor_detection_has_one_output_of_shape_1_1_1(tmp_path: Path) -> None:
    arguments = {"model_name": "resnet18", "num_classes": 1, "use_conv": True, "pool": ["avg", {"kernel_size": 2}]}
    config = inference(
        network_def={"_target_": "TorchVisionFCModel", **arguments, "pretrained": True},
        preprocessing=compose(
            step("CastToTyped", dtype="float32"),
            step("ScaleIntensityRanged", a_min=0.0, a_max=255.0, b_min=-1.0, b_max=1.0),
            step("ToTensord"),
        ),
        datalist={"_target_": "CSVDataset", "transform": step("Lambdad", func="$lambda x: os.path.join('a', x)")},
        postprocessing=compose(
            step("EnsureTyped", "pred"), step("Activationsd", "pred", sigmoid=True), step("ToNumpyd", "pred")
        ),
    )
    built = TorchVisionFCModel(**{**arguments, "pool": ("avg", {"kernel_size": 2})})
    bundle = Bundle.load(write(tmp_path / "b", config, metadata([64, 64], 3, ["metastasis"]), built))
    prepared = bundle.prepare(picture(3, (64, 64)))
    assert bundle.network(prepared.image[None]).shape == (1, 1, 1, 1)
    assert bundle.class_names == ("metastasis",)
    assert bundle.activation == "sigmoid"
    assert prepared.valid.all()


def nuclei(tmp_path: Path) -> Bundle:
    config = inference(
        classes=4,
        channels=4,
        preprocessing=compose(
            step("LoadImaged", ["image", "label"], dtype="uint8", image_only=False),
            step("EnsureChannelFirstd", ["image", "label"]),
            step("ScaleIntensityRanged", a_min=0.0, a_max=255.0, b_min=-1.0, b_max=1.0),
            step("AddLabelAsGuidanced", source="label"),
        ),
        initialize=["$import scripts", "$monai.data.register_writer('json', scripts.ClassificationWriter)"],
    )
    meta = metadata([32, 32], 4, ["Other", "Inflammatory", "Epithelial", "Spindle-Shaped"])
    return Bundle.load(write(tmp_path / "b", config, meta, network(2, 4, 4)))


def test_nuclei_keep_their_mask_as_guidance(tmp_path: Path) -> None:
    bundle = nuclei(tmp_path)
    values = np.random.default_rng(0).uniform(0, 255, (4, 32, 32))
    values[3] = 0
    values[3, 10:14, 10:14] = 2
    image = bundle.prepare(Scan.from_array(values, np.eye(4))).image
    assert bundle.guidance_channels == (3,)
    assert image[3].unique().tolist() == [0, 1]
    torch.testing.assert_close(image[0], torch.tensor(values[0] / 127.5 - 1, dtype=torch.float32))


def test_nuclei_without_a_mask(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"4 channels, the last one a guidance mask.*--guidance MASK"):
        nuclei(tmp_path).prepare(picture(3))


def test_template_in_yaml(tmp_path: Path) -> None:
    text = """
imports:
- $import os
- $import glob
image: $monai.utils.CommonKeys.IMAGE
pred: $monai.utils.CommonKeys.PRED
label: $monai.utils.CommonKeys.LABEL
num_classes: 4
device: $torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')
bundle_root: .
test_fp: "$open(@bundle_root + '/x.json', 'r')"
network_def: {_target_: DenseNet, spatial_dims: 2, in_channels: 1, out_channels: '@num_classes', init_features: 4,
              growth_rate: 2, block_config: [1, 1], bn_size: 1}
network: $@network_def.to(@device)
transforms:
- {_target_: LoadImaged, keys: '@image'}
- {_target_: EnsureChannelFirstd, keys: '@image'}
- {_target_: ScaleIntensityd, keys: '@image'}
preprocessing: {_target_: Compose, transforms: $@transforms}
inferer: {_target_: SimpleInferer}
postprocessing:
  _target_: Compose
  transforms:
  - {_target_: Activationsd, keys: '@pred', softmax: true}
  - {_target_: AsDiscreted, keys: ['@pred', '@label'], argmax: [true, false], to_onehot: '@num_classes'}
val_handlers:
- {_target_: CheckpointLoader, _disabled_: $not os.path.exists('x'), load_dict: {model: '@network'}}
"""
    assert yaml.safe_load(text)
    meta = metadata([128, 128], 1, ["background", "circle", "triangle", "rectangle"])
    bundle = Bundle.load(write(tmp_path / "b", text, meta, network(2, 1, 4), config_name="inference.yaml"))
    prepared = bundle.prepare(picture(1))
    assert prepared.image.shape == (1, 20, 30)
    assert float(prepared.image.max()) == pytest.approx(1)
    assert bundle.activation == "softmax"
    assert bundle.left_behind == ("imports", "label", "device", "bundle_root", "test_fp", "val_handlers")


def test_evaluate_over_train_stands_in_for_inference(tmp_path: Path) -> None:
    train = {
        "network_def": network_def(),
        "network": "$@network_def.to('cpu')",
        "train": {"preprocessing": compose(step("RandFlipd", prob=1.0))},
        "validate": {
            "preprocessing": compose(step("ScaleIntensityd")),
            "postprocessing": compose(step("Activationsd", "pred", softmax=True)),
            "dataset": {"_target_": "Dataset", "transform": "@validate#preprocessing"},
        },
    }
    root = write(tmp_path / "b", train, config_name="train.json")
    (root / "configs" / "evaluate.json").write_text(
        '{"validate#postprocessing": {"_target_": "Activationsd", "keys": "pred", "sigmoid": true}}'
    )
    bundle = Bundle.load(root)
    assert bundle.activation == "sigmoid"
    assert "validate::dataset" in bundle.left_behind
    assert "train" in bundle.left_behind
    assert any("no inference config" in note for note in bundle.assumptions)
    assert float(bundle.prepare(picture(1)).image.max()) == pytest.approx(1)
