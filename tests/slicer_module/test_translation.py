"""Every word of the panel can be translated, the engine's too: seen with a catalogue whose words have no Latin letter.

What is left in Latin letters is what must not be translated: names that a bundle or the user gave.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.report_case import volume_explanation
from support.slicer_panel import ROOT, bootstrapped
from support.slicer_results import a_result

bootstrapped()

import slicer  # noqa: E402
from SlicerXAILib import engine_words  # noqa: E402
from SlicerXAILib.findings import of_evidence  # noqa: E402
from SlicerXAILib.inputs import affine_of  # noqa: E402
from SlicerXAILib.problems import Problem  # noqa: E402
from SlicerXAILib.scene_nodes import SceneExplanation  # noqa: E402
from SlicerXAILib.verdict_words import agreement_sentence, evidence_sentences  # noqa: E402
from SlicerXAILib.words import map_title, progress_text, region_name  # noqa: E402

from camlime.bundle.slice_settings import SequenceSettings  # noqa: E402
from camlime.evidence.bundle_record import RecordedCheck  # noqa: E402
from camlime.evidence.randomisation import Randomisation  # noqa: E402
from camlime.evidence.repeatability import Repeatability  # noqa: E402
from camlime.overview.words import METHOD_NAMES, agreement_in_words, evidence_in_words, verdict_in_words  # noqa: E402
from camlime.scan import Scan  # noqa: E402
from camlime.sequence import sequence_doubts  # noqa: E402

LATIN = re.compile(r"[A-Za-z]")
NAMES = {"malignant", "benign", "Vessel", "Lung"}
"""Of classes and regions, as a bundle and the user gave them."""


def foreign(text: str) -> str:
    """A translation: all letters but those in braces are others."""
    return re.sub(r"\{[^{}]*\}|[A-Za-z]", lambda found: found[0] if found[0].startswith("{") else "ж", text)


@pytest.fixture
def abroad() -> Iterator[None]:
    slicer.app.__dict__["catalogue"] = foreign
    yield
    del slicer.app.__dict__["catalogue"]


def left(text: str) -> str:
    """What is left untranslated."""
    for name in NAMES:
        text = text.replace(name, "")
    return text if LATIN.search(text) else ""


def findings(supported: bool | None, **changes: Any) -> dict[str, Any]:
    """Evidence as an event tells it."""
    explanation = volume_explanation()
    good = Randomisation(0.12, 0.2, 0.5, 3, False)
    repeated = Repeatability(10, 0.6, 0.87, 500, False)
    found = replace(explanation.evidence["fused"], supported=supported, randomisation=good, repeatability=repeated)
    found = replace(found, **changes)
    return {**found.as_dict(), "verdict": verdict_in_words(found), "in_words": evidence_in_words(found)}


def failed(found: dict[str, Any]) -> dict[str, Any]:
    """The same with a map that is no better than its copies, on one baseline."""
    mean = {**found["baselines"]["mean"], "judged_abpc": 0.05, "passed": False}
    return {**found, "baselines": {**found["baselines"], "mean": mean}}


SURVIVES = Randomisation(0.91, 0.9, 0.5, 3, True)


@pytest.mark.parametrize(
    "found",
    [
        findings(True),
        findings(True, repeatability=Repeatability(10, 0.6, 0.87, 500, True)),
        findings(True, bundle_record=RecordedCheck("fused", {}, (0.1, 0.2, 0.9))),
        failed(findings(False)),
        findings(False, randomisation=SURVIVES),
        findings(None, reason="not judged: 30 passes of evidence are too few for this map, a verdict takes 1200"),
        findings(
            None, reason="not judged: the image leaves nothing to replace voxels by but what the map was made with"
        ),
    ],
)
def test_the_verdict_is_made_from_numbers(abroad, found):
    kept = {"supported": found["supported"], "in_words": found["in_words"], "numbers": of_evidence(found)}
    for prediction in ({}, {"presumes": "Lung", "unconfirmed": True}):
        sentences = evidence_sentences(kept, prediction)
        assert len(sentences) >= 2
        assert [text for text in sentences if left(text)] == []


def numbers_in(text: str) -> list[str]:
    return re.findall(r"-?\d+(?:\.\d+)?", text)


def test_its_numbers_are_those_of_the_engine():
    explanation = volume_explanation()
    good = replace(explanation.evidence["fused"], randomisation=Randomisation(0.12, 0.2, 0.5, 3, False))
    good = replace(good, repeatability=Repeatability(10, 0.6, 0.87, 500, False))
    curves = good.baselines["mean"].curves.most_first
    at_random = good.baselines["mean"].controls["random"].most_first
    place = good.baselines["mean"].curves.fractions.index(0.05)
    told = evidence_sentences({"supported": True, "in_words": ["?"], "numbers": of_evidence(good.as_dict())})
    removed = [curves.probability[0], curves.probability[place], at_random.probability[place]]
    log_odds = [curves.log_odds[0], curves.log_odds[place], at_random.log_odds[place]]
    shown = [f"{removed[0]:.2f}", f"{removed[1]:.2f}", "5", f"{removed[2]:.2f}", *[f"{z:.1f}" for z in log_odds]]
    assert numbers_in(told[0]) == ["5", *shown]
    assert "malignant" in told[0]
    assert numbers_in(told[1]) == ["95", "19", "0.12", "0.50"]
    assert told[2] == evidence_in_words(good)[-1]


def test_agreement_is_said_as_the_engine_says_it():
    agreement = volume_explanation().agreement
    assert agreement is not None
    for badge in ("concordant", "CAM uninformative", "conflict"):
        engine = agreement_in_words(replace(agreement, badge=badge))
        assert agreement_sentence({"badge": badge, "in_words": "?"}) == engine


def test_methods_regions_and_stages_have_words_of_their_own(abroad):
    titles = [map_title(key, "evidence", title) for key, title in METHOD_NAMES.items()]
    titles += [map_title("fused.std", "spread", "Uncertainty of Fused"), map_title("agreement", "agreement", "?")]
    titles += [region_name(5, "Region 5"), region_name(5, "Slice 7: Region 5"), region_name(5, "Slice 7: Vessel")]
    stages = ("starting", "loading", "reading", "preparing", "measuring", "regions", "lime", "fused", "evidence")
    titles += [progress_text({"stage": stage, "seconds_left": 3, "slice": 2}) for stage in stages]
    assert [text for text in titles if left(text)] == []
    assert region_name(5, "Vessel") == "Vessel"


@pytest.mark.parametrize(
    "text",
    [
        "12% of what the network sees is padding beyond the scan; it is neither explained nor shown",
        "lime: too few masked images for this many regions to trust the standard errors; raise the budget",
        "slice 12: gradcam++: nothing in the map speaks for the class: it is nowhere positive",
        "memory ran out",
    ],
)
def test_what_the_engine_sends_as_text_is_recognised(abroad, text):
    assert not left(engine_words.said(text))
    assert numbers_in(engine_words.said(text)) == numbers_in(text)


def test_doubts_of_the_sequence_are_recognised(abroad):
    """All that the engine says of a header; what the header and the bundle say themselves stays as it is."""
    expected = SequenceSettings("1234", "99", ("88", "77"), ("66",), contrast=True)
    scan = Scan.from_array(np.arange(8.0).reshape(1, 2, 2, 2), np.eye(4))
    headers = ({"modality": "55", "series_description": "44 66"}, {"modality": "99", "series_description": "44"})
    said = [text for header in headers for text in sequence_doubts(replace(scan, header=header), expected).warnings]
    assert len(said) == 5
    assert [text for text in map(engine_words.said, said) if left(text.replace(" or ", ""))] == []
    assert [numbers_in(engine_words.said(text)) for text in said] == [numbers_in(text) for text in said]


def test_why_a_map_is_not_judged_is_said_with_what_is_said_of_the_record(abroad):
    unfit = "the bundle's record is of fused with CAMs, from 64 passes on, and says nothing of this map"
    few = "Not judged: 480 passes of evidence are too few for this map, a verdict takes 1064"
    for text in (f"{few}.", f"{few}; {unfit}."):
        said = engine_words.said(text)
        assert not left(said.replace("Fused", "").replace("CAMs", "")) and numbers_in(said) == numbers_in(text)


def test_what_is_not_known_is_shown_as_it_is(abroad):
    assert engine_words.said("Something new.") == "Something new."
    assert engine_words.said("Modality: CT") == "Modality: CT"


def test_wordings_are_those_of_the_engine():
    """Each piece of text between two names is in the engine's source; and in English both lists are the same."""
    assert engine_words._translated() == engine_words.WORDINGS
    source = "\n".join(path.read_text() for path in sorted((ROOT / "camlime").rglob("*.py")))
    joined = re.sub(r'"\s*\n?\s*f?"', "", source)
    for wording in engine_words.WORDINGS:
        text = wording.removeprefix("Not judged: ").removeprefix("the engine").rstrip(".")
        for piece in re.split(r"\{\w+\}|\. ", text):
            assert len(piece) < 12 or piece in joined, f"the engine does not say {piece!r} any more"


