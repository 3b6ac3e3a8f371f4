"""A bundle that comes as a zip, unpacked into a temporary folder that lives as long as the process."""

from __future__ import annotations

import tempfile
from pathlib import Path

from camlime.archives import bundle_root, hash_file, is_zip, unpack

_unpacked: dict[str, tuple[tempfile.TemporaryDirectory[str], Path]] = {}


def is_archive(path: Path) -> bool:
    """Whether a file is a zip.

    Example:
        >>> is_archive(Path(__file__))
        False
    """
    return path.is_file() and is_zip(path)


def unpacked_bundle(archive: Path) -> Path:
    """Unpack a zip into a temporary folder, once in a process for the same content, and return the bundle's folder.

    Raises:
        BundleError: damaged, too large, or no bundle.
        UntrustedBundleError: an entry would leave the folder, is a link or no plain file; names it.
    """
    digest = hash_file(archive)
    if digest not in _unpacked:
        holder = tempfile.TemporaryDirectory(prefix="camlime-bundle-")
        try:
            unpack(archive, Path(holder.name))
            _unpacked[digest] = holder, bundle_root(archive, Path(holder.name))
        except BaseException:
            holder.cleanup()
            raise
    return _unpacked[digest][1]
