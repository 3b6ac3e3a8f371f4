"""How an explanation is shown: one value that the panel's controls set and the scene keeps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """What is shown of one explanation, and how.

    Args:
        maps: keys of :class:`MapChoice`, the first on top of the volume; several are layers of one view, or stand side
            by side; none hides all maps.
        threshold: share of a map's limit, 0 to 1: smaller magnitudes are transparent, of both signs.
        opacity: of the maps, 0 to 1.
        colours: ID of a colour node for evidence maps; empty for the project's own.
        legend: whether a colour legend is in the views.
        side_by_side: one view a map, beside the volume alone, instead of layers.
        segments: which segmentations are visible: of ``"evidence"`` and ``"agreement"``.
        surfaces: whether these segments are surfaces in 3D views as well.
        fill: opacity of segments inside their outlines in slice views; 0 for outlines alone.
    """

    maps: tuple[str, ...] = ()
    threshold: float = 0.25
    opacity: float = 0.6
    colours: str = ""
    legend: bool = True
    side_by_side: bool = False
    segments: tuple[str, ...] = ()
    surfaces: bool = True
    fill: float = 0.0


@dataclass(frozen=True)
class MapChoice:
    """One entry of the map selector.

    Args:
        key: for :attr:`Look.maps`: ``"lime"``, ``"lime.std"``, ``"agreement"``, ...
        title: its name on screens.
        kind: ``"evidence"`` (signed map), ``"spread"`` (standard deviation) or ``"agreement"`` (label map).
        unit: of the values; empty for labels.
    """

    key: str
    title: str
    kind: str
    unit: str = ""
