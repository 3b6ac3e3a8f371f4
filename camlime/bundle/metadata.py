"""What ``configs/metadata.json`` says about a network's input and output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from camlime.bundle.config import METADATA
from camlime.errors import BundleError

ANY_SIZE = 64
"""Voxels assumed along an axis that metadata leaves open, such as ``"16*n"``."""


@dataclass(frozen=True)
class Metadata:
    """The parts of a bundle's metadata that the engine uses.

    Args:
        name: the bundle's own name, empty if it has none.
        version: as written, empty if it has none.
        input_name: key of the image in MONAI's dictionaries.
        input_channels: channels of the network's input; ``None`` if not said.
        channel_names: names of those channels, as far as they are given.
        spatial_shape: voxels along each axis of the network's input, ``None`` for an axis that is left open;
            empty if not said.
        output_count: outputs of the network; ``None`` if not said.
        class_names: names by output; empty if not said.
        modality: of the input, such as ``CT``; empty if not said.
    """

    name: str
    version: str
    input_name: str
    input_channels: int | None
    channel_names: tuple[str, ...]
    spatial_shape: tuple[int | None, ...]
    output_count: int | None
    class_names: tuple[str, ...]
    modality: str = ""

    @property
    def probe_shape(self) -> tuple[int, ...]:
        """A shape to try the network with: metadata's own, 64 where an axis is left open."""
        return tuple(size or ANY_SIZE for size in self.spatial_shape)

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Metadata:
        """Read the metadata.

        Raises:
            BundleError: a part has the wrong type; names it.
        """
        formats = _mapping(data, "network_data_format", "")
        name, image = _first(_mapping(formats, "inputs", "network_data_format::"))
        _, output = _first(_mapping(formats, "outputs", "network_data_format::"))
        count = _count(output, "outputs")
        shape = image.get("spatial_shape", [])
        if not isinstance(shape, list) or len(shape) > 3:
            raise BundleError(f"'spatial_shape' of the input in {METADATA} is not a list of up to 3 sizes")
        return cls(
            name=str(data.get("name", "")),
            version=str(data.get("version", "")),
            input_name=name or "image",
            input_channels=_count(image, "inputs"),
            channel_names=_names(image, None),
            spatial_shape=tuple(size if _is_size(size) else None for size in shape),
            output_count=count,
            class_names=_names(output, count),
            modality=str(image.get("modality") or "")[:40],
        )


def _mapping(data: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise BundleError(f"'{where}{key}' in {METADATA} is not a mapping")
    return value


def _first(entries: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            raise BundleError(f"the data format of '{name}' in {METADATA} is not a mapping")
        return str(name), entry
    return "", {}


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 4096


def _count(entry: Mapping[str, Any], where: str) -> int | None:
    value = entry.get("num_channels")
    if value is None:
        return None
    if not _is_size(value):
        raise BundleError(f"'num_channels' of {where} in {METADATA} is not a number from 1 to 4096")
    return int(value)


def _names(entry: Mapping[str, Any], count: int | None) -> tuple[str, ...]:
    names = entry.get("channel_def")
    if not names:
        return ()
    if isinstance(names, dict) and all(str(key).isdecimal() and len(str(key)) < 5 for key in names):
        by_index = {int(key): str(name)[:200] for key, name in names.items()}
        size = max(count or 0, max(by_index) + 1)
        return tuple(by_index.get(index, f"class_{index}") for index in range(size))
    raise BundleError(f"'channel_def' in {METADATA} is not a mapping of output number to name")
