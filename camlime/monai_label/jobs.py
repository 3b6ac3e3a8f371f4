"""Long work of the server in threads of its own: one job of a kind at a time, others of the kind wait."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from camlime.errors import CamlimeError

_log = logging.getLogger(__name__)

MOST_REMEMBERED = 20


def _now() -> str:
    return datetime.now().strftime("%Y-%m-%d %H:%M:%S")


@dataclass
class Job:
    """One job, in the words of MONAI Label's own tasks.

    Args:
        request: what was asked.
        status: ``SUBMITTED``, ``RUNNING``, ``DONE``, ``ERROR`` or ``STOPPED``.
        details: what was done so far, in sentences.
        result: what came out.
    """

    request: Mapping[str, Any]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "SUBMITTED"
    start_ts: str = field(default_factory=_now)
    end_ts: str | None = None
    details: list[str] = field(default_factory=list)
    result: Any = None
    stopping: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable."""
        return {key: value for key, value in vars(self).items() if key not in {"stopping", "ended"}}

    def wait(self) -> dict[str, Any]:
        """The fields, when it has ended."""
        self.ended.wait()
        return self.as_dict()


class Jobs:
    """The jobs of one kind."""

    def __init__(self, kind: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=kind)
        self._jobs: list[Job] = []

    def start(self, request: Mapping[str, Any], work: Callable[[Job], Any]) -> Job:
        """Let it be done as soon as those before it are."""
        job = Job(dict(request))
        self._jobs = [*self._jobs[-MOST_REMEMBERED:], job]
        self._pool.submit(self._do, job, work)
        return job

    def _do(self, job: Job, work: Callable[[Job], Any]) -> None:
        if not job.stopping.is_set():
            self._work(job, work)
        job.end_ts = _now()
        job.ended.set()

    def _work(self, job: Job, work: Callable[[Job], Any]) -> None:
        job.status = "RUNNING"
        try:
            job.result = work(job)
            job.status = "STOPPED" if job.stopping.is_set() else "DONE"
        except CamlimeError as error:
            job.details.append(str(error))
            job.status = "ERROR"
        except Exception as error:
            _log.exception("a job failed")
            job.details.append(f"this should not have happened: {type(error).__name__}")
            job.status = "ERROR"

    def running(self) -> Job | None:
        """The job that runs or waits to."""
        return next((job for job in self._jobs if job.status in {"SUBMITTED", "RUNNING"}), None)

    def all(self) -> list[Job]:
        """The last jobs, the newest last."""
        return list(self._jobs)

    def stop(self) -> Job | None:
        """Ask all that run or wait to end; the first of them."""
        first = self.running()
        for job in self._jobs:
            job.stopping.set()
            if job.status == "SUBMITTED":
                job.status = "STOPPED"
        return first
