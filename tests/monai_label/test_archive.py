"""A DICOMweb server behind, authentication in front: Orthanc, and a realm that signs tokens as Keycloak does."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import SimpleITK as sitk

from camlime.levels import evidence_levels
from camlime.phantom import blob
from camlime.pipeline import explain
from camlime.scan import Scan

from .conftest import PATIENCE, SETTINGS, SHAPE, SPACING, Server, needs_monai_label, started

pytestmark = needs_monai_label

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
SERIES = "1.2.826.0.1.3680043.10.99.1"
USER = "monailabel-user"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture(scope="module")
def dicom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A series written by ITK, brightness 0 to 1000."""
    folder = tmp_path_factory.mktemp("dicom")
    scan = blob(SHAPE, spacing=SPACING, origin=(-30.0, 2.0, -72.0), center_ras=(-20.0, 12.0, -60.0), radius_mm=5.5)
    values = scan.image[0].numpy().astype(np.int16)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(SHAPE[2]):
        image = sitk.GetImageFromArray(values[:, :, k].T)
        image.SetSpacing(SPACING[:2])
        z = -72.0 + SPACING[2] * k
        for tag, value in {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2", "0008|0018": f"{SERIES}.{k + 1}", "0008|0060": "CT",
            "0010|0010": "Doe^Jane", "0010|0020": "P1", "0020|000d": f"{SERIES}.100", "0020|000e": SERIES,
            "0020|0013": str(k + 1), "0020|0032": f"30\\-2\\{z}", "0020|0037": "-1\\0\\0\\0\\-1\\0",
            "0018|0050": str(SPACING[2]), "0028|1052": "0", "0028|1053": "1",
        }.items():  # fmt: skip
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{k:02d}.dcm"))
        writer.Execute(image)
    return folder


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory, dicom: Path) -> Iterator[str]:
    """The address of its DICOMweb, with the series."""
    program = shutil.which("Orthanc")
    if program is None or not PLUGIN.exists():
        pytest.skip("needs Orthanc with DICOMweb (Debian: orthanc, orthanc-dicomweb)")
    folder, port = tmp_path_factory.mktemp("orthanc"), free_port()
    config = {
        "StorageDirectory": str(folder / "store"), "IndexDirectory": str(folder / "store"), "HttpPort": port,
        "DicomPort": free_port(), "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
        "Plugins": [str(PLUGIN)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(config))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            requests.get(f"{address}/system", timeout=5).raise_for_status()
            break
        except requests.RequestException:
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.2)
    for file in dicom.iterdir():
        requests.post(f"{address}/instances", data=file.read_bytes(), timeout=60).raise_for_status()
    yield f"{address}/dicom-web"
    process.terminate()
    process.wait(timeout=PATIENCE)


