"""Slicer's self test, on the desktop: the sample is made, explained by the shipped model, and shown."""

from __future__ import annotations

import time
from collections.abc import Callable

import slicer
import slicer.util

from SlicerXAILib.engine import READY
from SlicerXAILib.sample_data import load_files, make_files

_PATIENCE_SECONDS = 600


def run() -> None:
    """Explain the sample on the panel; raises ``AssertionError`` if something does not appear."""
    volume, point = load_files(make_files())
    slicer.util.selectModule("SlicerXAI")
    panel = slicer.modules.SlicerXAIWidget.panel
    panel.parameters.volume = volume
    panel.parameters.point = point
    panel.parameters.quality = "quick"
    _wait(lambda: panel.engine.state == READY and panel.ui.explainButton.enabled, "the engine is not ready")
    panel.ui.explainButton.click()
    _wait(lambda: not panel.run.running, "the explanation does not end")
    assert panel.shown is not None, panel.ui.messageLabel.text
    assert panel.shown.summary["prediction"]["probabilities"]
    assert panel.shown.volume(panel.shown.summary["lead"]) is not None
    assert panel.ui.regionsTable.rowCount > 0


def _wait(condition: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, complaint
        slicer.app.processEvents()
        time.sleep(0.01)
