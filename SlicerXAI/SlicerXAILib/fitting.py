"""Which bundle a volume is likely to be meant for: the choice to begin with, which the user may change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import slicer

from SlicerXAILib.bundles import BundleInfo

_AIR = -300.0
"""A volume with values below this is a CT in Hounsfield units, where no header says what it is."""

_LAST = "SlicerXAI/LastBundles"
"""In the user's settings: the bundles that were chosen, the last one last."""

_REMEMBERED = 8


@dataclass(frozen=True)
class Traits:
    """What can be known of a volume before anything is asked about it.

    Args:
        channels: 1 for grey values, 3 for colours; opacity does not count.
        picture: whether it is a single slice.
        modality: as DICOM has it, or ``CT`` by its values; empty if it is not known.
    """

    channels: int
    picture: bool
    modality: str


def traits_of(volume: Any) -> Traits | None:
    """Of a volume node; ``None`` for one that is empty."""
    image = volume.GetImageData()
    if image is None:
        return None
    channels = image.GetNumberOfScalarComponents()
    return Traits(3 if channels == 4 else channels, image.GetDimensions()[2] == 1, _modality(volume, image, channels))


def _modality(volume: Any, image: Any, channels: int) -> str:
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    item = tree.GetItemByDataNode(volume)
    said = tree.GetItemAttribute(item, "DICOM.Modality") if item else ""
    if said or channels != 1:
        return str(said or "")
    return "CT" if image.GetScalarRange()[0] < _AIR else ""


def fits(bundle: BundleInfo, traits: Traits) -> bool:
    """Whether the bundle can take the volume at all."""
    return bundle.input_channels == traits.channels and (bundle.spatial_dims == 2 or not traits.picture)


def best(bundles: Mapping[str, BundleInfo], traits: Traits | None, last: Sequence[str] = ()) -> str:
    """The name of the bundle to begin with; empty if there is none.

    One that can take the volume goes before one that cannot, one of another modality than its own comes last, one that
    the user chose before, the later the better, goes before others, then one of its modality, then one for volumes
    before one for slices of them.

    Args:
        bundles: those there are, by name.
        traits: of the volume; ``None`` if there is none.
        last: the names that the user chose before, the last one last.
    """

    def rank(name: str) -> tuple[bool, bool, int, bool, bool]:
        info = bundles[name]
        chosen = last.index(name) if name in last else -1
        if traits is None:
            return True, True, chosen, False, False
        same = info.modality.casefold() == traits.modality.casefold() if info.modality and traits.modality else None
        return fits(info, traits), same is not False, chosen, same is True, info.spatial_dims == 3

    return max(bundles, key=rank, default="")  # the first of equals


def remembered() -> list[str]:
    """The names that the user chose in this or earlier sessions, the last one last."""
    return [name for name in str(slicer.app.userSettings().value(_LAST) or "").split("\n") if name]


def remember(name: str) -> None:
    """Keep what the user chose for the next session."""
    names = [each for each in remembered() if each != name] + [name]
    slicer.app.userSettings().setValue(_LAST, "\n".join(names[-_REMEMBERED:]))
