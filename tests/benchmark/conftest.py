"""A small cohort on disk: bright blobs in noise, their outlines, and a bundle whose network sees brightness."""

from __future__ import annotations

import csv
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest
from support.benchmark_cases import SHAPE, write_scan
from support.blob_bundle import write_blob_bundle

MISSING = [
    module
    for module in ("pandas", "seaborn", "jinja2", "sklearn", "statsmodels", "distributed", "threadpoolctl")
    if find_spec(module) is None
]


class Skipped(pytest.Module):
    """A file of tests that is not even imported: it imports what is not there."""

    def collect(self) -> NoReturn:
        pytest.skip(f"{', '.join(MISSING)}: of the extra 'benchmark', not installed", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    return Skipped.from_parent(parent, path=module_path) if MISSING else None


@pytest.fixture(scope="session")
def bundle_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Looks at the whole of a 16 x 16 x 8 image."""
    settings = {"score_baselines": ["mean", "blur"], "n_regions": 24}
    return write_blob_bundle(tmp_path_factory.mktemp("bundle") / "blob", SHAPE, explain=settings)


@pytest.fixture
def cohort_csv(tmp_path: Path) -> Callable[..., Path]:
    """Write a table of so many cases, two of each patient."""

    def make(number: int = 4, **changes: str) -> Path:
        folder = tmp_path / "cohort"
        folder.mkdir(exist_ok=True)
        with (folder / "cases.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, ["case", "patient", "image", "mask", "class"])
            table.writeheader()
            for i in range(number):
                write_scan(folder, f"scan{i}", (2 + 2 * i % 9, 3 + i, 1 + i % 3))
                files = {"image": f"scan{i}.nii.gz", "mask": f"scan{i}_mask.nii.gz"}
                line = {"case": f"c{i}", "patient": f"p{i // 2}", **files, "class": "bright"}
                table.writerow({**line, **(changes if i == 0 else {})})
        return folder / "cases.csv"

    return make
