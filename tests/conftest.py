"""What all tests share: where the public data lie, a Python of their own, a browser."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[1]

# The tests' networks are small: threads would wait for each other, most of all on a busy machine.
torch.set_num_threads(1)

# No test reads or leaves anything in the user's own cache, nor do the processes that tests start.
_CACHE = tempfile.TemporaryDirectory(prefix="camlime-cache-")
os.environ["CAMLIME_CACHE"] = _CACHE.name


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The public data sets of docs/data.md: ``CAMLIME_DATA``, or ``../shared/data`` beside the repository."""
    folder = Path(os.environ.get("CAMLIME_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no public data at {folder}; set CAMLIME_DATA")
    return folder


@pytest.fixture(scope="session")
def run_python() -> Callable[[str], str]:
    """Run code in a new Python process, with the repository on its path; what it prints."""

    def run(code: str) -> str:
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium, for tests that are marked with ``support.browser.needs_browser``."""
    from support.browser import started

    with started() as one:
        yield one


@pytest.fixture(scope="module")
def open_file(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a page from disk: ``open_file(path, script=True)`` gives :class:`support.browser.Opened`."""
    from support.browser import pages

    with pages(browser) as opening:
        yield opening
