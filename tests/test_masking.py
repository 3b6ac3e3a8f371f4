"""Baselines and masked images against loops over voxels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from camlime.bundle.model_input import ModelInput
from camlime.errors import RequestError
from camlime.masking import Masker, make_baseline, region_mean_baseline
from camlime.regions import Regions

CPU = torch.device("cpu")


def input_of(image: Tensor, *, valid: Tensor | None = None, spacing: tuple[float, ...] | None = None) -> ModelInput:
    shape = image.shape[1:]
    valid = torch.ones(shape, dtype=torch.bool) if valid is None else valid
    return ModelInput(image, np.eye(4), valid, spacing or (1.0,) * len(shape))


def blocks(shape: tuple[int, ...], count: int, seed: int = 0) -> Regions:
    labels = np.random.default_rng(seed).integers(0, count + 1, shape).astype(np.int32)
    labels.flat[: count + 1] = np.arange(count + 1)
    return Regions(labels)


def masked_voxel_by_voxel(image: Tensor, baseline: Tensor, regions: Regions, presence: Tensor) -> Tensor:
    result = torch.empty(len(presence), *image.shape)
    for n, row in enumerate(presence):
        for channel in range(len(image)):
            for voxel in np.ndindex(*image.shape[1:]):
                label = regions.labels[voxel]
                kept = label == 0 or row[label - 1] == 1
                result[(n, channel, *voxel)] = (image if kept else baseline)[(channel, *voxel)]
    return result


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 5)])
def test_masked_images_are_those_of_a_slow_loop(channels: int, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    image, baseline = torch.randn(2, channels, *shape)
    regions = blocks(shape, 6)
    presence = torch.randint(0, 2, (4, 6)).float()
    masker = Masker(image, baseline, regions, CPU)
    expected = masked_voxel_by_voxel(image, baseline, regions, presence)
    assert torch.equal(masker(presence), expected)
    assert torch.equal(masker(presence.bool()), expected)


def test_reused_memory_gives_the_same_images_also_for_a_shorter_last_batch() -> None:
    torch.manual_seed(0)
    image, baseline = torch.randn(2, 2, 4, 5)
    masker = Masker(image, baseline, blocks((4, 5), 3), CPU)
    presence = torch.randint(0, 2, (4, 3))
    first = masker(torch.zeros(4, 3))
    again = masker(presence[:3], out=first)
    assert again.data_ptr() == first.data_ptr()
    assert torch.equal(again, masker(presence[:3]))


def test_all_present_is_the_image_and_parts_mix_linearly() -> None:
    torch.manual_seed(0)
    image, baseline = torch.randn(2, 1, 4, 5)
    regions = blocks((4, 5), 3)
    masker = Masker(image, baseline, regions, CPU)
    assert torch.equal(masker(torch.ones(1, 3))[0], image)
    kept = torch.from_numpy(regions.labels == 0)
    quarter = torch.where(kept, image, 0.25 * image + 0.75 * baseline)
    torch.testing.assert_close(masker(torch.full((1, 3), 0.25))[0], quarter)


def test_constant_mean_and_median_baselines_look_at_valid_voxels_only() -> None:
    image = torch.tensor([[[1.0, 2.0, 9.0, 500.0]], [[-1.0, 0.0, 1.0, 500.0]]])
    case = input_of(image, valid=torch.tensor([[True, True, True, False]]))
    assert make_baseline("constant", case, value=-3).unique().tolist() == [-3]
    assert make_baseline("mean", case)[:, 0].tolist() == [[4.0] * 4, [0.0] * 4]
    assert make_baseline("median", case)[:, 0].tolist() == [[2.0] * 4, [0.0] * 4]


def test_blur_does_not_mix_padding_in_and_is_in_mm() -> None:
    torch.manual_seed(0)
    image = torch.randn(1, 12, 9)
    valid = torch.zeros(12, 9, dtype=torch.bool)
    valid[:, 2:] = True
    other = image.clone()
    other[:, ~valid] = 1e4
    sigma, spacing = 1.5, (1.0, 2.0)
    blurred = make_baseline("blur", input_of(image, valid=valid, spacing=spacing), sigma_mm=sigma)
    padded = make_baseline("blur", input_of(other, valid=valid, spacing=spacing), sigma_mm=sigma)
    torch.testing.assert_close(blurred, padded)
    row, column = 6, 5  # far enough from the outer border: there, the border's voxels are repeated
    rows, columns = np.indices((12, 9))
    distance = ((rows - row) * spacing[0]) ** 2 + ((columns - column) * spacing[1]) ** 2
    weight = np.exp(-distance / (2 * sigma**2)) * valid.numpy()
    by_hand = (weight * image[0].numpy()).sum() / weight.sum()
    assert blurred[0, row, column].item() == pytest.approx(by_hand, abs=2e-3)


def test_blur_keeps_a_constant_image_even_beside_padding() -> None:
    valid = torch.zeros(8, 8, 8, dtype=torch.bool)
    valid[3:] = True
    image = torch.where(valid, 7.0, 0.0)[None]
    blurred = make_baseline("blur", input_of(image, valid=valid))
    torch.testing.assert_close(blurred[0][valid], torch.full((int(valid.sum()),), 7.0))


def test_region_means_by_a_loop() -> None:
    torch.manual_seed(0)
    image = torch.randn(3, 6, 5)
    regions = blocks((6, 5), 4)
    expected = image.clone()
    for label in range(1, 5):
        inside = torch.from_numpy(regions.labels == label)
        for channel in range(3):
            expected[channel][inside] = image[channel][inside].mean()
    torch.testing.assert_close(region_mean_baseline(input_of(image), regions), expected)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("black", {}),
        ("constant", {}),
        ("mean", {"value": 1.0}),
        ("blur", {"sigma_mm": 0.0}),
        ("blur", {"sigma_mm": -1}),
    ],
)
def test_a_baseline_that_cannot_be_made_is_a_request_error(name: str, parameters: dict[str, float]) -> None:
    with pytest.raises(RequestError):
        make_baseline(name, input_of(torch.zeros(1, 4, 4)), **parameters)
