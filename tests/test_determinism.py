"""One seed gives one result: in a new process to the last bit, at another batch size to 1e-4 of the range."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.blob_bundle import write_blob_bundle

import camlime
from camlime.phantom import blob
from camlime.scan import Scan

METHODS = ("gradcam", "layercam", "lime", "fused", "geometric")
SCRIPT = """
import sys, camlime
from camlime.scan import Scan
explanation = camlime.explain(
    sys.argv[1], sys.argv[2], methods={methods!r}, seed=5, n_regions=40, budget=200, device="cpu", batch_size=8,
    evidence_budget=0,
)
explanation.save(sys.argv[3])
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blob_bundle(tmp_path_factory.mktemp("bundles") / "blob", (24, 24, 20))


@pytest.fixture(scope="module")
def scan_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from camlime.scan import save_volume

    scan = blob((24, 24, 20), radius_mm=4)
    return save_volume(tmp_path_factory.mktemp("scans") / "scan.nii.gz", scan.image[0].numpy(), scan.affine)


def explain(scan_path: Path, bundle: Path, *, batch_size: int = 8, seed: int = 5) -> camlime.Explanation:
    return camlime.explain(
        scan_path,
        bundle,
        methods=METHODS,
        seed=seed,
        n_regions=40,
        budget=200,
        device="cpu",
        batch_size=batch_size,
        evidence_budget=0,
    )


def test_again_in_a_new_process_is_the_same_to_the_last_bit(tmp_path: Path, scan_path: Path, bundle: Path) -> None:
    here = explain(scan_path, bundle)
    subprocess.run(
        [sys.executable, "-c", SCRIPT.format(methods=METHODS), str(scan_path), str(bundle), str(tmp_path / "out")],
        check=True,
    )
    there = camlime.Explanation.load(tmp_path / "out")
    np.testing.assert_array_equal(here.regions.labels, there.regions.labels)
    for method in METHODS:
        np.testing.assert_array_equal(
            here.attributions[method].values, there.attributions[method].values, err_msg=method
        )
    np.testing.assert_array_equal(here.attributions["fused"].std, there.attributions["fused"].std)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_another_batch_size_moves_a_map_by_less_than_a_ten_thousandth(
    scan_path: Path, bundle: Path, batch_size: int
) -> None:
    reference, other = explain(scan_path, bundle), explain(scan_path, bundle, batch_size=batch_size)
    for method in METHODS:
        expected = reference.attributions[method].values
        np.testing.assert_allclose(
            other.attributions[method].values, expected, atol=1e-4 * np.ptp(expected), rtol=0, err_msg=method
        )


def test_another_seed_draws_other_masks(scan_path: Path, bundle: Path) -> None:
    one, two = explain(scan_path, bundle), explain(scan_path, bundle, seed=6)
    assert (one.attributions["lime"].values != two.attributions["lime"].values).any()
    np.testing.assert_array_equal(one.attributions["gradcam"].values, two.attributions["gradcam"].values)


def test_a_scan_in_memory_gives_what_its_file_gives(scan_path: Path, bundle: Path) -> None:
    from_file = explain(scan_path, bundle)
    in_memory = camlime.explain(
        Scan.read(scan_path),
        camlime.Bundle.load(bundle),
        methods=METHODS,
        seed=5,
        n_regions=40,
        budget=200,
        device="cpu",
        batch_size=8,
        evidence_budget=0,
    )
    for method in METHODS:
        np.testing.assert_array_equal(from_file.attributions[method].values, in_memory.attributions[method].values)
