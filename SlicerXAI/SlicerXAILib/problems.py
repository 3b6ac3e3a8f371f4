"""What went wrong, in words that the panel shows: never a traceback, never a box that must be clicked away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from SlicerXAILib.engine_words import said


@dataclass(frozen=True)
class Problem:
    """A message for the panel.

    Args:
        message: what was wrong.
        hint: what to do.
        details: to be copied for a report; may be empty.
        kind: the worker's name of it (docs/worker.md), or ``"input"`` where the panel itself found it.
    """

    message: str
    hint: str = ""
    details: str = ""
    kind: str = "input"

    @staticmethod
    def from_event(event: Mapping[str, Any]) -> Problem:
        """From an event ``error`` or ``ended`` of the worker."""
        kind = str(event.get("kind") or "crashed")
        words, about = said(str(event.get("message") or "")), _about(kind)
        if words and about:
            words = _("{what}: {words}").format(what=about, words=words)
        return Problem(
            message=words or _("Something went wrong."),
            hint=said(str(event.get("hint") or "")) or _usual_hint(kind),
            details=str(event.get("details") or event.get("log") or ""),
            kind=kind,
        )


def _about(kind: str) -> str:
    """What the engine's words are about: they are its own, in English, where they are not known to the panel."""
    return {
        "scan": _("Volume"),
        "bundle": _("Bundle"),
        "untrusted": _("Bundle"),
        "regions": _("Regions"),
        "device": _("Device"),
        "output": _("Folder"),
        "memory": _("Memory"),
        "crashed": _("Engine"),
        "engine": _("Engine"),
        "defect": _("Defect"),
    }.get(kind, "")


def _usual_hint(kind: str) -> str:
    """What to do about a kind of problem, where the engine does not say it."""
    return {
        "bundle": _("Choose a folder that holds a MONAI bundle: it has a file 'configs/metadata.json'."),
        "memory": _("Choose another device or a lower quality, or close other programs."),
        "crashed": _("The engine is started again. If it happens once more, copy the details for a report."),
        "engine": _("See 'Set-up' below."),
        "defect": _("This is a defect of SlicerXAI: please report it with the details."),
    }.get(kind, "")


class InputError(Exception):
    """The user's input cannot be explained; carries a :class:`Problem`.

    Args:
        message: what was wrong.
        hint: what to do.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.problem = Problem(message, hint)
