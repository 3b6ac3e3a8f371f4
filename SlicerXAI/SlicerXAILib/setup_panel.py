"""The section 'Set-up': what is installed, one button for what is missing, the log, and how to do it offline."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from SlicerXAILib.controls import fill_table
from SlicerXAILib.dialogs import Dialogs
from SlicerXAILib.engine import FAILED, READY, STARTING, Engine
from SlicerXAILib.packages import SLICERS_OWN, Installer, installed_version, missing, requirements
from SlicerXAILib.problems import Problem
from SlicerXAILib.signals import Signal
from SlicerXAILib.words import device_entry


class SetupPanel:
    """Shows what the engine stands on.

    Args:
        ui: the panel's controls.
        engine: what is started, and started again after an installation.
        dialogs: asks before anything is installed.
        make_installer: makes the installer from a function that takes log lines.

    Attributes:
        failed: signal, :class:`Problem`.
    """

    def __init__(
        self,
        ui: Any,
        engine: Engine,
        dialogs: Dialogs,
        make_installer: Callable[[Callable[[str], None]], Installer] = Installer,
    ) -> None:
        self.failed = Signal()
        self._ui = ui
        self._engine = engine
        self._dialogs = dialogs
        self._installer = make_installer(self._say)
        ui.installButton.connect("clicked()", self._install)
        ui.restartButton.connect("clicked()", self._restart)
        ui.copyLogButton.connect("clicked()", self._copy)
        ui.offlineLabel.text = _(
            "Offline: on a computer with a network, the same system and Python {python}, run\n"
            "    python -m pip download -d packages -r requirements.txt\n"
            "with the file requirements.txt of this module (Resources), carry the folder over, and run\n"
            "    PythonSlicer -m pip install --no-index --find-links packages -r requirements.txt"
        ).format(python=platform.python_version())
        engine.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show what is installed and how the engine is."""
        rows = [[name, installed_version(name) or _("not installed"), text] for name, text in requirements().items()]
        rows += [[name, installed_version(name) or _("not installed"), _("Slicer's own")] for name in SLICERS_OWN]
        fill_table(self._ui.packagesTable, [_("Package"), _("Installed"), _("Needed")], rows)
        self._ui.installButton.enabled = bool(missing())
        self._ui.engineLabel.text = self._engine_words()

    def open_if_needed(self) -> None:
        """Open the section if something is missing: nothing else works before."""
        if missing():
            self._ui.setupSection.collapsed = False

    def _engine_words(self) -> str:
        if self._engine.state == READY:
            devices = "; ".join(device_entry(device) for device in self._engine.devices)
            words = self._cuda_words()
            return _("The engine is ready, {cuda}. {devices}.").format(cuda=words, devices=devices)
        if self._engine.state == STARTING:
            return _("The engine is starting ...")
        if missing():
            return _("Something is missing: press 'Install what is missing'.")
        if self._engine.state == FAILED:
            return _("The engine cannot start: see the log.")
        return _("The engine is not running.")

    def _cuda_words(self) -> str:
        cuda = self._engine.cuda
        if not cuda:
            return _("without CUDA")
        if any(str(device["name"]).startswith("cuda") for device in self._engine.devices):
            return _("CUDA {version}").format(version=cuda)
        return _("CUDA {version}, but no GPU was found").format(version=cuda)

    def _install(self) -> None:
        wanted = missing()
        if not wanted:
            return
        question = _(
            "These packages will be downloaded and installed into Slicer's own Python:\n\n{packages}\n\n"
            "PyTorch alone may take some GB and several minutes. Go on?"
        ).format(packages=", ".join(wanted))
        if not self._dialogs.confirm(question):
            return
        self._ui.installButton.enabled = False
        self._engine.stop()
        self._installer.install(wanted, self._installed)

    def _installed(self, problem: Problem | None) -> None:
        installed_version.cache_clear()
        if problem is not None:
            self._say(problem.message)
            self.failed.emit(problem)
            self.refresh()
            return
        self._say(_("Installed."))
        self._engine.restart()

    def _restart(self) -> None:
        installed_version.cache_clear()
        self._say(self._engine.session.log())
        self._engine.restart()

    def _say(self, line: str) -> None:
        if line.strip():
            self._ui.logEdit.appendPlainText(line.rstrip())

    def _copy(self) -> None:
        versions = "\n".join(f"{name} {installed_version(name)}" for name in (*requirements(), *SLICERS_OWN))
        system = f"Slicer {slicer.app.majorVersion}.{slicer.app.minorVersion}, Python {platform.python_version()}"
        parts = (system, versions, self._engine_words(), self._ui.logEdit.plainText, self._engine.session.log())
        self._dialogs.copy("\n\n".join(part for part in parts if part))
