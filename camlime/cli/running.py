"""Explain one scan and save what comes out: what ``explain`` and ``demo`` do alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from camlime.cli import INTERRUPTED
from camlime.cli.console import stderr, stdout
from camlime.cli.interrupts import Interrupts
from camlime.cli.places import Place
from camlime.cli.progress import Watch
from camlime.cli.slicing import Slicing, explain_and_save_slices
from camlime.earlier import REPORT_NAME, check_inputs_stay, check_unclaimed
from camlime.explanation import Explanation
from camlime.pipeline import DEFAULT_METHODS, checked_methods, explain
from camlime.scan import Scan

if TYPE_CHECKING:
    from camlime.bundle import Bundle


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Args:
        scan: file or folder.
        bundle: folder, or name of a shipped one.
        output: folder.
        place: where to look.
        series: DICOM series.
        native_grid: maps on the scan's own grid as well.
        report: a page to read as well.
        identified: the page shows names of files.
        trust_code: let the bundle run code.
        quiet: print the files only.
        settings: fields of :class:`camlime.pipeline.Settings`.
        also: files to put into the output together with the results, or not at all.
        slicing: which slices of a volume, for a 2D bundle.
    """

    scan: Path
    bundle: str
    output: Path
    place: Place = field(default_factory=Place)
    series: str | None = None
    native_grid: bool = False
    report: bool = False
    identified: bool = False
    trust_code: bool = False
    quiet: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    also: tuple[Path, ...] = ()
    slicing: Slicing = field(default_factory=Slicing)


def explain_and_save(request: Request) -> list[Path]:
    """Explain, save and print; a first Ctrl-C saves what there is, a second one nothing.

    Returns:
        The files written.

    Raises:
        typer.Exit: interrupted; what was kept is saved and named.
        KeyboardInterrupt: interrupted with nothing saved.
    """
    from camlime.bundle import Bundle
    from camlime.device import select_device

    methods = request.settings.get("methods")
    if methods is not None:
        checked_methods(methods)
    select_device(request.settings.get("device", "auto"))
    with Interrupts() as interrupts:
        with stderr().busy("reading scan and bundle", quiet=request.quiet):
            scan = Scan.read(request.scan, series=request.series)
            bundle = Bundle.load(request.bundle, trust_code=request.trust_code)
        of_slices = request.slicing.needed(bundle, scan)
        _check_nothing_is_lost(request, bundle, of_slices=of_slices)
        if of_slices:
            interrupts.soften()
            return explain_and_save_slices(request, scan, bundle, interrupts)
        point = request.place.in_ras(scan)
        interrupts.soften()
        with Watch(interrupts, quiet=request.quiet) as watch:
            explanation = explain(scan, bundle, listeners=watch.listeners(), point=point, **request.settings)
        if not explanation.complete and not explanation.attributions:
            raise KeyboardInterrupt
        files = explanation.save(
            request.output,
            native=scan if request.native_grid else None,
            also=request.also,
            page=partial(_page, explanation, scan, request) if request.report else None,
        )
    printer = stdout()
    if request.quiet:
        printer.exactly(*files)
    else:
        printer.explanation(explanation)
        printer.head("files")
        printer.exactly(*[f"  {path}" for path in files])
    if not explanation.complete:
        running = watch.last.method if watch.last is not None else ""
        stderr().line(("interrupted: ", "yellow"), (f"kept {kept_in_words(explanation, running)}", ""))
        raise typer.Exit(INTERRUPTED)
    return files


def _page(explanation: Explanation, scan: Scan, request: Request) -> str:
    from camlime.cli.pages import page_text

    return page_text(explanation, scan=scan, identified=request.identified)


def _check_nothing_is_lost(request: Request, bundle: Bundle, *, of_slices: bool) -> None:
    """Find out before the work whether its results would take the place of the inputs, or of other files of the user's.

    Raises:
        OutputError: they would.
    """
    from camlime import saving
    from camlime.slices import saving as slices_saving

    methods = checked_methods(request.settings.get("methods") or bundle.explain_settings.methods or DEFAULT_METHODS)
    if of_slices:
        names = slices_saving.possible_files(request.output, methods, native=request.native_grid)
    else:
        names = saving.possible_files(methods, native=request.native_grid)
    names = [name for name in names if request.report or name != REPORT_NAME]
    names += [path.name for path in request.also]
    given = [request.settings.get(name) for name in ("regions", "region_names", "guidance")]
    check_inputs_stay(request.output, names, [request.scan, *[path for path in given if path is not None]])
    check_unclaimed(request.output, names)


def kept_in_words(explanation: Explanation, running: str) -> str:
    """What there is of an interrupted explanation: methods that were done, and the passes of the one that ran.

    Args:
        explanation: of at least one method.
        running: the method that reported last.
    """
    parts = [
        f"{attribution.forward_passes} passes of {name}" if name == running else name
        for name, attribution in explanation.attributions.items()
    ]
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
