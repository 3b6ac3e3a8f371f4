"""From a scan with a blob at a known point in millimetres to maps that show it there, whatever lies between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.blob_bundle import write_blob_bundle

import camlime
from camlime.bundle import Bundle
from camlime.scan import Scan
from camlime.settings import METHODS
from camlime.view import focus, input_around

SOME = ("gradcam", "hirescam", "lime", "fused", "mean", "rank")
N_REGIONS = 120
BUDGET = 512


def rotation(degrees: float) -> np.ndarray:
    a, b = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[a, -b, 0], [b, a, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, a, -b], [0, b, a]])


DIRECTIONS = {
    "LPS": np.diag([-1.0, -1.0, 1.0]),
    "flipped": np.diag([1.0, -1.0, -1.0]),
    "oblique": rotation(20) @ np.diag([-1.0, -1.0, 1.0]),
    "sagittal": np.array([[0.0, 0, -1], [-1, 0, 0], [0, -1, 0]]),
}


def scan_with_blob(
    shape: Sequence[int],
    spacing: Sequence[float],
    direction: np.ndarray,
    index: Sequence[float],
    *,
    channels: int,
    sigma_mm: float,
) -> tuple[Scan, np.ndarray]:
    """A Gaussian blob at a continuous voxel index, on a faint background; the scan and the point in RAS mm."""
    affine = np.eye(4)
    affine[:3, :3] = direction * (*spacing, *[1.0] * (3 - len(spacing)))
    affine[:3, 3] = (31.5, -12.25, 140.0)
    axes = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    distance = sum(((a - i) * s) ** 2 for a, i, s in zip(axes, index, spacing, strict=True))
    noise = np.random.default_rng(3).normal(0, 0.002, (channels, *shape))
    values = np.exp(-distance / (2 * sigma_mm**2)) + 0.05 + noise
    padded = [*index, *[0.0] * (3 - len(index))]
    return Scan.from_array(values.astype(np.float32), affine), affine[:3, :3] @ padded + affine[:3, 3]


def ras(explanation: camlime.Explanation, index: np.ndarray) -> np.ndarray:
    affine = explanation.input.affine
    return affine[:3, :3] @ [*index, *[0.0] * (3 - len(index))] + affine[:3, 3]


def peak_and_centroid(explanation: camlime.Explanation, method: str) -> tuple[np.ndarray, np.ndarray]:
    values = explanation.attributions[method].values.astype(float)
    top = values >= values.max() - 1e-6 * np.ptp(values)
    least = 0.5 * values.max()
    if method == "rank":  # ranks only order: as many of the strongest voxels as the mean of the same parents has
        mean = explanation.attributions["mean"].values
        least = np.sort(values, axis=None)[-int((mean >= 0.5 * mean.max()).sum())]
    strong = np.where(values >= least, values, 0.0)
    peak = np.argwhere(top).mean(axis=0)
    centroid = (np.indices(values.shape) * strong).reshape(values.ndim, -1).sum(axis=1) / strong.sum()
    return ras(explanation, peak), ras(explanation, centroid)


def lies_at(explanation: camlime.Explanation, method: str, found: np.ndarray, point: np.ndarray) -> bool:
    """Whether a place is within half a CAM cell (half a region's edge) of the point, along each of the grid's axes."""
    attribution, affine = explanation.attributions[method], explanation.input.affine
    spacing = np.array(explanation.input.spacing)
    apart_mm = (np.linalg.inv(affine[:3, :3]) @ (found - point))[: len(spacing)] * spacing
    if "cell_stride" in attribution.parameters:
        half = 0.5 * np.array(attribution.parameters["cell_stride"]) * spacing
    else:
        voxels = explanation.regions.voxel_counts().mean() * np.prod(spacing)
        half = 0.5 * voxels ** (1 / len(spacing)) * np.ones(len(spacing))
    return bool((np.abs(apart_mm) <= half).all())


def step(name: str, **arguments: Any) -> dict[str, Any]:
    return {"_target_": name, "keys": "image", **arguments}


CASES_3D = {
    "as it is": ((40, 36, 24), []),
    "RAS, resampled": (
        (44, 42, 36),
        [
            step("Orientationd", axcodes="RAS", labels=None),
            step("Spacingd", pixdim=[1.0, 1.0, 1.0], mode="bilinear"),
            step("ResizeWithPadOrCropd", spatial_size=[44, 42, 36]),
        ],
    ),
    "resized, odd": ((33, 31, 29), [step("Resized", spatial_size=[33, 31, 29], mode="trilinear")]),
    "cropped, flipped": (
        (28, 28, 20),
        [step("CenterSpatialCropd", roi_size=[28, 28, 20]), step("Flipd", spatial_axis=0)],
    ),
    "padded": ((52, 52, 40), [step("SpatialPadd", spatial_size=[52, 52, 40])]),
}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("case", CASES_3D)
def test_maps_show_the_blob_where_it_is_3d(tmp_path: Path, case: str, direction: str) -> None:
    shape, steps = CASES_3D[case]
    spacing = (0.9, 1.0, 1.5)
    scan, point = scan_with_blob(
        (40, 36, 24), spacing, DIRECTIONS[direction], (23.3, 14.6, 11.2), channels=1, sigma_mm=2.5
    )
    if case == "RAS, resampled" and direction == "oblique":
        shape = (44, 42, 36)
    bundle = write_blob_bundle(tmp_path / "b", shape, steps=steps)
    methods = METHODS if direction == "oblique" else SOME
    explanation = camlime.explain(
        scan,
        bundle,
        methods=methods,
        class_name="bright",
        n_regions=N_REGIONS,
        budget=BUDGET,
        device="cpu",
        batch_size=32,
        evidence_budget=0,
    )
    assert explanation.input.spatial_shape == shape
    for method in methods:
        peak, centroid = peak_and_centroid(explanation, method)
        assert lies_at(explanation, method, peak, point), method
        assert lies_at(explanation, method, centroid, point), method
    assert lies_at(explanation, "fused", explanation.strongest_point_ras(), point)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("shape", "steps"),
    [
        ((64, 56), []),
        ((45, 51), [step("Resized", spatial_size=[45, 51], mode="bilinear")]),
        ((72, 70), [step("SpatialPadd", spatial_size=[72, 70])]),
    ],
)
def test_maps_show_the_blob_where_it_is_2d(
    tmp_path: Path, shape: Sequence[int], steps: list[dict[str, Any]], channels: int
) -> None:
    scan, point = scan_with_blob((64, 56), (1.0, 1.0), np.eye(3), (41.3, 17.8), channels=channels, sigma_mm=3.0)
    bundle = write_blob_bundle(tmp_path / "b", shape, channels=channels, steps=steps)
    explanation = camlime.explain(
        scan,
        bundle,
        methods=METHODS,
        class_name="bright",
        n_regions=N_REGIONS,
        budget=BUDGET,
        device="cpu",
        batch_size=64,
        evidence_budget=0,
    )
    for method in METHODS:
        for found in peak_and_centroid(explanation, method):
            assert lies_at(explanation, method, found, point), method


def test_three_channels_in_3d(tmp_path: Path) -> None:
    scan, point = scan_with_blob(
        (30, 28, 20), (1.0, 1.0, 1.5), DIRECTIONS["LPS"], (18.0, 11.0, 9.0), channels=3, sigma_mm=2.5
    )
    bundle = write_blob_bundle(tmp_path / "b", (30, 28, 20), channels=3)
    explanation = camlime.explain(
        scan, bundle, class_name="bright", budget=BUDGET, device="cpu", batch_size=32, evidence_budget=0
    )
    for method in explanation.attributions:
        for found in peak_and_centroid(explanation, method):
            assert lies_at(explanation, method, found, point), method


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_point_of_interest_in_a_large_scan(tmp_path: Path, direction: str) -> None:
    """The crop around a point keeps the patient's frame: the maps lie on the blob, not on where it was in the crop."""
    scan, point = scan_with_blob(
        (80, 70, 50), (0.8, 0.8, 1.6), DIRECTIONS[direction], (55.4, 20.3, 31.7), channels=1, sigma_mm=2.5
    )
    steps = [
        step("Orientationd", axcodes="RAS", labels=None),
        step("Spacingd", pixdim=[1.0, 1.0, 1.0], mode="bilinear"),
        step("ResizeWithPadOrCropd", spatial_size=[24, 24, 24]),
    ]
    bundle = write_blob_bundle(tmp_path / "b", (24, 24, 24), steps=steps, explain={"field_of_view_mm": [24, 24, 24]})
    with pytest.raises(camlime.CamlimeError, match="where to look"):
        camlime.explain(scan, bundle)
    clicked = point + np.array([3.0, -2.0, 2.0])
    explanation = camlime.explain(
        scan,
        bundle,
        point=clicked,
        class_name="bright",
        n_regions=N_REGIONS,
        budget=BUDGET,
        device="cpu",
        batch_size=32,
        evidence_budget=0,
    )
    middle = ras(explanation, (np.array(explanation.input.spatial_shape) - 1) / 2)
    assert np.linalg.norm(middle - clicked) < 2.5  # to half a voxel of the scan and one of the input
    for method in explanation.attributions:
        for found in peak_and_centroid(explanation, method):
            assert lies_at(explanation, method, found, point), method


@pytest.mark.parametrize("direction", ["RAS", "LPS"])
def test_the_network_looks_nearly_where_the_point_is(tmp_path: Path, direction: str) -> None:
    """Slices of 3 mm, a box of 8 voxels of 1 mm: a crop of whole slices lets the box lie up to 2 mm off."""
    steps = [
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
        {"_target_": "Spacingd", "keys": "image", "pixdim": [1.0, 1.0, 1.0]},
        {"_target_": "ResizeWithPadOrCropd", "keys": "image", "spatial_size": [24, 24, 8]},
    ]
    bundle = Bundle.load(
        write_blob_bundle(tmp_path / "b", (24, 24, 8), steps=steps, explain={"field_of_view_mm": [24, 24, 8]})
    )
    affine = np.diag([0.7, 0.7, 3.0, 1.0])
    if direction == "LPS":
        affine[:2] *= -1
    scan = Scan.from_array(np.random.default_rng(0).normal(size=(1, 90, 90, 40)).astype(np.float32), affine)
    rng, before, after = np.random.default_rng(1), [], []
    for _ in range(30):
        point = scan.voxel_to_ras(rng.uniform((30, 30, 12), (60, 60, 28)))
        plain, nearer = bundle.prepare(focus(scan, bundle, tuple(point))), input_around(scan, bundle, tuple(point))
        before.append(np.abs(plain.centre_ras - point))
        after.append(np.abs(nearer.centre_ras - point))
        assert nearer.image.shape == plain.image.shape and nearer.spacing == plain.spacing
        # Nothing is interpolated for it: where both looked they saw the same, to the last bit but for rounding.
        shift = np.rint(np.linalg.inv(plain.affine)[:3, :3] @ (nearer.centre_ras - plain.centre_ras)).astype(int)
        if not shift[:2].any():
            k = int(shift[2])
            one, other = plain.image[..., max(k, 0) : 8 + min(k, 0)], nearer.image[..., max(-k, 0) : 8 + min(-k, 0)]
            np.testing.assert_allclose(other, one, atol=1e-4)
    assert np.max(before, axis=0)[2] > 1.5
    assert np.max(after) <= 1.0 + 1e-6 and np.mean(after, axis=0)[2] < 0.6 * np.mean(before, axis=0)[2]


def test_a_view_that_is_the_whole_crop_is_not_stretched(tmp_path: Path) -> None:
    """Resizing takes all of the crop: made longer it would be another view."""
    steps = [{"_target_": "Resized", "keys": "image", "spatial_size": [24, 24, 24]}]
    bundle = Bundle.load(
        write_blob_bundle(tmp_path / "b", (24, 24, 24), steps=steps, explain={"field_of_view_mm": [24, 24, 24]})
    )
    scan = Scan.from_array(
        np.random.default_rng(0).normal(size=(1, 60, 60, 40)).astype(np.float32), np.diag([1, 1, 3, 1.0])
    )
    for z in (55.2, 56.4, 57.9):
        plain, found = bundle.prepare(focus(scan, bundle, (30, 30, z))), input_around(scan, bundle, (30, 30, z))
        np.testing.assert_array_equal(found.affine, plain.affine)
