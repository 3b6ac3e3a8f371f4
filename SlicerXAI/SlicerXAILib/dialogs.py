"""Questions that only a person can answer; tests give answers of their own in this object's place."""

from __future__ import annotations

import qt
import slicer
import slicer.util
from slicer.i18n import tr as _


class Dialogs:
    """Modal questions, asked only after the user has pressed a button."""

    def choose_folder(self, title: str) -> str:
        """A folder; empty if the user changed their mind."""
        return str(qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title) or "")

    def choose_zip(self, title: str) -> str:
        """A zip file; empty if the user changed their mind."""
        chosen = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, "", _("MONAI bundle (*.zip)"))
        return str(chosen or "")

    def confirm(self, text: str) -> bool:
        """Yes or no."""
        return bool(slicer.util.confirmYesNoDisplay(text))

    def copy(self, text: str) -> None:
        """Put a text on the clipboard."""
        slicer.app.clipboard().setText(text)