def words_on(widget: Any) -> Iterator[str]:
    """The texts that a control shows, but for those of the ``.ui``."""
    kind = type(widget).__name__
    if kind == "QComboBox":
        yield from (widget.itemText(n) for n in range(widget.count))
    elif kind == "QTableWidget":
        for column in range(widget.columnCount):
            yield widget.horizontalHeaderItem(column).text() if widget.horizontalHeaderItem(column) else ""
            items = (widget.item(row, column) for row in range(widget.rowCount))
            yield from (item.text() for item in items if item is not None)
    elif kind == "QLabel":
        yield widget.text


def test_nothing_on_the_panel_is_left_untranslated(desk, small_volume, abroad):
    made = a_result(affine_of(small_volume), (12, 10, 8), (7, 3, 4))
    warnings = ("lime: too few masked images for this many regions to trust the standard errors; raise the budget",)
    evidence = {"lime": failed(findings(False))}
    desk.panel.parameters.volume = small_volume
    explanation = SceneExplanation.begin(small_volume, "why")
    explanation.complete(replace(made, evidence=evidence, warnings=warnings, complete=False))
    desk.panel.show(explanation)
    names = ("predictionTable", "badgeLabel", "agreementLabel", "verdictLabel", "warningsLabel", "mapSelector")
    names += ("mapSupportLabel", "segmentsTable", "regionsTable")
    shown = {name: list(words_on(getattr(desk.ui, name))) for name in names}
    assert all(any(shown[name]) for name in names), shown
    assert {name: [text for text in texts if left(text)] for name, texts in shown.items()} == {n: [] for n in names}


def test_trouble_says_what_it_is_about_in_the_users_language(desk, abroad):
    problem = Problem.from_event({"kind": "bundle", "message": "there is no metadata.json", "hint": ""})
    assert re.fullmatch(r"ж+: there is no metadata.json", problem.message)
    assert not left(problem.hint.replace("configs/metadata.json", ""))
    ended = Problem.from_event({"event": "error", "kind": "crashed", "message": "the engine was ended by signal 9"})
    assert not left(ended.message)
    assert "9" in ended.message
