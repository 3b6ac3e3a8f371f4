"""What methods make of random networks, kept on disk: it is the same whenever the same case is explained again.

The random networks belong to the bundle, but what a method makes of them belongs to the case, so that a verdict is
never taken from one case to another. Kept are the weights of the regions, a few kilobytes a case and method: they cost
as many passes as a small LIME. Networks are not: their seeds make them anew, to the last bit. Maps without regions are
not, since a CAM costs three passes.

An entry's name is a hash of all that its content depends on, and its folder's name one of the bundle, so that nothing
can be taken for something else. Files are written aside and then renamed, so that processes do not see each other's
halves; the least recently used go when there are too many. A cache that cannot be read or written is none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from camlime.attribution import FloatArray
from camlime.device import device_title
from camlime.methods.case import Case
from camlime.staging import whole_file
from camlime.version import __version__

CHECK = 1
"""Number of the check's definition; what other definitions made is not read."""

LIMIT_BYTES = 32 << 20
"""Of all entries together."""

CACHE_VARIABLE = "CAMLIME_CACHE"
"""Environment variable: the folder to keep things in instead of the user's own, or ``off``."""

_ENDING = ".npy"
_PACKAGES = ("torch", "monai", "numpy", "grad-cam")


def cache_folder() -> Path | None:
    """Where the user's caches lie, else what the environment variable says; ``None`` for nowhere."""
    said = os.environ.get(CACHE_VARIABLE)
    if said is not None:
        return None if said == "off" else Path(said)
    from platformdirs import user_cache_path

    return user_cache_path("camlime", appauthor=False)


@dataclass(frozen=True)
class KeptMaps:
    """Region weights on random networks of one bundle.

    Args:
        folder: for all bundles.
        bundle: a hash of all that the bundle is; see :func:`bundle_key`.
        recipe: the settings that maps depend on, beside the case itself.
        limit: bytes of all entries of all bundles.
    """

    folder: Path
    bundle: str
    recipe: Mapping[str, Any]
    limit: int = LIMIT_BYTES

    def path(self, case: Case, method: str, passes: int) -> Path:
        """Where the weights of a case lie, or would.

        Args:
            case: as the random networks are asked about, its ``regions`` included.
            method: its name.
            passes: that each map is made with.
        """
        classifier = case.classifier
        told = {
            "check": CHECK,
            "camlime": __version__,
            "packages": {name: metadata.version(name) for name in _PACKAGES},
            "method": method,
            "recipe": dict(self.recipe),
            "passes": passes,
            "class": case.class_index,
            "classes": list(classifier.class_names),
            "activation": classifier.activation,
            "seed": case.seed,
            "device": device_title(classifier.device),
            "threads": torch.get_num_threads(),
            "mixed_precision": classifier.amp,
            "batch_size": classifier.given_batch_size,
            "spacing": [float(s) for s in case.input.spacing],
            "arrays": [
                _digest(array)
                for array in (
                    case.input.image.numpy(),
                    case.input.valid.numpy(),
                    case.baseline.numpy(),
                    *[regions.labels for regions in case.regions],
                )
            ],
        }
        return self.folder / self.bundle / f"{_hash(told)}{_ENDING}"

    def find(self, path: Path, shape: tuple[int, ...]) -> FloatArray | None:
        """Weights of that shape; ``None`` if there are none, or the file is damaged."""
        try:
            weights: FloatArray = np.load(path, allow_pickle=False)
            if weights.shape != shape or weights.dtype != np.float64 or not np.isfinite(weights).all():
                return None
        except (OSError, ValueError, EOFError):
            return None
        with contextlib.suppress(OSError):  # a cache that may only be read serves as well
            os.utime(path)
        return weights

    def keep(self, path: Path, weights: FloatArray) -> None:
        """Keep weights, and drop the least recently used of all entries where they take too much room."""
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as aside, aside.open("wb") as file:
                np.save(file, np.asarray(weights, dtype=np.float64), allow_pickle=False)
            self._make_room()

    def _make_room(self) -> None:
        found = []
        for path in self.folder.glob(f"*/*{_ENDING}"):
            with contextlib.suppress(OSError):  # gone: another process makes room as well
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, path))
        size = sum(entry[1] for entry in found)
        for _, taken, path in sorted(found):
            if size <= self.limit:
                return
            path.unlink(missing_ok=True)
            size -= taken


def bundle_key(network: nn.Module, fingerprint: Mapping[str, str]) -> str:
    """A hash of a bundle: its network's structure, every weight as it is in memory, and its files.

    Args:
        network: as it is used.
        fingerprint: sha256 of weights and configs by file.
    """
    told = hashlib.sha256()
    told.update(repr(network).encode())
    for name, tensor in network.state_dict().items():
        values = tensor.detach().cpu().contiguous()
        told.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        told.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return _hash({"network": told.hexdigest(), "files": dict(fingerprint)})


def _digest(array: np.ndarray) -> str:
    described = f"{array.dtype} {array.shape}".encode()
    return hashlib.sha256(described + np.ascontiguousarray(array).tobytes()).hexdigest()


def _hash(told: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()
