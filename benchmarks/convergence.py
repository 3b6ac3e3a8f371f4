"""How many passes until a map no longer depends on chance: error against the long-run limit, and agreement of seeds.

    python benchmarks/convergence.py --data DIR --cases CASE [CASE ...] --json convergence.json

For each case, one segmentation and one baseline are fixed. Stock LIME is the lime package's recipe as it is
(probability, each region filled with its mean); "our target" is its sampling, kernel and ridge on log-odds with the
same baseline as the others. The limit of each method is its own estimate after very many passes (``--limit``);
fused is held against LIME's. For each budget and seed the error is nRMSE = |b - b*| / |b*| over the regions'
weights b; agreement is the Jaccard index of the ten strongest regions (by size of weight) between pairs of seeds;
coverage is the share of regions whose 95 % interval holds the limit, where the method claims intervals. Budgets are
pass-equivalents: a backward pass counts as two forward.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from camlime import Bundle, Classifier, Scan
from camlime.attribution import Attribution
from camlime.masking import Masker, make_baseline
from camlime.methods.case import Case
from camlime.methods.fused import Fused
from camlime.methods.lime import Lime, stock_coefficients
from camlime.regions import supervoxels

TOP = 10
CHUNK = 64
Z95 = 1.96


class StockOnLogOdds:
    """The lime package's sampling, kernel and ridge on our target: log-odds, and the same baseline."""

    def __init__(self, budget: int) -> None:
        self.budget = budget

    def explain(self, case: Case) -> Attribution:
        """Explain the case; the weights have no standard errors."""
        d = case.regions[0].count
        masks = np.random.RandomState(case.seed).randint(0, 2, (self.budget, d))
        masks[0] = 1
        masker = Masker(case.input.image, case.baseline, case.regions[0], case.classifier.device)
        answers = [
            case.classifier.log_odds(case.classifier.logits(masker(torch.from_numpy(part))), case.class_index)
            .double()
            .numpy()
            for part in np.array_split(masks, max(self.budget // CHUNK, 1))
        ]
        found, _, _ = stock_coefficients(masks, np.concatenate(answers), seed=case.seed)
        return Attribution("stock", case.regions[0].paint(found), region_weights=found)


METHODS: dict[str, Callable[[int], Lime | Fused | StockOnLogOdds]] = {
    "stock LIME": lambda budget: Lime(budget=budget, mode="stock"),
    "stock LIME, our target": StockOnLogOdds,
    "LIME": lambda budget: Lime(budget=budget),
    "fused": lambda budget: Fused(budget=budget),
    "fused, CAMs only": lambda budget: Fused(budget=budget, gradient_pairs=0),
}


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    one, two = (set(np.argsort(-np.abs(w))[:TOP]) for w in (a, b))
    return len(one & two) / len(one | two)


def error(weights: np.ndarray, limit: np.ndarray) -> float:
    return float(np.linalg.norm(weights - limit) / np.linalg.norm(limit))


def coverage(attribution: Attribution, limit: np.ndarray) -> float | None:
    if attribution.region_std is None or attribution.region_weights is None:
        return None
    return float(np.mean(np.abs(attribution.region_weights - limit) <= Z95 * attribution.region_std))


def weights(attribution: Attribution) -> np.ndarray:
    assert attribution.region_weights is not None
    return attribution.region_weights


def study(case: Case, budgets: list[int], seeds: int, limit_passes: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    long_run = {
        name: weights(METHODS[name](limit_passes).explain(replace(case, seed=10_001)))
        for name in ("stock LIME", "stock LIME, our target", "LIME")
    }
    for name, make in METHODS.items():
        limit = long_run[name if name in long_run else "LIME"]
        for budget in budgets:
            runs = [make(budget).explain(replace(case, seed=seed)) for seed in range(seeds)]
            pairs = itertools.combinations([weights(run) for run in runs], 2)
            rows.append(
                {
                    "method": name,
                    "budget": budget,
                    "regions": case.regions[0].count,
                    "nrmse": float(np.mean([error(weights(run), limit) for run in runs])),
                    "top10_jaccard": float(np.mean([jaccard(a, b) for a, b in pairs])),
                    "coverage": _mean([coverage(run, limit) for run in runs]),
                    "intervals_supported": bool(runs[0].parameters.get("intervals_supported", False)),
                }
            )
    return rows


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def load_case(bundle: Bundle, scan: Path, regions: int, batch_size: int | None, device: str) -> Case:
    classifier = Classifier(
        bundle.network,
        class_names=bundle.class_names,
        activation=bundle.activation,
        device=device,
        batch_size=batch_size,
    )
    model_input = bundle.prepare(Scan.read(scan))
    own = bundle.explain_settings.baseline
    baseline = make_baseline(own.name, model_input, **own.options) if own else make_baseline("blur", model_input)
    predicted = int(classifier.logits(model_input.image[None]).argmax())
    return Case(classifier, model_input, predicted, (supervoxels(model_input, regions),), baseline)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="lung_nodule_ct")
    parser.add_argument("--data", type=Path, required=True, help="folder with images/CASE.nii.gz")
    parser.add_argument("--cases", nargs="+", required=True)
    parser.add_argument("--budgets", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--limit", type=int, default=20_000)
    parser.add_argument("--regions", type=int, default=80)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="also write all rows to this file")
    options = parser.parse_args()
    bundle = Bundle.load(options.bundle)
    rows = []
    for name in options.cases:
        case = load_case(
            bundle, options.data / "images" / f"{name}.nii.gz", options.regions, options.batch_size, options.device
        )
        rows += [{"case": name, **row} for row in study(case, options.budgets, options.seeds, options.limit)]
        print(f"{name}: {case.regions[0].count} regions", flush=True)
    print(f"\nmedian over {len(options.cases)} case(s)")
    print(f"{'method':22s} {'passes':>6s} {'nRMSE':>7s} {'top-10':>7s} {'95 % coverage':>14s}")
    for method, budget in itertools.product(METHODS, options.budgets):
        chosen = [row for row in rows if row["method"] == method and row["budget"] == budget]
        covered = [row["coverage"] for row in chosen if row["coverage"] is not None and row["intervals_supported"]]
        print(
            f"{method:22s} {budget:6d} {np.median([row['nrmse'] for row in chosen]):7.2f} "
            f"{np.median([row['top10_jaccard'] for row in chosen]):7.2f} "
            + (f"{np.mean(covered):14.0%}" if covered else f"{'not claimed':>14s}")
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
