"""The picture of a stack: what was explained, and what the model says along the slices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from camlime.explanation import leading
from camlime.overview.colours import INK, MUTED, RED, evidence_scale, grey_window
from camlime.overview.words import clean, method_title, verdict_in_words
from camlime.slices.answers import SliceAnswers
from camlime.slices.explaining import SliceExplanations

MOST_COLUMNS = 6
_TILE = 2.1
_CURVES = 2.6
_DPI = 140


def draw_slices(result: SliceExplanations, path: Path) -> None:
    """Write a PNG: a row of explained slices, a row with the leading map over each, and the curves below."""
    shown = list(result.explanations)[:MOST_COLUMNS]
    columns = max(len(shown), 1)
    width = max(columns * _TILE + 0.4, 7.5)
    height = _CURVES + 0.9 + (2 * _TILE + 0.4 if shown else 0)
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    heights = [_TILE, _TILE, _CURVES] if shown else [_CURVES]
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    for column, n in enumerate(shown):
        _tile(figure.add_subplot(grid[0, column]), result, n, mapped=False)
        _tile(figure.add_subplot(grid[1, column]), result, n, mapped=True)
    stack = result.answers.stack
    draw_curves(figure.add_subplot(grid[-1, :]), result.answers, tuple(result.explanations))
    more = f" (first {len(shown)} of {len(result.explanations)})" if len(shown) < len(result.explanations) else ""
    name = clean(stack.scan.source.name)[:60]
    title = f"{name}: {stack.plane} slices, no class for the volume{more}"
    if result.answers.presumes is not None and any(answer.class_name for answer in result.answers.answers):
        title += f"\na class presumes that the slice shows {clean(result.answers.presumes)}"
    figure.suptitle(title, fontsize=9, color=INK, parse_math=False)
    figure.savefig(path, dpi=_DPI)


def draw_curves(axes: Axes, answers: SliceAnswers, explained: tuple[int, ...] = ()) -> None:
    """Draw each class's probability along the slices; flagged slices have none and are red, unconfirmed grey."""
    index = np.array([answer.index for answer in answers.answers])
    colours = mpl.colormaps["tab10"]
    for i, name in enumerate(answers.class_names):
        said = [a.probabilities[name] if a.speaks else np.nan for a in answers.answers]
        label = clean(name).replace("_", " ").strip() or f"class {i}"
        axes.plot(index, said, "o-", markersize=3, linewidth=1.2, color=colours(i % 10), label=label)
    flagged = [answer.index for answer in answers.answers if not answer.speaks]
    _shade(axes, flagged, RED, "flagged: no class")
    if answers.presumes is not None:
        _shade(axes, answers.unconfirmed, MUTED, f"no class unless\n{clean(answers.presumes)} is there")
    for n in explained:
        axes.axvline(n, color=INK, linewidth=0.8, linestyle=":")
    axes.set(ylim=(-0.03, 1.03), xlim=(index[0] - 0.6, index[-1] + 0.6))
    axes.set_xlabel(f"{answers.stack.plane} slice (dotted: explained)", fontsize=8)
    axes.set_ylabel("probability", fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=7, colors=MUTED)
    legend = axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)  # names are a stranger's


def _shade(axes: Axes, slices: Sequence[int], colour: str, label: str) -> None:
    for i, n in enumerate(slices):
        axes.axvspan(n - 0.5, n + 0.5, color=colour, alpha=0.12, linewidth=0, label="_" if i else label)


def _tile(axes: Axes, result: SliceExplanations, n: int, *, mapped: bool) -> None:
    given, explanation = result.answers.inputs[n], result.explanations[n]
    valid = given.valid.numpy()
    grey = grey_window(given.image.numpy(), valid)[0].T
    axes.imshow(grey, cmap="gray", vmin=0, vmax=1, interpolation="bilinear")
    axes.set_axis_off()
    lead = leading(explanation.attributions)
    if mapped and lead is not None:
        scale = evidence_scale(lead.values[valid])
        colours = scale.rgba(lead.values.T)
        colours[~valid.T, 3] = 0.0
        axes.imshow(colours, interpolation="nearest")
        evidence = explanation.evidence.get(lead.method)
        verdict = "" if evidence is None else f": {verdict_in_words(evidence)}"
        refuted = evidence is not None and evidence.supported is False
        axes.set_title(f"{method_title(lead.method)}{verdict}", fontsize=7, color=RED if refuted else MUTED)
        return
    answer = result.answers[n]
    probability = answer.probabilities[explanation.explained_class]
    said = f"{clean(explanation.explained_class).replace('_', ' ')} {probability:.0%}"
    if answer.flag is None:
        axes.set_title(f"slice {n}: {said}", fontsize=8, color=INK, parse_math=False)
    elif answer.speaks:
        condition = f"slice {n}, if {clean(str(result.answers.presumes))} is there:"
        axes.set_title(f"{condition}\n{said}", fontsize=7, color=MUTED, parse_math=False)
    else:
        # In two lines: a tile is narrow.
        text = clean(answer.no_class).replace(" (", "\n(", 1)
        axes.set_title(f"slice {n}: {text}", fontsize=6, color=RED, parse_math=False)
