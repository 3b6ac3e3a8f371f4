"""Explain one scan and save what comes out: what ``explain`` and ``demo`` do alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from camlime.cli import INTERRUPTED
from camlime.cli.console import stderr, stdout
from camlime.cli.interrupts import Interrupts
from camlime.cli.places import Place
from camlime.cli.progress import Watch
from camlime.cli.slicing import Slicing, explain_and_save_slices
from camlime.explanation import Explanation
from camlime.pipeline import checked_methods, explain
from camlime.scan import Scan


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
        if request.slicing.needed(bundle, scan):
            interrupts.soften()
            return explain_and_save_slices(request, scan, bundle, interrupts)
        point = request.place.in_ras(scan)
        interrupts.soften()
        with Watch(interrupts, quiet=request.quiet) as watch:
            explanation = explain(scan, bundle, listeners=watch.listeners(), point=point, **request.settings)
        if not explanation.complete and not explanation.attributions:
            raise KeyboardInterrupt
        files = explanation.save(request.output, native=scan if request.native_grid else None, also=request.also)
        if request.report:
            from camlime.cli.pages import write_page

            files.append(write_page(explanation, request.output, scan=scan, identified=request.identified))
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
