"""Loads a bundle that has to be refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from camlime.bundle import Bundle
from camlime.errors import BundleError, UntrustedBundleError
from camlime.scan import Scan

SCAN = Scan.from_array(np.random.default_rng(0).normal(size=(1, 16, 16)), np.eye(4))


def assert_refused(root: Path, marker: Path, *named: str, error: type[BundleError] = UntrustedBundleError) -> str:
    """Check that loading and preparing raises ``error``, which says what is ``named``, and that no payload ran."""
    with pytest.raises(error) as caught:
        Bundle.load(root).prepare(SCAN)
    assert not marker.exists()
    for text in named:
        assert text in str(caught.value)
    return str(caught.value)
