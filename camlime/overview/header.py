"""The head and foot of the page: what the model answered, whether CAM and LIME agree, what to be careful about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from camlime.explanation import Explanation
from camlime.overview.colours import AGAINST, AMBER, FOR, GREEN, INK, MUTED, RED, RULE
from camlime.overview.page import LINE, Page, Typesetter
from camlime.overview.units import pixels_in_words, place_in_words
from camlime.overview.words import agreement_in_numbers, agreement_in_words, clean, method_title

MOST_CLASSES = 6
MOST_WARNINGS = 5
TITLE, HEAD, BODY, SMALL = 15.0, 9.5, 8.5, 7.0

_ROW = 0.19
_GAP = 0.14
_MEANS_NOTHING = "The maps say what moved an answer that means nothing."
_INCOMPLETE = "Stopped on the way: what is shown is sound, but less certain, or a method is missing."
_BADGE_COLOURS = {"concordant": GREEN, "CAM uninformative": AMBER, "conflict": RED}


class Drawable(Protocol):
    """Something on a page."""

    def draw(self, page: Page, x: float, y: float) -> None:
        """Draw it, the block that it belongs to having its top left corner there."""


@dataclass(frozen=True)
class Block:
    """A part of the page over its whole width: its height, and the marks in it, from its top left corner.

    Args:
        height: inches.
        marks: each drawn from the block's top left corner.
    """

    height: float
    marks: tuple[Drawable, ...]

    def draw(self, page: Page, x: float, y: float) -> None:
        """Draw it with its top left corner there."""
        for mark in self.marks:
            mark.draw(page, x, y)


@dataclass(frozen=True)
class _Mark:
    x: float
    y: float
    text: str = ""
    size: float = BODY
    bold: bool = False
    colour: str = INK
    right: bool = False
    bar: tuple[float, float, float] | None = None
    """Width, height and corner radius of a filled box; ``y`` is its middle."""

    def draw(self, page: Page, x: float, y: float) -> None:
        if self.bar is not None:
            width, height, rounding = self.bar
            page.box(x + self.x, y + self.y - height / 2, width, height, self.colour, rounding=rounding)
        else:
            align = "right" if self.right else "left"
            page.text(x + self.x, y + self.y, self.text, self.size, bold=self.bold, colour=self.colour, ha=align)


def header(explanation: Explanation, width: float, types: Typesetter) -> list[Block]:
    """The answer, and what to be careful about, for a page with ``width`` inches between its margins."""
    blocks = [_title(explanation, width, types), _prediction(explanation, width, types)]
    if not explanation.complete:
        blocks.append(note("incomplete", AMBER, [_INCOMPLETE], width, types))
    if explanation.warnings:
        blocks.append(_warnings(explanation.warnings, width, types))
    return blocks


def agreement_note(explanation: Explanation, width: float, types: Typesetter) -> list[Block]:
    """Whether CAM and LIME agree, where that is known."""
    if explanation.agreement is None:
        return []
    badge = explanation.agreement.badge
    numbers = re.sub(r"(?<!\w)-(?=\d)", "−", agreement_in_numbers(explanation.agreement))
    said = [agreement_in_words(explanation.agreement), numbers]
    return [note(badge, _BADGE_COLOURS.get(badge, MUTED), said, width, types)]


def section(letter: str, title: str, width: float, types: Typesetter) -> Block:
    """The heading of a part of the page, with the letter that it is spoken of by."""
    marks = (
        _Mark(0, 0.0, colour=RULE, bar=(width, 0.008, 0.0)),
        _Mark(0, 0.15, letter, size=HEAD, bold=True),
        _Mark(0.2, 0.15, types.fit(title, width - 0.2, HEAD, bold=True), size=HEAD, bold=True),
    )
    return Block(0.34, marks)


def footer(explanation: Explanation, width: float, types: Typesetter) -> Block:
    """What the colours mean, what it is not for, and what it was made with."""
    made = explanation.provenance
    bundle = made.get("bundle", {})
    parts = [f"{bundle.get('name', 'bundle not named')} {bundle.get('version', '')}"]
    parts += [f"seed {made['seed']}"] if "seed" in made else []
    parts += [f"camlime {made['camlime']}"] if "camlime" in made else []
    purpose = "For research, not for diagnosis."
    room = width - types.width(purpose, BODY, bold=True) - 0.3
    marks = [
        _Mark(0, 0.04, colour=RULE, bar=(width, 0.008, 0.0)),
        _Mark(0, 0.2, purpose, bold=True),
        _Mark(width, 0.2, types.fit(" · ".join(parts), room, SMALL), size=SMALL, colour=MUTED, right=True),
    ]
    return Block(0.3, tuple(marks))


def _title(explanation: Explanation, width: float, types: Typesetter) -> Block:
    lead, name = "Evidence for ", types.fit(explanation.explained_class, width - 1.6, TITLE, bold=True)
    grid = " × ".join(map(str, explanation.input.spatial_shape))
    about = [clean(explanation.provenance.get("scan", {}).get("name", ""))]
    about.append(f"input {grid} {pixels_in_words(explanation)}")
    if explanation.best is not None:
        where = place_in_words(explanation, explanation.strongest_point_ras().tolist())
        about.append(f"strongest point of {method_title(explanation.best.method)} at {where}")
    marks = [
        _Mark(0, 0.14, lead, size=TITLE),
        _Mark(types.width(lead, TITLE), 0.14, name, size=TITLE, bold=True, colour=FOR),
    ]
    lines = types.wrap(" · ".join(filter(None, about)), width, SMALL, most=2)
    marks += [_Mark(0, 0.38 + i * SMALL * LINE, line, size=SMALL, colour=MUTED) for i, line in enumerate(lines)]
    return Block(0.38 + len(lines) * SMALL * LINE + _GAP, tuple(marks))


def _prediction(explanation: Explanation, width: float, types: Typesetter) -> Block:
    prediction = explanation.prediction
    if prediction.no_class:
        reason = f"The image is outside the training domain: {clean(prediction.outside_because)}."
        return note("no class", AMBER, [reason, _MEANS_NOTHING], width, types)
    order = sorted(prediction.probabilities, key=lambda name: -prediction.probabilities[name])
    shown = order[:MOST_CLASSES]
    if explanation.explained_class in order and explanation.explained_class not in shown:
        shown[-1] = explanation.explained_class
    room = 0.42 * width
    start = min(max(types.width(clean(name), BODY, bold=True) for name in shown), room) + 0.15
    length = width - start - 1.75
    marks: list[_Mark] = []
    for i, name in enumerate(shown):
        y = _ROW * (i + 0.5)
        value = prediction.probabilities[name]
        first = name == prediction.most_probable
        colour = FOR if name == explanation.explained_class else AGAINST if first else "#9aa5b1"
        marks.append(_Mark(0, y, types.fit(name, room, BODY, bold=first), bold=first))
        marks.append(_Mark(start, y, colour="#edf0f3", bar=(length, 0.1, 0.0)))
        marks.append(_Mark(start, y, colour=colour, bar=(length * min(max(value, 0.0), 1.0), 0.1, 0.0)))
        predicted, explained = first and prediction.has_class, name == explanation.explained_class
        said = [*(["predicted"] if predicted else []), *(["explained"] if explained else [])]
        marks.append(_Mark(start + length + 0.62, y, f"{value:.1%}", bold=first, right=True))
        marks.append(_Mark(start + length + 0.7, y, ", ".join(said), size=SMALL, colour=MUTED))
    height = _ROW * len(shown)
    rest = [name for name in order if name not in shown]
    if rest:
        said_of_rest = f"and {len(rest)} more, each at most {prediction.probabilities[rest[0]]:.1%}"
        marks.append(_Mark(start, height + 0.08, said_of_rest, size=SMALL, colour=MUTED))
        height += 0.18
    if prediction.presumes is not None:
        condition = f"the image shows {clean(prediction.presumes)}"
        said_of_it = (
            f"no class: nobody said that {condition}" if prediction.unconfirmed else f"presuming that {condition}"
        )
        colour = RED if prediction.unconfirmed else MUTED
        marks.append(_Mark(0, height + 0.06, types.fit(said_of_it, width, SMALL), size=SMALL, colour=colour))
        height += 0.16
    return Block(height + _GAP, tuple(marks))


def note(badge: str, colour: str, said: Sequence[str], width: float, types: Typesetter) -> Block:
    """A badge on a coloured ground, and beside it sentences, the first larger than the others."""
    label = clean(badge)
    wide = types.width(label, BODY, bold=True) + 0.22
    marks = [
        _Mark(0, 0.1, colour=colour, bar=(wide, 0.21, 0.06)),
        _Mark(0.11, 0.1, label, bold=True, colour="white"),
    ]
    lines = [
        (line, BODY if i == 0 else SMALL)
        for i, text in enumerate(said)
        for line in types.wrap(text, width - wide - 0.14, BODY if i == 0 else SMALL)
    ]
    y = 0.1
    for line, size in lines:
        marks.append(_Mark(wide + 0.14, y, line, size=size, colour=INK if size == BODY else MUTED))
        y += size * LINE
    return Block(max(y - 0.1, 0.21) + _GAP * 0.8, tuple(marks))


def _warnings(warnings: Sequence[str], width: float, types: Typesetter) -> Block:
    marks: list[_Mark] = []
    y = 0.08
    rest = len(warnings) - MOST_WARNINGS
    said = [*warnings[:MOST_WARNINGS], *([f"{rest} more: see explanation.json"] if rest > 0 else [])]
    for text in said:
        marks.append(_Mark(0.02, y, "!", bold=True, colour=AMBER))
        for line in types.wrap(text, width - 0.16, BODY):
            marks.append(_Mark(0.16, y, line))
            y += BODY * LINE
    return Block(y - 0.08 + _GAP, tuple(marks))
