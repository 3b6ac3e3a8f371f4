"""A GPU gives what the CPU gives: shown with a stand-in for one, since most machines that test have none.

Its tensors lie apart from the CPU's, so that nothing works by accident. Its arithmetic is the CPU's own, and then every
number must be the same to the last bit; or each sum is rounded otherwise, and then maps may differ by a ten-thousandth
of their range and no verdict may. The tests that are marked ``gpu`` ask a real one.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets import resnet10
from support.blob_bundle import write_blob_bundle
from support.slice_cases import DIRECTIONS, lesion_volume, write_slice_bundle
from support.slides import picture, write_pyramid, write_slide_bundle
from support.standin_device import DEVICE, Standin
from support.toy_cases import grid_regions
from torch import Tensor, nn

import camlime
from camlime.benchmark.methods import METHODS as BENCHMARKED
from camlime.bundle import Bundle, ModelInput, shipped_bundles
from camlime.classifier import Classifier
from camlime.errors import DeviceError
from camlime.evidence.randomisation import COPIES, randomised
from camlime.methods.cam import Cam
from camlime.methods.case import Case
from camlime.methods.fused import Fused
from camlime.phantom import blob, chest_ct_nodule
from camlime.pipeline import classifier_of
from camlime.record import record_of
from camlime.scan import Scan
from camlime.settings import METHODS
from camlime.slices import explain_slices
from camlime.slides import find_tissue, map_slide, open_slide, tile_grid

SHAPE = (24, 24, 20)
CONVOLUTIONS = {"convolution", "convolution_backward"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.load(write_blob_bundle(tmp_path_factory.mktemp("bundles") / "blob", SHAPE))


@pytest.fixture(scope="module")
def scan() -> Scan:
    return blob(SHAPE, radius_mm=4, center_ras=(3.0, -2.0, 1.0))


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    assert not torch.cuda.is_initialized()


def explain(scan: Scan, bundle: Bundle | str, device: str, **settings: Any) -> camlime.Explanation:
    return camlime.explain(
        scan, bundle, device=device, **{"seed": 3, "budget": 160, "n_regions": 30, "batch_size": 8} | settings
    )


def told(explanation: camlime.Explanation) -> str:
    """All that an explanation says, but for the time it took and the device."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            hidden = ("seconds", "device", "gpu", "created")
            return {key: plain(one) for key, one in value.items() if key not in hidden}
        return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value

    return json.dumps(plain(record_of(explanation)), sort_keys=True, default=str)


def test_the_stand_in_keeps_its_tensors_apart() -> None:
    with Standin() as device:
        here, there = torch.ones(3), torch.ones(3).to(DEVICE)
        assert (here.device.type, there.device.type) == ("cpu", "cuda")
        assert {torch.zeros(2, device=DEVICE).device, torch.tensor([1, 2], device=DEVICE).device} == {there.device}
        assert (there * 2).device.type == (there * torch.tensor(2.0)).device.type == "cuda"
        with pytest.raises(RuntimeError, match="same device"):
            here + there
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        np.testing.assert_array_equal((there + 1).cpu().numpy(), [2, 2, 2])
        assert device.operations["add"] == 1
    with pytest.raises(AssertionError, match="outside"):
        there + 1


def test_the_stand_in_has_the_gradients_of_the_cpu_and_runs_out_of_memory() -> None:
    network = resnet10(spatial_dims=2, n_input_channels=1, num_classes=2, widen_factor=0.125).eval()
    image = torch.rand(2, 1, 32, 32)

    def gradient(network: nn.Module, image: Tensor) -> Tensor:
        image = image.clone().requires_grad_(True)
        return torch.autograd.grad(network(image)[:, 1].sum(), image)[0]

    expected = gradient(network, image)
    with Standin() as device:
        there = classifier(network).network
        found = gradient(there, image.to(DEVICE))
        assert found.device.type == "cuda" and torch.equal(found.cpu(), expected)
        before = device.held
        kept = torch.zeros(1000, device=DEVICE)
        view = kept[10:20]
        assert device.held == before + 4000 and view.device.type == "cuda"
    with Standin(other_rounding=True):
        rounded = gradient(classifier(network).network, image.to(DEVICE)).cpu()
    assert not torch.equal(rounded, expected)
    torch.testing.assert_close(rounded, expected, rtol=1e-4, atol=1e-5)
    with Standin(capacity=4000), pytest.raises(torch.cuda.OutOfMemoryError, match="out of memory"):
        torch.zeros(1001, device=DEVICE)


