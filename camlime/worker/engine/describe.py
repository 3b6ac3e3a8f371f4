"""What there is: devices, shipped bundles, and what a bundle is for."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from camlime.bundle import Bundle, ModelInput, shipped_bundles
from camlime.bundle.config import METADATA, BundleFolder
from camlime.bundle.metadata import Metadata
from camlime.errors import CamlimeError
from camlime.settings import DEFAULT_METHODS


def devices() -> list[dict[str, Any]]:
    """The devices that a model can run on, the one that ``auto`` takes first."""
    found: list[dict[str, Any]] = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        try:
            properties = torch.cuda.get_device_properties(index)
        except Exception:  # torch has an error of its own for what it had put off; one bad card hides no other
            continue
        found.append({"name": f"cuda:{index}", "title": properties.name, "memory_bytes": int(properties.total_memory)})
    title = f"CPU, {os.cpu_count() or 1} cores"
    return [*found, {"name": "cpu", "title": f"{title} ({platform.machine()})", "memory_bytes": _memory()}]


def _memory() -> int | None:
    if sys.platform == "win32":  # which has no sysconf
        return None
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None


def shipped(load: Callable[[str], Bundle]) -> list[dict[str, Any]]:
    """The shipped bundles; one that cannot be read is there with its error."""
    found: list[dict[str, Any]] = []
    for name in shipped_bundles():
        try:
            found.append(description(load(name)))
        except CamlimeError as error:
            found.append({"name": name, "error": error.message, "hint": error.hint})
    return found


def description(bundle: Bundle) -> dict[str, Any]:
    """What a user needs to know before asking."""
    settings = bundle.explain_settings
    metadata = BundleFolder(bundle.root).read(METADATA)
    name = next((name for name, root in shipped_bundles().items() if root == bundle.root), None)
    view = bundle.field_of_view_mm
    return {
        "name": name or str(bundle.root),
        "title": bundle.name,
        "version": bundle.version,
        "folder": str(bundle.root),
        "shipped": name is not None,
        "description": str(metadata.get("description", "")),
        "class_names": list(bundle.class_names),
        "spatial_dims": bundle.spatial_dims,
        "input_channels": bundle.input_channels,
        "modality": Metadata.parse(metadata).modality or None,
        "field_of_view_mm": None if view is None else [float(length) for length in view],
        "needs_point": settings.field_of_view_mm is not None and bundle.spatial_dims == 3,
        "trusted_code": bundle.trusted_code,
        "assumptions": list(bundle.assumptions),
        "methods": list(settings.methods or DEFAULT_METHODS),
        "presumes": settings.presumes,
    }


def blank_input(bundle: Bundle) -> ModelInput:
    """An empty image of the size that the bundle's metadata states, to measure the model's speed on."""
    shape = Metadata.parse(BundleFolder(bundle.root).read(METADATA)).probe_shape or (64,) * bundle.spatial_dims
    image = torch.zeros(bundle.input_channels, *shape)
    return ModelInput(image, np.eye(4), torch.ones(shape, dtype=torch.bool), (1.0,) * len(shape))
