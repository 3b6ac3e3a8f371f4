"""Draw the cases of a benchmark before anything is looked at: one case a patient, by a seed.

    python benchmarks/choose_cohort.py --data DIR --part test --patients 92 --output cohort/cases.csv
    python benchmarks/choose_cohort.py --data DIR --part test --patients 18 --regions 63 64 65 127 128 129 \
        --output limits/cases.csv

``DIR`` holds ``cases.csv``, ``images/`` and ``masks/`` (see docs/data.md); which case is in which part is in the
bundle's ``docs/splits.csv``. With ``--regions`` the cases take turns in how many supervoxels they get.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

import numpy as np

SPLITS = Path(__file__).parents[1] / "monai_bundle" / "lung_nodule_ct" / "docs" / "splits.csv"


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with cases.csv, images/ and masks/")
    parser.add_argument("--splits", type=Path, default=SPLITS, help="table with case, patient, part")
    parser.add_argument("--part", nargs="+", default=["test"], help="test, or numbers of folds")
    parser.add_argument("--patients", type=int, required=True)
    parser.add_argument("--regions", type=int, nargs="+", help="numbers of supervoxels, in turn")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    files = {row["case"]: row for row in read(options.data / "cases.csv")}
    patients: dict[str, list[str]] = {}
    for row in read(options.splits):
        if row["part"] in options.part:
            patients.setdefault(row["patient"], []).append(row["case"])
    if options.patients > len(patients):
        parser.error(f"there are only {len(patients)} patients in that part")
    rng = np.random.default_rng(options.seed)
    drawn = sorted(rng.permutation(sorted(patients))[: options.patients].tolist())
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with options.output.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["case", "patient", "image", "mask", "regions"])
        for number, patient in enumerate(drawn):
            case = str(rng.choice(patients[patient]))
            paths = [
                os.path.relpath(options.data / files[case][kind], options.output.parent) for kind in ("image", "mask")
            ]
            regions = options.regions[number % len(options.regions)] if options.regions else ""
            table.writerow([case, patient, *paths, regions])


if __name__ == "__main__":
    main()
