"""What a CAM costs beside one plain forward and backward pass of the same network, and beside grad-cam's own.

The three are timed in turn, so that a busy machine slows all alike, and the medians compared::

    python benchmarks/cam_speed.py --repeats 7
    python benchmarks/cam_speed.py --device cuda --json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from monai.networks import nets
from pytorch_grad_cam import GradCAM
from torch import nn

from camlime.bundle.model_input import ModelInput
from camlime.classifier import Classifier
from camlime.device import repeatable_arithmetic
from camlime.methods.cam import Cam, target
from camlime.methods.case import Case

GOAL = 1.2
"""A CAM should cost at most this many plain forward and backward passes."""

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "ResNet18 2D 224": (lambda: nets.resnet18(spatial_dims=2, n_input_channels=1, num_classes=2), (1, 224, 224)),
    "DenseNet121 2D 224": (lambda: nets.DenseNet121(2, 1, 2), (1, 224, 224)),
    "ResNet10 3D 96": (lambda: nets.resnet10(spatial_dims=3, n_input_channels=1, num_classes=2), (1, 96, 96, 96)),
    "DenseNet121 3D 96": (lambda: nets.DenseNet121(3, 1, 2), (1, 96, 96, 96)),
}


class ClassLogOdds:
    """The score that ours explains, as a target of the package."""

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Log-odds of class 1 from logits ``(2,)``."""
        return logits[1] - logits[0]


def seconds(action: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def package_in_full_precision(package: GradCAM, batch: torch.Tensor) -> object:
    with repeatable_arithmetic():
        return package(batch, [ClassLogOdds()])


def measure(name: str, device: str, method: str, repeats: int) -> dict[str, object]:
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    network = make().to(device).eval()
    classifier = Classifier(network, class_names=("no", "yes"), activation="softmax", device=device, batch_size=1)
    image = torch.randn(shape)
    valid = torch.ones(shape[1:], dtype=torch.bool)
    model_input = ModelInput(image, np.eye(4), valid, (1.0,) * (len(shape) - 1))
    case = Case(classifier, model_input, 1, regions=(), baseline=torch.zeros_like(image))
    cam = Cam(method)
    batch = image[None].to(classifier.device)

    def plain() -> None:
        network.zero_grad()
        with repeatable_arithmetic():  # as ours has it: on a GPU, another would be another race
            (logits,) = network(batch)
            (logits[1] - logits[0]).backward()

    first_case = seconds(lambda: cam.explain(case), classifier.device)
    layer, _ = target(case, None)
    with GradCAM(network, [network.get_submodule(layer.name)]) as package:
        actions = {
            "plain": plain,
            "ours": lambda: cam.explain(case),
            "grad-cam": lambda: package_in_full_precision(package, batch),
        }
        times: dict[str, list[float]] = {key: [] for key in actions}
        for round_ in range(repeats + 1):
            for key, action in actions.items():
                taken = seconds(action, classifier.device)
                if round_:
                    times[key].append(taken)
    medians = {key: statistics.median(values) for key, values in times.items()}
    return {
        "network": name,
        "device": str(classifier.device),
        "method": method,
        "layer": str(layer),
        "repeats": repeats,
        "plain_ms": 1e3 * medians["plain"],
        "ours_ms": 1e3 * medians["ours"],
        "grad_cam_ms": 1e3 * medians["grad-cam"],
        "first_case_ms": 1e3 * first_case,
        "ours_ratio": medians["ours"] / medians["plain"],
        "grad_cam_ratio": medians["grad-cam"] / medians["plain"],
        "within_goal": medians["ours"] <= GOAL * medians["plain"],
    }


def machine() -> dict[str, object]:
    return {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS), metavar="NAME")
    parser.add_argument(
        "--device", choices=["cpu", "cuda", "all"], default="all", help="all: CPU, and GPU if there is one"
    )
    parser.add_argument("--method", default="gradcam", help="ours only; the package always makes Grad-CAM")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="CPU threads for torch")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    devices = ["cpu", *["cuda"] * torch.cuda.is_available()] if options.device == "all" else [options.device]
    rows = [measure(n, d, options.method, options.repeats) for d in devices for n in options.networks]
    if options.json:
        print(json.dumps({"machine": machine(), "goal": GOAL, "results": rows}, indent=2))
        return
    print(machine())
    print(f"{'network':20}{'device':8}{'plain ms':>10}{'ours':>8}{'grad-cam':>10}{'first case ms':>15}  layer")
    for row in rows:
        print(
            f"{row['network']:20}{row['device']:8}{row['plain_ms']:10.1f}{row['ours_ratio']:7.2f}x"
            f"{row['grad_cam_ratio']:9.2f}x{row['first_case_ms']:15.1f}  {row['layer']}"
        )


if __name__ == "__main__":
    main()
