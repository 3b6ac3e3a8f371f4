"""One masked volume built by camlime, by the lime package's loop and by captum's expression, side by side.

    python benchmarks/masking_speed.py [--shape 256 256 160] [--regions 320] [--repeats 9] [--json FILE]

The lime package's loop (``LimeImageExplainer.data_labels``) is restated for a volume: copy the image, collect the
absent regions in a boolean mask, one comparison of the label map for each, assign the baseline. Captum's is the
expression of its ``Lime`` (``captum.attr.Lime``, ``default_from_interp_rep_transform`` with a feature mask), called
from the package itself. Repeats are interleaved, so that a busy machine slows all of them; medians are compared. All
three give the same volume, which is checked.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from captum.attr._core.lime import default_from_interp_rep_transform
from numpy.typing import NDArray

from camlime.masking import Masker
from camlime.regions import Regions

GOALS = {"lime": 10.0, "captum": 4.0}


def cut(shape: tuple[int, ...], count: int) -> Regions:
    """Blocks of about even size, ``count`` of them."""
    parts = [1] * len(shape)
    while np.prod(parts) < count:
        parts[int(np.argmax([size / n for size, n in zip(shape, parts, strict=True)]))] += 1
    steps = np.ogrid[tuple(slice(n) for n in shape)]
    index = [step * n // size for step, n, size in zip(steps, parts, shape, strict=True)]
    blocks = np.ravel_multi_index(np.broadcast_arrays(*index), parts)
    return Regions(np.minimum(blocks, count - 1).astype(np.int32) + 1, origin="blocks")


def as_lime_does(
    image: NDArray[np.float32], baseline: NDArray[np.float32], segments: NDArray[np.int32], row: NDArray[np.int64]
) -> NDArray[np.float32]:
    temp = copy.deepcopy(image)
    zeros = np.where(row == 0)[0]
    mask = np.zeros(segments.shape).astype(bool)
    for z in zeros:
        mask[segments == z] = True
    temp[mask] = baseline[mask]
    return temp


def interleaved(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median milliseconds by name, over rounds in which each call has one turn; one round before that to warm up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs="+", default=[256, 256, 160])
    parser.add_argument("--regions", type=int, default=320)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    shape = tuple(arguments.shape)
    torch.manual_seed(0)
    image, baseline = torch.randn(2, *shape)
    regions = cut(shape, arguments.regions)
    row = np.random.default_rng(0).integers(0, 2, regions.count)
    presence = torch.from_numpy(row)[None]
    masker = Masker(image[None], baseline[None], regions, torch.device("cpu"))
    memory = masker(presence)
    segments = regions.labels - 1
    feature_mask = torch.from_numpy(segments.astype(np.int64))

    def ours() -> torch.Tensor:
        return masker(presence, out=memory)

    def ours_in_fresh_memory() -> torch.Tensor:
        return masker(presence)

    def lime() -> torch.Tensor:
        return torch.from_numpy(as_lime_does(image.numpy(), baseline.numpy(), segments, row))

    def captum() -> torch.Tensor:
        volume: torch.Tensor = default_from_interp_rep_transform(
            presence, image, feature_mask=feature_mask, baselines=baseline
        )
        return volume

    for other in (ours_in_fresh_memory, lime, captum):
        if not torch.equal(other().reshape(shape), ours().reshape(shape)):
            raise SystemExit(f"{other.__name__} builds another volume")
    calls = {"camlime": ours, "camlime, fresh memory": ours_in_fresh_memory, "lime": lime, "captum": captum}
    medians = interleaved(calls, arguments.repeats)
    print(f"one masked volume {'x'.join(map(str, shape))}, {regions.count} regions, {torch.get_num_threads()} threads")
    for name, milliseconds in medians.items():
        ratio = milliseconds / medians["camlime"]
        goal = f"  (goal: at least {GOALS[name]:g})" if name in GOALS else ""
        print(f"{name:22s} {milliseconds:9.1f} ms {ratio:7.1f} x{goal}")
    if arguments.json:
        record = {
            "shape": shape,
            "regions": regions.count,
            "threads": torch.get_num_threads(),
            "machine": platform.processor() or platform.machine(),
            "milliseconds": medians,
            "ratios": {name: medians[name] / medians["camlime"] for name in GOALS},
        }
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
