"""One real server for most tests, since its start takes seconds, and MONAI Label's own client."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.blob_bundle import write_blob_bundle

from camlime.phantom import blob
from camlime.scan import save_volume

ROOT = Path(__file__).parents[2]
SHAPE = (16, 14, 12)
SPACING = (1.5, 1.5, 2.0)
WIDE_POINT = (10.0, -6.0, 4.0)
SETTINGS = {"budget": 64, "evidence_budget": 0, "n_regions": 12}
PATIENCE = 120
PATIENT_NAME = "Doe-Jane-1970"
"""Part of the studies' folder, as it is in many hospitals: no message may hold it."""

needs_monai_label = pytest.mark.skipif(
    importlib.util.find_spec("monailabel") is None,
    reason='needs MONAI Label: pip install "camlime[monai-label]" into an environment of its own',
)


@dataclass
class Server:
    """A server's process, and what it printed."""

    process: subprocess.Popen[str]
    address: str
    said: list[str] = field(default_factory=list)

    def client(self, name: str = "reader") -> Any:
        """MONAI Label's own client."""
        from monailabel.client import MONAILabelClient

        return MONAILabelClient(self.address, client_id=name)

    def end(self) -> int:
        """Press Ctrl-C; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=PATIENCE)


def started(
    studies: Path | str, bundles: Sequence[Path], *options: str, environment: Mapping[str, str] | None = None
) -> Server:
    command = [sys.executable, "-m", "camlime", "monai-label", "--studies", str(studies), "--port", "0", *options]
    for bundle in bundles:
        command += ["--bundle", str(bundle)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    server = Server(process, "")
    assert process.stdout is not None
    for line in process.stdout:
        server.said.append(line)
        if line.startswith("MONAI Label server: "):
            server.address = line.split()[-1]
        if line.startswith("tasks: "):
            break
    assert server.address, "".join(server.said)
    threading.Thread(target=lambda: server.said.extend(process.stdout or ()), daemon=True).start()
    return server


def ball(path: Path, radius_mm: float, *, affine: Any = None) -> Path:
    """A bright ball whose size decides the answer."""
    scan = blob(
        SHAPE, spacing=SPACING, origin=(-30.0, 2.0, -72.0), center_ras=(-20.0, 12.0, -60.0), radius_mm=radius_mm
    )
    return save_volume(path, scan.image[0].numpy() / 1000, scan.affine if affine is None else affine)


def oblique() -> np.ndarray:
    """A grid that lies askew, left-handed."""
    a, b = np.deg2rad([20, -35])
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = x @ z @ np.diag([-1.5, 1.5, 2.0])
    affine[:3, 3] = (40.0, -25.0, 13.0)
    return affine


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One that sees all of a scan, one that looks at a region, one for pictures."""
    root = tmp_path_factory.mktemp("bundles")
    pad = {"_target_": "ResizeWithPadOrCropd", "keys": "image", "spatial_size": list(SHAPE)}
    scale = {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": 255, "b_min": 0, "b_max": 1}
    return {
        "ball": write_blob_bundle(root / "ball", SHAPE),
        "spot": write_blob_bundle(
            root / "spot", SHAPE, steps=[pad], explain={"field_of_view_mm": [16.0, 14.0, 12.0]}
        ),
        "disc": write_blob_bundle(
            root / "disc",
            (20, 16),
            steps=[scale, {**pad, "spatial_size": [20, 16]}],
            explain={"presumes": "a ball"},
        ),
    }  # fmt: skip


def fill(folder: Path) -> Path:
    """Write the studies."""
    for name, radius in (("ball_a", 4.0), ("ball_b", 5.5), ("ball_c", 7.0)):
        ball(folder / f"{name}.nii.gz", radius)
    ball(folder / "askew.nii.gz", 5.0, affine=oblique())
    wide = blob((60, 56, 40), spacing=(1.0, 1.0, 1.0), origin=(-20.0, -30.0, -16.0), center_ras=WIDE_POINT, radius_mm=5)
    save_volume(folder / "wide.nii.gz", wide.image[0].numpy() / 1000, wide.affine)
    picture = np.zeros((16, 20), dtype=np.uint8)
    picture[3:9, 11:17] = 220
    Image.fromarray(picture).save(folder / "picture.png")
    damaged = ball(folder / "damaged.nii.gz", 5.0)
    damaged.write_bytes(damaged.read_bytes()[:600])
    return folder


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of studies, one of them damaged."""
    folder = tmp_path_factory.mktemp("studies") / PATIENT_NAME
    folder.mkdir()
    return fill(folder)


@pytest.fixture(scope="session")
def server(studies: Path, bundles: dict[str, Path]) -> Iterator[Server]:
    """The server for all tests that leave it well."""
    pytest.importorskip("monailabel", reason="needs MONAI Label")
    server = started(
        studies, list(bundles.values()), "--allow-origin", "http://ohif.example:3000", "--quality", "quick"
    )
    yield server
    assert server.end() == 0, "".join(server.said)
    printed = "".join(server.said)
    assert PATIENT_NAME not in re.sub(r"^studies: .*$", "", printed, flags=re.M), printed
    assert "Traceback" not in printed, printed
    assert "timeloop" not in printed.lower(), printed


@pytest.fixture
def client(server: Server, tmp_path: Path) -> Any:
    """MONAI Label's own client, whose files go to the test's folder."""
    client = server.client()
    client._tmpdir = str(tmp_path)
    return client


@pytest.fixture
def refused(client: Any) -> Callable[..., tuple[int, str]]:
    """Ask for what must be refused; status and the message."""
    from monailabel.client.client import MONAILabelClientException

    def ask(*request: Any, **more: Any) -> tuple[int, str]:
        with pytest.raises(MONAILabelClientException) as caught:
            client.infer(*request, **more)
        said = re.fullmatch(r"Status: (\d+); Response: \{\"detail\":\"(.*)\"\}", caught.value.msg)
        assert said, caught.value.msg
        return int(said[1]), said[2]

    return ask
