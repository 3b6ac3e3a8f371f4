"""Maps on random networks, kept on disk: the same result with and without them, and never those of something else."""

from __future__ import annotations

import copy
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evidence.conftest import Looks, gradient_map, make_toy
from support.blob_bundle import write_blob_bundle

import camlime
from camlime.evidence.kept import CACHE_VARIABLE, KeptMaps, bundle_key, cache_folder
from camlime.evidence.meter import Meter
from camlime.evidence.randomisation import COPIES, RandomNetworks, check_randomisation
from camlime.phantom import blob
from camlime.scan import Scan

SHAPE = (16, 14, 12)


def kept_in(folder: Path, **settings: Any) -> KeptMaps:
    return KeptMaps(folder, "bundle", {"layer": None}, **settings)


def check(kept: KeptMaps | None, **changes: Any):  # type: ignore[no-untyped-def]
    case = replace(make_toy().case, **changes)
    meter = Meter(case, 0)
    networks = RandomNetworks(case, case.classifier, meter)
    found = check_randomisation(case, networks, gradient_map(case, 0), gradient_map, kept)
    return found, meter.passes


def test_cold_and_warm_give_the_same(tmp_path: Path) -> None:
    without, passes = check(None)
    cold, as_many = check(kept_in(tmp_path))
    warm, none = check(kept_in(tmp_path))
    assert as_many == passes > 0 and none == 0
    assert not cold.kept and warm.kept
    assert replace(warm, kept=False) == cold == without


def test_an_explanation_is_the_same_with_a_cold_and_a_warm_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    made = blob(SHAPE, center_ras=(4.0, 4.0, 4.0), radius_mm=3.0)
    scan = Scan.from_array(made.image.numpy() / 1000, made.affine)
    bundle = camlime.Bundle.load(write_blob_bundle(tmp_path / "ball", SHAPE))
    settings: dict[str, Any] = {"n_regions": 20, "budget": 128, "device": "cpu", "batch_size": 32, "seed": 3}

    def explain(**changes: Any) -> Any:
        return camlime.explain(scan, bundle, **{**settings, **changes}).evidence["fused"]

    cold, warm = explain(), explain()
    assert cold.randomisation and warm.randomisation and warm.randomisation.kept and not cold.randomisation.kept
    same = {"seconds": 0.0, "passes": 0}
    assert replace(warm, randomisation=replace(warm.randomisation, kept=False), **same) == replace(cold, **same)
    assert warm.passes < cold.passes
    # Another map of the same case is compared with the same random maps; another case, class or network is not.
    assert explain(budget=256).randomisation.kept
    for change in ({"seed": 4}, {"class_name": "bright"}, {"n_regions": 30}, {"baseline": "mean"}):
        if change != {"class_name": cold.class_name}:
            assert not explain(**change).randomisation.kept, change
    with torch.no_grad():
        next(bundle.network.parameters()).add_(0.01)
    assert not explain().randomisation.kept
    monkeypatch.setenv(CACHE_VARIABLE, "off")
    assert cache_folder() is None and not explain().randomisation.kept


def test_a_bundles_key_is_its_networks_every_weight_and_its_files() -> None:
    network = Looks()
    key = bundle_key(network, {"model.pt": "a"})
    assert key == bundle_key(copy.deepcopy(network), {"model.pt": "a"})
    assert key != bundle_key(network, {"model.pt": "b"})
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.linear.weight[0, 0] += 1e-6
    assert key != bundle_key(other, {"model.pt": "a"})
    assert key != bundle_key(torch.nn.Sequential(network), {"model.pt": "a"})


@pytest.mark.parametrize("damage", [b"", b"not an array", b"\x93NUMPY\x01\x00"])
def test_a_damaged_entry_is_made_again(tmp_path: Path, damage: bytes) -> None:
    first, _ = check(kept_in(tmp_path))
    (entry,) = tmp_path.rglob("*.npy")
    entry.write_bytes(damage)
    again, passes = check(kept_in(tmp_path))
    assert again == first and passes > 0
    assert np.load(entry).shape[0] == COPIES


def test_the_least_recently_used_go(tmp_path: Path) -> None:
    size = 200
    kept = kept_in(tmp_path, limit=4 * size)
    for i in range(8):
        path = tmp_path / "bundle" / f"{i}.npy"
        kept.keep(path, np.full((3, 3), float(i)))
        assert path.stat().st_size == size
        kept.find(tmp_path / "bundle" / "0.npy", (3, 3))  # in use
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["0.npy", "5.npy", "6.npy", "7.npy", "bundle"]


def test_a_folder_that_cannot_be_written_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    found, _ = check(kept_in(tmp_path / "file"))
    assert not found.kept


def _write(folder: Path, number: int) -> None:
    kept = kept_in(folder, limit=2000)
    for i in range(30):
        kept.keep(folder / "bundle" / f"{i % 5}.npy", np.full((3, 40), float(i % 5)))
        found = kept.find(folder / "bundle" / f"{(i + number) % 5}.npy", (3, 40))
        if found is not None and not (found == (i + number) % 5).all():
            raise SystemExit(1)


def test_processes_do_not_see_each_others_halves(tmp_path: Path) -> None:
    workers = [multiprocessing.get_context("fork").Process(target=_write, args=(tmp_path, i)) for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert not list(tmp_path.rglob("*.part"))
