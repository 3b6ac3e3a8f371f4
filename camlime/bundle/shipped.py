"""The bundles that come with the engine, found by looking, not by name."""

from __future__ import annotations

from pathlib import Path

from camlime.bundle.unpack import is_archive, unpacked_bundle
from camlime.errors import BundleError

_PACKAGE = Path(__file__).resolve().parents[1]
_PLACES = (_PACKAGE / "bundles", _PACKAGE.parent / "monai_bundle")
"""Inside an installed package; beside the package in the repository."""


def shipped_bundles() -> dict[str, Path]:
    """Name and folder of each bundle that came with this installation, sorted by name.

    Example:
        >>> all((folder / "configs").is_dir() for folder in shipped_bundles().values())
        True
    """
    for place in _PLACES:
        if place.is_dir():
            return {f.name: f for f in sorted(place.iterdir()) if (f / "configs" / "metadata.json").is_file()}
    return {}


def find_bundle(path: str | Path) -> Path:
    """Return the folder that ``path`` names: a folder or a zip on disk, or the name of a shipped bundle.

    A zip is unpacked into a temporary folder; see :mod:`camlime.bundle.unpack`.

    Raises:
        BundleError: there is none of them, or the zip is damaged or too large.
        UntrustedBundleError: the zip would write elsewhere.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    shipped = shipped_bundles()
    if str(path) in shipped:
        return shipped[str(path)]
    if is_archive(folder):
        return unpacked_bundle(folder)
    if folder.exists():
        raise BundleError(f"'{path}' is neither a bundle's folder nor a zip of one", hint="name the bundle's folder")
    names = ", ".join(shipped) or "none"
    raise BundleError(f"there is no bundle '{path}'", hint=f"give a bundle's folder or zip, or a shipped one: {names}")
