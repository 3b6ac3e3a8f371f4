"""camlime: why did a MONAI classifier answer as it did, on the patient's own volume?

>>> import camlime
>>> explanation = camlime.explain("ct.nii.gz", "lung_nodule_ct", point=(-62.0, 14.0, -120.0))  # doctest: +SKIP
>>> explanation.save("explanation")  # doctest: +SKIP

The names below load on first use, so that ``import camlime`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from camlime.errors import CamlimeError
from camlime.version import __version__

if TYPE_CHECKING:
    from camlime.attribution import Attribution
    from camlime.bundle import Bundle
    from camlime.classifier import Classifier
    from camlime.explanation import Explanation, Prediction
    from camlime.pipeline import Listeners, classify, explain
    from camlime.regions import Regions
    from camlime.scan import Scan
    from camlime.whatif import WhatIf, what_if

_HOMES = {
    "Attribution": "camlime.attribution",
    "Bundle": "camlime.bundle",
    "Classifier": "camlime.classifier",
    "Explanation": "camlime.explanation",
    "Listeners": "camlime.pipeline",
    "Prediction": "camlime.explanation",
    "Regions": "camlime.regions",
    "Scan": "camlime.scan",
    "WhatIf": "camlime.whatif",
    "classify": "camlime.pipeline",
    "explain": "camlime.pipeline",
    "what_if": "camlime.whatif",
}

__all__ = [
    "Attribution",
    "Bundle",
    "CamlimeError",
    "Classifier",
    "Explanation",
    "Listeners",
    "Prediction",
    "Regions",
    "Scan",
    "WhatIf",
    "__version__",
    "classify",
    "explain",
    "what_if",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'camlime' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
