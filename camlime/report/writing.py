"""The page: template, style, script and data in one file, under a content security policy of their hashes."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

from camlime.errors import OutputError, RequestError
from camlime.explanation import Explanation
from camlime.overview.colours import evidence_colours
from camlime.overview.words import clean, method_title
from camlime.palette import spread_table
from camlime.report import content
from camlime.report.niivue import Viewer, installed_viewer
from camlime.report.picture import static_picture
from camlime.report.volumes import Volume, Volumes, page_volumes
from camlime.scan import Scan
from camlime.staging import staged

_STEPS = 9
"""Colours of each arm that the viewer interpolates between."""


def write_report(
    explanation: Explanation, path: str | Path, *, scan: Scan | None = None, identified: bool = False
) -> Path:
    """Write an explanation as one HTML page that opens from disk and asks nothing of a network.

    The maps are shown in NiiVue, taken from the installed package ``ipyniivue`` (extra ``report``); without it the page
    has the still pictures only, and says so.

    Args:
        explanation: what to show; needs at least one map.
        path: the HTML file; its folder is made if it is not there, and a file of that name replaced.
        scan: the scan that was explained, to be shown around what the network saw.
        identified: also show the scan's file name and series UID, and the regions' file name, which may name a patient.

    Returns:
        The path.

    Raises:
        RequestError: there is no map, or the scan is another one.
        OutputError: it cannot be written; nothing is left behind.

    Example:
        >>> write_report(camlime.Explanation.load("explanation"), "explanation/report.html")  # doctest: +SKIP
    """
    return save_page(report_text(explanation, scan=scan, identified=identified), Path(path))


def report_text(explanation: Explanation, *, scan: Scan | None = None, identified: bool = False) -> str:
    """The page that :func:`write_report` writes, to be saved together with other files.

    Raises:
        RequestError: there is no map, or the scan is another one.
    """
    if explanation.best is None:
        raise RequestError("the explanation holds no map to show", hint="explain the scan again")
    return render(explanation, scan=scan, identified=identified, viewer=installed_viewer())


def save_page(text: str, path: Path) -> Path:
    """Write a page, whole or not at all.

    Raises:
        OutputError: it cannot be written; nothing is left behind.
    """
    try:
        with staged(path.parent) as stage:
            (stage / path.name).write_text(text, encoding="utf-8", newline="\n")
    except OutputError as error:
        raise OutputError(error.message, hint="give a place that you may write to, with space left") from error
    return path


def render(explanation: Explanation, *, scan: Scan | None, identified: bool, viewer: Viewer | None) -> str:
    """The page's text; see :func:`write_report`.

    Args:
        explanation: what to show.
        scan: shown around what the network saw.
        identified: also show names of files.
        viewer: NiiVue; ``None`` for still pictures only.
    """
    volumes = page_volumes(explanation, scan)
    rows, more_classes = content.classes(explanation)
    regions, more_regions = content.regions(explanation, volumes.frame, picture=not volumes.in_patient)
    no_class = clean(explanation.prediction.no_class)
    explained, bundle = clean(explanation.explained_class), content.bundle_name(explanation.provenance)
    return fill(
        "report.html.jinja",
        volumes,
        viewer,
        title=f"{clean(explanation.title)} – {bundle}",
        place_word="Region",
        explained=explained,
        no_class=f"{no_class[:1].upper()}{no_class[1:]}",
        presumes=clean(explanation.prediction.presumes or ""),
        unconfirmed=explanation.prediction.unconfirmed,
        predicted=clean(explanation.prediction.most_probable),
        probability=content.percent(
            explanation.prediction.probabilities.get(explanation.explained_class, float("nan"))
        ),
        bundle=bundle,
        classes=rows,
        more_classes=more_classes,
        verdicts=content.verdicts(explanation),
        agreement=content.agreement(explanation),
        regions=regions,
        more_regions=more_regions,
        weighed=any(row.weight is not None for row in regions),
        uncertainty=content.uncertainty(explanation),
        warnings=[clean(warning) for warning in explanation.warnings],
        complete=explanation.complete,
        best=method_title(explanation.best.method) if explanation.best else "",
        picture=static_picture(explanation),
        provenance=content.provenance(explanation, identified=identified),
    )


def fill(template: str, volumes: Volumes, viewer: Viewer | None, *, place_word: str, **said: Any) -> str:
    """A page's text from its template, with style, scripts, volumes and the policy that allows nothing else.

    Args:
        template: its name in ``camlime/report/page``; extends ``base.html.jinja``.
        volumes: what the viewer shows.
        viewer: NiiVue; ``None`` for still pictures only.
        place_word: what the label map ``volumes.regions`` tells apart: regions, or slices.
        **said: what the template needs. Its escaping makes any text harmless; one clean line a text is the caller's.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("camlime.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = _text("report.css")
    scripts = [] if viewer is None else [viewer.script, _text("viewer.js")]
    return environment.get_template(template).render(
        policy=_policy(style, scripts),
        style=style,
        scripts=scripts,
        viewer=viewer,
        volumes=volumes,
        data=_data(volumes, place_word),
        place_word=place_word,
        **said,
    )


def _text(name: str) -> str:
    return resources.files("camlime.report").joinpath("page").joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, scripts: list[str]) -> str:
    """Nothing but this page's own style and scripts, byte for byte, and pictures that are part of it."""
    allowed = " ".join(map(_hashed, scripts)) or "'none'"
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {allowed}",
            f"style-src {_hashed(style)}",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def _data(volumes: Volumes, place_word: str) -> dict[str, Any]:
    """What the page's script is told; volumes lie in elements of their own."""
    return {
        "scan": _described(volumes.scan),
        "overlays": [_described(one) for one in volumes.overlays],
        "regions": _described(volumes.regions),
        "point": list(volumes.point),
        "flat": volumes.flat,
        "solid": volumes.solid,
        "inPatient": volumes.in_patient,
        "place": place_word,
        "colours": _colours(),
    }


def _described(one: Volume) -> dict[str, Any]:
    return {
        "key": one.key,
        "title": one.title,
        "kind": one.kind,
        "unit": one.unit,
        "low": one.low,
        "high": one.high,
        "help": one.help,
        "levels": [
            {"label": level.label, "name": level.name, "meaning": level.meaning, "colour": level.colour}
            for level in one.levels
        ],
    }


def _colours() -> dict[str, list[list[int]]]:
    """The arms of the diverging colours of the maps, from nothing to the strongest, and those of the uncertainty."""
    steps = [i / (_STEPS - 1) for i in range(_STEPS)]
    maps, spread = evidence_colours(), spread_table()
    arms = {
        "for": [maps(0.5 + t / 2) for t in steps],
        "against": [maps(0.5 - t / 2 if t < 1 else 0.0) for t in steps],
        "spread": [spread[round(t * (len(spread) - 1))] for t in steps],
    }
    return {name: [[round(255 * part) for part in colour[:3]] for colour in arm] for name, arm in arms.items()}
