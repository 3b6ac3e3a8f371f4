"""What the engine needs to run, what of it is installed, and the installing by Slicer's rules."""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
import slicer.util
from slicer.i18n import tr as _

from SlicerXAILib.problems import Problem

REQUIREMENTS_FILE = Path(__file__).resolve().parents[1] / "Resources" / "requirements.txt"
TORCH = ("torch", "torchvision")
SLICERS_OWN = ("numpy", "SimpleITK")
"""Come with Slicer and are never replaced."""


def requirements(path: Path = REQUIREMENTS_FILE) -> dict[str, str]:
    """Requirement by package name, such as ``{"monai": "monai>=1.5"}``, without those that Slicer brings along."""
    lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return {line.split(">=")[0]: line for line in lines if line}


@functools.cache
def installed_version(package: str) -> str | None:
    """The version of a package; ``None`` if it is not installed. Imports nothing of it.

    Looking takes some ms a package: answers are kept until ``installed_version.cache_clear()``.
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def missing(version: Callable[[str], str | None] = installed_version) -> list[str]:
    """Requirements that are not met.

    Args:
        version: tells a package's version.
    """
    return [text for name, text in requirements().items() if not _met(text, version(name))]


def _met(requirement: str, version: str | None) -> bool:
    from packaging.requirements import Requirement

    return version is not None and Requirement(requirement).specifier.contains(version, prereleases=True)


class Installer:
    """Installs what is missing: PyTorch by the PyTorch extension, everything else by pip.

    Args:
        torch_logic: makes the PyTorch extension's logic; ``None`` where the extension is not installed.
        pip_install: Slicer's.
        log: gets each line.
    """

    def __init__(
        self,
        log: Callable[[str], None],
        torch_logic: Callable[[], Any] | None = None,
        pip_install: Callable[..., Any] | None = None,
    ) -> None:
        self._log = log
        self._torch_logic = torch_logic or pytorch_extension
        self._pip = pip_install or slicer.util.pip_install

    def install(self, wanted: list[str], done: Callable[[Problem | None], None]) -> None:
        """Install requirements; ``done`` gets what went wrong, or ``None``.

        Newer versions of Slicer install in the background; older ones, and the PyTorch extension, show their own
        progress and come back when they are ready.
        """
        torch = [one for one in wanted if one.split(">=")[0] in TORCH]
        others = [one for one in wanted if one not in torch]
        if torch:
            problem = self._install_torch(torch)
            if problem is not None:
                done(problem)
                return
        if others:
            self._install_others(others, done)
        else:
            done(None)

    def _install_torch(self, wanted: list[str]) -> Problem | None:
        logic = self._torch_logic()
        if logic is None:
            return Problem(
                _("PyTorch is installed by Slicer's extension 'PyTorch', which is not there."),
                _("Install it with the Extensions Manager, start Slicer again, and press the button once more."),
                kind="engine",
            )
        versions = {one.split(">=")[0]: ">=" + one.split(">=")[1] for one in wanted}
        self._log(_("Installing PyTorch ..."))
        try:
            torch = logic.installTorch(
                askConfirmation=False,
                torchVersionRequirement=versions.get("torch"),
                torchvisionVersionRequirement=versions.get("torchvision"),
            )
        except Exception as error:  # the extension raises what pip raises
            return Problem(
                _("PyTorch was not installed: {reason}").format(reason=error), _hint(), str(error), kind="engine"
            )
        if torch is None:
            return Problem(_("PyTorch was not installed."), _hint(), kind="engine")
        return None

    def _install_others(self, wanted: list[str], done: Callable[[Problem | None], None]) -> None:
        keep = [f"{name}<={installed_version(name)}" for name in SLICERS_OWN[:1] if installed_version(name)]
        self._log(_("Installing {packages} ...").format(packages=", ".join(wanted)))
        text = " ".join(shlex.quote(one) for one in [*wanted, *keep])

        def ended(code: int) -> None:
            problem = Problem(_("pip ended with code {code}.").format(code=code), _hint(), kind="engine")
            done(None if code == 0 else problem)

        try:
            if "completedCallback" in inspect.signature(self._pip).parameters:
                self._pip(text, blocking=False, logCallback=self._log, completedCallback=ended, requester="SlicerXAI")
                return
            self._pip(text)
        except Exception as error:  # whatever pip's wrapper raises is said, not thrown at the user
            done(Problem(_("Not installed: {reason}").format(reason=error), _hint(), str(error), kind="engine"))
            return
        done(None)


def pytorch_extension() -> Any | None:
    """The logic of Slicer's extension PyTorch, ``None`` if it is not installed."""
    try:
        import PyTorchUtils
    except ImportError:
        return None
    return PyTorchUtils.PyTorchUtilsLogic()


def _hint() -> str:
    return _("Read the log below. Without a network, see the instructions for offline computers.")
