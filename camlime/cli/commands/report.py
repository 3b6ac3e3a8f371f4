"""``camlime report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from camlime.cli import options
from camlime.cli.places import check_scan, check_writable
from camlime.cli.reporting import reported


@reported
def report(
    ctx: typer.Context,
    explanation: options.ExplanationFolder,
    scan: Annotated[
        Path | None,
        typer.Option("--scan", metavar="SCAN", help="The scan that was explained, to be shown around the maps."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="The page; report.html in OUTPUT if left out.")
    ] = None,
    identified: options.Identified = False,
    debug: options.Debug = False,
) -> None:
    """Write an explanation, of one image or of slices, as one HTML page that opens from disk without a network."""
    if scan is not None:
        check_scan(scan)
    if output is not None:
        check_writable(output.parent)
    from camlime.cli.console import stderr, stdout
    from camlime.cli.pages import write_page

    with stderr().busy("writing the page"):
        from camlime.earlier import REPORT_NAME, check_other_file, earlier_files
        from camlime.saving import load_explanation
        from camlime.scan import Scan
        from camlime.slices.loading import holds_slices, load_slices

        if output is not None:
            shown = [explanation / name for name in earlier_files(explanation) if name.name != REPORT_NAME]
            check_other_file(output, [*shown, *([] if scan is None else [scan])])
        found = load_slices(explanation) if holds_slices(explanation) else load_explanation(explanation)
        uid = found.provenance.get("scan", {}).get("series_uid")
        read = None if scan is None else Scan.read(scan, series=uid or None)
    path = write_page(found, output or explanation, scan=read, identified=identified)
    stdout().exactly(path)
