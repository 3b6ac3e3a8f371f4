"""The place in the panel where problems are said, with what to do; nothing has to be clicked away."""

from __future__ import annotations

from typing import Any

from SlicerXAILib.dialogs import Dialogs
from SlicerXAILib.problems import Problem


class MessagesPanel:
    """Shows the last problem until it is closed or something new is begun.

    Args:
        ui: the panel's controls.
        dialogs: for the clipboard.
    """

    def __init__(self, ui: Any, dialogs: Dialogs) -> None:
        self._ui = ui
        self._dialogs = dialogs
        self._problem: Problem | None = None
        ui.dismissButton.connect("clicked()", self.clear)
        ui.copyDetailsButton.connect("clicked()", self._copy)
        self.clear()

    def show(self, problem: Problem) -> None:
        """Show a problem in place of the last."""
        self._problem = problem
        self._ui.messageLabel.text = problem.message
        self._ui.hintLabel.text = problem.hint
        self._ui.hintLabel.visible = bool(problem.hint)
        self._ui.copyDetailsButton.visible = bool(problem.details)
        self._ui.messageFrame.visible = True

    def clear(self) -> None:
        """Show none."""
        self._problem = None
        self._ui.messageLabel.text = self._ui.hintLabel.text = ""
        self._ui.messageFrame.visible = False

    def _copy(self) -> None:
        if self._problem is not None:
            parts = (self._problem.message, self._problem.hint, self._problem.details)
            self._dialogs.copy("\n\n".join(part for part in parts if part))
