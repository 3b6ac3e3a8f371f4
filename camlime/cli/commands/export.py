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
    if source is not None:
        check_scan(source)
    if dicom is not None and slicer is None:
        files = _dicom(explanation, source, dicom)
    elif slicer is not None and dicom is None:
        files = [_scene(explanation, source, slicer)]
    else:
        raise typer.BadParameter("say what to write, one thing at a time: --dicom DIR or --slicer FILE.mrb")
    from camlime.cli.console import stdout

    stdout().exactly(*files)


def _dicom(explanation: Path, source: Path | None, folder: Path) -> list[Path]:
    if source is None:
        raise typer.BadParameter("--dicom needs the series that was explained: --source DICOM_FOLDER")
    check_writable(folder)
    from camlime.cli.console import stderr

    with stderr().busy("writing DICOM"):
        from camlime.export.dicom import export_dicom
        from camlime.saving import load_explanation

        return export_dicom(load_explanation(explanation), source, folder)


def _scene(explanation: Path, source: Path | None, file: Path) -> Path:
    check_writable(file.parent)
    from camlime.cli.console import stderr

    with stderr().busy("writing the scene"):
        from camlime.export.scene import export_scene

        return export_scene(explanation, file, scan=source)
