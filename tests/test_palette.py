from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from skimage.color import lab2rgb, rgb2lab

from camlime import palette


@pytest.mark.parametrize("table", [palette.evidence_table, palette.for_table, palette.spread_table])
def test_tables_are_colours_that_a_screen_can_show(table: Callable[[], np.ndarray]) -> None:
    colours = table()
    assert colours.shape == (256, 3)
    assert colours.min() >= 0 and colours.max() <= 1


def test_cielab_is_converted_as_scikit_image_does() -> None:
    rng = np.random.default_rng(0)
    lab = np.stack([rng.uniform(5, 95, 200), *rng.uniform(-25, 25, (2, 200))], axis=-1)
    np.testing.assert_allclose(palette._srgb(lab), lab2rgb(lab), atol=1e-3)


def test_spread_is_perceptually_even() -> None:
    lab = rgb2lab(palette.spread_table()[None])[0]
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=-1)
    assert (np.diff(lab[:, 0]) > 0).all()
    assert steps.max() < 2 * steps.mean()


def test_limits_ignore_single_voxels_and_empty_maps() -> None:
    values = np.ones(1000)
    values[0] = -1000
    assert palette.limit_of(values) == 1
    assert palette.limit_of(np.zeros(4)) == 1


def test_a_viewer_has_levels_and_colours_without_the_engines_packages(run_python: Callable[[str], str]) -> None:
    heavy = "{'torch', 'monai', 'matplotlib', 'skimage', 'nibabel', 'scipy'}"
    code = f"import sys, camlime.levels, camlime.palette, camlime.overview.words; print({heavy} & set(sys.modules))"
    assert run_python(code).strip() == "set()"
