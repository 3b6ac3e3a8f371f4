"""Tiny scans and bundles, and the command line run in this process or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.blob_bundle import write_blob_bundle
from typer.testing import CliRunner

from camlime.phantom import blob
from camlime.scan import save_volume

SHAPE = (16, 14, 12)
CENTER = (-20.0, 12.0, -60.0)
FEW = (
    *("--budget", "64", "--n-regions", "12", "--batch-size", "16", "--device", "cpu"),
    *("--evidence-budget", "0"),
)
"""Options that make an explanation quick."""


@pytest.fixture(scope="session")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bright ball in a volume with negative coordinates."""
    scan = blob(SHAPE, spacing=(1.5, 1.5, 2.0), origin=(-30.0, 2.0, -72.0), center_ras=CENTER, radius_mm=4.0)
    return save_volume(tmp_path_factory.mktemp("scan") / "ball.nii.gz", scan.image[0].numpy() / 1000, scan.affine)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 3D bundle whose network counts brightness."""
    return write_blob_bundle(tmp_path_factory.mktemp("bundle") / "ball", SHAPE)


@pytest.fixture(scope="session")
def region_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 3D bundle that looks at a small box around a point."""
    crop = {"_target_": "ResizeWithPadOrCropd", "keys": "image", "spatial_size": [8, 8, 8]}
    explain = {"field_of_view_mm": [12.0, 12.0, 16.0], "demo_phantom": "chest_ct_nodule"}
    root = tmp_path_factory.mktemp("bundle") / "box"
    return write_blob_bundle(root, (8, 8, 8), steps=[crop], explain=explain)


@pytest.fixture(scope="session")
def picture_case(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A PNG and a 2D bundle for it."""
    folder = tmp_path_factory.mktemp("picture")
    pixels = np.full((24, 32, 3), 30, dtype=np.uint8)
    pixels[6:14, 18:26] = 250
    Image.fromarray(pixels).save(folder / "spot.png")
    scale = {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": 255, "b_min": 0.0, "b_max": 1.0}
    return folder / "spot.png", write_blob_bundle(folder / "spots", (32, 24), channels=3, steps=[scale])


@pytest.fixture
def camlime() -> Callable[..., Any]:
    """Run the command line in this process; the result has exit_code, stdout and stderr."""
    from camlime.cli.app import app

    def run(*arguments: object, **settings: Any) -> Any:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], **settings)

    return run


@pytest.fixture
def process() -> Callable[..., subprocess.Popen[str]]:
    """Start the command line in a process of its own."""

    def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "camlime", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        )

    return start
