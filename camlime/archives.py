"""Archives from strangers: unpacked so that nothing leaves the folder and no size surprises the disk.

An archive is looked at as a whole before the first byte is written, and bytes are counted again while they are written,
since what it says of its sizes may be wrong. Only the standard library is needed, so that viewers share it.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from camlime.errors import BundleError, UntrustedBundleError

MAX_FILES = 5000
MAX_BYTES = 8 * 1024**3
MAX_RATIO = 100
"""Bytes unpacked for a byte of the archive; weights shrink by a tenth, configs to a tenth."""

SMALL = 16 * 1024**2
"""Bytes that an archive may unpack to whatever its ratio."""

_BLOCK = 1 << 20
_ENCRYPTED = 0x1
_LITTER = ("__MACOSX/", ".DS_Store")


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def is_zip(path: Path) -> bool:
    """Whether a file ends like a zip archive that can be opened."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # some damage is an error already here
        return False


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip into an empty folder.

    Args:
        archive: the file.
        folder: exists and is empty; after an error it may hold a part of the files.

    Raises:
        BundleError: damaged, encrypted, or too large.
        UntrustedBundleError: an entry would leave the folder, is a link or no plain file; names it.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            entries = [entry for entry in source.infolist() if not _is_litter(entry.filename)]
            _check(entries, archive)
            if sum(entry.file_size for entry in entries) > shutil.disk_usage(folder).free:
                raise BundleError(f"there is no room on the disk to unpack {archive}", hint=f"free some at {folder}")
            allowed = _allowance(archive)
            for entry in entries:
                if not entry.is_dir():
                    allowed -= _write(source, entry, folder, allowed, archive)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, OSError, ValueError, zlib.error) as error:
        raise BundleError(f"{archive} cannot be unpacked: {str(error)[:200]}", hint="make the zip again") from error


def _allowance(archive: Path) -> int:
    return min(MAX_BYTES, max(SMALL, MAX_RATIO * archive.stat().st_size))


def _check(entries: list[zipfile.ZipInfo], archive: Path) -> None:
    if len(entries) > MAX_FILES:
        raise BundleError(f"{archive} holds {len(entries)} files: more than {MAX_FILES}")
    total = sum(entry.file_size for entry in entries)
    if total > _allowance(archive):
        raise BundleError(
            f"{archive} would unpack to {total // 1024**2} MiB, {total // archive.stat().st_size} times its own size",
            hint="if it is sound, unpack it yourself and name the folder",
        )
    seen: set[str] = set()
    for entry in entries:
        _check_entry(entry, archive)
        name = entry.filename.rstrip("/").casefold()
        if name in seen:
            raise UntrustedBundleError(f"{archive} holds '{entry.filename}' twice", hint="make the zip again")
        seen.add(name)


def _check_entry(entry: zipfile.ZipInfo, archive: Path) -> None:
    name = entry.orig_filename
    parts = PurePosixPath(name).parts
    kind = stat.S_IFMT(entry.external_attr >> 16)
    reason = ""
    if not parts or ".." in parts or name.startswith("/") or "\\" in name or ":" in name or not name.isprintable():
        reason = "would leave the folder that it is unpacked to"
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        reason = "is a link" if kind == stat.S_IFLNK else "is no plain file"
    elif entry.flag_bits & _ENCRYPTED:
        raise BundleError(f"'{name}' in {archive} is encrypted", hint="make a zip without a password")
    elif entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BundleError(f"'{name}' in {archive} is packed in an unusual way", hint="make an ordinary zip")
    if reason:
        raise UntrustedBundleError(
            f"{name!a} in {archive} {reason}", hint="make a zip of plain files with relative names"
        )


def _write(source: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, allowed: int, archive: Path) -> int:
    target = folder.joinpath(*PurePosixPath(entry.filename).parts)
    if not target.resolve().is_relative_to(folder.resolve()):
        raise UntrustedBundleError(f"{entry.filename!a} in {archive} would leave its folder", hint="make the zip again")
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with source.open(entry) as packed, target.open("xb") as plain:
        while block := packed.read(_BLOCK):
            written += len(block)
            if written > allowed:
                raise BundleError(f"{archive} unpacks to more than it says")
            plain.write(block)
    return written


def bundle_root(archive: Path, folder: Path) -> Path:
    """The folder itself, or the only one in it: both ways of zipping a bundle are common."""
    inner = [path for path in folder.iterdir() if path.is_dir()]
    for root in (folder, *(inner if len(inner) == 1 else [])):
        if (root / "configs" / "metadata.json").is_file():
            return root
    raise BundleError(f"{archive} holds no bundle: it has no configs/metadata.json", hint="zip the bundle's folder")


def _is_litter(name: str) -> bool:
    return name.startswith(_LITTER[0]) or name.rpartition("/")[2] == _LITTER[1]
