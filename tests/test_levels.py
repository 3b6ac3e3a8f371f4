import dataclasses

import numpy as np
from support.report_case import volume_explanation

from camlime.levels import (
    AGAINST,
    AGREEMENT,
    CONFLICT,
    GROUP_NAMES,
    GROUPS,
    LEVELS,
    MODERATE_FOR,
    STRONG_FOR,
    agreement_levels,
    case_levels,
    evidence_levels,
    first_to_show,
    levels_of,
)

EVERYWHERE = np.ones(6, dtype=bool)


def test_each_label_key_name_and_colour_is_used_once():
    for of in (
        lambda level: level.label,
        lambda level: level.key,
        lambda level: level.name,
        lambda level: level.colour,
    ):
        assert len({of(level) for level in LEVELS}) == len(LEVELS)
    assert [level.label for level in LEVELS] == [1, 2, 3, 4, 5]


def test_bands_are_shares_of_the_largest_magnitude_of_either_sign():
    values = np.array([2.0, -4.0, 1.0, 0.99, -0.99, 0.0])
    expected = [STRONG_FOR.label, AGAINST.label, MODERATE_FOR.label, 0, 0, 0]
    assert evidence_levels(values, EVERYWHERE).tolist() == expected
    assert evidence_levels(1000 * values, EVERYWHERE).tolist() == expected


def test_an_empty_map_has_no_level():
    assert not evidence_levels(np.zeros(6), EVERYWHERE).any()
    assert not agreement_levels(np.zeros(6), np.ones(6), EVERYWHERE).any()


def test_padding_has_no_level_and_sets_no_scale():
    valid = np.array([True, True, False, False, False, False])
    labels = evidence_levels(np.array([1.0, 0.3, 100.0, -100.0, 1.0, 1.0]), valid)
    assert labels.tolist() == [STRONG_FOR.label, MODERATE_FOR.label, 0, 0, 0, 0]


def test_a_sign_that_is_not_certain_has_no_level():
    values = np.array([1.0, 1.0, -1.0, -1.0, 0.4, 0.4])
    std = np.array([0.5, 0.52, 0.5, 0.52, 0.2, 0.21])
    assert evidence_levels(values, EVERYWHERE, std=std).tolist() == [1, 0, 3, 0, 2, 0]


def test_a_method_that_knows_its_noise_less_well_needs_more_to_be_certain():
    """Student's factor for few degrees of freedom, as the method states it, not the normal distribution's."""
    explanation = volume_explanation()
    lime = explanation.attributions["lime"]
    assert lime.std is not None
    values = np.where(explanation.input.valid.numpy(), 2.5 * lime.std, 0.0).astype(np.float32)
    counts = []
    for factor in (1.97, 3.0):
        changed = dataclasses.replace(lime, values=values, parameters={"interval_factor": factor})
        found = case_levels(dataclasses.replace(explanation, attributions={"lime": changed}, agreement=None))
        assert found is not None
        counts.append(np.count_nonzero(found.evidence))
    assert counts[0] > 0 and counts[1] == 0


def test_methods_agree_or_conflict_by_sign_whatever_their_units():
    cam = np.array([1.0, -1.0, 1.0, 0.2, 0.0, -0.5])
    lime = 1e-6 * np.array([1.0, -1.0, -1.0, 1.0, 1.0, 0.5])
    expected = [AGREEMENT.label, AGREEMENT.label, CONFLICT.label, 0, 0, CONFLICT.label]
    assert agreement_levels(cam, lime, EVERYWHERE).tolist() == expected


def test_a_case_has_the_levels_of_its_best_map_and_the_agreement_of_cam_and_lime():
    explanation = volume_explanation()
    maps, valid = explanation.attributions, explanation.input.valid.numpy()
    found = case_levels(explanation)
    assert found is not None and (found.method, found.cam) == ("fused", "gradcam")
    fused = maps["fused"]
    labels = evidence_levels(fused.values, valid, std=fused.std, factor=fused.interval_factor)
    np.testing.assert_array_equal(found.evidence, labels)
    np.testing.assert_array_equal(found.agreement, agreement_levels(maps["gradcam"].values, maps["lime"].values, valid))


def test_a_case_without_a_cam_or_without_maps_has_what_it_can_have():
    explanation = volume_explanation()
    lime = dataclasses.replace(explanation, attributions={"lime": explanation.attributions["lime"]}, agreement=None)
    found = case_levels(lime)
    assert found is not None and (found.method, found.cam, found.agreement) == ("lime", None, None)
    assert case_levels(dataclasses.replace(explanation, attributions={})) is None
    occlusion = dataclasses.replace(explanation.attributions["lime"], method="occlusion")
    both = {"occlusion": occlusion, "lime": explanation.attributions["lime"]}
    found = case_levels(dataclasses.replace(lime, attributions=both))
    assert found is not None and (found.cam, found.agreement) == (None, None)


def test_the_groups_hold_each_level_once_and_have_names():
    assert [level for group in GROUPS.values() for level in group] == list(LEVELS)
    assert set(GROUP_NAMES) == set(GROUPS)
    found = case_levels(volume_explanation())
    assert found is not None and list(found.label_maps()) == list(GROUPS)
    for key, labels in found.label_maps().items():
        assert set(np.unique(labels)) <= {0, *(level.label for level in GROUPS[key])}


def test_fused_is_shown_first_then_lime_then_what_came_first():
    assert first_to_show(["gradcam", "lime", "fused"]) == "fused"
    assert first_to_show(["rank", "gradcam", "lime"]) == "lime"
    assert first_to_show(["layercam", "gradcam"]) == "layercam"
    assert first_to_show([]) is None


def test_lime_is_compared_with_the_cam_that_the_agreement_speaks_of_and_never_with_another_method():
    lime = np.array([1.0, -1.0, 1.0, 0.0, 0.0, 0.0])
    maps = {"occlusion": (-lime, None), "gradcam": (lime, None), "layercam": (-lime, None), "lime": (lime, None)}
    first, told = levels_of(maps, EVERYWHERE), levels_of(maps, EVERYWHERE, agreed="layercam")
    assert first is not None and first.cam == "gradcam" and first.agreement is not None
    assert told is not None and told.cam == "layercam" and told.agreement is not None
    assert first.agreement.tolist() == [4, 4, 4, 0, 0, 0] and told.agreement.tolist() == [5, 5, 5, 0, 0, 0]
    none = levels_of({"occlusion": maps["occlusion"], "lime": maps["lime"]}, EVERYWHERE)
    assert none is not None and none.agreement is None
