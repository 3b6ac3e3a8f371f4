"""The bundles that come with the engine, found by looking, not by name."""

from __future__ import annotations

from pathlib import Path

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
    """Return the folder that ``path`` names: a folder on disk, or the name of a shipped bundle.

    Raises:
        BundleError: there is neither.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    shipped = shipped_bundles()
    if str(path) in shipped:
        return shipped[str(path)]
    if folder.exists():
        raise BundleError(f"'{path}' is a file, not a bundle's folder", hint="unpack it and name its folder")
    names = ", ".join(shipped) or "none"
    raise BundleError(f"there is no bundle '{path}'", hint=f"give a bundle's folder, or a shipped bundle: {names}")
