"""What the worker can say of this installation without importing it."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

from camlime.version import __version__
from camlime.worker.lines import PROTOCOL

PACKAGES = (
    "torch",
    "torchvision",
    "monai",
    "grad-cam",
    "lime",
    "numpy",
    "scipy",
    "scikit-image",
    "SimpleITK",
    "nibabel",
    "matplotlib",
    "pillow",
    "safetensors",
    "pyyaml",
)
"""What the engine needs, by the name of its distribution."""


def greeting() -> dict[str, Any]:
    """Versions, and the number of this process."""
    return {
        "protocol": PROTOCOL,
        "camlime": __version__,
        "python": platform.python_version(),
        "pid": os.getpid(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
