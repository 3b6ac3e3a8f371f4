"""Draws the picture of the 3D Slicer module's panel: the real panel, a real worker, the sample, without the desktop.

SLICER_PYTHON=<checkout of Slicer>/Base/Python/slicer QT_QPA_PLATFORM=offscreen python docs/make_slicer_panel_picture.py
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import slicer_harness  # noqa: E402

slicer = slicer_harness.bootstrap(os.environ.get("SLICER_PYTHON"))


def until(condition: Callable[[], bool]) -> None:
    """Let Qt work until a condition holds."""
    deadline = time.monotonic() + 600
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("the worker does not answer")
        slicer.app.processEvents()
        time.sleep(0.01)


def main() -> None:
    """Explain the sample at the standard quality and save what the panel shows."""
    widget = slicer_harness.loadModule(str(ROOT / "SlicerXAI" / "SlicerXAI.py"))[2]
    from SlicerXAILib import make_phantom, sample_data

    folder = Path(tempfile.mkdtemp())
    make_phantom.main(folder)
    panel, ui = widget.panel, widget.panel.ui
    panel.parameters.volume, panel.parameters.point = sample_data.load_files(folder)
    panel.parameters.bundle = "lung_nodule_ct"
    widget.enter()
    until(lambda: ui.explainButton.enabled and "about" in ui.qualitySelector.itemText(1))
    ui.explainButton.click()
    until(lambda: not panel.run.running)
    page = ui.purposeLabel.parent()
    page.resize(520, 1560)
    page.show()
    slicer.app.processEvents()
    page.grab().save(str(ROOT / "docs" / "images" / "slicer_panel.png"))
    widget.cleanup()


if __name__ == "__main__":
    main()