def classifier(network: nn.Module, device: str = "cuda") -> Classifier:
    return Classifier(network, class_names=("no", "yes"), activation="softmax", device=device, batch_size=4)


def test_every_map_and_all_its_evidence_are_the_same_to_the_last_bit(scan: Scan, bundle: Bundle) -> None:
    settings = {"methods": METHODS, "evidence_budget": 3000}
    expected = explain(scan, bundle, "cpu", **settings)
    with Standin() as device:
        found = explain(scan, bundle, "cuda", **settings)
    assert found.provenance["device"] == "cuda:0"
    assert told(found) == told(expected)
    assert any(one.randomisation is not None for one in found.evidence.values())
    for method in METHODS:
        one, other = found.attributions[method], expected.attributions[method]
        np.testing.assert_array_equal(one.values, other.values, err_msg=method)
        assert (one.std is None) == (other.std is None)
        if one.std is not None:
            np.testing.assert_array_equal(one.std, other.std, err_msg=method)
    assert device.operations["convolution"] > 1000 and device.operations["convolution_backward"] > 10
    assert not CONVOLUTIONS & device.elsewhere.keys()


def test_rounded_otherwise_maps_hardly_differ_and_verdicts_do_not() -> None:
    """On the lung bundle, whose network is a real one."""
    whole, centre, _ = chest_ct_nodule(0)
    methods = ("gradcam", "layercam", "lime", "fused", "rank")
    settings = {"point": tuple(centre), "methods": methods, "evidence_budget": 1200}
    expected = explain(whole, "lung_nodule_ct", "cpu", **settings)
    with Standin(other_rounding=True):
        found = explain(whole, "lung_nodule_ct", "cuda", **settings)
    names = found.prediction.probabilities
    assert [names[name] for name in names] == pytest.approx(list(expected.prediction.probabilities.values()), abs=1e-6)
    assert found.prediction.probabilities != expected.prediction.probabilities
    for method in methods:
        one, other = found.attributions[method], expected.attributions[method]
        np.testing.assert_allclose(one.values, other.values, atol=1e-4 * np.ptp(other.values), rtol=0, err_msg=method)
        if other.std is not None:
            np.testing.assert_allclose(one.std, other.std, atol=1e-4 * np.ptp(other.values), rtol=0, err_msg=method)
        assert found.evidence[method].supported == expected.evidence[method].supported
    assert found.agreement is not None and expected.agreement is not None
    assert found.agreement.badge == expected.agreement.badge


def test_where_memory_is_short_batches_are_halved_and_the_maps_are_the_same(scan: Scan, bundle: Bundle) -> None:
    settings = {"methods": ("gradcam", "lime", "fused", "occlusion"), "batch_size": 32}
    with Standin() as roomy:
        expected = explain(scan, bundle, "cuda", **settings)
    with Standin(capacity=roomy.peak / 3) as tight:
        found = explain(scan, bundle, "cuda", **settings)
    assert tight.ran_out > 0 and tight.peak <= roomy.peak / 3
    for method, other in expected.attributions.items():
        np.testing.assert_allclose(
            found.attributions[method].values, other.values, atol=1e-4 * np.ptp(other.values), rtol=0, err_msg=method
        )
    del expected, found
    gc.collect()
    assert roomy.held == tight.held == 0


def test_where_one_image_or_the_network_does_not_fit_the_error_says_so(scan: Scan, bundle: Bundle) -> None:
    with Standin() as roomy:
        ready = classifier_of(bundle, device="cuda", batch_size=1)
        of_network = roomy.held
        ready.logits(bundle.prepare(scan).image[None])
    for capacity, what in ((of_network - 1, "the network"), (roomy.peak - 1, "one image of shape")):
        with Standin(capacity=capacity), pytest.raises(DeviceError, match=f"^{what}.* does not fit") as told:
            explain(scan, bundle, "cuda")
        assert told.value.hint == "use --device cpu"


