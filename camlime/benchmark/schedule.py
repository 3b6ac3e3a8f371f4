"""Who does the cases: this process, all cores of this machine, or a cluster; the results are the same.

Cases go to a Dask scheduler, one at a time for each worker thread there is, so that a worker that dies takes only the
case with it that it was doing. That case is tried once more on another worker, and given up if that one dies, too.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from camlime.benchmark.work import Job, Record, measure_case
from camlime.errors import CamlimeError, RequestError
from camlime.extras import needed

RETRIES = 1
"""How often a case is tried again whose worker died (on a cluster of one's own, the scheduler's setting holds)."""

CONNECT_SECONDS = 20


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Args:
        job: the case.
        record: its result; ``None`` if it failed.
        failure: why it failed, in words.
    """

    job: Job
    record: Record | None = None
    failure: str = ""


def outcomes(jobs: Sequence[Job], *, scheduler: str | None = None, workers: int | None = None) -> Iterator[Outcome]:
    """Do the jobs; results come in the order in which they are done.

    Args:
        jobs: the cases.
        scheduler: address of a running Dask scheduler; a cluster on this machine if ``None``.
        workers: processes on this machine; one a core if ``None``, no cluster but this very process if 0.

    Raises:
        RequestError: Dask is not installed, or there is no scheduler at that address.
    """
    if workers == 0 and scheduler is None:
        yield from (attempt(job) for job in jobs)
        return
    distributed = needed("distributed", extra="benchmark", purpose="running on several cores")
    with _client(distributed, scheduler, workers, len(jobs)) as client:
        yield from _through(distributed, client, jobs)


def attempt(job: Job) -> Outcome:
    """Do one job on one thread; what goes wrong with it is put in words."""
    try:
        with one_thread():
            return Outcome(job, measure_case(job))
    except CamlimeError as error:
        return Outcome(job, failure=str(error))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
        return Outcome(job, failure=f"this should not have happened: {said}")


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch and for numpy, as many as before afterwards.

    There is one process a core already, and a sum by one thread has the same last digit everywhere.
    """
    import torch

    before = torch.get_num_threads()
    limits = needed("threadpoolctl", extra="benchmark", purpose="running on one thread").threadpool_limits
    try:
        with limits(limits=1):
            torch.set_num_threads(1)
            yield
    finally:
        torch.set_num_threads(before)


def _through(distributed: Any, client: Any, jobs: Sequence[Job]) -> Iterator[Outcome]:
    waiting = list(jobs)[::-1]
    running: dict[Any, Job] = {}
    done = distributed.as_completed(loop=client.loop)
    while waiting or running:
        while waiting and len(running) < max(_threads(client), 1):
            job = waiting.pop()
            future = client.submit(attempt, job, key=f"camlime-{job.line.case}-{id(job)}", pure=False)
            running[future] = job
            done.add(future)
        future = next(done)
        job = running.pop(future)
        error = future.exception()
        if error is None:
            yield future.result()
        elif type(error).__name__ == "KilledWorker":
            yield Outcome(job, failure="the worker that did this case died, and so did the one that tried it again")
        else:
            yield Outcome(job, failure=f"the worker failed: {type(error).__name__}: {error}")
        future.release()


def _threads(client: Any) -> int:
    return sum(client.nthreads().values())


@contextmanager
def _client(distributed: Any, scheduler: str | None, workers: int | None, jobs: int) -> Iterator[Any]:
    dask = needed("dask", extra="benchmark", purpose="running on several cores")
    if scheduler is not None:
        try:
            client = distributed.Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise RequestError(
                f"there is no Dask scheduler at {scheduler}: {error}",
                hint="start one with 'dask scheduler' and workers with 'dask worker ADDRESS --nthreads 1'",
            ) from error
        with client:
            yield client
        return
    settings = {"distributed.scheduler.allowed-failures": RETRIES, "distributed.worker.daemon": False}
    number = min(workers or distributed.system.CPU_COUNT, max(jobs, 1))
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=number, threads_per_worker=1, dashboard_address=None, memory_limit=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client
