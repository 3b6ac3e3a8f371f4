"""On a real Dask cluster of two processes: the same results, and a worker that dies costs only its case."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.benchmark_cases import SHAPE, without_times, write_scan
from support.blob_bundle import write_blob_bundle

from camlime.benchmark import BenchmarkSettings, read_cohort, schedule
from camlime.benchmark.schedule import outcomes
from camlime.benchmark.work import Job
from camlime.bundle import Bundle
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


def jobs_of(path: Path, bundle: Path, **settings: Any) -> list[Job]:
    asked = BenchmarkSettings(str(bundle), ("lime", "random"), n_regions=16, **settings)
    fingerprint = dict(Bundle.load(bundle, trust_code=asked.trust_code).fingerprint)
    return [Job(line, asked, fingerprint) for line in read_cohort(path)]


def test_a_case_that_kills_its_worker_costs_only_itself_and_the_rest_is_the_same(
    tmp_path: Path, cohort_csv: Callable[..., Path], cluster: Any
) -> None:
    """It is tried once more, kills that worker as well, and is given up."""
    step = {"_target_": "Lambdad", "keys": "image", "func": KILLER}
    killing = write_blob_bundle(tmp_path / "killer", SHAPE, steps=[step])
    path = cohort_csv(5)
    write_scan(path.parent, "scan2", (4, 4, 2), brightness=9.0)
    jobs = jobs_of(path, killing, budgets=(32,), trust_code=True)
    found = {o.job.line.case: o for o in outcomes(jobs, scheduler=cluster.scheduler_address)}
    assert [case for case, outcome in found.items() if outcome.failure] == ["c2"]
    assert "died" in found["c2"].failure
    here = {o.job.line.case: o for o in outcomes([job for job in jobs if job.line.case != "c2"], workers=0)}
    assert sorted(here) == ["c0", "c1", "c3", "c4"]
    assert all(without_times(found[case].record) == without_times(here[case].record) for case in here)


def test_a_worker_killed_from_outside_loses_nothing(
    cohort_csv: Callable[..., Path], bundle_dir: Path, cluster: Any
) -> None:
    """Its case is done again by another."""
    from distributed import Client

    jobs = jobs_of(cohort_csv(4), bundle_dir, budgets=(512,), seeds=(0, 1, 2))
    done = []
    for outcome in outcomes(jobs, scheduler=cluster.scheduler_address):
        if not done:
            with Client(cluster, set_as_default=False) as client:
                busy = [address for address, tasks in client.processing().items() if tasks]
                victim = (busy or list(client.nthreads()))[0]
                os.kill(client.run(os.getpid, workers=[victim])[victim], signal.SIGKILL)
        done.append((outcome.job.line.case, outcome.failure))
    assert sorted(done) == [("c0", ""), ("c1", ""), ("c2", ""), ("c3", "")]


def test_no_scheduler_at_the_address(
    cohort_csv: Callable[..., Path], bundle_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "CONNECT_SECONDS", 1)
    with pytest.raises(RequestError, match="no Dask scheduler"):
        list(outcomes(jobs_of(cohort_csv(1), bundle_dir, budgets=(32,)), scheduler="tcp://127.0.0.1:1"))