def test_no_amount_of_memory_is_trouble_without_a_word(scan: Scan, bundle: Bundle) -> None:
    """At any capacity there is either an error that says what it is, or the maps of a device with room enough."""
    settings: dict[str, Any] = {"methods": ("gradcam", "fused", "occlusion"), "budget": 64, "evidence_budget": 1000}
    with Standin() as roomy:
        expected = explain(scan, bundle, "cuda", **settings)
    done = 0
    capacities = np.geomspace(roomy.peak / 40, roomy.peak, 12)
    for capacity in capacities:
        gc.collect()
        with Standin(capacity=capacity):
            try:
                found = explain(scan, bundle, "cuda", **settings)
            except DeviceError as error:
                assert "memory of cuda:0" in error.message
                continue
        done += 1
        for method, other in expected.attributions.items():
            np.testing.assert_allclose(
                found.attributions[method].values, other.values, atol=1e-4 * np.ptp(other.values), err_msg=method
            )
    assert 2 < done < len(capacities)


def test_memory_does_not_grow_with_the_number_of_passes(scan: Scan, bundle: Bundle) -> None:
    peaks = []
    for budget in (256, 2048):
        gc.collect()
        with Standin() as device:
            explain(scan, bundle, "cuda", methods=("lime", "fused"), budget=budget, evidence_budget=0)
        peaks.append(device.peak)
    assert peaks[1] <= peaks[0]


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize(
    "method",
    # MONAI's occlusion makes another class of the image, which the stand-in does not survive.
    [m for m in BENCHMARKED.values() if m.installed and m.name != "monai-occlusion"],
    ids=lambda method: method.name,
)
def test_what_is_benchmarked_runs_on_the_device(method: Any, dimensions: int) -> None:
    torch.manual_seed(dimensions)
    shape = {2: (24, 28), 3: (16, 20, 12)}[dimensions]
    network = resnet10(spatial_dims=dimensions, n_input_channels=1, num_classes=2, widen_factor=0.125).eval()
    image = torch.rand(1, *shape)

    def case(device: str) -> Case:
        given = ModelInput(image, np.eye(4), torch.ones(shape, dtype=torch.bool), (1.0,) * dimensions)
        return Case(classifier(network, device), given, 1, (grid_regions(shape, 12),), torch.zeros_like(image), seed=2)

    expected = method.explain(case("cpu"), 128, "layer2")
    with Standin() as device:
        found = method.explain(case("cuda"), 128, "layer2")
    np.testing.assert_array_equal(found.values, expected.values)
    assert not CONVOLUTIONS & device.elsewhere.keys()
    assert method.group == "controls" or device.operations["convolution"]


def test_slices_and_whether_they_are_of_the_training_domain(tmp_path: Path) -> None:
    read = Bundle.load(write_slice_bundle(tmp_path / "slices"))
    volume = lesion_volume(DIRECTIONS["LPS"])
    settings: dict[str, Any] = {"count": 1, "methods": ("gradcam", "fused"), "budget": 64, "batch_size": 8}
    expected = explain_slices(volume, read, plane="axial", device="cpu", **settings)
    with Standin() as device:
        found = explain_slices(volume, read, plane="axial", device="cuda", **settings)
    assert [(a.flag, a.score, a.probabilities) for a in found.answers.answers] == [
        (a.flag, a.score, a.probabilities) for a in expected.answers.answers
    ]
    assert {a.flag for a in found.answers.answers} > {None}
    for method in found.methods:
        np.testing.assert_array_equal(found.values(method), expected.values(method))
    assert not CONVOLUTIONS & device.elsewhere.keys()


def test_slides(tmp_path: Path) -> None:
    read = Bundle.load(write_slide_bundle(tmp_path / "stain"))
    pixels = picture(600, 400, tissue=(100, 80, 400, 300), spot=(192, 128, 64, 64))

    def probabilities(device: str) -> np.ndarray:
        with open_slide(path) as slide:
            tissue = find_tissue(slide)
            grid = tile_grid(slide, tissue, read)
            ready = classifier_of(read, device=device, batch_size=16)
            return map_slide(slide, read, ready, grid=grid, tissue=tissue).probabilities

    path = write_pyramid(tmp_path / "slide.ome.tif", pixels)
    expected = probabilities("cpu")
    with Standin() as device:
        found = probabilities("cuda")
    np.testing.assert_array_equal(found, expected)
    assert device.operations["convolution"]


