"""``camlime export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from camlime.cli import options
from camlime.cli.places import check_scan, check_writable
from camlime.cli.reporting import reported


@reported
def export(
    ctx: typer.Context,
    explanation: options.ExplanationFolder,
    dicom: Annotated[
        Path | None, typer.Option("--dicom", metavar="DIR", help="Write DICOM objects there; needs --source.")
    ] = None,
    slicer: Annotated[
        Path | None, typer.Option("--slicer", metavar="FILE.mrb", help="Write a scene that 3D Slicer opens.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--source",
            metavar="SCAN",
            help="The scan that was explained: for --dicom the folder of its series; for --slicer to lie below the "
            "maps, in place of what the network saw.",
        ),
    ] = None,
    debug: options.Debug = False,
) -> None:
    """Write an explanation in another format: DICOM objects for an archive, a scene for 3D Slicer."""
    if (dicom is None) == (slicer is None):
        raise typer.BadParameter("say what to write, one thing at a time: --dicom DIR or --slicer FILE.mrb")
    if dicom is not None and source is None:
        raise typer.BadParameter("--dicom needs the series that was explained: --source DICOM_FOLDER")
    if source is not None:
        check_scan(source)
    from camlime.cli.console import stderr, stdout

    if dicom is not None:
        check_writable(dicom)
        with stderr().busy("writing DICOM"):
            from camlime.export.dicom import export_dicom
            from camlime.saving import load_explanation

            files = export_dicom(load_explanation(explanation), source, dicom)
    else:
        check_writable(slicer.parent)
        with stderr().busy("writing the scene"):
            from camlime.export.scene import export_scene

            files = [export_scene(explanation, slicer, scan=source)]
    stdout().exactly(*files)
