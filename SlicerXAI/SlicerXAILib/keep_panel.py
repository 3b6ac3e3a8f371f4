"""The section 'Keep': the folder that an explanation is exported to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _


class KeepPanel:
    """Chooses the folder and says what was written.

    Args:
        ui: the panel's controls.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._parameters: Any = None
        ui.exportFolderEdit.connect("currentPathChanged(QString)", self._choose)

    @property
    def folder(self) -> str:
        """The chosen folder; may be empty."""
        return str(self._ui.exportFolderEdit.currentPath)

    def set_parameters(self, parameters: Any) -> None:
        """Show another parameter node's choice."""
        self._parameters = parameters
        self._ui.exportFolderEdit.currentPath = "" if parameters is None else parameters.export_folder
        self._ui.exportLabel.text = ""

    def show(self, files: Sequence[str]) -> None:
        """Say what was written."""
        folder = Path(files[0]).parent if files else Path(self.folder)
        self._ui.exportLabel.text = _("{count} files were written to {folder}.").format(count=len(files), folder=folder)
        self._ui.exportFolderEdit.addCurrentPathToHistory()

    def _choose(self) -> None:
        if self._parameters is not None:
            self._parameters.export_folder = self.folder