def test_what_if(scan: Scan, bundle: Bundle) -> None:
    mask = np.zeros(SHAPE, dtype=np.int16)
    mask[8:14, 8:14, 6:12] = 1
    expected = camlime.what_if(scan, bundle, mask=mask, device="cpu")
    with Standin():
        found = camlime.what_if(scan, bundle, mask=mask, device="cuda")
    assert found.as_dict() == expected.as_dict()


@pytest.mark.parametrize("name", shipped_bundles())
def test_every_shipped_bundle(name: str) -> None:
    read = Bundle.load(name)
    blank = read.empty_input()
    noise = np.random.default_rng(0).normal(size=tuple(blank.shape)).astype(np.float32)
    given = ModelInput(torch.from_numpy(noise), np.eye(4), torch.ones(noise.shape[1:], dtype=torch.bool), (1.0,) * 2)

    def case(device: str) -> Case:
        regions = (grid_regions(noise.shape[1:], 20),)
        return Case(classifier_of(read, device=device, batch_size=4), given, 0, regions, torch.zeros_like(given.image))

    for method in (Cam(), Fused(budget=64)):
        expected = method.explain(case("cpu"))
        with Standin() as device:
            found = method.explain(case("cuda"))
        np.testing.assert_array_equal(found.values, expected.values)
        assert not CONVOLUTIONS & device.elsewhere.keys()


def test_random_networks_are_the_same_on_any_device() -> None:
    network = resnet10(spatial_dims=3, n_input_channels=1, num_classes=2, widen_factor=0.125)
    for seed in range(COPIES):
        expected = randomised(network, seed).state_dict()
        with Standin():
            found = randomised(classifier(network).network, seed).state_dict()
            assert all(found[name].device.type == "cuda" for name in expected)
            assert all(torch.equal(found[name].cpu(), value) for name, value in expected.items())


def test_a_batch_size_is_measured_on_the_device(scan: Scan, bundle: Bundle) -> None:
    image = bundle.prepare(scan).image
    with Standin() as device:
        ready = classifier_of(bundle, device=DEVICE)
        assert ready.batch_size(image) >= 1
        assert ready.passes.forward == 0 and device.operations["convolution"] > 0


ON_A_GPU = """
import sys, camlime
from camlime.phantom import chest_ct_nodule
scan, centre, _ = chest_ct_nodule(0)
found = camlime.explain(
    scan, "lung_nodule_ct", point=tuple(centre), device=sys.argv[1], methods={methods!r}, budget=160, n_regions=30,
    batch_size=8, evidence_budget=0,
)
found.save(sys.argv[2])
"""
GPU_METHODS = ("gradcam", "gradcam++", "hirescam", "layercam", "lime", "fused", "occlusion")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_real_gpu_gives_the_maps_of_the_cpu_and_the_same_bits_again(tmp_path: Path) -> None:
    found = {}
    for folder, device in (("cpu", "cpu"), ("once", "cuda"), ("again", "cuda")):
        code = ON_A_GPU.format(methods=GPU_METHODS)
        subprocess.run([sys.executable, "-c", code, device, str(tmp_path / folder)], check=True)
        found[folder] = camlime.Explanation.load(tmp_path / folder).attributions
    for method in GPU_METHODS:
        cpu, once, again = (found[folder][method].values for folder in ("cpu", "once", "again"))
        np.testing.assert_array_equal(again, once, err_msg=method)
        np.testing.assert_allclose(once, cpu, atol=1e-4 * np.ptp(cpu), rtol=0, err_msg=method)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_real_gpu_adds_in_a_fixed_order_behind_overlapping_pools() -> None:
    torch.manual_seed(0)
    network = resnet10(spatial_dims=3, n_input_channels=1, num_classes=2).eval()
    image = torch.rand(1, 48, 48, 48)
    given = ModelInput(image, np.eye(4), torch.ones(image.shape[1:], dtype=torch.bool), (1.0,) * 3)
    maps = [
        Fused(budget=128).explain(
            Case(classifier(network), given, 1, (grid_regions((48, 48, 48), 60),), torch.zeros_like(image))
        )
        for _ in range(3)
    ]
    for other in maps[1:]:
        np.testing.assert_array_equal(other.values, maps[0].values)
