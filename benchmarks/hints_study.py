"""What each hint of the fusion is worth, and what it costs when it is wrong: errors to a long run, by budget.

    python benchmarks/choose_cohort.py --data DIR --part 1 2 --patients 16 --regions 63 64 65 80 100 127 128 129 \
        --seed 7 --output hints/cases.csv
    python benchmarks/hints_study.py --bundle lung_nodule_ct --cases hints/cases.csv --output hints/errors.csv

Settings of the estimator are chosen with this, so the cases should be of folds that no benchmark reports. Every variant
keeps to the same budget, of which it spends what its hints cost.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.linalg import hadamard

from camlime.benchmark.cohort import read_cohort
from camlime.benchmark.preparing import Prepared, prepare
from camlime.benchmark.settings import BenchmarkSettings
from camlime.benchmark.stability import nrmse
from camlime.benchmark.work import LIMIT_SEED
from camlime.benchmark.wrong_columns import CAM_PASSES
from camlime.bundle import Bundle
from camlime.bundle.shipped import find_bundle
from camlime.methods.cam import input_grid_maps
from camlime.methods.case import Case
from camlime.methods.designs import SignArray, blocks
from camlime.methods.evidence_model import FloatArray
from camlime.methods.fused import CAM_COLUMNS, CAMS_FROM, Fused, pooled
from camlime.methods.lime import Lime
from camlime.methods.profiled_model import Derivatives, fit_profiled
from camlime.methods.sampling import HALF_PRESENT, PairSampler


@dataclass(frozen=True)
class Variant:
    """How the fusion is changed.

    Args:
        cams: used from so many passes on; ``None`` for never.
        derivatives: used.
        in_order: the rows that tell most about the strongest regions come first.
        wrong_cams: CAMs belong to other regions.
        wrong_derivatives: derivatives belong to other regions, for the order of rows as well.
        pairs: of masks whose derivative is taken; ``None`` for as many as the fusion takes at that budget.
        half_present: how far out these masks are.
        sylvester: rows of Sylvester's Hadamard matrices instead of Paley's.
    """

    cams: int | None = CAMS_FROM
    derivatives: bool = True
    in_order: bool = True
    wrong_cams: bool = False
    wrong_derivatives: bool = False
    pairs: int | None = None
    half_present: float = HALF_PRESENT
    sylvester: bool = False


VARIANTS = {
    "fused": Variant(),
    "rows at random": Variant(in_order=False),
    "CAMs at every budget": Variant(cams=0),
    "no CAMs": Variant(cams=None),
    "no derivatives": Variant(derivatives=False),
    "no hints": Variant(cams=None, derivatives=False),
    "CAMs of other regions": Variant(wrong_cams=True),
    "derivatives of other regions": Variant(wrong_derivatives=True),
    "all hints of other regions": Variant(wrong_cams=True, wrong_derivatives=True),
    "rows of Sylvester's matrices": Variant(sylvester=True),
    "no hints, rows of Sylvester's matrices": Variant(cams=None, derivatives=False, sylvester=True),
    **{f"{n} pairs of derivatives": Variant(pairs=n) for n in (1, 2, 3, 4, 6)},
    **{f"derivatives at {out}": Variant(half_present=out) for out in (0.35, 0.58, 0.9)},
}


def sylvester_blocks(regions: int, rng: np.random.Generator) -> Iterator[SignArray]:
    """As :func:`camlime.methods.designs.blocks`, of the least power of two above the number of regions."""
    order = 1 << max(regions.bit_length(), 1)
    while True:
        columns = rng.permutation(np.arange(1, order))[:regions]
        signs = rng.choice(np.array([-1, 1], dtype=np.int8), size=regions)
        yield (hadamard(order, dtype=np.int8)[:, columns] * signs)[rng.permutation(order)]


def weights(case: Case, cams: FloatArray, budget: int, variant: Variant) -> FloatArray | None:
    """Weights of the regions, ``(d,)``, with so many pass-equivalents; ``None`` where the hints cost more."""
    regions = case.regions[0]
    other = np.random.default_rng([case.seed, 5]).permutation(regions.count)
    with_cams = variant.cams is not None and budget >= variant.cams
    usual = Fused(budget=budget).gradient_pairs if variant.pairs is None else variant.pairs
    gradient_pairs = usual if variant.derivatives else 0
    pairs = (budget - CAM_PASSES * with_cams - 4 * gradient_pairs) // 2
    if pairs < gradient_pairs:
        return None
    design = sylvester_blocks if variant.sylvester else blocks
    sampler = PairSampler(case, regions, pairs=pairs, method="hints", design=design)
    told = None
    if gradient_pairs:
        told = sampler.run_with_gradient(gradient_pairs, variant.half_present).derivatives(regions, 0)
        if variant.wrong_derivatives:
            told = Derivatives(told.mean[other], told.square[other])
        if variant.in_order:
            sampler.prefer(told.square)
    sampler.run(sampler.pairs_left)
    columns = (cams[other] if variant.wrong_cams else cams) if with_cams else None
    return fit_profiled(sampler.sums, columns, told).posterior.mean


def errors(prepared: Prepared, budgets: list[int], seeds: int, limit: int) -> Iterator[tuple[str, int, float]]:
    """Variant, budget and error of one case, mean over seeds."""
    case = prepared.case
    long_run = Lime(budget=limit).explain(replace(case, seed=LIMIT_SEED)).region_weights
    _, maps = input_grid_maps(case, CAM_COLUMNS, target_layer=prepared.layer)
    cams = pooled(maps, case.regions[0].pool)
    assert long_run is not None and cams is not None
    for budget in budgets:
        for name, variant in VARIANTS.items():
            made = [weights(replace(case, seed=seed), cams, budget, variant) for seed in range(seeds)]
            if kept := [one for one in made if one is not None]:
                yield name, budget, float(np.mean([nrmse(one, long_run) or 0.0 for one in kept]))
        found = [Lime(budget=budget).explain(replace(case, seed=seed)).region_weights for seed in range(seeds)]
        yield "LIME", budget, float(np.mean([nrmse(one, long_run) or 0.0 for one in found if one is not None]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--jitter-mm", type=float, default=3.0)
    parser.add_argument("--budgets", type=int, nargs="+", default=[16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 512])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int, default=16_384, help="passes of the long run")
    parser.add_argument("--output", type=Path, required=True, help="CSV: variant, budget, mean and median of the cases")
    options = parser.parse_args()
    bundle = str(find_bundle(options.bundle))
    settings = BenchmarkSettings(bundle=bundle, methods=("fused",), jitter_mm=options.jitter_mm)
    fingerprint = dict(Bundle.load(bundle).fingerprint)
    found: dict[tuple[str, int], list[float]] = {}
    for line in read_cohort(options.cases):
        prepared = prepare(line, settings, fingerprint)
        for name, budget, error in errors(prepared, options.budgets, options.seeds, options.limit):
            found.setdefault((name, budget), []).append(error)
        print(line.case, flush=True)
    with options.output.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["variant", "budget", "cases", "mean", "median"])
        for (name, budget), values in found.items():
            table.writerow([name, budget, len(values), f"{np.mean(values):.4f}", f"{np.median(values):.4f}"])


if __name__ == "__main__":
    main()
