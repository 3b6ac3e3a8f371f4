"""The removal curves as numbers for inline SVG: no library, no script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from camlime.evidence.curves import Curve
from camlime.evidence.records import BaselineEvidence, Evidence
from camlime.overview.words import areas_in_words, clean

WIDTH, HEIGHT = 320.0, 182.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 10.0, 24.0, 28.0


@dataclass(frozen=True)
class Line:
    """One curve: its class in the style sheet, what it is, and its points for ``polyline``."""

    style: str
    name: str
    points: str


@dataclass(frozen=True)
class Chart:
    """One chart, in SVG units from the top left corner.

    Args:
        title: what happens along it.
        lines: the curves.
        area: points of the polygon between the first two.
        ticks: value and height of each labelled log-odds.
        even: height of p = 0.5; ``None`` if it is outside.
        described: in words, for those who do not see it.
    """

    title: str
    lines: tuple[Line, ...]
    area: str
    ticks: tuple[tuple[str, float], ...]
    even: float | None
    described: str


@dataclass(frozen=True)
class BaselineCharts:
    """Both charts with one baseline, and their areas in words."""

    baseline: str
    charts: tuple[Chart, Chart]
    areas: str


def charts_of(evidence: Evidence) -> list[BaselineCharts]:
    """Deletion and insertion with each scoring baseline."""
    return [
        BaselineCharts(clean(name), _pair(evidence, test), areas_in_words(evidence, name))
        for name, test in evidence.baselines.items()
    ]


def _pair(evidence: Evidence, test: BaselineEvidence) -> tuple[Chart, Chart]:
    curves, random = test.curves, test.controls.get("random")
    removed = [
        ("for", "most relevant first", curves.most_first),
        ("against", "least relevant first", curves.least_first),
    ]
    put_back = [
        ("for", "most relevant first", curves.insertion),
        ("against", "least relevant first", curves.most_first.backwards()),
    ]
    if random is not None:
        removed.append(("random", "random order", random.most_first))
        put_back.append(("random", "random order", random.insertion))
    values = np.concatenate([curve.log_odds for _, _, curve in [*removed, *put_back]])
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    return (
        _chart("Removed", evidence.class_name, removed, curves.fractions, limits),
        _chart("Put back", evidence.class_name, put_back, curves.fractions, limits),
    )


def _chart(
    title: str,
    class_name: str,
    curves: Sequence[tuple[str, str, Curve]],
    fractions: Sequence[float],
    limits: tuple[float, float],
) -> Chart:
    def height(value: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (limits[1] - value) / (limits[1] - limits[0]), 2)

    def path(values: Sequence[float]) -> list[str]:
        wide = WIDTH - LEFT - RIGHT
        return [f"{LEFT + wide * q:.2f},{height(v):.2f}" for q, v in zip(fractions, values, strict=True)]

    first, second = path(curves[0][2].log_odds), path(curves[1][2].log_odds)
    said = "; ".join(f"{name}: from {c.log_odds[0]:.2f} to {c.log_odds[-1]:.2f}" for _, name, c in curves)
    halfway = "; ".join(f"{name} {np.interp(0.2, fractions, c.log_odds):.2f}" for _, name, c in curves)
    return Chart(
        title=title,
        lines=tuple(Line(style, name, " ".join(path(curve.log_odds))) for style, name, curve in reversed(curves)),
        area=" ".join([*first, *reversed(second)]),
        ticks=tuple((f"{value:.1f}".replace("-", "−"), height(value)) for value in _ticks(limits)),
        even=height(0.0) if limits[0] < 0 < limits[1] else None,
        described=f"Log-odds of {clean(class_name)}. {said}. At 20 % of the voxels: {halfway}.",
    )


def _ticks(limits: tuple[float, float]) -> list[float]:
    """Three to six round numbers."""
    span = limits[1] - limits[0]
    step = 10.0 ** np.floor(np.log10(span / 3))
    step = next(step * m for m in (1, 2, 5, 10) if span / (step * m) <= 5)
    start = np.ceil(limits[0] / step)
    return [float(step * k) + 0.0 for k in np.arange(start, np.floor(limits[1] / step) + 1)]
