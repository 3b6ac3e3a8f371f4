"""Cancel is answered at every stage, with what there is, also where a library is busy in a step that never ends."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worker.conftest import Talk, with_code

ENDLESS: dict[str, Any] = {"budget": 1_000_000, "n_regions": 12, "batch_size": 2, "segmentations": 1}
FOREVER = 1_000_000


def ask(talk: Talk, volume: Path, bundle: Path, folder: Path, **settings: Any) -> str:
    return talk.client.send(
        "explain", scan=volume, bundle=bundle, trust_code=True, device="cpu", folder=folder, settings=settings
    )


def cancel(talk: Talk, name: str) -> dict[str, Any]:
    """Cancel, and the last event; ``cancelling`` comes before it."""
    talk.client.cancel(name)
    talk.until("cancelling", name)
    return talk.final(name)


@pytest.mark.parametrize("stage", ["lime", "fused", "evidence"])
def test_while_it_samples_what_is_there_is_kept(
    talk: Talk, volume: Path, slow_bundle: Path, tmp_path: Path, stage: str
) -> None:
    small = {"evidence": {"budget": 64, "methods": ["gradcam", "lime"], "evidence_budget": 1_000_000}}
    folder = tmp_path / "run"
    methods = ["gradcam", "fused"] if stage == "fused" else ["gradcam", "lime"]
    name = ask(talk, volume, slow_bundle, folder, **{**ENDLESS, "methods": methods, **small.get(stage, {})})
    while talk.until("progress", name, stage=stage)["done"] < 20:
        pass
    end = cancel(talk, name)
    assert end["event"] == "cancelled" and end["kept"] == "result", end
    kept = end["result"]
    assert kept["complete"] is False and list(kept["maps"]) == methods
    sampled = kept["maps"][methods[-1]]
    assert sampled["forward_passes"] >= 20
    assert np.isfinite(np.load(sampled["values"]["file"])).all() and np.load(sampled["std"]["file"]).max() > 0
    if stage == "evidence":
        assert kept["evidence"] == {} and any("the evidence was stopped" in said for said in kept["warnings"])
    exported = talk.ask("export", explanation=name, folder=tmp_path / "export")
    assert all(Path(file).is_file() for file in exported["files"])


@pytest.mark.skipif(sys.platform == "win32", reason="no sleep in its C library")
def test_in_a_stuck_step_the_last_maps_are_kept_and_the_engine_is_started_again(
    talk: Talk, volume: Path, bundle: Path, tmp_path: Path
) -> None:
    """A network that stops answering in the middle of LIME, holding on to Python's lock, so that nothing else runs."""
    now, there = tmp_path / "now", tmp_path / "there"
    sleep = f"(open(r'{there}', 'w').close(), ctypes.PyDLL(None).sleep({FOREVER}))"
    stuck = f"({sleep} if os.path.exists(r'{now}') else time.sleep(0.01), n(x))[1]"
    bundle_stuck = with_code(tmp_path / "stuck", infer=stuck)
    name = ask(talk, volume, bundle_stuck, tmp_path / "run", **{**ENDLESS, "methods": ["gradcam", "lime"]})
    talk.until("preview", name, method="lime")
    second = talk.until("preview", name, method="lime")
    now.touch()
    while not there.exists():
        time.sleep(0.01)
    waiting = talk.client.send("classify", scan=volume, bundle=bundle)
    talk.until("accepted", waiting, waiting=1)
    end = cancel(talk, name)
    assert end["event"] == "cancelled" and end["kept"] == "previews" and end["result"] is None
    maps = {preview["method"]: preview for preview in end["previews"]}
    assert list(maps) == ["gradcam", "lime"] and maps["lime"]["passes"] >= second["passes"]
    for preview in end["previews"]:
        assert np.load(preview["values"]["file"]).shape == (16, 14, 12)
    talk.until("starting", reason="did not stop")
    talk.until("ready")
    assert talk.final(waiting)["event"] == "result", "what waited is done by the new engine"
    assert talk.of(name)[-1] is end, "nothing comes after the last event"


@pytest.mark.parametrize("stage", ["preparing", "measuring"])
def test_in_a_slow_step_the_answer_does_not_wait_for_its_end(
    talk: Talk, volume: Path, bundle: Path, tmp_path: Path, stage: str
) -> None:
    """The step goes on until a file appears, which is after the answer; then the engine, still warm, goes on."""
    go = tmp_path / "go"
    wait = f"[time.sleep(0.01) for _ in iter(lambda: os.path.exists(r'{go}'), True)]"
    code = {"prepare": f"({wait}, x)[1]"} if stage == "preparing" else {"infer": f"({wait}, n(x))[1]"}
    name = ask(talk, volume, with_code(tmp_path / "slow", **code), tmp_path / "run")
    talk.until("progress", name, stage=stage)
    end = cancel(talk, name)
    assert end["event"] == "cancelled" and end["kept"] == "nothing"
    go.touch()
    pid = talk.engine_pid
    assert talk.ask("classify", scan=volume, bundle=bundle)["prediction"]
    assert talk.engine_pid == pid


def test_while_it_waits(talk: Talk, volume: Path, slow_bundle: Path, bundle: Path, tmp_path: Path) -> None:
    running = ask(talk, volume, slow_bundle, tmp_path / "run", **ENDLESS)
    talk.until("preview", running)
    waiting = [talk.client.send("classify", scan=volume, bundle=bundle) for _ in range(8)]
    assert [talk.until("accepted", name)["waiting"] for name in waiting] == list(range(1, 9))
    refused = talk.refused("classify", scan=volume, bundle=bundle)
    assert refused["kind"] == "busy"
    for name in waiting[1:]:
        end = cancel(talk, name)
        assert end["event"] == "cancelled" and end["kept"] == "nothing"
    assert cancel(talk, running)["event"] == "cancelled"
    assert talk.final(waiting[0])["event"] == "result"
    talk.client.cancel(waiting[0])
    assert talk.next(waiting[0])["event"] == "not_running"
