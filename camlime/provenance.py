"""Where an explanation came from, and what its reader should be warned of."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from camlime.attribution import Attribution
from camlime.bundle import Bundle
from camlime.bundle.model_input import ModelInput
from camlime.classifier import Classifier
from camlime.device import device_title
from camlime.scan import Scan
from camlime.settings import Settings
from camlime.version import __version__

RECORDED_PACKAGES = ("torch", "monai", "grad-cam", "lime", "numpy", "scikit-image", "SimpleITK", "nibabel")

MOSTLY_PADDING = 0.5
"""Share of padding in view beyond which the answer itself is called doubtful."""


def provenance(
    bundle: Bundle,
    scan: Scan,
    model_input: ModelInput,
    classifier: Classifier,
    wanted: Settings,
    budget: object,
    baseline: dict[str, Any],
) -> dict[str, Any]:
    """Versions, hashes, settings: what it takes to make the same explanation again."""
    return {
        **made_with(bundle),
        "scan": {"name": scan.source.name, "series_uid": scan.series_uid},
        "point_ras_mm": None if wanted.point is None else [float(x) for x in wanted.point],
        "guidance": _guidance(wanted),
        "seed": wanted.seed,
        "device": str(classifier.device),
        "gpu": device_title(classifier.device) if classifier.device.type == "cuda" else None,
        "mixed_precision": wanted.amp,
        "batch_size": wanted.batch_size,
        "batch_size_used": classifier.used_batch_size(model_input.image),
        "budget": budget,
        "baseline": baseline,
        "regions": Path(wanted.regions).name if isinstance(wanted.regions, (str, Path)) else None,
        "subdivide": wanted.subdivide,
    }


def _guidance(wanted: Settings) -> dict[str, Any] | None:
    given = wanted.guidance
    if given is None:
        return None
    return {"name": Path(given).name if isinstance(given, (str, Path)) else "array", "label": wanted.guidance_label}


def made_with(bundle: Bundle) -> dict[str, Any]:
    """Versions, the time, and the bundle with its hashes: what every result records."""
    return {
        "camlime": __version__,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in RECORDED_PACKAGES},
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "bundle": {
            "name": bundle.name,
            "version": bundle.version,
            "sha256": dict(bundle.fingerprint),
            "trusted_code": bundle.trusted_code,
            "assumptions": list(bundle.assumptions),
        },
    }


def input_warnings(model_input: ModelInput) -> tuple[str, ...]:
    """What casts doubt on the answer itself, whether or not it is explained: what the network saw, in sentences."""
    said = []
    padded = 1 - float(model_input.valid.double().mean())
    if padded > 0:
        said.append(
            f"{padded:.0%} of what the network sees is padding beyond the scan; it is neither explained nor shown"
            + (". The answer itself is to be doubted: most of its input was made up" if padded > MOSTLY_PADDING else "")
        )
    seen = model_input.image[:, model_input.valid]
    if seen.numel() and bool((seen.amax(dim=1) == seen.amin(dim=1)).all()):
        said.append(
            "what the network sees is the same everywhere: is the point right? There is nothing to explain here"
        )
    return tuple(said)


def warnings_of(
    bundle: Bundle,
    classifier: Classifier,
    attributions: Mapping[str, Attribution],
    *,
    evidence_cut_short: bool = False,
) -> tuple[str, ...]:
    """What the user should know of an explanation beside its answer's own warnings, in sentences.

    Args:
        bundle: whose assumptions are among it.
        classifier: which arithmetic was used.
        attributions: all that were made, parents of combinations included.
        evidence_cut_short: the user cancelled while it was measured.
    """
    said = [*bundle.assumptions]
    if classifier.amp and classifier.device.type == "cpu":
        said.append(
            "mixed precision on a CPU: log-odds are less exact, and unless it computes with bfloat16 in hardware all "
            "is much slower than in full precision"
        )
    for name, attribution in attributions.items():
        said += [f"{name}: {note}" for note in attribution.parameters.get("notes", [])]
        if attribution.parameters.get("cancelled"):
            said.append(
                f"{name}: cut short; its standard deviations hold what was sampled, and not the variation between "
                "segmentations that were not reached"
            )
        if attribution.parameters.get("intervals_supported") is False:
            said.append(
                f"{name}: too few masked images for this many regions to trust the standard errors; raise the budget"
            )
    if evidence_cut_short:
        said.append(
            "the evidence was stopped on the way: whether the model used what the maps show is not known of all"
        )
    return tuple(dict.fromkeys(said))
