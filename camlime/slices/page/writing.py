"""The page of slices: what it says, and the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camlime.overview.words import clean, method_title
from camlime.report import content
from camlime.report.niivue import Viewer, installed_viewer
from camlime.report.picture import static_picture
from camlime.report.writing import fill, save_page
from camlime.scan import Scan
from camlime.slices.answers import UNCONFIRMED, SliceAnswer
from camlime.slices.loading import SavedSlices
from camlime.slices.page.chart import chart_of, height_of
from camlime.slices.page.volumes import slices_volumes

MOST_PICTURES = 6
"""Explained slices that are shown as still pictures, to bound the size of the page."""


@dataclass(frozen=True)
class SliceRow:
    """One line of the table; ``share`` is the probability of its class, ``at`` the middle in the page's frame.

    ``condition`` says on what the class of an unconfirmed slice hangs.
    """

    id: int
    index: int
    flag: str | None
    condition: str
    name: str
    share: float
    percent: str
    score: str
    explained: bool
    centre: tuple[float, float, float]
    at: tuple[float, float, float]


def write_slices_report(
    found: SavedSlices, path: str | Path, *, scan: Scan | None = None, identified: bool = False
) -> Path:
    """Write the explanation of slices as one HTML page that opens from disk and asks nothing of a network.

    Args:
        found: what :func:`camlime.slices.loading.load_slices` read.
        path: the HTML file; its folder is made if it is not there, and a file of that name replaced.
        scan: the scan that was cut, to lie below the maps.
        identified: also show the scan's file name and series UID, which may name a patient.

    Returns:
        The path.

    Raises:
        RequestError: the scan is another one.
        OutputError: it cannot be written; nothing is left behind.

    Example:
        >>> write_slices_report(load_slices("explanation"), "explanation/report.html")  # doctest: +SKIP
    """
    return save_page(slices_report_text(found, scan=scan, identified=identified), Path(path))


def slices_report_text(found: SavedSlices, *, scan: Scan | None = None, identified: bool = False) -> str:
    """The page that :func:`write_slices_report` writes, to be saved together with other files.

    Raises:
        RequestError: the scan is another one.
    """
    return render(found, scan=scan, identified=identified, viewer=installed_viewer())


def render(found: SavedSlices, *, scan: Scan | None, identified: bool, viewer: Viewer | None) -> str:
    """The page's text; see :func:`write_slices_report`."""
    volumes = slices_volumes(found, scan)
    bundle = content.bundle_name(found.provenance)
    rows = [_row(answer, found, volumes.frame) for answer in found.answers]
    flagged = sum(row.flag is not None for row in rows)
    unconfirmed = sum(bool(row.condition) for row in rows)
    own = [
        ("Plane", f"{found.plane}{', as acquired' if found.native else ', reformatted'}"),
        ("Network input", f"{found.shape[0]} × {found.shape[1]} pixels a slice"),
    ]
    return fill(
        "slices.html.jinja",
        volumes,
        viewer,
        place_word="Slice",
        title=f"Evidence slice by slice – {bundle}",
        bundle=bundle,
        plane=clean(found.plane),
        rows=rows,
        flagged=flagged,
        unconfirmed=unconfirmed,
        condition=_condition(found),
        presumes=clean(found.presumes or ""),
        answered=len(rows) - flagged - unconfirmed,
        scored=found.threshold is not None,
        threshold="" if found.threshold is None else f"{found.threshold:.1f}",
        beyond="" if found.quantile is None else f"{1 - found.quantile:.0%}",
        chart=chart_of(found),
        levels=[(f"{p:.0%}", height_of(p)) for p in (0.0, 0.5, 1.0)],
        explained=[_explained(n, found, pictured=i < MOST_PICTURES) for i, n in enumerate(found.explanations)],
        most_pictures=MOST_PICTURES,
        warnings=[clean(warning) for warning in found.warnings],
        complete=found.complete,
        provenance=content.origin(found.provenance, own, _passes(found), identified=identified),
    )


def _row(answer: SliceAnswer, found: SavedSlices, frame: Any) -> SliceRow:
    at = frame @ [*answer.centre_ras, 1.0]
    name = answer.class_name or answer.class_if_present
    share = 0.0 if name is None else float(answer.probabilities[name])
    x, y, z = map(float, answer.centre_ras)
    return SliceRow(
        id=answer.index + 1,
        index=answer.index,
        flag=None if answer.speaks else clean(answer.no_class),
        condition=_condition(found) if answer.flag == UNCONFIRMED else "",
        name="" if name is None else clean(name),
        share=share,
        percent="" if name is None else content.percent(share),
        score="–" if answer.score is None else f"{answer.score:.1f}",
        explained=answer.index in found.explanations,
        centre=(x, y, z),
        at=(float(at[0]), float(at[1]), float(at[2])),
    )


def _condition(found: SavedSlices) -> str:
    return "" if found.presumes is None else f"if {clean(found.presumes)} is there"


def _explained(n: int, found: SavedSlices, *, pictured: bool) -> Mapping[str, Any]:
    explanation = found.explanations[n]
    answer = next(answer for answer in found.answers if answer.index == n)
    share = explanation.prediction.probabilities.get(explanation.explained_class, float("nan"))
    return {
        "index": n,
        "name": clean(explanation.explained_class),
        "predicted": clean(explanation.prediction.most_probable),
        "percent": content.percent(share),
        "flag": None if answer.speaks else clean(answer.no_class),
        "condition": _condition(found) if answer.flag == UNCONFIRMED else "",
        "verdicts": content.verdicts(explanation),
        "agreement": content.agreement(explanation),
        "uncertainty": content.uncertainty(explanation),
        "warnings": [clean(warning) for warning in explanation.warnings],
        "picture": static_picture(explanation) if pictured and explanation.best is not None else None,
        "best": method_title(explanation.best.method) if explanation.best is not None else "",
    }


def _passes(found: SavedSlices) -> list[tuple[str, str]]:
    """What each method cost, all slices together."""
    names = dict.fromkeys(name for one in found.explanations.values() for name in one.attributions)
    said = []
    for name in names:
        maps = [one.attributions[name] for one in found.explanations.values() if name in one.attributions]
        passes = f"{sum(a.forward_passes for a in maps)} forward, {sum(a.backward_passes for a in maps)} backward"
        said.append(
            (method_title(name), f"{passes} passes on {len(maps)} slices, {sum(a.seconds for a in maps):.1f} s")
        )
    return said
