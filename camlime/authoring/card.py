"""The evidence card: what ``camlime benchmark`` measured on a bundle, as a page in its ``docs/``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from camlime.archives import hash_file
from camlime.authoring.explain_config import bundle_folder
from camlime.benchmark.settings import FORMAT
from camlime.bundle.config import BundleFolder
from camlime.bundle.screening import read_settings
from camlime.errors import OutputError, RequestError
from camlime.overview.words import clean, method_title
from camlime.saving import staged

CARD = "docs/evidence_card.md"
MAX_BYTES = 64 * 1024**2

SHOWN = ("abpc", "pointing", "mass", "rank", "auprc", "spearman", "jaccard", "nrmse", "coverage")
"""Quantities on the card, in order; the benchmark's own page has them all."""

GROUPS = ("ours", "controls")
"""Of methods on the card; other packages are compared on the benchmark's page."""


def write_card(folder: str | Path, summary: str | Path, *, force: bool = False) -> Path:
    """Write the evidence card of a benchmark into the bundle that it was made with.

    Args:
        folder: the bundle's; of its explain.json is told what it presumes, and nothing in it is resolved or run.
        summary: ``summary.json`` of the benchmark, or the folder that it is in.
        force: replace a card that is there.

    Returns:
        The file, ``docs/evidence_card.md``.

    Raises:
        RequestError: the summary is no summary, or of other weights.
        OutputError: there is a card already, or it cannot be written.
        BundleError: its explain.json cannot be read.
        UntrustedBundleError: a link leads out of the bundle.

    Example:
        >>> write_card("my_bundle", "benchmark/summary.json")  # doctest: +SKIP
    """
    root = bundle_folder(folder)
    inside = BundleFolder(root)
    there = inside.find(CARD) is not None or (root / CARD).is_symlink()
    if there and not force:
        raise OutputError(f"{root / CARD} is there already", hint="use --force to replace it")
    found = read_summary(Path(summary))
    changed = _changed_configs(inside, found)
    presumes = read_settings(inside).presumes
    try:
        text = "\n".join(_card(found, changed, presumes)) + "\n"
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RequestError(
            f"{summary} is no summary of a benchmark: {error!r}", hint="give the one that camlime benchmark wrote"
        ) from error
    with staged((root / CARD).parent) as stage:
        (stage / Path(CARD).name).write_text(text, encoding="utf-8")
    return root / CARD


def read_summary(path: Path) -> dict[str, Any]:
    """Read a benchmark's summary.

    Raises:
        RequestError: there is none, or it is something else.
    """
    file = path / "summary.json" if path.is_dir() else path
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ValueError("it is too large")
        found = json.loads(file.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']!r}, not {FORMAT!r}")
        for key in ("bundle", "cohort", "settings", "versions", "quantities"):
            if not isinstance(found[key], dict):
                raise ValueError(f"'{key}' is not an object")
    except OSError as error:
        raise RequestError(f"{file} cannot be read: {error.strerror}", hint="run camlime benchmark first") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"{file} is no summary of a benchmark: {error}", hint="give the summary.json that camlime benchmark wrote"
        ) from error
    return dict(found)


def _changed_configs(folder: BundleFolder, summary: Mapping[str, Any]) -> list[str]:
    """Configs that differ from those of the benchmark; other weights are an error."""
    changed = []
    for name, digest in summary["bundle"]["sha256"].items():
        path = folder.find(name)
        same = path is not None and hash_file(path) == digest
        if not same and name.startswith("models/"):
            raise RequestError(
                f"the benchmark was made with another {name} than the one in {folder.root}",
                hint="run the benchmark again with these weights",
            )
        if not same:
            changed.append(name)
    return changed


