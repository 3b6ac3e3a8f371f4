"""Preprocessing: where its output lies, what padding made up, and scans that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle_factory import compose, inference, metadata, network, step, write

from camlime.bundle import Bundle, ModelInput
from camlime.errors import BundleError
from camlime.scan import Scan


def rotation(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    turn = np.eye(3)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn


def oblique() -> np.ndarray:
    """LPS-like axes, turned by 20 degrees, with unequal spacing."""
    affine = np.eye(4)
    affine[:3, :3] = rotation(20) @ np.diag([-0.9, -1.1, 2.0])
    affine[:3, 3] = [31.0, -12.0, 5.5]
    return affine


def phantom(
    affine: np.ndarray, shape: tuple[int, ...], index: tuple[float, ...], width_mm: float = 3.0
) -> tuple[Scan, np.ndarray]:
    """A blob around a known point; returns the scan and the point in RAS mm."""
    padded = np.zeros(3)
    padded[: len(index)] = index
    point = affine[:3, :3] @ padded + affine[:3, 3]
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1).astype(float)
    places = grid @ affine[:3, : len(shape)].T + affine[:3, 3]
    values = np.exp(-(((places - point) / width_mm) ** 2).sum(-1) / 2)
    return Scan.from_array(values[None], affine), point


def prepare(tmp_path: Path, scan: Scan, *steps: dict[str, Any], dims: int = 3) -> ModelInput:
    root = write(tmp_path / "b", inference(dims, steps=steps), metadata([32] * dims), network(dims))
    return Bundle.load(root).prepare(scan)


def assert_blob_at(prepared: ModelInput, point: np.ndarray) -> None:
    """The blob's centre of mass, within a tenth of a voxel of the network's input, so that half-voxel shifts show."""
    dims = prepared.image.ndim - 1
    expected = (np.linalg.inv(prepared.affine) @ [*point, 1.0])[:dims]
    image = prepared.image[0].numpy()
    mass = np.where(prepared.valid.numpy(), np.clip(image - 0.2 * image.max(), 0, None), 0)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in image.shape), indexing="ij"), axis=-1)
    centre = (grid * mass[..., None]).reshape(-1, dims).sum(0) / mass.sum()
    assert np.abs(centre - expected).max() < 0.1


STEPS = {
    "nothing": [],
    "pad": [step("ResizeWithPadOrCropd", spatial_size=[40, 40, 24])],
    "crop": [step("ResizeWithPadOrCropd", spatial_size=[20, 21, 10])],
    "spacing": [step("Spacingd", pixdim=[1.5, 1.3, 1.7], mode="bilinear")],
    "spacing, whole extent": [
        step("Spacingd", pixdim=[0.7, 0.7, 1.0], mode="bilinear", scale_extent=True, align_corners=True)
    ],
    "resize": [step("Resized", spatial_size=[24, 30, 16], mode="trilinear")],
    "resize up": [step("Resized", spatial_size=[48, 40, 33], mode="area")],
    "orientation": [step("Orientationd", axcodes="RAS", labels=None)],
    "other orientation": [step("Orientationd", axcodes="SPL")],
    "flip": [step("Flipd", spatial_axis=[0, 2])],
    "rotate": [step("Rotate90d", spatial_axes=[0, 2])],
    "zoom": [step("Zoomd", zoom=0.8, keep_size=False)],
    "foreground": [step("CropForegroundd", source_key="image", margin=4, allow_smaller=True)],
    "a pipeline": [
        step("Orientationd", axcodes="RAS", labels=None),
        step("Spacingd", pixdim=[1.0, 1.0, 1.0], mode="bilinear"),
        step("ScaleIntensityd"),
        step("ResizeWithPadOrCropd", spatial_size=[48, 48, 40]),
        step("Flipd", spatial_axis=1),
        step("EnsureTyped", track_meta=False),
    ],
}


@pytest.mark.parametrize("name", STEPS)
def test_a_point_stays_where_it_is(tmp_path: Path, name: str) -> None:
    scan, point = phantom(oblique(), (28, 26, 14), (12.3, 14.1, 6.4))
    prepared = prepare(tmp_path, scan, *STEPS[name])
    assert_blob_at(prepared, point)
    assert prepared.spacing == pytest.approx(np.linalg.norm(prepared.affine[:3, :3], axis=0))


@pytest.mark.parametrize("lazy", [True, None])
def test_lazy_resampling(tmp_path: Path, lazy: bool | None) -> None:
    scan, point = phantom(oblique(), (28, 26, 14), (12.3, 14.1, 6.4))
    steps = [step("Spacingd", pixdim=[1.2, 1.2, 1.5], mode="bilinear"), step("Flipd", spatial_axis=0)]
    config = inference(3, preprocessing={**compose(*steps), "lazy": lazy})
    prepared = Bundle.load(write(tmp_path / "b", config, metadata([32] * 3), network(3))).prepare(scan)
    assert_blob_at(prepared, point)


AFFINES_2D = {
    "pixels": np.eye(4),
    "transverse": np.array([[0, -0.7, 0, 12], [0.9, 0, 0, -3], [0, 0, 1, 40], [0, 0, 0, 1.0]]),
    "coronal": np.array([[0.8, 0, 0, 12], [0, 0, 1, -3], [0, 0.9, 0, 40], [0, 0, 0, 1.0]]),
    "oblique": np.array([[0.8, 0, 0, 12], [0, 0.6, -0.8, -3], [0, 0.8, 0.6, 40], [0, 0, 0, 1.0]]),
}
STEPS_2D = {
    "nothing": [],
    "resize": [step("Resized", spatial_size=[40, 60])],
    "pad": [step("ResizeWithPadOrCropd", spatial_size=[64, 20])],
    "spacing": [step("Spacingd", pixdim=[0.5, 1.2], mode="bilinear")],
    "flip": [step("Flipd", spatial_axis=0)],
    "rotate": [step("Rotate90d")],
}


@pytest.mark.parametrize("plane", AFFINES_2D)
@pytest.mark.parametrize("name", STEPS_2D)
def test_a_point_stays_where_it_is_in_2d(tmp_path: Path, name: str, plane: str) -> None:
    scan, point = phantom(AFFINES_2D[plane], (30, 36), (13.2, 15.7))
    assert_blob_at(prepare(tmp_path, scan, *STEPS_2D[name], dims=2), point)


def test_one_slice_of_a_volume_in_a_2d_bundle(tmp_path: Path) -> None:
    scan, point = phantom(oblique(), (30, 36, 1), (13.2, 15.7, 0))
    prepared = prepare(tmp_path, scan, step("Resized", spatial_size=[40, 60]), dims=2)
    assert prepared.image.shape == (1, 40, 60)
    assert prepared.valid.all()
    assert_blob_at(prepared, point)


def test_padding_is_marked_by_place_and_not_by_value(tmp_path: Path) -> None:
    scan, _ = phantom(oblique(), (20, 20, 10), (9, 9, 5))
    image = scan.image.as_tensor().clone()
    image[:, :5] = 0
    prepared = prepare(
        tmp_path, Scan.from_array(image, oblique()), step("ResizeWithPadOrCropd", spatial_size=[26, 16, 14])
    )
    expected = torch.zeros(26, 16, 14, dtype=torch.bool)
    expected[3:23, :, 2:12] = True
    assert torch.equal(prepared.valid, expected)


def test_padding_of_a_crop_is_marked(tmp_path: Path) -> None:
    scan, _ = phantom(np.eye(4), (20, 20, 20), (2, 10, 10))
    crop = scan.crop((2, 10, 10), 16)
    prepared = prepare(tmp_path, crop)
    assert torch.equal(prepared.valid, torch.from_numpy(crop.covers(grid_points(crop))))
    assert not prepared.valid[0].any()
    assert prepared.valid[-1, 10, 10]


def grid_points(scan: Scan) -> np.ndarray:
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in scan.shape), indexing="ij"), axis=-1)
    return scan.voxel_to_ras(grid)


def test_the_scan_is_left_as_it_was(tmp_path: Path) -> None:
    scan, _ = phantom(oblique(), (20, 20, 10), (9, 9, 5))
    before, affine = scan.image.as_tensor().clone(), scan.affine
    prepare(tmp_path, scan, step("ScaleIntensityd", minv=5, maxv=9), step("Flipd", spatial_axis=0))
    assert torch.equal(scan.image.as_tensor(), before)
    assert np.array_equal(scan.affine, affine)
    assert not scan.image.applied_operations


@pytest.mark.parametrize("style", ["array", "list", "reference", "single"])
def test_shapes_of_preprocessing(tmp_path: Path, style: str) -> None:
    array: list[dict[str, Any]] = [{"_target_": "LoadImage"}, {"_target_": "ScaleIntensity", "minv": 2.0, "maxv": 3.0}]
    entry: Any = {
        "array": compose(*array),
        "list": [step("LoadImaged"), step("ScaleIntensityd", minv=2.0, maxv=3.0)],
        "reference": "@more::1",
        "single": step("ScaleIntensityd", minv=2.0, maxv=3.0),
    }[style]
    config = inference(preprocessing=entry, more=[None, compose(step("ScaleIntensityd", minv=2.0, maxv=3.0))])
    scan, _ = phantom(np.eye(4), (16, 16), (8, 8))
    image = Bundle.load(write(tmp_path / "b", config)).prepare(scan).image
    assert (float(image.min()), float(image.max())) == pytest.approx((2, 3))


def test_label_keys_are_not_asked_for(tmp_path: Path) -> None:
    scan, _ = phantom(np.eye(4), (16, 16), (8, 8))
    both = ["label", "image"]
    steps = [step("Resized", both, spatial_size=[20, 20], mode=["nearest", "bilinear"]), step("DeleteItemsd", "label")]
    assert prepare(tmp_path, scan, *steps, dims=2).image.shape == (1, 20, 20)


def test_key_of_the_image(tmp_path: Path) -> None:
    scan, _ = phantom(np.eye(4), (16, 16), (8, 8))
    config = inference(preprocessing=compose(step("ScaleIntensityd", "ct", maxv=7.0)))
    assert float(Bundle.load(write(tmp_path / "b", config)).prepare(scan).image.max()) == pytest.approx(7)


def test_random_transforms_are_skipped(tmp_path: Path) -> None:
    scan, point = phantom(np.eye(4), (16, 16), (5, 8))
    config = inference(steps=[step("RandFlipd", prob=1.0, spatial_axis=0), step("ScaleIntensityd")])
    bundle = Bundle.load(write(tmp_path / "b", config))
    assert_blob_at(bundle.prepare(scan), point)
    assert any("random transform RandFlipd was skipped" in note for note in bundle.assumptions)


def test_no_preprocessing_is_said(tmp_path: Path) -> None:
    config = inference()
    del config["preprocessing"]
    scan, _ = phantom(np.eye(4), (16, 16), (5, 8))
    bundle = Bundle.load(write(tmp_path / "b", config))
    assert torch.equal(bundle.prepare(scan).image, scan.image.as_tensor())
    assert any("no preprocessing" in note for note in bundle.assumptions)


def test_scans_that_do_not_fit(tmp_path: Path) -> None:
    volume, _ = phantom(np.eye(4), (16, 16, 16), (8, 8, 8))
    picture, _ = phantom(np.eye(4), (16, 16), (8, 8))
    colours = Scan.from_array(np.random.default_rng(0).normal(size=(3, 16, 16)), np.eye(4))
    with pytest.raises(BundleError, match=r"takes 2D images and .* is 3D \(choose a slice\)"):
        prepare(tmp_path / "1", volume, dims=2)
    with pytest.raises(BundleError, match=r"takes 3D images and .* is 2D"):
        prepare(tmp_path / "2", picture)
    with pytest.raises(
        BundleError, match=r"takes 1 channel\(s\) in 2D, and array gives an image of shape \(3, 16, 16\)"
    ):
        prepare(tmp_path / "3", colours, dims=2)


def test_a_failing_transform_is_named(tmp_path: Path) -> None:
    scan, _ = phantom(np.eye(4), (16, 16), (8, 8))
    with pytest.raises(BundleError, match=r"CenterSpatialCropd fails on array with shape \(20, 20\)"):
        prepare(
            tmp_path,
            scan,
            step("Resized", spatial_size=[20, 20]),
            step("CenterSpatialCropd", roi_size=["a", "b"]),
            dims=2,
        )


def test_an_input_too_small_for_the_network(tmp_path: Path) -> None:
    scan, _ = phantom(np.eye(4), (16, 16), (8, 8))
    with pytest.raises(BundleError, match=r"the network fails on an image of shape \(1, 2, 2\)"):
        prepare(tmp_path, scan, step("Resized", spatial_size=[2, 2]), dims=2)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (
            [step("Spacingd", pixdim=[0.7, 0.7, 1.0]), step("ResizeWithPadOrCropd", spatial_size=[40, 40, 8])],
            (28, 28, 8),
        ),
        ([step("Spacingd", pixdim=2.0)], (80, 80, 16)),
        ([step("Spacingd", pixdim=[0.7, 0.7, -1])], None),
        ([step("Spacingd", pixdim=[0.7, 0.7, 1.0]), step("Resized", spatial_size=[40, 40, 8])], None),
        ([], None),
    ],
)
def test_field_of_view(tmp_path: Path, steps: list[Any], expected: tuple[float, ...] | None) -> None:
    bundle = Bundle.load(write(tmp_path / "b", inference(3, steps=steps), metadata([40, 40, 8]), network(3)))
    assert bundle.field_of_view_mm == (None if expected is None else pytest.approx(expected))
    root = write(tmp_path / "c", inference(3, steps=steps), metadata([40, 40, "8*n"]), network(3))
    assert Bundle.load(root).field_of_view_mm is None
