"""A volume with a bright lesion at a known point, and a 2D bundle that sees brightness by construction."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from support.blob_bundle import write_blob_bundle

from camlime.bundle import Bundle
from camlime.domain import Domain, answers_and_features
from camlime.pipeline import classifier_of
from camlime.scan import Scan, save_volume
from camlime.slices.stack import cut

SIZE = 48
PIXEL = 2.0
LAYERS = ["net.layer_0", "net.layer_2"]
STEPS = [
    {"_target_": "Spacingd", "keys": "image", "pixdim": [PIXEL, PIXEL], "align_corners": True, "scale_extent": True},
    {"_target_": "ResizeWithPadOrCropd", "keys": "image", "spatial_size": [SIZE, SIZE]},
]
DIRECTIONS = {
    "RAS": np.eye(3),
    "LPS": np.diag([-1.0, -1.0, 1.0]),
    "oblique": Rotation.from_euler("xyz", [11, -8, 14], degrees=True).as_matrix() @ np.diag([-1.0, -1.0, 1.0]),
    "sagittal series": np.array([[0.0, 0, -1], [-1, 0, 0], [0, -1, 0]]),
}


def lesion_volume(direction: np.ndarray, point=(12.0, -9.0, 31.0), spacing=(1.5, 1.5, 2.5)) -> Scan:
    """A Gaussian lesion of 6 mm at ``point`` (RAS mm) on a faint noisy background, in a volume of 90 x 90 x 80 mm."""
    shape = (60, 60, 32)
    affine = np.eye(4)
    affine[:3, :3] = direction * spacing
    affine[:3, 3] = np.array([4.0, 3.0, 25.0]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    squared = ((index @ affine[:3, :3].T + affine[:3, 3] - point) ** 2).sum(-1)
    noise = np.random.default_rng(3).normal(0, 0.002, shape)
    return Scan.from_array((np.exp(-squared / (2 * 6.0**2)) + 0.05 + noise)[None].astype(np.float32), affine)


def write_slice_bundle(root):
    """The bundle, and what it knows of its training data: slices of volumes like the one above."""
    settings = {"slices": {"axial": "LP", "coronal": "LI", "sagittal": "PI"}}
    path = write_blob_bundle(root, (SIZE, SIZE), steps=STEPS, explain=settings)
    bundle = Bundle.load(path)
    images = training_slices(bundle, volumes=8)
    features = answers_and_features(classifier_of(bundle, device="cpu"), images, LAYERS)[1]
    Domain.fit(features[::2], features[1::2], LAYERS, quantile=0.98).save(path / "models" / "domain.safetensors")
    settings |= {"domain": {"file": "models/domain.safetensors", "layers": LAYERS}}
    file = path / "configs" / "explain.json"
    file.write_text(json.dumps({"explain": {**json.loads(file.read_text())["explain"], **settings}}))
    return path


def training_slices(bundle: Bundle, volumes: int, seed: int = 0) -> torch.Tensor:
    """Network inputs: slices in all planes of volumes with a lesion anywhere."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(volumes):
        scan = lesion_volume(list(DIRECTIONS.values())[rng.integers(4)], rng.uniform((-12, -13, 10), (20, 19, 40)))
        for plane in ("axial", "coronal", "sagittal"):
            stack = cut(scan, plane)
            chosen = rng.permutation(len(stack))[:16]
            images += [bundle.prepare(stack.slice(int(n))).image for n in chosen]
    return torch.stack(images)


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory):
    return write_slice_bundle(tmp_path_factory.mktemp("bundle") / "slices")


@pytest.fixture(scope="session")
def bundle(bundle_path):
    return Bundle.load(bundle_path)


@pytest.fixture(scope="session")
def trusting_bundle(tmp_path_factory):
    """Knows nothing of its training data, so that nothing is flagged."""
    settings = {"slices": {"axial": "LP", "coronal": "LI", "sagittal": "PI"}}
    path = tmp_path_factory.mktemp("bundle") / "trusting"
    return Bundle.load(write_blob_bundle(path, (SIZE, SIZE), steps=STEPS, explain=settings))


@pytest.fixture(scope="session")
def volume_file(tmp_path_factory):
    scan = lesion_volume(DIRECTIONS["oblique"])
    return save_volume(tmp_path_factory.mktemp("scan") / "head.nii.gz", scan.image[0].numpy(), scan.affine)
