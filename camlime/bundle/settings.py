"""What a bundle's author says about explaining it: the block ``explain`` of ``configs/explain.json``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from camlime.bundle.slice_settings import DomainSettings, SequenceSettings, parse_domain, parse_sequence, parse_slices
from camlime.errors import BundleError

SETTINGS_FILE = "configs/explain.json"

LONGEST_PRESUMED = 60


@dataclass(frozen=True)
class NamedOptions:
    """A thing chosen by name, with its settings, such as a baseline or a phantom.

    Args:
        name: which one.
        options: its settings, read-only.

    Example:
        >>> NamedOptions("constant", {"value": -1000.0}).name
        'constant'
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class ExplainSettings:
    """How a bundle wants to be explained; what it leaves out has the defaults below.

    Args:
        methods: names of the methods to run, in order; empty leaves the choice to the engine.
        field_of_view_mm: edge lengths of the box around the point of interest, mm, one a spatial axis (or one for all);
            ``None`` where the whole scan is explained or the preprocessing says it.
        baseline: what removed regions are replaced by; ``None`` leaves the choice to the engine.
        score_baselines: the baselines that maps are scored with; empty leaves the choice to the engine.
        target_layer: the layer for CAM; ``None`` has it chosen.
        n_regions: how many supervoxels; ``None`` for the engine's default.
        budget: network passes in all; ``None`` for the engine's default.
        demo_phantom: the phantom that demonstrates this bundle.
        microns_per_pixel: resolution of the tiles that the bundle was trained on; ``None`` if not said.
        tile_size: (columns, rows) of such a tile, in pixels, as the preprocessing takes it; ``None`` if it is the
            network's input size.
        slices: by plane, where the axes of the images that a 2D bundle takes point in the patient.
        domain: how to tell what is unlike the training data; ``None`` where the bundle cannot.
        sequence: what the training data are, to warn of anything else.
        presumes: what every training image shows, in words with an article; ``None`` where nothing is presumed.

    Example:
        >>> ExplainSettings.parse({"methods": ["gradcam"], "field_of_view_mm": 40}).field_of_view_mm
        (40.0,)
    """

    methods: tuple[str, ...] = ()
    field_of_view_mm: tuple[float, ...] | None = None
    baseline: NamedOptions | None = None
    score_baselines: tuple[NamedOptions, ...] = ()
    target_layer: str | None = None
    n_regions: int | None = None
    budget: int | None = None
    demo_phantom: NamedOptions | None = None
    microns_per_pixel: float | None = None
    tile_size: tuple[int, int] | None = None
    slices: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    domain: DomainSettings | None = None
    sequence: SequenceSettings | None = None
    presumes: str | None = None

    @classmethod
    def parse(cls, block: object, *, file: str = SETTINGS_FILE) -> ExplainSettings:
        """Check the block ``explain`` and make settings of it.

        Args:
            block: the block as read from JSON.
            file: named in errors.

        Raises:
            BundleError: an unknown key, or a value of the wrong type or out of range; names the key.
        """
        if not isinstance(block, dict):
            raise BundleError(f"'explain' in {file} is not an object", hint='write "explain": {...}')
        values: dict[str, Any] = {}
        for key, value in block.items():
            if key not in _PARSERS:
                raise BundleError(f"unknown key 'explain::{key}' in {file}", hint=f"the keys are {', '.join(_PARSERS)}")
            if value is None:
                continue
            try:
                values[key] = _PARSERS[key](value)
            except (ValueError, OverflowError) as error:
                raise BundleError(f"'explain::{key}' in {file} {error}, not {_shorten(value)}") from None
        return cls(**values)


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _methods(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
        raise ValueError("must be a list of method names")
    return tuple(value)


def _millimetres(value: object) -> tuple[float, ...]:
    lengths = value if isinstance(value, list) else [value]
    numbers = [float(item) for item in lengths if isinstance(item, (int, float)) and not isinstance(item, bool)]
    if len(lengths) not in {1, 2, 3} or len(numbers) != len(lengths) or not all(0 < mm <= 2000 for mm in numbers):
        raise ValueError("must be a length in mm (above 0, at most 2000), or one an axis")
    return tuple(numbers)


def _named(value: object) -> NamedOptions:
    if isinstance(value, str) and value:
        return NamedOptions(value)
    if isinstance(value, dict) and isinstance(value.get("name"), str) and value["name"]:
        return NamedOptions(value["name"], MappingProxyType({k: v for k, v in value.items() if k != "name"}))
    raise ValueError('must be a name or an object with a "name"')


def _named_list(value: object) -> tuple[NamedOptions, ...]:
    if not isinstance(value, list):
        raise ValueError("must be a list of names or of objects with a name")
    return tuple(_named(item) for item in value)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a name")
    return value


def _presumed(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value.strip()) <= LONGEST_PRESUMED:
        raise ValueError(f"must be what every image shows, such as 'a tumour', in {LONGEST_PRESUMED} characters")
    return value.strip()


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1_000_000:
        raise ValueError("must be a whole number from 1 to 1000000")
    return value


def _microns(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0.01 <= value <= 1000:
        raise ValueError("must be a number of microns from 0.01 to 1000")
    return float(value)


def _tile_size(value: object) -> tuple[int, int]:
    sizes: list[Any] = value if isinstance(value, list) else [value, value]
    if len(sizes) != 2 or not all(isinstance(n, int) and not isinstance(n, bool) and 8 <= n <= 4096 for n in sizes):
        raise ValueError("must be a number of pixels from 8 to 4096, or two: columns and rows")
    return sizes[0], sizes[1]


_PARSERS: dict[str, Callable[[Any], object]] = {
    "methods": _methods,
    "field_of_view_mm": _millimetres,
    "baseline": _named,
    "score_baselines": _named_list,
    "target_layer": _text,
    "n_regions": _count,
    "budget": _count,
    "demo_phantom": _named,
    "microns_per_pixel": _microns,
    "tile_size": _tile_size,
    "slices": parse_slices,
    "domain": parse_domain,
    "sequence": parse_sequence,
    "presumes": _presumed,
}
