"""The options that commands share, each defined once."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class LimeMode(str, Enum):
    """Which LIME."""

    default = "default"
    stock = "stock"


class SlicePlane(str, Enum):
    """Which slices of a volume."""

    axial = "axial"
    coronal = "coronal"
    sagittal = "sagittal"
    native = "native"


def _checked_budget(text: str | None) -> str | None:
    if text is None or text == "auto" or (text.isdecimal() and int(text) > 0):
        return text
    raise typer.BadParameter(f"'{text}' is neither a number of passes nor auto")


ScanPath = Annotated[Path, typer.Argument(metavar="SCAN", help="NIfTI, NRRD, MHA, a DICOM folder, PNG or JPEG.")]
OptionalScanPath = Annotated[
    Path | None, typer.Argument(metavar="[SCAN]", help="A scan; else the input shape in the bundle's metadata is used.")
]
ExplanationFolder = Annotated[
    Path, typer.Argument(metavar="OUTPUT", help="A folder that camlime explain wrote.", show_default=False)
]
Identified = Annotated[
    bool, typer.Option("--identified", help="Show names of files and the series UID, which may name a patient.")
]
BundleName = Annotated[
    str, typer.Option("--bundle", metavar="DIR", help="A MONAI bundle's folder or zip, or the name of a shipped one.")
]
Point = Annotated[
    tuple[float, float, float] | None,
    typer.Option("--point", metavar="R A S", help="Where to look: RAS mm, as 3D Slicer shows."),
]
PointLps = Annotated[
    tuple[float, float, float] | None,
    typer.Option("--point-lps", metavar="L P S", help="Where to look: LPS mm, as DICOM and ITK have it."),
]
CenterVoxel = Annotated[
    tuple[float, float, float] | None,
    typer.Option("--center-voxel", metavar="I J K", help="Where to look: voxel index in the scan, from 0."),
]
Guidance = Annotated[
    Path | None,
    typer.Option(
        "--guidance",
        metavar="MASK",
        help="For bundles that take a mask as a channel: a label map or picture on the scan's voxels.",
    ),
]
GuidanceLabel = Annotated[
    int | None,
    typer.Option("--guidance-label", min=1, metavar="N", help="Only this label of --guidance; all if left out."),
]
Series = Annotated[
    str | None, typer.Option("--series", metavar="UID", help="Which DICOM series, where a folder holds several.")
]
Plane = Annotated[
    SlicePlane | None,
    typer.Option("--plane", help="Of the slices, for a 2D bundle on a volume; the series' own if left out."),
]
SlicePart = Annotated[
    str | None, typer.Option("--slices", metavar="A:B", help="Slices to classify, from 0, both ends included.")
]
Seen = Annotated[
    str | None,
    typer.Option("--seen", metavar="A:B", help="Slices in which you see what the bundle presumes, such as a tumour."),
]
OutputFolder = Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder for the results; made if needed.")]
Methods = Annotated[
    str | None,
    typer.Option("--methods", metavar="A,B,...", help="Which, by commas; the bundle's own choice if left out."),
]
NRegions = Annotated[int | None, typer.Option("--n-regions", min=2, metavar="N", help="About how many supervoxels.")]
TargetLayer = Annotated[
    str | None, typer.Option("--target-layer", metavar="NAME", help="Layer for CAM; see camlime layers.")
]
Baseline = Annotated[
    str | None, typer.Option("--baseline", metavar="NAME", help="What removed regions are replaced by.")
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", min=1, metavar="N", help="Images a pass; measured if left out.")
]
Device = Annotated[str, typer.Option("--device", metavar="D", help="auto, cpu, cuda or cuda:N.")]
TrustCode = Annotated[bool, typer.Option("--trust-code", help="Let the bundle run code of its own.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback with errors.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of every random choice.")]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="N|auto",
        callback=_checked_budget,
        help="Passes through the network for each of LIME, fused and occlusion; auto: until certain.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the names of the files written, nothing else.")]


def passes(budget: str | None) -> int | str | None:
    """The budget as the engine takes it: a number, ``auto``, or ``None`` for the bundle's own."""
    return budget if budget is None or budget == "auto" else int(budget)
