"""On a real Dask cluster of two processes: the same results, and a worker that dies costs only its case."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.benchmark_cases import SHAPE, results, without_times, write_scan
from support.blob_bundle import write_blob_bundle

from camlime.benchmark import BenchmarkSettings, read_cohort, run_benchmark
from camlime.errors import RequestError

KILLER = (
    "$lambda image: image if float(image.max()) < 5 "
    "else __import__('os').kill(__import__('os').getpid(), __import__('signal').SIGKILL)"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    import dask
    from distributed import LocalCluster

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=None, silence_logs=60
        ) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def killing_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its preprocessing kills the process on an image that is bright enough."""
    step = {"_target_": "Lambdad", "keys": "image", "func": KILLER}
    return write_blob_bundle(tmp_path_factory.mktemp("killer") / "blob", SHAPE, steps=[step])


def test_a_case_that_kills_its_worker_costs_only_itself_and_the_rest_is_the_same(
    tmp_path: Path, cohort_csv: Callable[..., Path], killing_bundle: Path, cluster: Any
) -> None:
    path = cohort_csv(5)
    write_scan(path.parent, "scan2", (4, 4, 2), brightness=9.0)
    asked = BenchmarkSettings(str(killing_bundle), ("lime", "random"), (32,), n_regions=16, trust_code=True)
    before = os.getpid()
    summary = run_benchmark(read_cohort(path), asked, tmp_path / "out", scheduler=cluster.scheduler_address)
    assert os.getpid() == before
    assert list(summary["cohort"]["failed"]) == ["c2"]
    assert "died" in summary["cohort"]["failed"]["c2"]
    assert sorted(results(tmp_path / "out")) == ["c0.json", "c1.json", "c3.json", "c4.json"]
    write_scan(path.parent, "scan2", (4, 4, 2))
    steps: list[Any] = []
    repaired = read_cohort(path)
    run_benchmark(repaired, asked, tmp_path / "out", scheduler=cluster.scheduler_address, on_step=steps.append)
    assert [step.case for step in steps if not step.kept] == ["c2"]
    run_benchmark(repaired, asked, tmp_path / "here", workers=0)
    assert without_times(results(tmp_path / "out")) == without_times(results(tmp_path / "here"))


def test_a_worker_killed_from_outside_loses_nothing(
    tmp_path: Path, cohort_csv: Callable[..., Path], bundle_dir: Path, cluster: Any
) -> None:
    """Its case is done again by another."""
    from distributed import Client

    asked = BenchmarkSettings(str(bundle_dir), ("lime", "fused", "random"), (128,), seeds=(0, 1, 2), n_regions=16)
    killed: list[int] = []

    def kill_one(step: Any) -> None:
        if not killed:
            with Client(cluster, set_as_default=False) as client:
                busy = [address for address, tasks in client.processing().items() if tasks]
                victim = busy or list(client.nthreads())
                killed.append(client.run(os.getpid, workers=victim[:1])[victim[0]])
            os.kill(killed[0], signal.SIGKILL)

    cohort = read_cohort(cohort_csv(4))
    summary = run_benchmark(cohort, asked, tmp_path / "out", scheduler=cluster.scheduler_address, on_step=kill_one)
    assert killed
    assert (summary["cohort"]["cases"], summary["cohort"]["failed"]) == (4, {})
    run_benchmark(cohort, asked, tmp_path / "here", workers=0)
    assert json.dumps(without_times(results(tmp_path / "out")), sort_keys=True) == json.dumps(
        without_times(results(tmp_path / "here")), sort_keys=True
    )


def test_no_scheduler_at_the_address(
    tmp_path: Path, cohort_csv: Callable[..., Path], bundle_dir: Path, monkeypatch
) -> None:
    from camlime.benchmark import schedule

    monkeypatch.setattr(schedule, "CONNECT_SECONDS", 1)
    asked = BenchmarkSettings(str(bundle_dir), ("lime",), (32,))
    with pytest.raises(RequestError, match="no Dask scheduler"):
        run_benchmark(read_cohort(cohort_csv(1)), asked, tmp_path / "out", scheduler="tcp://127.0.0.1:1")
