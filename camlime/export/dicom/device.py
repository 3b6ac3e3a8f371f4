"""Who made the objects: the attributes that all of them share."""

from __future__ import annotations

from typing import Any

from camlime.explanation import Explanation
from camlime.export.dicom.codes import MAKER, fit
from camlime.version import __version__

MODEL_NAME = "camlime"

NO_SERIAL = "none"
"""Software has no serial number, but enhanced objects must have one."""


def equipment() -> dict[str, Any]:
    """Arguments of highdicom's objects that name the maker."""
    return {
        "manufacturer": MAKER,
        "manufacturer_model_name": MODEL_NAME,
        "software_versions": __version__,
        "device_serial_number": NO_SERIAL,
    }


def settings_in_words(explanation: Explanation, method: str) -> dict[str, str]:
    """What a map was made with, for the algorithm's parameters; nothing that names a patient, a file or a user."""
    provenance = explanation.provenance
    bundle = provenance.get("bundle", {})
    baseline = provenance.get("baseline") or {}
    known = {
        "method": method,
        "explained class": explanation.explained_class,
        "bundle": " ".join(str(bundle.get(key) or "") for key in ("name", "version")).strip(),
        "seed": provenance.get("seed"),
        "baseline": baseline.get("name") if isinstance(baseline, dict) else None,
    }
    return {name: fit(value, 60) for name, value in known.items() if value not in (None, "")}
