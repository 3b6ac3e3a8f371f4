"""The picture: slices the right way round, colours that mean what they say, and nothing cut off or overlapping."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.image import imread
from matplotlib.text import Text
from skimage.color import rgb2lab

from camlime.attribution import Attribution
from camlime.bundle.model_input import ModelInput
from camlime.evidence.curves import Curve, MapCurves
from camlime.evidence.records import BaselineEvidence, Evidence
from camlime.evidence.repeatability import Repeatability
from camlime.explanation import Explanation, Prediction
from camlime.methods.agreement import Agreement
from camlime.overview import compose, draw_overview
from camlime.overview.colours import LIGHT, RED, evidence_colours, evidence_scale, grey_window, spread_scale
from camlime.overview.layout import arrange
from camlime.overview.page import Typesetter
from camlime.overview.planes import Slicer
from camlime.overview.words import clean
from camlime.regions import Regions

ALL = (
    "gradcam",
    "gradcam++",
    "hirescam",
    "layercam",
    "xgradcam",
    "eigencam",
    "lime",
    "fused",
    "mean",
    "geometric",
    "rank",
)
NASTY = ("$x^2", "a_{b} \\alpha $", "\x1b[31mred\nline", "名前", "very long " * 12)


def an_explanation(
    shape: Sequence[int] = (20, 18, 6),
    spacing: Sequence[float] = (1.0, 1.0, 2.5),
    methods: Sequence[str] = ("gradcam", "lime", "fused"),
    *,
    channels: int = 1,
    names: Sequence[str] = ("benign", "malignant"),
    **fields: Any,
) -> Explanation:
    rng = np.random.default_rng(0)
    affine = np.diag([*spacing, *[1.0] * (3 - len(spacing)), 1.0])
    valid = np.ones(shape, dtype=bool)
    valid[:2] = False
    maps = {
        name: Attribution(
            name,
            rng.normal(size=shape).astype(np.float32),
            std=rng.random(shape).astype(np.float32) if name in {"lime", "fused"} else None,
            forward_passes=1024,
            backward_passes=8,
            seconds=12.3,
            target_layer="a.very.long.layer.name.0.conv" if "cam" in name else None,
        )
        for name in methods
    }
    probabilities = {name: 1 / (i + 2) for i, name in enumerate(names)}
    return Explanation(
        prediction=Prediction(names[0], probabilities, probabilities),
        explained_class=names[-1],
        attributions=maps,
        regions=Regions(np.ones(shape, dtype=np.int32)),
        input=ModelInput(torch.rand(channels, *shape), affine, torch.from_numpy(valid), tuple(spacing)),
        **{
            "agreement": Agreement("gradcam", -0.5, (-0.9, -0.1), 3.0, 0.4, 0.3, 10, "conflict"),
            "warnings": ("something to know " * 20,) * 8,
            "provenance": {
                "bundle": {"name": "bundle $1", "version": "1"},
                "seed": 3,
                "camlime": "0.1.0",
                "scan": {"name": "ct.nii.gz"},
            },
            "complete": False,
            **fields,
        },
    )


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_slices_show_the_patients_right_on_the_left(flips: tuple[int, ...], order: tuple[int, ...]) -> None:
    """A mark at the far right, front and top of the patient, whatever the storage order."""
    shape = np.array((5, 6, 7))[list(order)]
    affine = np.eye(4)
    affine[:3, :3] = np.diag(flips)[:, list(order)]
    corners = np.array(list(itertools.product(*[(0, n - 1) for n in shape])))
    ras = corners @ affine[:3, :3].T
    most = corners[np.argmax(ras.sum(axis=1))]
    volume = np.zeros(shape)
    volume[tuple(most)] = 1
    slicer = Slicer(affine, tuple(shape), tuple(affine[:3, :3] @ most))
    assert [plane.title.split(",")[0] for plane in slicer.planes] == ["axial", "coronal", "sagittal"]
    for plane in slicer.planes:
        assert slicer.cut(volume, plane)[0, 0] == 1  # R and A to the left, A and S to the top
        assert plane.cross_mm == (0.5, 0.5)
    assert [plane.letters for plane in slicer.planes] == [tuple("RLAP"), tuple("RLSI"), tuple("APSI")]


def test_oblique_planes_are_named_by_the_nearest_axis_and_say_so() -> None:
    angle = np.radians(25)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    titles = [plane.title for plane in Slicer(affine, (8, 8, 8), (0.0, 4.0, 2.0)).planes]
    assert titles == ["axial (oblique), S 2.0 mm", "coronal (oblique), A 4.0 mm", "sagittal (oblique), R 0.0 mm"]


def test_a_picture_is_shown_as_stored_and_a_2d_scan_as_it_lies_in_the_patient() -> None:
    image = np.arange(12.0).reshape(3, 4)
    picture = Slicer(np.eye(4), image.shape, (0, 0, 0), in_patient=False)
    scan = Slicer(np.eye(4), image.shape, (0, 0, 0))
    np.testing.assert_array_equal(picture.cut(image, picture.planes[0]), image.T)
    np.testing.assert_array_equal(scan.cut(image, scan.planes[0]), image.T[::-1, ::-1])
    assert picture.planes[0].letters is None
    assert scan.planes[0].letters == tuple("RLAP")


def test_every_slice_has_one_scale_in_mm() -> None:
    for shape, spacing in [((40, 40, 8), (1, 1, 1)), ((512, 512, 99), (0.7, 0.7, 3)), ((96, 96, 400), (1, 1, 2))]:
        planes = Slicer(np.diag([*spacing, 1.0]), shape, (0, 0, 0)).planes
        layout = arrange(planes, 5.4)
        for place in layout.places:
            size = np.array(place.plane.size_mm) * layout.inches_per_mm
            np.testing.assert_allclose((place.width, place.height), size)
            assert place.x >= 0 and place.x + place.width <= 5.4 + 1e-9
            assert place.y >= -1e-9 and place.y + place.height <= layout.height + 1e-9


def test_colours_are_equally_strong_to_both_sides_and_grow_evenly() -> None:
    lightness = rgb2lab(evidence_colours()(np.linspace(0, 1, 256))[None, :, :3])[0, :, 0]
    np.testing.assert_allclose(lightness[:128][::-1], lightness[128:], atol=6)
    assert (np.diff(lightness[128:]) > 0).all() and (np.diff(lightness[:128]) < 0).all()


def test_scales_are_robust_symmetric_and_leave_values_alone() -> None:
    values = np.linspace(-1, 2, 1000)
    values[0] = 500
    kept = values.copy()
    scale = evidence_scale(values)
    assert scale.low == -scale.high and scale.high < 3 and scale.clipped
    np.testing.assert_array_equal(scale.rgba(np.array([0.0]))[..., 3], 0)
    np.testing.assert_array_equal(values, kept)
    assert evidence_scale(np.abs(values)).low == 0
    assert evidence_scale(np.zeros(5)).high == 1
    assert spread_scale(np.ones(5)).high == 1 and not spread_scale(np.ones(5)).clipped


def test_nothing_in_the_scan_burns_out() -> None:
    """A bright lesion in dark lung keeps its order and stays below white."""
    image = np.full((1, 20, 20, 4), -850.0, dtype=np.float32)
    image[0, 5:12, 5:12] = np.linspace(20, 60, 7)[:, None, None]
    image[0, 0, 0, 0] = 900.0  # bone
    grey = grey_window(image, np.ones(image.shape[1:], dtype=bool))
    lesion = grey[0, 5:12, 5, 0]
    assert (np.diff(lesion) > 0).all() and lesion[0] > 0.7 and lesion[-1] <= LIGHT
    assert grey[0, 0, 0, 0] == pytest.approx(1) and grey[0, -1, -1, -1] == 0
    assert not grey_window(np.zeros_like(image), np.ones(image.shape[1:], dtype=bool)).any()


def test_a_map_that_is_not_supported_is_marked_and_the_first_comes_first() -> None:
    evidence = {"fused": some_evidence(True, ["mean"]), "gradcam": some_evidence(False, ["mean"])}
    page = compose(an_explanation(evidence=evidence))
    heights = {t.get_text(): t.get_position()[1] for t in page.figure.texts}
    assert heights["Scan"] > heights["Fused"] > heights["Grad-CAM"] > heights["LIME"]
    assert heights["Grad-CAM"] > heights["NOT SUPPORTED"] > heights["LIME"]
    red = [axes for axes in page.figure.axes if to_hex(axes.spines["top"].get_edgecolor()) == RED]
    assert len(red) == 3  # the slices of Grad-CAM, and no others
    none = compose(an_explanation(evidence={"fused": some_evidence(True, ["mean"])}))
    assert not any(to_hex(axes.spines["top"].get_edgecolor()) == RED for axes in none.figure.axes)


def some_evidence(supported: bool | None, baselines: Sequence[str], name: str = "malignant") -> Evidence:
    """Numbers that mean nothing, and words that are as long as they get."""
    line = tuple(np.linspace(4, -4, 5).tolist())
    curves = MapCurves((0.0, 0.2, 0.5, 0.8, 1.0), Curve(line, line), Curve(line, line))
    controls = {control: curves for control in ("random", "centre", "intensity")}
    tests = {
        baseline: BaselineEvidence(curves, controls, 1.0, tuple(-i / 7 for i in range(19))) for baseline in baselines
    }
    repeated = Repeatability(10, 0.5, 0.9, 1024, of_the_map=False)
    reason, sentence = "the map orders the input no better " * 6, f"Removing the strongest 5 % takes p({name}) " * 4
    return Evidence("fused", name, supported, reason, sentence, tests, None, repeated, 0.5, 2000, 2000, 1.0, 0)


def test_the_areas_under_the_curves_are_printed_for_the_map_and_its_controls() -> None:
    """By hand, with trapezoids, from the curves alone."""
    shares = (0.0, 0.2, 0.5, 0.8, 1.0)

    def curves(most: Sequence[float], least: Sequence[float]) -> MapCurves:
        return MapCurves(shares, Curve(tuple(most), (0.5,) * 5), Curve(tuple(least), (0.5,) * 5))

    def area(line: Sequence[float]) -> float:
        return sum((b - a) * (x + y) / 2 for a, b, x, y in zip(shares, shares[1:], line, line[1:], strict=False))

    own = ([4, 1, 0, -1, -2], [4, 3.5, 3, 2, -2])
    others = {"random": ([4, 3, 1, 0, -2], [4, 2.9, 1.2, 0, -2]), "centre": ([4, 2, 1, 0, -2], [4, 3, 2, 1, -2])}
    test = BaselineEvidence(
        curves(*own), {name: curves(*both) for name, both in others.items()}, 1.0, tuple(i / 100 for i in range(19))
    )
    evidence = dataclasses.replace(some_evidence(True, []), baselines={"mean": test})
    page = compose(an_explanation(evidence={"fused": evidence}))
    lines: dict[int, list[str]] = {}
    for text in sorted(page.figure.texts, key=lambda text: text.get_position()[0]):
        lines.setdefault(round(text.get_position()[1] * 1e6), []).append(text.get_text())
    rows = {line[0]: line[1:] for line in lines.values()}
    assert rows["area, log-odds"] == ["deletion ↓", "insertion ↑", "ABPC ↑"]
    for name, (most, least) in {"this map": own, "random order": others["random"], "centre": others["centre"]}.items():
        found = rows.get(name) or rows["blob in the centre"]
        wanted = [area(most), area(list(reversed(least))), area(least) - area(most)]
        assert [float(value.replace("−", "-")) for value in found] == pytest.approx(wanted, abs=0.0051), name
        assert not any("-" in value for value in found)
    copies = next(row for name, row in rows.items() if "copies" in name)
    assert copies == ["0.18"]
    record = evidence.as_dict()["baselines"]["mean"]
    for stored, (most, least) in ((record, own), *[(record["controls"][name], both) for name, both in others.items()]):
        assert stored["most_first"]["area"]["log_odds"] == pytest.approx(area(most))
        assert stored["insertion"]["area"]["log_odds"] == pytest.approx(area(list(reversed(least))))
        assert stored["abpc"]["log_odds"] == pytest.approx(area(least) - area(most))


CASES: dict[str, dict[str, Any]] = {
    "evidence": {"evidence": {"fused": some_evidence(False, ["blur", "mean"], NASTY[4])}},
    "more evidence": {
        "evidence": {"fused": some_evidence(True, ["blur (sigma_mm 3)", "constant (value 0.09375)", "mean"])}
    },
    "a verdict on each": {
        "evidence": {
            "fused": some_evidence(True, ["blur", "mean"]),
            "gradcam": some_evidence(False, ["blur"]),
            "lime": some_evidence(None, ["blur"]),
        }
    },
    "no curves": {"evidence": {"fused": some_evidence(None, [])}},
    "flat volume": {"shape": (40, 40, 8), "spacing": (0.7, 0.7, 1.0)},
    "all methods": {"methods": ALL, "names": [f"{NASTY[i % 5]} {i}" for i in range(14)]},
    "one method": {"methods": ("gradcam",), "agreement": None, "warnings": (), "complete": True},
    "no map": {"methods": ()},
    "one slice": {"shape": (20, 20, 1)},
    "tall": {"shape": (16, 16, 90)},
    "colour picture": {
        "shape": (64, 48),
        "spacing": (1.0, 1.0),
        "channels": 3,
        "evidence": {"fused": some_evidence(False, ["blur", "mean"])},
    },
    "four channels": {"channels": 4, "methods": ("lime",)},
}


@pytest.mark.filterwarnings("ignore:Glyph .* missing:UserWarning")
@pytest.mark.parametrize("case", CASES)
def test_nothing_is_cut_off_or_overlaps(case: str) -> None:
    settings = CASES[case]
    if case == "colour picture":
        settings = {**settings, "provenance": {"scan": {"name": "tile.PNG"}}}
    page = compose(an_explanation(**settings))
    renderer = page.figure.canvas.get_renderer()
    texts = [t for t in page.figure.findobj(Text) if t.get_text() and t.get_visible()]
    boxes = [text.get_window_extent(renderer) for text in texts]
    width, height = page.figure.bbox.size
    for text, box in zip(texts, boxes, strict=True):
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        assert inside, text.get_text()
    for (i, a), (j, b) in itertools.combinations(enumerate(boxes), 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across <= 2 or down <= 4, (texts[i].get_text(), texts[j].get_text())


@pytest.mark.filterwarnings("ignore:Glyph .* missing:UserWarning")
def test_names_from_files_are_shown_as_they_are(tmp_path: Path) -> None:
    draw_overview(an_explanation(names=NASTY), tmp_path / "overview.png")
    picture = imread(tmp_path / "overview.png")
    assert picture.ndim == 3 and picture.std() > 0.05
    page = compose(an_explanation(names=NASTY))
    said = [text.get_text() for text in page.figure.findobj(Text)]
    assert "$x^2" in said and "[31mred line" in said
    assert not any(text.get_parse_math() for text in page.figure.texts)


@pytest.mark.parametrize(
    ("fields", "badge", "said"),
    [
        ({"outside_because": "unlike the training data"}, "no class", "outside the training domain: unlike"),
        ({"presumes": "a lesion", "unconfirmed": True}, None, "no class: nobody said that the image shows a lesion"),
        ({"presumes": "a lesion"}, None, "presuming that the image shows a lesion"),
        ({}, None, ""),
    ],
)
def test_the_head_says_under_which_condition_there_is_a_class(
    fields: dict[str, Any], badge: str | None, said: str
) -> None:
    made = an_explanation(warnings=())
    prediction = dataclasses.replace(made.prediction, **fields)
    texts = [t.get_text() for t in compose(dataclasses.replace(made, prediction=prediction)).figure.texts]
    assert said in " ".join(texts)
    assert ("no class" in texts) is (badge is not None)
    assert ("predicted" in texts) is prediction.has_class
    assert any(text.endswith("%") for text in texts) is (badge is None)


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_a_heading_asks_what_is_answered_below_it(measured: bool, known: bool) -> None:
    """From top to bottom: each question is followed by a badge that answers it, and none is asked without one."""
    fields: dict[str, Any] = {"warnings": (), "complete": True, **({} if known else {"agreement": None})}
    if measured:
        fields["evidence"] = {"fused": some_evidence(True, [])}
    page = compose(an_explanation(**fields))
    use, agree, where = "Did the model use what the maps show?", "Do CAM and LIME agree?", "Where?"
    looked_for = {use, agree, where, "Fused: supported", "conflict"}
    lines = sorted(page.figure.texts, key=lambda text: -text.get_position()[1])
    assert [text.get_text() for text in lines if text.get_text() in looked_for] == {
        (True, True): [use, "Fused: supported", "conflict", where],
        (True, False): [use, "Fused: supported", where],
        (False, True): [agree, "conflict", where],
        (False, False): [],
    }[measured, known]


def test_padding_does_not_look_like_anatomy() -> None:
    def hatched(explanation: Explanation) -> int:
        return sum(bool(patch.get_hatch()) for axes in compose(explanation).figure.axes for patch in axes.patches)

    padded = an_explanation(methods=("gradcam",))
    given = padded.input
    whole = dataclasses.replace(
        padded, input=dataclasses.replace(given, valid=torch.ones(given.spatial_shape, dtype=torch.bool))
    )
    assert hatched(padded) == 4  # axial and coronal, with and without the map; the sagittal slice lies inside
    assert hatched(whole) == 0


def test_ellipsis_and_wrapping_keep_to_the_room() -> None:
    types = Typesetter()
    long = "word " * 60
    assert types.width(types.fit(long, 2.0, 8), 8) <= 2.0
    lines = types.wrap(long, 2.0, 8, most=2)
    assert len(lines) == 2 and lines[-1].endswith("…") and all(types.width(line, 8) <= 2.0 for line in lines)
    assert types.wrap("short", 2.0, 8) == ["short"]
    assert clean("a\u202eb\x07") == "a b"
