"""The buttons that start and stop, and how far the work is."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SlicerXAILib.session import Event
from SlicerXAILib.words import progress_text


class RunPanel:
    """Explain, Cancel, and the bar between.

    Args:
        ui: the panel's controls.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self.idle("")

    def busy(self, words: str) -> None:
        """Something runs that can be cancelled."""
        self._ui.explainButton.enabled = False
        self._ui.cancelButton.enabled = True
        self._ui.progressBar.setRange(0, 0)
        self._ui.progressBar.visible = True
        self._ui.progressLabel.text = words

    def progress(self, event: Event) -> None:
        """How far it is; a stage whose end is not known shows a bar that only moves."""
        total = int(event.get("total") or 0)
        self._ui.progressBar.setRange(0, total)
        self._ui.progressBar.setValue(min(int(event.get("done") or 0), total))
        self._ui.progressLabel.text = progress_text(event)

    def cancelling(self) -> None:
        """The user has cancelled, and the worker is asked to end."""
        self._ui.cancelButton.enabled = False
        self._ui.progressLabel.text = _("Cancelling; what is there is kept.")

    def idle(self, words: str) -> None:
        """Nothing runs."""
        self._ui.cancelButton.enabled = False
        self._ui.progressBar.visible = False
        self._ui.progressBar.setRange(0, 1)
        self._ui.progressLabel.text = words

    def allow(self, allowed: bool, words: str) -> None:
        """Whether an explanation may be asked for, and why not."""
        self._ui.explainButton.enabled = allowed
        self._ui.explainButton.toolTip = words
