"""Each class's probability along the slices as numbers for inline SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from camlime.overview.words import clean
from camlime.slices.answers import UNCONFIRMED, SliceAnswer
from camlime.slices.loading import SavedSlices

WIDTH, HEIGHT = 900.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 10.0, 10.0, 30.0

MOST_LINES = 6
"""Colours that are told apart; the classes with the highest probability anywhere have a line."""


@dataclass(frozen=True)
class ClassLine:
    """One class: its number for the style sheet, name, dots, and lines between neighbours that have an answer."""

    style: int
    name: str
    dots: tuple[tuple[float, float], ...]
    paths: tuple[str, ...]


@dataclass(frozen=True)
class SlicesChart:
    """Probabilities along the slices, in SVG units from the top left corner.

    Args:
        lines: the classes.
        left_out: how many classes have none.
        flagged: left edge and width of each slice without an answer.
        unconfirmed: the same of slices whose answer holds only if what the bundle presumes is there.
        explained: where the explained slices are.
        ticks: slice number and place of the labelled ones.
        described: in words, for those who do not see it.
    """

    lines: tuple[ClassLine, ...]
    left_out: int
    flagged: tuple[tuple[float, float], ...]
    unconfirmed: tuple[tuple[float, float], ...]
    explained: tuple[float, ...]
    ticks: tuple[tuple[int, float], ...]
    described: str


def chart_of(found: SavedSlices) -> SlicesChart:
    """The chart of all slices that were asked about."""
    numbers = [answer.index for answer in found.answers]
    low, high = numbers[0] - 0.5, numbers[-1] + 0.5
    step = (WIDTH - LEFT - RIGHT) / (high - low)

    def across(n: float) -> float:
        return round(LEFT + (n - low) * step, 2)

    def highest(name: str) -> float:
        return max((answer.probabilities[name] for answer in found.answers if answer.speaks), default=0.0)

    shown = sorted(sorted(found.class_names, key=highest, reverse=True)[:MOST_LINES], key=found.class_names.index)
    flagged = [answer.index for answer in found.answers if not answer.speaks]
    unconfirmed = [answer.index for answer in found.answers if answer.flag == UNCONFIRMED]
    every = max(1, int(np.ceil(len(numbers) / 24)))
    return SlicesChart(
        lines=tuple(_line(i, name, found.answers, across) for i, name in enumerate(shown)),
        left_out=len(found.class_names) - len(shown),
        flagged=tuple((across(n - 0.5), round(step, 2)) for n in flagged),
        unconfirmed=tuple((across(n - 0.5), round(step, 2)) for n in unconfirmed),
        explained=tuple(across(n) for n in found.explanations),
        ticks=tuple((n, across(n)) for n in numbers[::every]),
        described=f"Probability of each class in slices {numbers[0]} to {numbers[-1]}; "
        f"{len(flagged)} are flagged and have none. {_presuming(found, len(unconfirmed))}"
        "The table below has the numbers.",
    )


def _presuming(found: SavedSlices, many: int) -> str:
    return f"{many} have no class unless {clean(str(found.presumes))} is there. " if many else ""


def height_of(probability: float) -> float:
    """Where a probability lies."""
    return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - probability), 2)


def _line(style: int, name: str, answers: Sequence[SliceAnswer], across: Callable[[float], float]) -> ClassLine:
    dots: list[tuple[float, float]] = []
    paths: list[list[str]] = []
    path: list[str] = []
    before = None
    for answer in answers:
        if answer.speaks:
            dot = (across(answer.index), height_of(answer.probabilities[name]))
            if before is not None and answer.index != before + 1:
                paths, path = [*paths, path], []
            dots.append(dot)
            path.append("{},{}".format(*dot))
            before = answer.index
    kept = [" ".join(one) for one in [*paths, path] if len(one) > 1]
    return ClassLine(style, clean(name), tuple(dots), tuple(kept))
