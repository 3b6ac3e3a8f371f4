"""Maps that know nothing: the same values elsewhere, and how many of them it takes."""

from __future__ import annotations

import numpy as np
import pytest
from evidence.conftest import make_toy

from camlime.evidence.controls import LEAST_SHIFT, control_maps, copies_within, percentile_95, shifted_copy


def test_copies_have_the_maps_values_in_another_place() -> None:
    values = np.zeros((24, 20, 4), dtype=np.float32)
    values[10:13, 9:12, 1:3] = np.arange(1, 19).reshape(3, 3, 2)
    spacing = (1.0, 1.0, 4.0)
    rng = np.random.default_rng(0)
    centre = np.argwhere(values).mean(axis=0)
    for _ in range(30):
        copy = shifted_copy(values, np.ones(values.shape, dtype=bool), spacing, rng)
        np.testing.assert_array_equal(np.sort(copy, axis=None), np.sort(values, axis=None))
        places = np.argwhere(copy == 10)[0]
        moved = np.abs(places - centre)
        moved = np.minimum(moved, np.array(values.shape) - moved) * spacing
        assert np.hypot.reduce(moved) > LEAST_SHIFT * 24 - 5  # its middle, to within its own size
    again = [shifted_copy(values, values >= 0, spacing, np.random.default_rng(7)) for _ in range(2)]
    np.testing.assert_array_equal(*again)


def test_padding_makes_no_hole_in_a_copy() -> None:
    valid = np.ones((12, 12), dtype=bool)
    valid[:, :3], valid[0, 3:6] = False, False
    values = np.where(valid, 5.0, 0.0).astype(np.float32)
    copy = shifted_copy(values, valid, (1.0, 1.0), np.random.default_rng(0))
    assert (copy[valid] == 5).all()


def test_controls_are_what_their_names_say() -> None:
    case = make_toy().case
    maps = control_maps(case.input, seed=3)
    assert np.unravel_index(maps["centre"].argmax(), maps["centre"].shape) in {
        (6, 5, 2),
        (7, 6, 3),
        (6, 5, 3),
        (6, 6, 2),
    }
    edge, far = maps["centre"][6, 5, 0], maps["centre"][6, 0, 2]
    assert edge > far  # 5 mm against 5.5 mm
    np.testing.assert_array_equal(maps["intensity"], case.input.image[0].numpy())
    np.testing.assert_array_equal(maps["random"], control_maps(case.input, seed=3)["random"])
    assert len(np.unique(maps["random"])) > 1000 - 8


@pytest.mark.parametrize(("copies", "rank"), [(19, 19), (39, 38), (99, 95), (199, 190)])
def test_percentile_has_an_exact_level(copies: int, rank: int) -> None:
    assert percentile_95(np.random.default_rng(0).permutation(np.arange(1, copies + 1)).tolist()) == rank
    assert 1 - rank / (copies + 1) == pytest.approx(0.05)


def test_number_of_copies_fits_the_passes() -> None:
    assert [copies_within(passes, 10) for passes in (0, 189, 190, 389, 390, 999, 5000)] == [0, 0, 19, 19, 39, 99, 199]
