"""What a bundle's author says of slices in ``configs/explain.json``: how they are held, and what they have to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

PLANES = ("axial", "coronal", "sagittal")
_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}
_ACROSS = {"axial": "SI", "coronal": "AP", "sagittal": "LR"}


@dataclass(frozen=True)
class DomainSettings:
    """Where the features of the training data are kept.

    Args:
        file: a safetensors file, relative to the bundle's folder; see :class:`camlime.domain.Domain`.
        layers: modules of the network whose outputs are compared, in order.
    """

    file: str
    layers: tuple[str, ...]


@dataclass(frozen=True)
class SequenceSettings:
    """What the bundle was trained on, and how to know it by its headers and names.

    Args:
        name: in words, for messages.
        modality: DICOM modality, such as ``MR``; ``None`` for any.
        wanted: the description should hold one of these, whatever the case; empty for any.
        unwanted: it should hold none of these.
        contrast: whether a contrast agent is needed.
    """

    name: str
    modality: str | None = None
    wanted: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    contrast: bool = False


def parse_slices(value: object) -> Mapping[str, str]:
    """By plane, where the two axes of an image point in the patient, such as ``LP`` for an axial slice as displayed."""
    if not isinstance(value, dict) or not value:
        raise ValueError('must be an object such as {"axial": "LP"}')
    for plane, codes in value.items():
        if plane not in PLANES:
            raise ValueError(f"must name planes of {', '.join(PLANES)}")
        letters = set(codes) if isinstance(codes, str) else set()
        fits = len(letters) == 2 and len(codes) == 2 and letters <= set(_OPPOSITE) - set(_ACROSS[plane])
        if not fits or _OPPOSITE[codes[0]] == codes[1]:
            raise ValueError(f"must give {plane} slices two letters for two axes in that plane, such as LP for axial")
    return MappingProxyType(dict(value))


def parse_domain(value: object) -> DomainSettings:
    """The file and the layers."""
    if not isinstance(value, dict) or set(value) != {"file", "layers"} or not isinstance(value["file"], str):
        raise ValueError('must be an object with "file" and "layers"')
    layers = _texts(value["layers"])
    if not layers:
        raise ValueError("must name at least one layer")
    return DomainSettings(value["file"], layers)


def parse_sequence(value: object) -> SequenceSettings:
    """What the training data are."""
    known = set(SequenceSettings.__dataclass_fields__)
    if not isinstance(value, dict) or not set(value) <= known or not isinstance(value.get("name"), str):
        raise ValueError(f'must be an object with "name" and perhaps {", ".join(sorted(known - {"name"}))}')
    modality, contrast = value.get("modality"), value.get("contrast", False)
    if not (modality is None or isinstance(modality, str)) or not isinstance(contrast, bool):
        raise ValueError("must have a text as modality, and true or false as contrast")
    return SequenceSettings(
        value["name"], modality, _texts(value.get("wanted", [])), _texts(value.get("unwanted", [])), contrast
    )


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ValueError("must hold lists of texts")
    return tuple(value)
