"""The bundles that the panel offers: the shipped ones, folders, and zip files that are unpacked safely."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from camlime.archives import bundle_root, hash_file, unpack
from camlime.errors import CamlimeError
from SlicerXAILib.problems import InputError


@dataclass(frozen=True)
class BundleInfo:
    """What the worker says of a bundle (docs/worker.md, ``describe``).

    Args:
        name: what the field ``bundle`` of a request takes.
        title: its name on screens.
        description: one or two sentences of its author's.
        class_names: in the order of the logits.
        spatial_dims: 2 or 3.
        input_channels: how many it takes.
        modality: of its images, such as ``CT``; empty if it does not say.
        needs_point: whether it looks at one place, which has to be given.
        assumptions: what had to be assumed about it, in words.
    """

    name: str
    title: str
    description: str
    class_names: tuple[str, ...]
    spatial_dims: int
    input_channels: int
    modality: str
    needs_point: bool
    assumptions: tuple[str, ...]

    @staticmethod
    def from_event(bundle: Mapping[str, Any]) -> BundleInfo:
        """From ``bundle`` of a result of ``describe``, or an entry of ``bundles`` of ``ready``."""
        name = str(bundle["name"])
        return BundleInfo(
            name=name,
            title=str(bundle.get("title") or Path(name).name),
            description=str(bundle.get("description") or ""),
            class_names=tuple(bundle["class_names"]),
            spatial_dims=int(bundle["spatial_dims"]),
            input_channels=int(bundle["input_channels"]),
            modality=str(bundle.get("modality") or ""),
            needs_point=bool(bundle["needs_point"]),
            assumptions=tuple(bundle.get("assumptions") or ()),
        )


def unpack_bundle(archive: Path, home: Path) -> Path:
    """Unpack a bundle's zip, as the engine does, into a folder of its own below ``home``; returns the bundle's folder.

    Nothing is written outside that folder. A zip that was unpacked before is not unpacked again. Loading the bundle
    checks its contents.

    Args:
        archive: the zip.
        home: where unpacked bundles are kept.

    Raises:
        InputError: it is no zip, holds no bundle, or is not safe to unpack.
    """
    try:
        folder = home / f"{archive.stem}-{hash_file(archive)[:12]}"
        if not folder.is_dir():
            _unpack(archive, folder)
        return bundle_root(archive, folder)
    except CamlimeError as error:
        raise InputError(error.message, error.hint) from error
    except OSError as error:
        raise InputError(
            _("'{name}' cannot be unpacked: {reason}").format(name=archive.name, reason=error),
            _("Is there space left, and may the folder '{folder}' be written to?").format(folder=home),
        ) from error


def _unpack(archive: Path, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder.parent))
    try:
        unpack(archive, stage)
        bundle_root(archive, stage)
        stage.rename(folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