class Realm:
    """Signs tokens with a key whose public half it tells, as Keycloak does."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        public = "".join(pem.decode().splitlines()[1:-1])

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps({"public_key": public}).encode())

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}/realms/x"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def token(self, *roles: str, key: Any = None, algorithm: str = "RS256", seconds: float = 600) -> dict[str, str]:
        import jwt

        claims = {"preferred_username": "ann", "email": "", "name": "", "realm_access": {"roles": list(roles)}}
        claims |= {"exp": time.time() + seconds}
        return {"token_type": "Bearer", "access_token": jwt.encode(claims, key or self._key, algorithm=algorithm)}

    def end(self) -> None:
        self._server.shutdown()


@pytest.fixture(scope="module")
def realm() -> Iterator[Realm]:
    pytest.importorskip("monailabel", reason="needs MONAI Label")
    realm = Realm()
    yield realm
    realm.end()


@pytest.fixture(scope="module")
def archive(orthanc: str, realm: Realm, bundles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = started(
        orthanc,
        [bundles["ball"]],
        environment={
            "MONAI_LABEL_AUTH_ENABLE": "true",
            "MONAI_LABEL_AUTH_REALM_URI": realm.address,
            "MONAI_LABEL_DICOMWEB_CACHE_PATH": str(tmp_path_factory.mktemp("cache")),
        },
    )
    yield server
    assert server.end() == 0
    assert "Doe" not in "".join(server.said) and "Traceback" not in "".join(server.said), "".join(server.said)


def test_a_series_is_explained_on_its_own_grid(archive, realm, bundles, dicom, tmp_path):
    client = archive.client()
    client._tmpdir = str(tmp_path)
    client.update_auth(realm.token(USER))
    assert client.info()["datastore"]["total"] == 1
    params = {**SETTINGS, "result_extension": ".nrrd", "result_dtype": "uint8", "save_label": True}
    file, answer = client.infer("ball_lime", SERIES, params)
    labels = sitk.ReadImage(file)
    expected = explain(dicom, bundles["ball"], methods=["lime"], device="cpu", segmentations=1, **SETTINGS)
    lead = expected.attributions["lime"]
    levels = evidence_levels(lead.values, expected.input.valid.numpy(), std=lead.std, factor=lead.interval_factor)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(dicom)))
    shown = reader.Execute()  # the grid of 3D Slicer and OHIF
    assert labels.GetSize() == shown.GetSize()
    for a, b in zip(labels.GetDirection() + labels.GetOrigin(), shown.GetDirection() + shown.GetOrigin(), strict=True):
        assert a == pytest.approx(b, abs=1e-4)
    counts = np.bincount(sitk.GetArrayFromImage(labels).ravel(), minlength=4)
    np.testing.assert_array_equal(counts, np.bincount(levels.ravel(), minlength=4))
    for index in np.argwhere(levels)[::17]:  # each point has its level wherever its voxel lies in the file
        ras = expected.input.affine[:3, :3] @ index + expected.input.affine[:3, 3]
        voxel = labels.TransformPhysicalPointToIndex((-ras[0], -ras[1], ras[2]))
        assert labels[voxel] == levels[tuple(index)]
    assert answer["provenance"]["scan"] == {"name": SERIES}
    assert "ball_lime" in client.datastore()["objects"][SERIES]["labels"]
    assert Scan.read(dicom).shape == SHAPE


def test_doubt_of_a_series(archive, realm):
    client = archive.client()
    client.update_auth(realm.token(USER))
    client.infer("ball_fused", SERIES, dict(SETTINGS))
    sample = client.next_sample("doubt", {})
    assert sample["id"] == SERIES and sample["doubt"] == sample["camlime"]["ball"]["doubt"]["value"]


@pytest.mark.parametrize("image", ["1.2.3", "/etc", "..", ".part-x"])
def test_a_series_that_is_not_there(archive, realm, image):
    headers = {"Authorization": "Bearer " + realm.token(USER)["access_token"]}
    for url in (f"/datastore/image?image={image}", f"/infer/ball_lime?image={image}"):
        ask = requests.get if "datastore" in url else requests.post
        answer = ask(archive.address + url, headers=headers, timeout=60)
        assert answer.status_code in {400, 404} and "detail" in answer.json(), answer.text


def test_nobody_without_a_token(archive, realm):
    from cryptography.hazmat.primitives.asymmetric import rsa

    another = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    refused = {
        "none": {},
        "no token": {"Authorization": "Bearer x"},
        "another's": {"Authorization": "Bearer " + realm.token(USER, key=another)["access_token"]},
        "expired": {"Authorization": "Bearer " + realm.token(USER, seconds=-60)["access_token"]},
        "not signed": {"Authorization": "Bearer " + realm.token(USER, key="x" * 64, algorithm="HS256")["access_token"]},
    }
    for method, path in (
        ("get", "/info/"), ("post", f"/infer/ball_lime?image={SERIES}"), ("post", "/scoring/doubt"),
        ("get", "/scoring/"), ("post", "/activelearning/doubt"), ("post", "/batch/infer/ball_lime"),
        ("get", f"/datastore/image?image={SERIES}"),
    ):  # fmt: skip
        for why, headers in refused.items():
            answer = requests.request(method, archive.address + path, headers=headers, timeout=60)
            assert answer.status_code == 401, (path, why, answer.text)


def test_a_user_may_not_do_what_annotators_do(archive, realm):
    headers = {"Authorization": "Bearer " + realm.token(USER)["access_token"]}
    for path in ("/scoring/doubt", "/batch/infer/ball_lime"):
        assert requests.post(archive.address + path, headers=headers, timeout=60).status_code == 403
