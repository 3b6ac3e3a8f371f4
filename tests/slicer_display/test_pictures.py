"""What a reader sees, drawn off screen: colours, outlines, legends in slices, surfaces in 3D."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer_core", reason="needs the slicer extra: slicer-core")

from SlicerXAILib.scene_nodes import SceneExplanation

from camlime.levels import AGAINST, STRONG_FOR
from slicer_display.grids import GRIDS


def near(picture: np.ndarray, colour: tuple[int, int, int], within: int = 30) -> np.ndarray:
    return np.abs(picture.astype(int) - np.array(colour)).max(axis=-1) <= within


def centre_of(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()])


@pytest.mark.parametrize("name", ["straight", "oblique, anisotropic", "left-handed"])
def test_outlines_lie_around_the_hottest_pixel(drawn_desk: Any, make_result: Callable[..., Any], name: str) -> None:
    from support.slicer_drawing import SliceView

    desk, result = drawn_desk, make_result(GRIDS[name])
    views = {view: SliceView(desk, view) for view in desk.slices}
    ct = desk.add_volume(np.zeros((24, 20, 16), np.int16), GRIDS[name])
    explanation = SceneExplanation.begin(ct, "Why?")
    explanation.complete(result)
    explanation.look = replace(explanation.look, maps=(), segments=("evidence",), legend=False)
    desk.fit()
    explanation.jump_to_strongest()
    for view, window in views.items():
        drawn = near(window.draw(), STRONG_FOR.colour)
        assert drawn.sum() > 10
        x, y = centre_of(drawn)
        ras = desk.to_ras(view, x, drawn.shape[0] - 1 - y)
        assert np.linalg.norm(ras - result.strongest_point_ras) < 1.5
    explanation.look = replace(explanation.look, segments=())
    assert not near(views["Red"].draw(), STRONG_FOR.colour).any()


def test_the_legend_is_drawn_where_the_map_is_shown(drawn_desk: Any, make_result: Callable[..., Any]) -> None:
    from support.slicer_drawing import SliceView

    desk = drawn_desk
    view = SliceView(desk, "Red")
    ct = desk.add_volume(np.zeros((24, 20, 16), np.int16), np.eye(4))
    explanation = SceneExplanation.begin(ct, "Why?")
    explanation.complete(make_result(np.eye(4)))
    explanation.look = replace(explanation.look, opacity=0.0, segments=())
    desk.fit()
    with_legend = np.ptp(view.draw().astype(int), axis=-1)
    assert (with_legend[:, -20:] > 60).any() and not (with_legend[:, :100] > 60).any()
    explanation.look = replace(explanation.look, legend=False)
    assert np.ptp(view.draw().astype(int), axis=-1).max() == 0


def test_surfaces_are_drawn_where_the_segments_are(drawn_desk: Any, make_result: Callable[..., Any]) -> None:
    from support.slicer_drawing import View3D

    desk, result = drawn_desk, make_result(GRIDS["oblique, flipped, axes in another order"])
    view = View3D(desk, (200, 200))
    ct = desk.add_volume(np.zeros((24, 20, 16), np.int16), result.affine_ras)
    explanation = SceneExplanation.begin(ct, "Why?")
    explanation.complete(result)
    for row, hue in ((1, STRONG_FOR.colour), (2, AGAINST.colour)):
        focus = np.array(result.region_table[row]["centre_ras_mm"])
        explanation.look = replace(explanation.look, surfaces=True, segments=("evidence",))
        picture = view.draw(focus, 40, np.array([1.0, 0.7, 0.5])).astype(int)
        middle = picture[90:110, 90:110].mean(axis=(0, 1))
        assert np.argmax(middle) == np.argmax(hue) and np.ptp(middle) > 40
        explanation.look = replace(explanation.look, surfaces=False)
        empty = view.draw(focus, 40, np.array([1.0, 0.7, 0.5])).astype(int)
        assert np.ptp(empty, axis=(0, 1)).max() < 130 and np.argmax(empty[100, 100]) == 2


def test_a_map_that_is_not_supported_is_marked_in_the_views_that_show_it(
    drawn_desk: Any, make_result: Callable[..., Any]
) -> None:
    from SlicerXAILib import side_by_side
    from SlicerXAILib.marks import Marks, unsupported_views
    from support.slicer_drawing import SliceView

    desk, red = drawn_desk, (179, 38, 30)
    for i in range(3):
        desk.add_slice_view(f"{side_by_side.VIEWS}{i}", "Axial")
    views = {name: SliceView(desk, name) for name in desk.slices}
    marks = Marks(views.get)
    ct = desk.add_volume(np.zeros((24, 20, 16), np.int16), np.eye(4))
    explanation = SceneExplanation.begin(ct, "Why?")
    explanation.complete(make_result(np.eye(4)))  # its LIME map is not supported
    for keys, marked in ((("lime",), {"Red", "Green", "Yellow"}), (("lime.std",), {"Red", "Green", "Yellow"})):
        explanation.look = replace(explanation.look, maps=keys, segments=(), legend=False)
        assert unsupported_views(explanation) >= marked
    explanation.look = replace(explanation.look, maps=("gradcam", "lime"), side_by_side=True)
    beside = [f"{side_by_side.VIEWS}{i}" for i in range(3)]
    marks.put(unsupported_views(explanation) & set(beside), "NOT SUPPORTED")
    seen = [near(views[name].draw(), red, 6)[:25].any() for name in beside]
    assert seen == [False, False, True]
    marks.put(set(), "")
    assert not near(views[beside[2]].draw(), red, 6).any()
