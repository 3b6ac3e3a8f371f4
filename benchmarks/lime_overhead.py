"""What LIME costs beyond the network: N passes of default LIME over N plain forward passes, and its peak memory.

    python benchmarks/lime_overhead.py [--networks NAME ...] [--passes 256] [--repeats 5] [--device cpu] [--json FILE]

Plain passes run in eval mode without gradients on one batch made beforehand, at the batch size that is the fastest
for the plain network in a sweep; LIME runs at the same size, from region labels to map and standard errors. Both take
turns, so that a busy machine slows both; the median of the ratios of the turns is reported. Memory is the peak of a
process of its own that explains once with N passes, and of another with 4 N.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from monai.networks import nets
from torch import nn

from camlime.bundle.model_input import ModelInput
from camlime.classifier import Classifier
from camlime.device import repeatable_arithmetic
from camlime.methods.case import Case
from camlime.methods.lime import Lime
from camlime.regions import Regions

GOAL = 1.10
LARGEST_BATCH = {"cpu": 16, "cuda": 128}
REGIONS = 100

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "resnet18-2d-224": (lambda: nets.resnet18(spatial_dims=2, n_input_channels=3, num_classes=2), (3, 224, 224)),
    "densenet121-2d-224": (lambda: nets.DenseNet121(2, 3, 2), (3, 224, 224)),
    "resnet18-3d-96": (
        lambda: nets.resnet18(spatial_dims=3, n_input_channels=1, num_classes=2, conv1_t_stride=2),
        (1, 96, 96, 96),
    ),
    "resnet10-3d-32": (lambda: nets.resnet10(spatial_dims=3, n_input_channels=1, num_classes=2), (1, 32, 32, 32)),
}
"""The last is for a quick check that the script runs."""


def make_case(name: str, device: str, batch_size: int | None) -> Case:
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    image = torch.randn(shape)
    spatial = shape[1:]
    classifier = Classifier(
        make().eval(), class_names=("a", "b"), activation="softmax", device=device, batch_size=batch_size
    )
    model_input = ModelInput(image, np.eye(4), torch.ones(spatial, dtype=torch.bool), (1.0,) * len(spatial))
    return Case(classifier, model_input, 1, (blocks(spatial),), torch.zeros(shape))


def blocks(shape: tuple[int, ...]) -> Regions:
    """Cubes or squares of even size, about ``REGIONS`` of them."""
    parts = round(REGIONS ** (1 / len(shape)))
    index = [step * parts // size for step, size in zip(np.ogrid[tuple(slice(n) for n in shape)], shape, strict=True)]
    labels = np.ravel_multi_index(np.broadcast_arrays(*index), [parts] * len(shape))
    return Regions(labels.astype(np.int32) + 1, origin="blocks")


def seconds(work: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def plain_passes(case: Case, passes: int, batch_size: int) -> Callable[[], None]:
    """The bare minimum: the network on one batch, over and over, with the same arithmetic settings."""
    network, device = case.classifier.network, case.classifier.device
    batch = case.input.image.expand(batch_size, *case.input.image.shape).contiguous().to(device)

    def run() -> None:
        with torch.no_grad(), repeatable_arithmetic():
            for start in range(0, passes, batch_size):
                network(batch[: passes - start]).cpu()

    return run


def fastest_batch(case: Case, largest: int) -> tuple[int, dict[int, float]]:
    """Milliseconds an image of the plain network by batch size, and the size with the least."""
    device = case.classifier.device
    times: dict[int, float] = {}
    size = 1
    while size <= largest:
        try:
            run = plain_passes(case, size, size)
            run()
            times[size] = 1000 * min(seconds(run, device) for _ in range(3)) / size
        except torch.cuda.OutOfMemoryError:
            break
        size *= 2
    return min(times, key=lambda n: times[n]), times


def peak_megabytes(name: str, device: str, batch_size: int, passes: int) -> float:
    """Peak memory of a process of its own: of the GPU where that is the device, else resident."""
    command = [sys.executable, __file__, "--peak", name, "--device", device]
    command += ["--batch-size", str(batch_size), "--passes", str(passes)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_peak(name: str, device: str, batch_size: int, passes: int) -> None:
    case = make_case(name, device, batch_size)
    Lime(budget=passes).explain(case)
    if case.classifier.device.type == "cuda":
        print(torch.cuda.max_memory_allocated(case.classifier.device) / 2**20)
    else:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)


def measure(name: str, device: str, passes: int, repeats: int, largest_batch: int | None) -> dict[str, object]:
    tuned = make_case(name, device, None)
    batch_size, sweep = fastest_batch(tuned, largest_batch or LARGEST_BATCH[tuned.classifier.device.type])
    case = make_case(name, device, batch_size)
    plain = plain_passes(case, passes, batch_size)
    lime = Lime(budget=passes)
    seconds(lambda: Lime(budget=16).explain(case), case.classifier.device)
    turns = []
    for _ in range(repeats):
        base = seconds(plain, case.classifier.device)
        turns.append((base, seconds(lambda: lime.explain(case), case.classifier.device)))
    done = case.classifier.passes.forward
    if done != repeats * passes + 16:
        raise SystemExit(f"LIME made {done} passes, not {repeats * passes + 16}: {passes} must be even and at least 16")
    return {
        "network": name,
        "device": str(case.classifier.device),
        "passes": passes,
        "batch_size": batch_size,
        "tuned_batch_size": tuned.classifier.batch_size(tuned.input.image),
        "plain_ms_an_image_by_batch_size": sweep,
        "plain_seconds": statistics.median(base for base, _ in turns),
        "lime_seconds": statistics.median(whole for _, whole in turns),
        "ratio": statistics.median(whole / base for base, whole in turns),
        "peak_mb": peak_megabytes(name, device, batch_size, passes),
        "peak_mb_4n": peak_megabytes(name, device, batch_size, 4 * passes),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS)[:3])
    parser.add_argument("--passes", type=int, default=256, help="even")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--largest-batch", type=int, help="end of the sweep of batch sizes")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peak", choices=list(NETWORKS), help=argparse.SUPPRESS)
    parser.add_argument("--batch-size", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        print_peak(arguments.peak, arguments.device, arguments.batch_size, arguments.passes)
        return
    print(f"{'network':20s} device batch tuned {'plain s':>9s} {'LIME s':>9s}   ratio {'peak MB':>8s} {'at 4 N':>8s}")
    rows = []
    for name in arguments.networks:
        row = measure(name, arguments.device, arguments.passes, arguments.repeats, arguments.largest_batch)
        rows.append(row)
        print(
            f"{name:20s} {row['device']:>6} {row['batch_size']:5} {row['tuned_batch_size']:5} "
            f"{row['plain_seconds']:9.3f} {row['lime_seconds']:9.3f} {row['ratio']:7.3f} "
            f"{row['peak_mb']:8.0f} {row['peak_mb_4n']:8.0f}",
            flush=True,
        )
    print(f"goal: ratio at most {GOAL}, and the same peak at 4 N")
    if arguments.json:
        record = {
            "machine": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "rows": rows,
        }
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
