"""The doubt about a study, from explanations that were really made."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.blob_bundle import write_blob_bundle

from camlime.domain import Likeness
from camlime.monai_label.doubt import UNKNOWN, Doubt, doubt_of, uncertainty_of
from camlime.phantom import blob
from camlime.pipeline import explain


@pytest.fixture(scope="module")
def explanation(tmp_path_factory):
    bundle = write_blob_bundle(tmp_path_factory.mktemp("bundle") / "ball", (16, 14, 12))
    scan = blob((16, 14, 12), spacing=(1.5, 1.5, 2.0), origin=(0, 0, 0), center_ras=(11, 10, 12), radius_mm=6.0)
    scan = type(scan).from_array(scan.image / 1000, scan.affine)
    return explain(scan, bundle, methods=["fused"], n_regions=12, budget=256)


def test_each_part_is_taken_from_what_was_found(explanation):
    doubt = doubt_of(explanation)
    supported = explanation.evidence["fused"].supported
    assert doubt.evidence == {True: 0.0, False: 1.0, None: UNKNOWN}[supported]
    assert doubt.conflict == {"concordant": 0.0, "CAM uninformative": 0.5, "conflict": 1.0}[explanation.agreement.badge]
    first, second = sorted(explanation.prediction.probabilities.values(), reverse=True)
    assert doubt.uncertainty == pytest.approx(1 - (first - second))
    assert doubt.value == pytest.approx((doubt.evidence + doubt.conflict + doubt.uncertainty) / 3)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"supported": True}, {"supported": None}),
        ({"supported": None}, {"supported": False}),
        ({"badge": "concordant"}, {"badge": "CAM uninformative"}),
        ({"badge": "CAM uninformative"}, {"badge": "conflict"}),
    ],
)
def test_doubt_grows_with_what_is_wrong(explanation, better, worse):
    def doubt(found: dict) -> Doubt:
        evidence, agreement = explanation.evidence["fused"], explanation.agreement
        if "supported" in found:
            evidence = replace(evidence, **found)
        else:
            agreement = replace(agreement, **found)
        return doubt_of(replace(explanation, evidence={"fused": evidence}, agreement=agreement))

    assert doubt(better).value < doubt(worse).value
    assert len(doubt(better).reasons) <= len(doubt(worse).reasons)


def test_an_answer_on_an_image_unlike_the_training_data_is_not_certain(explanation):
    outside = replace(explanation.prediction, outside_because="unlike the training data")
    within = doubt_of(replace(explanation, likeness=Likeness(3.0, 4.0, 0.95)))
    beyond = doubt_of(replace(explanation, likeness=Likeness(5.0, 4.0, 0.95), prediction=outside))
    assert within == doubt_of(explanation)
    assert beyond.uncertainty == 1.0
    assert beyond.value > within.value
    assert beyond.reasons[0].startswith("The image is unlike the training data (score 5.0")


def test_nor_is_an_answer_on_another_sequence(explanation):
    other = replace(explanation.prediction, outside_because="'FLAIR' speaks of flair")
    doubt = doubt_of(replace(explanation, prediction=other))
    assert doubt.uncertainty == 1.0
    assert doubt.reasons[0] == "Outside the training domain ('FLAIR' speaks of flair): no class."


def test_a_slice_that_nobody_confirmed_has_a_reason_and_keeps_its_place(explanation):
    """Without a point all studies are unconfirmed: a doubt that is 1 for each of them would order none."""
    unseen = replace(explanation.prediction, presumes="a\ttumour", unconfirmed=True)
    doubt, confirmed = doubt_of(replace(explanation, prediction=unseen)), doubt_of(explanation)
    assert doubt.reasons == ("No class: nobody said that the image shows a tumour.", *confirmed.reasons)
    assert doubt.value == confirmed.value


def test_what_was_not_measured_is_unknown_and_said(explanation):
    doubt = doubt_of(replace(explanation, evidence={}, agreement=None))
    assert (doubt.evidence, doubt.conflict) == (UNKNOWN, UNKNOWN)
    assert [reason for reason in doubt.reasons if "not measured" in reason] == list(doubt.reasons[:2])


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ({"a": 1.0, "b": 0.0}, 0.0),
        ({"a": 0.5, "b": 0.5}, 1.0),
        ({"a": 0.4, "b": 0.35, "c": 0.25}, 0.95),
        ({"a": 0.9, "b": 0.9, "c": 0.01}, 0.2),
        ({"a": 0.5}, 1.0),
    ],
)
def test_uncertainty(probabilities, expected):
    assert uncertainty_of(probabilities, "a") == pytest.approx(expected)
