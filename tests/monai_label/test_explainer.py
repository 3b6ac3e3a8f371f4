"""What the server's explainer says of a slice, without a server around it."""

from __future__ import annotations

import pytest
from support.slice_cases import DIRECTIONS, lesion_volume, write_slice_bundle

from camlime.bundle import Bundle
from camlime.monai_label.asked import asked_of
from camlime.monai_label.doubt import doubt_of
from camlime.monai_label.explainer import Explainer
from camlime.monai_label.study import Study
from camlime.scan import save_volume
from camlime.slices import classify_slices, cut

from .conftest import SETTINGS


@pytest.fixture(scope="module")
def explainer(bundles) -> Explainer:
    return Explainer({"disc": Bundle.load(bundles["disc"])}, device="cpu")


def explained(explainer: Explainer, studies, **request):
    file = studies / "ball_b.nii.gz"
    return explainer.explain(Study("ball_b", file, file), "disc", "gradcam", asked_of({**SETTINGS, **request}))


def test_the_explanation_itself_knows_that_nobody_confirmed_its_slice(explainer, studies):
    """Doubt, labels and JSON are made of it, each of them."""
    chosen = explained(explainer, studies)
    assert chosen.slice is not None and chosen.slice.flag == "unconfirmed"
    prediction = chosen.explanation.prediction
    assert prediction.unconfirmed and prediction.class_name is None
    assert doubt_of(chosen.explanation).reasons[0] == "No class: nobody said that the image shows a ball."


def test_a_slice_that_a_point_names_is_confirmed(explainer, studies):
    pointed = explained(explainer, studies, point=[-20.0, 12.0, -60.0])
    assert pointed.slice is not None and pointed.slice.flag is None
    assert pointed.explanation.prediction.class_name == pointed.explanation.explained_class
    assert not any("No class" in reason for reason in doubt_of(pointed.explanation).reasons)


def test_a_slice_outside_the_training_domain_has_no_class_whoever_points_at_it(tmp_path):
    bundle = Bundle.load(write_slice_bundle(tmp_path / "slices"))
    scan = lesion_volume(DIRECTIONS["LPS"])
    scan.image[..., 6] += 3.0
    file = save_volume(tmp_path / "head.nii.gz", scan.image[0].numpy(), scan.affine)
    assert classify_slices(scan, bundle, slices=[6], device="cpu")[6].flag == "out of domain"
    asked = asked_of({**SETTINGS, "point": cut(scan).centre_ras(6).tolist()})
    given = Explainer({"slices": bundle}, device="cpu").explain(Study("head", file, file), "slices", "gradcam", asked)
    assert given.slice is not None and (given.slice.index, given.slice.flag) == (6, "out of domain")
    prediction = given.explanation.prediction
    assert (prediction.class_name, prediction.unconfirmed) == (None, False)
    assert prediction.outside_because == "unlike the training data"
