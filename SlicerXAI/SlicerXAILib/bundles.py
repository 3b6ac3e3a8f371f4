"""The bundles that the panel offers: the shipped ones, folders, and zip files that are unpacked safely."""

from __future__ import annotations

import hashlib
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from slicer.i18n import tr as _

from SlicerXAILib.problems import InputError

_MOST_BYTES = 8 * 1024**3
_MOST_FILES = 10_000
_MARK = PurePosixPath("configs") / "metadata.json"


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
        needs_point: whether it looks at one place, which has to be given.
        assumptions: what had to be assumed about it, in words.
    """

    name: str
    title: str
    description: str
    class_names: tuple[str, ...]
    spatial_dims: int
    input_channels: int
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
            needs_point=bool(bundle["needs_point"]),
            assumptions=tuple(bundle.get("assumptions") or ()),
        )


def unpack_bundle(archive: Path, home: Path) -> Path:
    """Unpack a bundle's zip into a folder of its own below ``home`` and return the bundle's folder.

    Nothing is written outside that folder, no link is made, and a zip that swells beyond all measure is refused before
    it is unpacked. A zip that was unpacked before is not unpacked again. Loading the bundle checks its contents.

    Args:
        archive: the zip.
        home: where unpacked bundles are kept.

    Raises:
        InputError: it is no zip, holds no bundle, or is not safe to unpack.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            root = _checked(opened, archive)
            folder = home / f"{archive.stem}-{_digest(archive)}"
            if not folder.is_dir():
                _extract(opened, folder)
            return folder / root
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise InputError(
            _("'{name}' cannot be unpacked: {reason}").format(name=archive.name, reason=error),
            _("Download it again, or unpack it yourself and open its folder."),
        ) from error


def _checked(opened: zipfile.ZipFile, archive: Path) -> Path:
    entries = opened.infolist()
    refused = _("'{name}' was not unpacked: it is not safe.").format(name=archive.name)
    if len(entries) > _MOST_FILES or sum(entry.file_size for entry in entries) > _MOST_BYTES:
        raise InputError(refused, _("It holds too many or too large files for a bundle."))
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in entry.filename:
            raise InputError(refused, _("It would write outside its folder: '{path}'.").format(path=entry.filename))
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise InputError(refused, _("It holds a link: '{path}'.").format(path=entry.filename))
    roots = {
        PurePosixPath(entry.filename).parents[1]
        for entry in entries
        if PurePosixPath(entry.filename).parts[-2:] == _MARK.parts
    }
    if len(roots) != 1:
        raise InputError(
            _("'{name}' holds {count} MONAI bundles.").format(name=archive.name, count=len(roots)),
            _("A bundle has a file 'configs/metadata.json', and a zip holds one bundle."),
        )
    return Path(*roots.pop().parts)


def _extract(opened: zipfile.ZipFile, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder.parent))
    try:
        left = _MOST_BYTES
        for entry in opened.infolist():
            target = stage / PurePosixPath(entry.filename.replace("\\", "/"))
            if entry.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with opened.open(entry) as source, target.open("wb") as sink:
                while block := source.read(1024**2):
                    left -= len(block)
                    if left < 0:  # the sizes that it states may be lies
                        raise zipfile.BadZipFile("it is larger than it says")
                    sink.write(block)
        stage.rename(folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _digest(archive: Path) -> str:
    digest = hashlib.sha256()
    with archive.open("rb") as file:
        while block := file.read(1024**2):
            digest.update(block)
    return digest.hexdigest()[:12]
