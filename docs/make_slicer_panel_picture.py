"""Draws the pictures of the 3D Slicer module's panel: the real panel, a real worker, the sample, without the desktop.

QT_QPA_PLATFORM=offscreen python docs/make_slicer_panel_picture.py [--quality quick]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
sys.path.insert(0, str(ROOT / "tests"))

import slicer_harness  # noqa: E402

slicer = slicer_harness.bootstrap(os.environ.get("SLICER_PYTHON"))

WIDTH = 520
AROUND_MM = 9.0
"""Half the edge of the cube that is taken away."""


def until(condition: Callable[[], bool]) -> None:
    """Let Qt work until a condition holds."""
    deadline = time.monotonic() + 3600
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("the worker does not answer")
        slicer.app.processEvents()
        time.sleep(0.01)


def main() -> None:
    """Explain the sample, ask what if, export it, and save what the panel shows of each."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quality", default="standard")
    quality = options.parse_args().quality
    widget = slicer_harness.loadModule(str(ROOT / "SlicerXAI" / "SlicerXAI.py"))[2]
    from SlicerXAILib import make_phantom, sample_data

    folder = Path(tempfile.mkdtemp())
    make_phantom.main(folder)
    panel, ui = widget.panel, widget.panel.ui
    page = ui.purposeLabel.parent()
    panel.parameters.volume, panel.parameters.point = sample_data.load_files(folder)
    panel.parameters.bundle = "lung_nodule_ct"
    panel.parameters.quality = quality
    widget.enter()
    until(lambda: ui.explainButton.enabled and "about" in ui.qualitySelector.itemText(1))
    ui.explainButton.click()
    until(lambda: not panel.run.running)
    page.resize(WIDTH, 1560)
    page.show()
    save(page, "slicer_panel")

    for section in (ui.inputsSection, ui.seeSection):
        section.collapsed = True
    save(page, "slicer_answer", ui.answerSection)
    what_if(panel, ui)
    until(lambda: not panel.questions.running)
    ui.answerSection.collapsed, ui.whatIfSection.collapsed = True, False
    save(page, "slicer_what_if", ui.whatIfSection)
    ui.exportFolderEdit.currentPath = str(Path(tempfile.mkdtemp()) / "case-7")
    ui.exportButton.click()
    until(lambda: not panel.questions.running)
    ui.whatIfSection.collapsed, ui.keepSection.collapsed = True, False
    save(page, "slicer_keep", ui.keepSection)
    ui.keepSection.collapsed, ui.setupSection.collapsed = True, False
    save(page, "slicer_setup", ui.setupSection)
    widget.cleanup()


def what_if(panel: Any, ui: Any) -> None:
    """Paint the nodule as a user would, with a cube, and ask without it."""
    import slicer.util
    from SlicerXAILib.inputs import affine_of

    ui.paintButton.click()
    volume = panel.parameters.volume
    centre = np.zeros(3)
    panel.parameters.point.GetNthControlPointPosition(0, centre)
    index = np.indices(volume.GetImageData().GetDimensions()).reshape(3, -1)
    affine = affine_of(volume)
    places = affine[:3, :3] @ index + affine[:3, 3:]
    near = (np.abs(places - centre[:, None]) < AROUND_MM).all(axis=0)
    mask = near.reshape(volume.GetImageData().GetDimensions()).T.astype(np.uint8)
    node, segment = panel.parameters.what_if_segmentation, panel.parameters.what_if_segment
    node.GetSegmentation().GetSegment(segment).SetName("Nodule")
    slicer.util.updateSegmentBinaryLabelmapFromArray(np.ascontiguousarray(mask), node, segment, volume)
    panel.what_if.refresh()
    until(lambda: ui.whatIfButton.enabled)
    ui.whatIfButton.click()


def save(page: Any, name: str, part: Any = None) -> None:
    """Write what the page, or a section of it, looks like."""
    slicer.app.processEvents()
    (page if part is None else part).grab().save(str(IMAGES / f"{name}.png"))
    print(IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
