"""What a bundle's author measured of the model-randomisation check on other cases: ``models/randomisation.json``.

Made once by ``camlime randomisation``, it says for each method, with the settings that its map depends on, how much of
the map was left on random networks, case by case. It comes with the bundle, so it is a stranger's word: it is read as
plain data within narrow limits, used only for the very weights and configs that it was made with, shown beside what was
measured on the case at hand, and never makes a map supported. Where the case's own check was not run for want of
passes, it can fail a map whose method did not need the network's knowledge on most of its cases; see docs/method.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from camlime.attribution import Attribution
from camlime.bundle.config import METADATA
from camlime.evidence.kept import CHECK
from camlime.evidence.randomisation import COPIES, THRESHOLD
from camlime.methods import cam
from camlime.methods.fused import CAMS_FROM

FILE = "models/randomisation.json"
FORMAT = "camlime randomisation record 1"
FEWEST_CASES = 5
"""Of a record that may fail a map."""

METHODS = (*cam.METHODS, "lime", "fused", "occlusion")
"""That a record can speak of; combinations are judged by their own checks alone."""

DIGITS = 4
"""Of a rank correlation in the file."""

_IN_WORDS = {"target_layer": "target layer", "lime_mode": "mode", "window_mm": "window", "baseline": "baseline"}


@dataclass(frozen=True)
class RecordedCheck:
    """The randomisation check of one method on a bundle's cases.

    Args:
        method: its name.
        settings: what its map depends on beside the case; see :func:`settings_of`.
        similarities: of each case, what :class:`~camlime.evidence.randomisation.Randomisation` calls ``similarity``.
    """

    method: str
    settings: Mapping[str, Any]
    similarities: tuple[float, ...]

    @property
    def cases(self) -> int:
        """On how many it was measured."""
        return len(self.similarities)

    @property
    def median(self) -> float:
        """Of the rank correlations' sizes."""
        return float(np.median(self.similarities))

    @property
    def survived(self) -> int:
        """In how many cases the map survived."""
        return sum(similarity > THRESHOLD for similarity in self.similarities)

    @property
    def fails(self) -> bool:
        """Whether the map survived at the median of enough cases: all that a record can say against a map."""
        return self.cases >= FEWEST_CASES and self.median > THRESHOLD

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable; what follows from the similarities is there for the reader."""
        return {
            "method": self.method,
            "settings": dict(self.settings),
            "similarities": list(self.similarities),
            "cases": self.cases,
            "median": round(self.median, DIGITS + 1),
            "lowest": min(self.similarities),
            "highest": max(self.similarities),
            "survived": self.survived,
        }

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> RecordedCheck:
        """What :meth:`as_dict` wrote."""
        return RecordedCheck(record["method"], dict(record["settings"]), tuple(record["similarities"]))


def settings_of(attribution: Attribution, recipe: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a method's map depends on, beside the case, its regions and the passes.

    Args:
        attribution: the map.
        recipe: ``lime_mode`` and ``window_mm`` as asked for.
        baseline: name and options of what removed regions are replaced by.
    """
    method = attribution.method
    found: dict[str, Any] = {}
    if method in cam.METHODS or method == "fused":
        found["target_layer"] = attribution.target_layer
    if method == "lime":
        found["lime_mode"] = recipe["lime_mode"]
    if method == "occlusion":
        found["window_mm"] = recipe["window_mm"]
    if method not in cam.METHODS:
        found["baseline"] = dict(baseline)
    return found


@dataclass(frozen=True)
class BundleRecord:
    """All that a bundle's record says.

    Args:
        files: sha256 of the weights and configs that it was made with, by name.
        checks: one a method and settings.
        patients: whose cases they were.
        seed: of the maps.
        camlime: version that made it.
    """

    files: Mapping[str, str]
    checks: tuple[RecordedCheck, ...]
    patients: int
    seed: int
    camlime: str

    def find(self, method: str, settings: Mapping[str, Any]) -> RecordedCheck | None:
        """The check of a method with just these settings."""
        for check in self.checks:
            if check.method == method and dict(check.settings) == dict(settings):
                return check
        return None

    def unfit(self, method: str, settings: Mapping[str, Any]) -> str:
        """Why it says nothing of a map with these settings though it speaks of the method; empty where it does not."""
        others = [check.settings for check in self.checks if check.method == method]
        if not others or dict(settings) in [dict(other) for other in others]:
            return ""
        nearest = min(others, key=lambda other: len(_differing(settings, other)))
        said = f"the bundle's record is of {method}"
        layer, recorded = settings.get("target_layer"), nearest.get("target_layer")
        if method == "fused" and (layer is None) != (recorded is None):
            if recorded is None:
                return f"{said} without CAMs, and says nothing of this map"
            return f"{said} with CAMs, from {CAMS_FROM} passes on, and says nothing of this map"
        what = " and ".join(_IN_WORDS[name] for name in _differing(settings, nearest))
        return f"{said} with another {what}, and says nothing of this map"

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable: what the file holds."""
        return {
            "format": FORMAT,
            "check": CHECK,
            "threshold": THRESHOLD,
            "copies": COPIES,
            "camlime": self.camlime,
            "seed": self.seed,
            "files": dict(self.files),
            "patients": self.patients,
            "methods": [check.as_dict() for check in self.checks],
        }


def _differing(settings: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [name for name in _IN_WORDS if settings.get(name, ...) != other.get(name, ...)]


def bound_files(fingerprint: Mapping[str, str]) -> dict[str, str]:
    """Of a bundle's files, those that a record is bound to: the weights and all configs that decide what is run."""
    return {name: digest for name, digest in fingerprint.items() if name != METADATA}
