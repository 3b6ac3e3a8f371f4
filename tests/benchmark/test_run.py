"""A benchmark from table to page, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from support.benchmark_cases import SHAPE, results, without_times, write_scan
from support.blob_bundle import write_blob_bundle
from support.standin_device import Standin

from camlime.benchmark import BenchmarkSettings, chosen, read_cohort, run_benchmark, schedule, state, work
from camlime.benchmark import settings as benchmark_settings
from camlime.benchmark import summary as summary_module
from camlime.benchmark.methods import METHODS, Method
from camlime.benchmark.store import Store
from camlime.errors import RequestError

METHODS_HERE = ("fused", "lime", "occlusion", "gradcam", "lime-package-log-odds", "random", "centre")

Cohort = Callable[..., Path]


def settings(bundle: Path, **changes: Any) -> BenchmarkSettings:
    return BenchmarkSettings(
        **{"bundle": str(bundle), "methods": METHODS_HERE, "budgets": (64, 128), "seeds": (0, 1), **changes}
    )


def summary_of(output: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((output / "summary.json").read_text())
    return record


def test_all_that_is_promised_is_written(tmp_path: Path, cohort_csv: Cohort, bundle_dir: Path) -> None:
    summary = run_benchmark(read_cohort(cohort_csv(4)), settings(bundle_dir, limit=512), tmp_path / "out", workers=0)
    assert (summary["cohort"]["cases"], summary["cohort"]["patients"], summary["cohort"]["outlines"]) == (4, 2, 4)
    assert summary_of(tmp_path / "out") == summary
    found = {(r["method"], r["budget"], r["quantity"], r["baseline"]): r for r in summary["results"]}
    for baseline in ("mean", "blur"):
        assert found["fused", 128, "abpc", baseline]["mean"] > found["random", None, "abpc", baseline]["mean"] + 0.1
    assert found["fused", 128, "rank", ""]["mean"] > 0.6
    assert found["lime", 128, "nrmse", ""]["mean"] < found["lime", 64, "nrmse", ""]["mean"]
    assert found["fused", 64, "passes", ""]["mean"] <= 64
    for quantity in (
        "jaccard",
        "jaccard_ties_aside",
        "spearman",
        "nrmse_common",
        "pointing",
        "mass",
        "auprc",
        "seconds",
    ):
        assert ("fused", 64, quantity, "") in found
    maps = pd.read_csv(tmp_path / "out" / "maps.csv")
    assert len(maps) == 4 * (3 * 2 * 2 + 2 + 1 + 2 + 1)
    assert len(pd.read_csv(tmp_path / "out" / "stability.csv")) == 4 * 4 * 2
    assert {row["against"] for row in summary["comparisons"]} == set(METHODS_HERE) - {"fused"}
    assert {row["budget"] for row in summary["non_inferiority"]} == {64, 128}
    common = {row["method"] for row in summary["results"] if row["quantity"] == "nrmse_common"}
    assert common == {"fused", "lime"}
    assert {row["against"] for row in summary["comparisons"] if row["quantity"] == "nrmse_common"} == {"lime"}
    assert summary["own_targets"] == ["lime-package-log-odds"]
    assert 0 < found["lime-package-log-odds", 64, "limit_apart", ""]["mean"] < 1
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Not held against the limit of LIME (nrmse_common): lime-package-log-odds." in page
    assert page.count("data:image/png;base64,") == len(list((tmp_path / "out" / "figures").iterdir())) == 4
    assert "http" not in page.replace("https://", "http")  # nothing is fetched from elsewhere


def test_it_goes_on_where_it_stopped_and_never_mixes_settings(
    tmp_path: Path, cohort_csv: Cohort, bundle_dir: Path
) -> None:
    cohort, output = read_cohort(cohort_csv(3)), tmp_path / "out"
    asked = settings(bundle_dir, methods=("lime",), budgets=(32,), seeds=(0,))
    notes: list[str] = []
    run_benchmark(cohort[:2], asked, output, workers=0, on_note=notes.append)
    steps: list[Any] = []
    run_benchmark(cohort, asked, output, workers=0, on_step=steps.append)
    assert [(step.case, step.kept) for step in steps] == [("c0", True), ("c1", True), ("c2", False)]
    assert summary_of(output)["cohort"]["cases"] == 3
    broken = next(output.glob("cases/*/c1.json"))
    broken.write_text(broken.read_text()[:100])
    steps.clear()
    other = settings(bundle_dir, methods=("lime",), budgets=(32,), seeds=(1,))
    assert not notes
    summary = run_benchmark(cohort, other, output, workers=0, on_step=steps.append, on_note=notes.append)
    assert not any(step.kept for step in steps)
    assert summary["settings"]["seeds"] == [1]
    (note,) = notes
    assert "3 case(s)" in note and note.endswith("are not used: other settings: seeds")
    assert len([path for path in (output / "cases").iterdir() if path.is_dir()]) == 2
    steps.clear()
    run_benchmark(cohort, asked, output, workers=0, on_step=steps.append)
    assert [(step.case, step.kept) for step in steps] == [("c0", True), ("c2", True), ("c1", False)]


def test_other_weights_or_another_image_are_measured_again(
    tmp_path: Path, cohort_csv: Cohort, bundle_dir: Path
) -> None:
    copy = write_blob_bundle(tmp_path / "copy", SHAPE, explain={"n_regions": 24})
    asked = settings(copy, methods=("lime",), budgets=(32,), seeds=(0,))
    path, output = cohort_csv(2), tmp_path / "out"
    run_benchmark(read_cohort(path), asked, output, workers=0)
    write_scan(path.parent, "scan1", (8, 8, 2))
    steps: list[Any] = []
    run_benchmark(read_cohort(path), asked, output, workers=0, on_step=steps.append)
    assert [(step.case, step.kept) for step in steps] == [("c0", True), ("c1", False)]
    weights = torch.load(copy / "models" / "model.pt", weights_only=True)
    torch.save({k: v * 1.1 for k, v in weights.items()}, copy / "models" / "model.pt")
    from camlime.benchmark.preparing import _bundle

    _bundle.cache_clear()
    steps.clear()
    run_benchmark(read_cohort(path), asked, output, workers=0, on_step=steps.append)
    assert not any(step.kept for step in steps)


def test_other_sources_or_versions_are_measured_again_and_it_is_said_why(
    tmp_path: Path, cohort_csv: Cohort, bundle_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort, output = read_cohort(cohort_csv(1)), tmp_path / "out"
    asked = settings(bundle_dir, methods=("random",), budgets=(32,), seeds=(0,))
    run_benchmark(cohort, asked, output, workers=0)
    (about,) = output.glob("cases/*.json")
    here = state.computing_state()
    other = {"versions": {**here["versions"], "scikit-learn": "0"}, "sources": "changed"}
    for module in (benchmark_settings, summary_module):
        monkeypatch.setattr(module, "computing_state", lambda: other)
    steps: list[Any] = []
    notes: list[str] = []
    run_benchmark(cohort, asked, output, workers=0, on_step=steps.append, on_note=notes.append)
    assert [step.kept for step in steps] == [False]
    assert [note.split("not used: ")[1] for note in notes] == ["other versions: scikit-learn; other sources of camlime"]
    about.unlink()  # as in a folder of an earlier version
    changed = settings(bundle_dir, methods=("random",), budgets=(32,), seeds=(1,))
    notes.clear()
    run_benchmark(cohort, changed, output, workers=0, on_note=notes.append)
    assert sorted(note.split("not used: ")[1] for note in notes) == [
        "it is not known what they were measured with", "other settings: seeds"
    ]  # fmt: skip


def test_a_worker_with_other_sources_does_no_case(tmp_path: Path, cohort_csv: Cohort, bundle_dir: Path) -> None:
    (line,) = read_cohort(cohort_csv(1))
    asked = settings(bundle_dir, methods=("random",))
    job = work.Job(line, asked, {}, {**state.computing_state(), "sources": "changed"})
    with pytest.raises(RequestError, match="other sources of camlime than where"):
        work.measure_case(job)
    job = work.Job(line, asked, {}, {**state.computing_state(), "versions": {"torch": "0"}})
    with pytest.raises(RequestError, match="other versions of torch"):
        work.measure_case(job)


def test_a_device_left_open_is_the_one_that_it_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def digest(device: str) -> str:
        return settings(Path("bundle"), device=device).digest({})

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    on_cpu = digest("auto")
    assert on_cpu == digest("cpu")
    with Standin():
        assert digest("auto") == digest("cuda") == digest("cuda:1") != on_cpu


def test_no_result_of_a_broken_file(tmp_path: Path) -> None:
    store = Store(tmp_path, settings(Path("bundle"), device="cpu").measured_with({}))
    store.save("a", "x", {"case": "a"})
    assert store.load("a", "x") == {"case": "a"}
    (path,) = store.folder.iterdir()
    path.write_text(json.dumps({"settings": store.digest, "digest": "x"}))
    assert store.load("a", "x") is None


def test_every_case_is_done_on_one_thread(
    cohort_csv: Cohort, bundle_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = work.Job(read_cohort(cohort_csv(1))[0], settings(bundle_dir), {})
    seen: list[int] = []

    def measure(job: work.Job) -> dict[str, Any]:
        seen.append(torch.get_num_threads())
        return {}

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        monkeypatch.setattr(schedule, "measure_case", measure)
        list(schedule.outcomes([job], workers=0))
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


def test_neither_the_order_nor_the_company_of_a_case_changes_its_result(
    tmp_path: Path, cohort_csv: Cohort, bundle_dir: Path
) -> None:
    cohort = read_cohort(cohort_csv(3))
    asked = settings(bundle_dir, methods=("lime", "random"), budgets=(64,))
    one = run_benchmark(cohort, asked, tmp_path / "one", workers=0)
    run_benchmark(cohort[1:][::-1], asked, tmp_path / "two", workers=0)
    other = run_benchmark(cohort, asked, tmp_path / "two", workers=0)
    assert without_times(results(tmp_path / "one")) == without_times(results(tmp_path / "two"))
    assert without_times(one) == without_times(other)


def test_a_case_that_cannot_be_done_costs_only_itself(tmp_path: Path, cohort_csv: Cohort, bundle_dir: Path) -> None:
    path = cohort_csv(3)
    (path.parent / "scan1.nii.gz").write_bytes(b"no image")
    asked = settings(bundle_dir, methods=("lime",), budgets=(32,))
    summary = run_benchmark(read_cohort(path), asked, tmp_path / "out", workers=0)
    assert list(summary["cohort"]["failed"]) == ["c1"]
    assert summary["cohort"]["cases"] == 2
    assert "Not done: c1" in (tmp_path / "out" / "index.html").read_text()
    for i in (0, 2):
        (path.parent / f"scan{i}.nii.gz").write_bytes(b"no image")
    with pytest.raises(RequestError, match="not a single case"):
        run_benchmark(read_cohort(path), asked, tmp_path / "other", workers=0)


def test_a_method_that_cannot_be_done_is_named(tmp_path: Path, cohort_csv: Cohort, bundle_dir: Path) -> None:
    asked = settings(bundle_dir, methods=("lime", "gradcam"), budgets=(32,), target_layer="nowhere")
    summary = run_benchmark(read_cohort(cohort_csv(2)), asked, tmp_path / "out", workers=0)
    (skipped,) = summary["cohort"]["skipped"]
    assert (skipped["method"], skipped["cases"]) == ("gradcam", 2)
    assert "nowhere" in skipped["why"]
    assert "Skipped in 2 case(s): gradcam" in (tmp_path / "out" / "index.html").read_text()


def test_a_missing_package_is_an_error_by_name_and_named_in_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Method("absent", "peers", METHODS["lime"].explain, module="no_such_module")
    monkeypatch.setitem(METHODS, "absent", absent)
    with pytest.raises(RequestError, match="no_such_module"):
        chosen(["absent"])
    names, left_out = chosen(["peers"])
    assert "absent" not in names
    assert left_out["absent"] == "the module 'no_such_module' is not installed"
    with pytest.raises(RequestError, match="no method 'nonsense'"):
        chosen(["nonsense"])


@pytest.mark.parametrize(
    "changes",
    [{"budgets": ()}, {"budgets": (8,)}, {"budgets": (64, 64)}, {"seeds": (-1,)}, {"limit": 100}, {"jitter_mm": -1.0}],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        settings(Path("bundle"), **changes)
