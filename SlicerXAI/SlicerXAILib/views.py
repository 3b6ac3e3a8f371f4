"""Points and slices between the views and a volume's own frame, undoing its parent transforms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


def world_to_input(input_node: Any, point_world: np.ndarray) -> np.ndarray:
    """A point ``(3,)`` in world RAS mm, as markups give it, in the volume's own RAS frame, as the worker wants it."""
    raise NotImplementedError


def input_to_world(input_node: Any, point_ras: np.ndarray) -> np.ndarray:
    """A point ``(3,)`` in the volume's own RAS frame in world RAS mm, where the views show it."""
    raise NotImplementedError


def markup_point(markup_node: Any, input_node: Any, index: int = -1) -> np.ndarray | None:
    """A control point in the volume's own RAS frame; ``None`` if there is none that has been placed.

    Args:
        markup_node: a markups node, or ``None``.
        input_node: the volume.
        index: which point; the last by default.
    """
    raise NotImplementedError


def is_inside(input_node: Any, point_ras: np.ndarray) -> bool:
    """Whether a point in the volume's own RAS frame lies within it, up to the outer faces of its voxels."""
    raise NotImplementedError


def jump(scene: Any, point_world: np.ndarray) -> None:
    """Centre every slice view of the scene on a point in world RAS mm, and move the crosshair there."""
    raise NotImplementedError


@dataclass(frozen=True)
class ShownSlice:
    """Which of a volume's slices a view shows.

    Args:
        axis: 0, 1 or 2: the voxel axis (i, j, k) that the view looks along.
        index: the slice's number on this axis.
        count: of slices on this axis.
        oblique_degrees: angle between the view and the slice; 0 if the view shows exactly one.
    """

    axis: int
    index: int
    count: int
    oblique_degrees: float


def shown_slice(slice_node: Any, input_node: Any) -> ShownSlice | None:
    """The slice of the volume nearest to what a slice view shows at its centre; ``None`` outside the volume."""
    raise NotImplementedError
