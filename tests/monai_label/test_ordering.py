"""The doubtful studies come first, on a server of its own whose studies nobody has looked at."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from .conftest import PATIENCE, Server, ball, needs_monai_label, started

pytestmark = needs_monai_label

BUDGETS = {"budget": 64, "evidence_budget": 1200, "quality": "quick"}


@pytest.fixture(scope="module")
def work_list(tmp_path_factory: pytest.TempPathFactory, bundles) -> Iterator[Server]:
    pytest.importorskip("monailabel", reason="needs MONAI Label")
    folder: Path = tmp_path_factory.mktemp("list")
    for name, radius in (("a", 3.0), ("b", 6.5), ("c", 8.5)):
        ball(folder / f"{name}.nii.gz", radius)
    (folder / "d.nii.gz").write_bytes((folder / "a.nii.gz").read_bytes()[:500])
    server = started(folder, [bundles["ball"]])
    yield server
    assert server.end() == 0


def next_of(server: Server, client: str) -> dict:
    return server.client(client).next_sample("doubt", {})


def known(server: Server, study: str) -> dict:
    answer = requests.get(f"{server.address}/datastore/image/info?image={study}", timeout=60)
    return answer.json().get("camlime", {}).get("ball", {})


def test_scoring_and_the_order(work_list):
    assert [known(work_list, study) for study in "abcd"] == [{}, {}, {}, {}]
    first = next_of(work_list, "nobody knows")
    assert (first["id"], first["doubt"], first["of"]) == ("a", 0.5, 4)

    started_job = requests.post(f"{work_list.address}/scoring/doubt", json=BUDGETS, timeout=60).json()
    assert started_job["status"] in {"SUBMITTED", "RUNNING"}
    deadline = time.monotonic() + PATIENCE
    while (job := requests.get(f"{work_list.address}/scoring/", timeout=60).json())["status"] in {
        "SUBMITTED",
        "RUNNING",
    }:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert job["status"] == "DONE", job
    assert sorted(job["result"]["scored"]) == ["a", "b", "c"] and list(job["result"]["failed"]) == ["d"]

    doubts = {study: known(work_list, study)["doubt"] for study in "abc"}
    for doubt in doubts.values():
        assert doubt["value"] == pytest.approx(sum(doubt["parts"].values()) / 3, abs=1e-3)
    assert "d" in known(work_list, "d")["error"] and "doubt" not in known(work_list, "d")
    expected = sorted("abcd", key=lambda study: (-doubts[study]["value"] if study in doubts else -0.5, study))
    got = next_of(work_list, "reader one")
    assert [entry["id"] for entry in got["order"]] == expected

    # Another reader gets another study, the same reader the same again.
    assert got["id"] == next_of(work_list, "reader one")["id"] != next_of(work_list, "reader two")["id"]

    # What is labelled is done.
    file = work_list.client().download_label("a", "original")
    work_list.client().save_label("a", file)
    assert "a" not in [entry["id"] for entry in next_of(work_list, "reader one")["order"]]

    # A second run has nothing left to do, unless it is asked to do all again.
    again = requests.post(f"{work_list.address}/scoring/doubt?run_sync=true", json=BUDGETS, timeout=120).json()
    assert (again["result"]["scored"], again["result"]["kept"]) == ([], 2)


def test_it_outlasts_the_server(work_list):
    """What is known of the studies lies with them."""
    command = list(work_list.process.args)
    folder = Path(command[command.index("--studies") + 1])
    record = json.loads((folder / "datastore_v2.json").read_text())
    assert record["objects"]["b"]["image"]["info"]["camlime"]["ball"]["doubt"]["value"] >= 0
    assert {"ball_fused", "original"} <= set(record["objects"]["b"]["labels"])


def test_a_batch(work_list):
    url = f"{work_list.address}/batch/infer/ball_lime?images=unlabeled&run_sync=true"
    job = requests.post(url, json={**BUDGETS, "evidence_budget": 0}, timeout=120).json()
    assert job["status"] == "DONE" and set(job["result"]) == {"b", "c", "d"}
    assert "error" in job["result"]["d"] and job["result"]["b"]["method"] == "lime"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/scoring/dice", "there is no scoring method 'dice'"),
        ("/batch/infer/nothing", "there is no task 'nothing'"),
        ("/activelearning/nothing", "no such strategy 'nothing'"),
    ],
)
def test_what_is_not_there(work_list, path, said):
    answer = requests.post(f"{work_list.address}{path}", json={}, timeout=60)
    assert answer.status_code == 400 and said in answer.json()["detail"]
