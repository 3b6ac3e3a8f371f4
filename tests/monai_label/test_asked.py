"""What clients may send, and what they hear if they may not."""

from __future__ import annotations

import pytest

from camlime.errors import RequestError
from camlime.monai_label.asked import asked_of, checked_name


@pytest.mark.parametrize("point", ["-62 14 -120.5", "-62, 14, -120.5", [-62, 14, -120.5], "[-62, 14, -120.5]"])
def test_a_point_as_text_or_numbers(point):
    assert asked_of({"point": point}).place.ras == (-62.0, 14.0, -120.5)
    assert asked_of({"point_lps": point}).place.lps == (-62.0, 14.0, -120.5)


def test_a_click_is_a_voxel_and_the_last_one_counts():
    clicks = {"foreground": [], "Strong evidence for": [[1, 2, 3], [4, 5, 6]], "Evidence against": []}
    assert asked_of(clicks).place.voxel == (4.0, 5.0, 6.0)
    assert asked_of({"foreground": [[7, 8, 9]], "background": []}).place.voxel == (7.0, 8.0, 9.0)


def test_a_point_in_mm_comes_before_a_click():
    asked = asked_of({"point": "1 2 3", "foreground": [[7, 8, 9]]})
    assert (asked.place.ras, asked.place.voxel) == ((1.0, 2.0, 3.0), None)


def test_what_plug_ins_send_beside():
    sent = {"client_id": "x", "result_extension": ".nrrd", "result_dtype": "uint8", "restore_label_idx": False}
    asked = asked_of({**sent, "quality": ["quick", "standard"], "class_name": ["predicted", "a"], "point": ""})
    assert (asked.extension, asked.wants_map, asked.class_name) == (".nrrd", False, None)
    assert asked.settings["evidence_budget"] == 0


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"point": "1 2"}, "'point' has to be three numbers"),
        ({"point": "1 2 x"}, "'point' has to be three numbers"),
        ({"point": {"x": 1}}, "'point' has to be three numbers"),
        ({"point": "1 2 3", "point_lps": "1 2 3"}, "both 'point' and 'point_lps'"),
        ({"foreground": [["a", 1, 2]]}, "'foreground' has to be three numbers"),
        ({"quality": "perfect"}, "there is no quality 'perfect'"),
        ({"quality": 3}, "'quality' has to be a text"),
        ({"budget": -1}, "'budget' has to be a whole number"),
        ({"budget": True}, "'budget' has to be a whole number"),
        ({"seed": 1 << 40}, "'seed' has to be a whole number"),
        ({"result_dtype": "complex64"}, "'result_dtype' cannot be 'complex64'"),
        ({"result_extension": ".exe"}, "'result_extension' cannot be '.exe'"),
        ({"save_label": "perhaps"}, "'save_label' has to be true or false"),
        ({"label_tag": "../../evil"}, "'../../evil' is no label_tag"),
    ],
)
def test_what_is_refused(sent, said):
    with pytest.raises(RequestError, match=said.replace("(", r"\(").replace(".", r"\.")):
        asked_of(sent)


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a\\b", "a\0b", "a\nb", "x" * 256])
def test_names_that_lead_elsewhere(name):
    with pytest.raises(RequestError):
        checked_name(name, "tag")


@pytest.mark.parametrize("name", ["ball_a", "1.2.840.10008", "Müller 3", "a..b"])
def test_plain_names(name):
    assert checked_name(name, "image id") == name
