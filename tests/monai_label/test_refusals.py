"""Nothing that a client sends gets a bare 500, a server's path, or at files beside the studies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from .conftest import PATIENT_NAME, ROOT, SETTINGS, needs_monai_label

pytestmark = needs_monai_label


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        (("nothing", "ball_a", {}), 400, "there is no task 'nothing' (tasks: ball_gradcam"),
        (("ball_fused", "nothing", {}), 404, "there is no study 'nothing'"),
        (("ball_fused", "/etc/hostname", {}), 400, "is no image id"),
        (("ball_fused", "../ball_a", {}), 400, "is no image id"),
        (("ball_fused", "", {}), 400, "no study was named"),
        (("ball_fused", "damaged", {}), 422, "damaged"),
        (("ball_fused", "ball_a", {"class_name": "red"}), 400, "red"),
        (("ball_fused", "ball_a", {"point": "1 2 3"}), 400, "is outside ball_a, which spans"),
        (("ball_fused", "ball_a", {"budget": 1}), 400, "1"),
        (("ball_fused", "picture", {}), 422, ""),
        (("ball_fused", "ball_a", {"label_tag": "../../evil", "save_label": True}), 400, "is no label_tag"),
    ],
)
def test_errors_are_messages(refused, request_, status, said):
    task, study, params = request_
    got, message = refused(task, study, {**SETTINGS, **params})
    assert said in message
    assert got == status, message
    assert PATIENT_NAME not in message and "/tmp" not in message and "--" not in message


def test_a_region_bundle_without_a_point_says_how_to_give_one(client, refused, studies):
    source = studies / "wide.nii.gz"
    status, message = refused("spot_fused", "", dict(SETTINGS), file=str(source))
    assert status == 400 and "it has to know where to look" in message and "'point' R A S" in message


def test_params_cannot_name_another_image(server):
    params = {"image": "/etc/hostname", "study": "/etc/hostname", "model": "nothing", **SETTINGS}
    answer = requests.post(
        f"{server.address}/infer/ball_gradcam?image=ball_a", data={"params": json.dumps(params)}, timeout=60
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("params", ["{", "[1]", "null", '"x"'])
def test_params_that_are_no_object(server, params):
    answer = requests.post(f"{server.address}/infer/ball_gradcam?image=ball_a", data={"params": params}, timeout=60)
    assert (answer.status_code, "detail" in answer.json()) == (400, True)


def test_no_name_leads_out_of_the_studies(server, studies, tmp_path):
    before = sorted(str(path) for path in studies.parent.rglob("*"))
    victim = (studies / "ball_a.nii.gz").read_bytes()

    def file():
        return {"file": ("x.nii.gz", victim)}

    asked = [
        requests.put(f"{server.address}/datastore/?image=../evil", files=file(), timeout=60),
        requests.put(
            f"{server.address}/datastore/label?image=ball_a&tag=../../evil", files={"label": ("x.nii.gz", victim)},
            timeout=60,
        ),
        requests.get(f"{server.address}/datastore/image?image=../{PATIENT_NAME}/ball_a", timeout=60),
        requests.get(f"{server.address}/datastore/label?label=../ball_a&tag=original", timeout=60),
        requests.delete(f"{server.address}/datastore/image?id=../ball_a", timeout=60),
        requests.get(f"{server.address}/session/..%2F..%2Fetc", timeout=60),
    ]  # fmt: skip
    assert all(answer.status_code in {400, 404} and "detail" in answer.json() for answer in asked), [
        (answer.status_code, answer.text) for answer in asked
    ]
    assert sorted(str(path) for path in studies.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/train/ball_fused"), ("post", "/reload"), ("get", "/logs/"), ("get", "/model/ball_fused"),
        ("get", "/datastore/?output=train"),
        ("post", "/infer/wsi/ball_fused"),
    ],
)  # fmt: skip
def test_what_the_server_does_not_offer(server, method, path):
    assert requests.request(method, f"{server.address}{path}", timeout=60).status_code in {404, 405, 422}


def test_answers_name_no_path(client):
    told = json.dumps([client.next_sample("doubt", {}), client.info(), client.datastore()])
    assert PATIENT_NAME not in told


@pytest.mark.parametrize(
    ("origin", "status", "allowed"),
    [
        (None, 200, None),
        ("http://evil.example", 403, None),
        ("null", 403, None),
        ("http://ohif.example:3000", 200, "http://ohif.example:3000"),
        ("own", 200, None),
    ],
)
def test_pages_from_elsewhere_may_not_use_it(server, origin, status, allowed):
    headers = {"Origin": server.address if origin == "own" else origin} if origin else {}
    answer = requests.get(f"{server.address}/info/", headers=headers, timeout=60)
    assert answer.status_code == status
    assert answer.headers.get("access-control-allow-origin") == allowed


def test_a_name_that_was_made_to_point_here_is_not_answered(server):
    assert requests.get(f"{server.address}/info/", headers={"Host": "evil.example"}, timeout=60).status_code == 400


def test_it_listens_on_this_machine_only(server):
    assert server.address.startswith("http://127.0.0.1:")


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "camlime", "monai-label", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_it_does_not_serve_a_network_without_authentication(studies, bundles):
    done = run("--studies", str(studies), "--bundle", str(bundles["ball"]), "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 6
    assert "open to everybody on the network" in done.stderr and "--without-authentication" in done.stderr


def test_an_address_that_is_taken(server, studies, bundles):
    port = server.address.rsplit(":", 1)[1]
    done = run("--studies", str(studies), "--bundle", str(bundles["ball"]), "--port", port)
    assert done.returncode == 6 and f"cannot listen on 127.0.0.1, port {port}" in done.stderr


def test_there_are_no_studies(tmp_path: Path):
    done = run("--studies", str(tmp_path / "nothing"))
    assert done.returncode == 6 and "is no folder" in done.stderr and not (tmp_path / "nothing").exists()