def _card(summary: Mapping[str, Any], changed: Sequence[str], presumes: str | None) -> Iterator[str]:
    bundle, cohort, settings = summary["bundle"], summary["cohort"], summary["settings"]
    yield f"# Evidence card: {_text(bundle['name'])} {_text(bundle['version'])}"
    yield ""
    yield (
        "Do the explanations of this model show what it uses, and where readers drew an outline, do they point there? "
        "Measured by `camlime benchmark`; nothing on this card was written by hand."
    )
    yield ""
    yield "## On whom"
    yield ""
    classes = ", ".join(f"{_text(name)} {count}" for name, count in cohort["classes"].items())
    yield f"- {cohort['patients']} patients, {cohort['cases']} cases (explained class: {classes})"
    if presumes is not None:
        yield f"- every case is presumed to show {_text(presumes)}, as every training image does"
    outlined = f"{cohort['outlines']} cases have an outline"
    if cohort["mean_prevalence"] is not None:
        outlined += f", which covers {cohort['mean_prevalence']:.1%} of the view on average: what chance would hit"
    yield f"- {outlined}"
    for case, why in cohort["failed"].items():
        yield f"- not done: {_text(case)}: {_text(why)}"
    for skipped in cohort["skipped"]:
        yield f"- {_text(skipped['method'])} could not run on {skipped['cases']} case(s): {_text(skipped['why'])}"
    for method, why in cohort["left_out"].items():
        yield f"- {_text(method)} was not run: {_text(why)}"
    yield ""
    yield from _results(summary)
    yield from _comparisons(summary)
    yield from _parents(summary)
    yield "## What it does not say"
    yield ""
    yield "- A map that is true of the model says nothing of whether the model is right."
    yield "- Intervals speak of these patients; another hospital, scanner or baseline is another question."
    yield "- An outline is what readers drew; a model may rightly use what lies outside it."
    yield ""
    yield "## How it was made"
    yield ""
    yield f"- {_text(summary['created'])}, settings {_text(summary['settings_hash'])}"
    budgets, seeds = _listed(settings["budgets"]), _listed(settings["seeds"])
    yield f"- budgets {budgets}; seeds {seeds}; jitter {settings['jitter_mm']} mm"
    used = ", ".join(f"{_text(name)} {_text(v)}" for name, v in summary["versions"].items() if v)
    yield f"- {used}"
    for name, digest in bundle["sha256"].items():
        note = " (changed since)" if name in changed else ""
        yield f"- `{_text(name)}` {_text(digest)}{note}"


def _is_shown(row: Mapping[str, Any], method: str, summary: Mapping[str, Any]) -> bool:
    """Whether a row is of a quantity on the card, of a method of the engine or a control, at the largest budget."""
    largest = max(summary["settings"]["budgets"])
    own = {result["method"] for result in summary["results"] if result["group"] in GROUPS}
    return row["quantity"] in SHOWN and method in own and row["budget"] in (None, largest)


def _results(summary: Mapping[str, Any]) -> Iterator[str]:
    yield "## What was measured"
    yield ""
    yield (
        "Mean over patients with its 95 % interval, at the largest budget. An arrow says which way is better. Other "
        "packages, smaller budgets and further quantities are on the benchmark's own page."
    )
    yield ""
    for name in SHOWN:
        rows = [row for row in summary["results"] if row["quantity"] == name and _is_shown(row, row["method"], summary)]
        if not rows:
            continue
        about = summary["quantities"][name]
        arrow = {"larger": " ↑", "smaller": " ↓"}.get(about["better"], "")
        yield f"### {_text(about['title'])}{arrow}"
        yield ""
        removal = any(row["baseline"] for row in rows)
        yield "| method | budget |" + (" removal baseline |" if removal else "") + " mean | patients |"
        yield "|---|---|" + ("---|" if removal else "") + "---|---|"
        for row in rows:
            baseline = f" {_text(row['baseline'])} |" if removal else ""
            value = _interval(row["mean"], row["mean_low"], row["mean_high"])
            title = _text(method_title(row["method"]))
            yield f"| {title} | {row['budget'] or '-'} |{baseline} {value} | {row['patients']} |"
        yield ""


def _comparisons(summary: Mapping[str, Any]) -> Iterator[str]:
    rows = [row for row in summary["comparisons"] if _is_shown(row, row["against"], summary)]
    if not rows:
        return
    yield f"## {_text(method_title(summary['reference']))} against the others"
    yield ""
    yield "Paired by patient; p of Wilcoxon's signed-rank test after Holm's correction."
    yield ""
    yield "| quantity | baseline | against | budget | mean difference | p |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        value = _interval(row["mean_difference"], row["low"], row["high"])
        against, baseline = _text(method_title(row["against"])), _text(row["baseline"]) or "-"
        p = _number(row["p_holm"])
        yield f"| {row['quantity']} | {baseline} | {against} | {row['budget'] or '-'} | {value} | {p} |"
    yield ""


def _parents(summary: Mapping[str, Any]) -> Iterator[str]:
    rows = summary["non_inferiority"]
    if not rows:
        return
    yield "## Fused against the better of its parents"
    yield ""
    yield f"Not inferior: the interval lies above minus {summary['margin']:.0%} of the better parent's mean."
    yield ""
    yield "| quantity | baseline | budget | better parent | mean difference | not inferior |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        value = _interval(row["mean_difference"], row["low"], row["high"])
        parent, baseline = _text(method_title(row["better_parent"])), _text(row["baseline"]) or "-"
        verdict = "yes" if row["not_inferior"] else "**no**"
        yield f"| {row['quantity']} | {baseline} | {row['budget']} | {parent} | {value} | {verdict} |"
    yield ""


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return _number(value)
    return f"{_number(value)} ({_number(low)} to {_number(high)})"


def _number(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))


def _text(value: object) -> str:
    """Text from a file, on one line, that Markdown takes for text and no more."""
    return "".join("\\" + c if c in "\\`*_[]<>|#!" else c for c in clean(value))
