"""Where a payload would leave its mark."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that is not there, unless a payload ran."""
    return tmp_path / "pwned"
