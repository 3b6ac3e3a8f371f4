"""Occlusion against the answer asked for one covered image at a time."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.networks.nets import DenseNet
from support.blob_bundle import write_blob_bundle
from support.toy_cases import OfPresence, case_of, grid_regions, presence_case
from torch import Tensor

import camlime
from camlime.bundle.model_input import ModelInput
from camlime.errors import RequestError
from camlime.methods.case import Case
from camlime.methods.occlusion import Occlusion, sliding_boxes
from camlime.methods.sampling import Cancelled
from camlime.methods.stopping import StoppingRule
from camlime.overview.words import unit_of
from camlime.phantom import blob
from camlime.scan import Scan

TINY = {"in_channels": 2, "out_channels": 3, "init_features": 4, "growth_rate": 2, "block_config": (1, 1), "bn_size": 1}


def case_with_network(shape: tuple[int, ...], *counts: int, **settings: object) -> Case:
    torch.manual_seed(1)
    image = torch.randn(2, *shape)
    regions = tuple(grid_regions(shape, count) for count in counts)
    return case_of(
        DenseNet(spatial_dims=len(shape), **TINY).eval(),
        image,
        regions,
        names=("a", "b", "c"),
        activation="softmax",
        class_index=1,
        baseline=torch.zeros_like(image) + 0.2,
        batch_size=5,
        **settings,
    )


def slow_log_odds(case: Case, image: Tensor) -> float:
    with torch.no_grad():
        z = case.classifier.network(image[None])[0].double()
    others = [z[k] for k in range(len(z)) if k != case.class_index]
    return float(z[case.class_index] - torch.logsumexp(torch.stack(others), 0))


@pytest.mark.parametrize("shape", [(20, 24), (12, 14, 16)])
def test_regions_one_by_one(shape: tuple[int, ...]) -> None:
    case = case_with_network(shape, 7, 9)
    found = Occlusion().explain(case)
    maps = []
    for regions in case.regions:
        weights = []
        for label in range(1, regions.count + 1):
            covered = case.input.image.clone()
            here = torch.from_numpy(regions.labels == label)
            covered[:, here] = case.baseline[:, here]
            weights.append(slow_log_odds(case, case.input.image) - slow_log_odds(case, covered))
        maps.append(np.array(weights)[regions.labels - 1])
    np.testing.assert_allclose(found.values, np.mean(maps, axis=0), atol=1e-5)
    np.testing.assert_allclose(
        found.region_weights, [maps[0][case.regions[0].labels == k].mean() for k in range(1, 8)], atol=1e-5
    )
    assert found.std is None
    assert found.forward_passes == 8 + 10


@pytest.mark.parametrize(("shape", "spacing"), [((20, 24), (1.0, 2.0)), ((12, 14, 9), (1.0, 1.0, 2.0))])
def test_windows_one_by_one(shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    case = case_with_network(shape, 4)
    valid = torch.ones(shape, dtype=torch.bool)
    valid[:5] = False
    padded = ModelInput(case.input.image, case.input.affine, valid, spacing)
    case = Case(case.classifier, padded, 1, case.regions, case.baseline)
    found = Occlusion(window_mm=6.0).explain(case)
    edge = [round(6 / size) for size in spacing]
    axes = []
    for size, length in zip(shape, edge, strict=True):
        starts = list(range(0, size - length + 1, length // 2 or 1))
        axes.append(starts if starts[-1] == size - length else [*starts, size - length])
    total, times = np.zeros(shape), np.zeros(shape)
    for corner in product(*axes):
        here = torch.zeros(shape, dtype=torch.bool)
        here[tuple(slice(c, c + length) for c, length in zip(corner, edge, strict=True))] = True
        if not (here & valid).any():
            continue
        covered = case.input.image.clone()
        covered[:, here & valid] = case.baseline[:, here & valid]
        total[here] += slow_log_odds(case, case.input.image) - slow_log_odds(case, covered)
        times[here] += 1
    expected = np.divide(total, times, out=np.zeros(shape), where=times > 0)
    expected[~valid.numpy()] = 0
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    assert found.region_weights is None
    assert found.parameters["window_voxels"] == edge


def test_boxes_cover_everything_and_stay_inside() -> None:
    for size, length in product(range(1, 12), range(1, 12)):
        if length > size:
            continue
        boxes = list(sliding_boxes([size], [length]))
        assert {i for (box,) in boxes for i in range(box.start, box.stop)} == set(range(size))
        assert all(box.stop - box.start == length for (box,) in boxes)


def test_either_of_two_suffices() -> None:
    """The difference to LIME that the docs state: covering one of two sufficient regions changes nothing."""
    found = Occlusion().explain(presence_case(lambda s: torch.maximum(s[:, 0], s[:, 1]) + 2 * s[:, 2], 4))
    np.testing.assert_allclose(found.region_weights, [0, 0, 2, 0], atol=1e-6)


def test_budget() -> None:
    case = case_with_network((20, 24), 7, 9)
    assert Occlusion(budget=17).explain(case).parameters["segmentations"] == 1
    assert Occlusion(budget=StoppingRule(most_passes=18)).explain(case).parameters["segmentations"] == 2
    with pytest.raises(RequestError, match=r"7 passes is too small to cover 7 regions.*at least 8"):
        Occlusion(budget=7).check(case)
    with pytest.raises(RequestError, match=r"a window of 2 mm takes 438 passes"):
        Occlusion(budget=100, window_mm=2).check(case)
    for size in (0, -1, float("nan"), float("inf")):
        with pytest.raises(RequestError, match="no size of a window"):
            Occlusion(window_mm=size)


def test_cancelled_and_progress() -> None:
    said = []
    case = case_with_network((20, 24), 7, 9, on_progress=said.append, cancelled=lambda: len(said) >= 2)
    kept = Occlusion().explain(case)
    assert kept.parameters["segmentations"] == 1
    assert kept.parameters["cancelled"] is True
    assert [(p.done, p.total) for p in said] == [(5, 18), (8, 18)]
    for window in (None, 8.0):
        with pytest.raises(Cancelled):
            Occlusion(window_mm=window).explain(case_with_network((20, 24), 7, cancelled=lambda: True))


def test_guidance_stays() -> None:
    """A channel that is its own baseline is never covered."""
    regions = grid_regions((4, 4), 4)
    image = torch.ones(2, 4, 4)
    baseline = torch.stack([torch.zeros(4, 4), torch.ones(4, 4)])
    case = case_of(OfPresence(regions, lambda s: s.sum(1)), image, (regions,), baseline=baseline)
    np.testing.assert_allclose(Occlusion().explain(case).region_weights, [0.5] * 4, atol=1e-6)


@pytest.mark.parametrize("window", [None, 8.0])
def test_from_scan_to_files(tmp_path: Path, window: float | None) -> None:
    scan = blob((16, 14, 12), spacing=(1.5, 1.5, 2.0), center_ras=(0, 0, 0), origin=(-12, -10, -12), radius_mm=4.0)
    scan = Scan.from_array(scan.image.as_tensor() / 1000, scan.affine)
    bundle = write_blob_bundle(tmp_path / "bundle", (16, 14, 12))
    found = camlime.explain(
        scan, bundle, methods=["occlusion"], device="cpu", class_name="bright", n_regions=20, window_mm=window
    )
    attribution = found.attributions["occlusion"]
    evidence = found.evidence["occlusion"]
    assert evidence.supported is True, evidence.reason
    assert evidence.passes <= evidence.budget
    assert evidence.repeatability is None
    at = np.unravel_index(attribution.values.argmax(), attribution.values.shape)
    centre = scan.ras_to_voxel((0.0, 0.0, 0.0))
    assert np.abs(np.array(at) - centre).max() <= 4
    found.save(tmp_path / "out")
    again = camlime.Explanation.load(tmp_path / "out")
    np.testing.assert_allclose(again.attributions["occlusion"].values, attribution.values, atol=1e-6)
    assert unit_of(attribution) == ("log-odds a window" if window else "log-odds a region")
    assert (again.region_table()[0].get("weight") is None) == (window is not None)
