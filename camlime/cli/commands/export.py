"""``camlime export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from camlime.cli import options
from camlime.cli.places import check_writable
from camlime.cli.reporting import reported


@reported
def export(
    ctx: typer.Context,
    explanation: options.ExplanationFolder,
    dicom: Annotated[
        Path | None, typer.Option("--dicom", metavar="DIR", help="Write DICOM objects there; needs --source.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--source", metavar="DIR", help="Folder of the DICOM series that was explained.")
    ] = None,
    debug: options.Debug = False,
) -> None:
    """Write an explanation in another format: DICOM Segmentation, maps, report and picture for an archive."""
    if dicom is None:
        raise typer.BadParameter("say what to write: --dicom DIR")
    if source is None:
        raise typer.BadParameter("--dicom needs the series that was explained: --source DICOM_FOLDER")
    check_writable(dicom)
    from camlime.cli.console import stderr, stdout

    with stderr().busy("writing DICOM"):
        from camlime.export.dicom import export_dicom
        from camlime.saving import load_explanation

        files = export_dicom(load_explanation(explanation), source, dicom)
    stdout().exactly(*files)
