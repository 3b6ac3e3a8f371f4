"""The scripts that make the tables and the figure of docs/benchmarks.md from results."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("seaborn")
pytest.importorskip("statsmodels")

from camlime.benchmark import comparing
from camlime.benchmark.quantities import QUANTITIES
from camlime.benchmark.settings import FORMAT

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
PATIENTS = 8


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"script_{name}", SCRIPTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def values() -> pd.DataFrame:
    """Of fused, its parents and a control: a level, and a little that differs from patient to patient."""
    levels = {
        ("fused", "ours", 64): 2.5,
        ("fused", "ours", 128): 2.6,
        ("lime", "ours", 64): 2.0,
        ("lime", "ours", 128): 2.55,
        ("gradcam", "ours", 0): 0.5,
        ("random", "controls", 0): 0.0,
    }
    of_map = [("abpc", "blur", 1.0), ("abpc", "mean", 2.0), ("deletion", "blur", -1.0), ("insertion", "blur", 1.5)]
    of_map += [("rank", "", 0.2), ("auprc", "", 0.25), ("passes", "", 50.0), ("seconds", "", 0.01)]
    lines = []
    for (method, group, budget), level in levels.items():
        seeded = [("jaccard", "", 0.3), ("spearman", "", 0.35), ("nrmse", "", 0.02)] if budget else []
        for quantity, baseline, scale in [*of_map, *seeded]:
            for i in range(PATIENTS):
                value = scale * (level + 0.01 * (i - 3.5) * (1 + (i + len(method)) % 3))
                lines.append((f"c{i}", f"p{i}", method, group, budget, quantity, baseline, value))
    columns = ["case", "patient", "method", "group", "budget", "quantity", "baseline", "value"]
    return pd.DataFrame(lines, columns=columns)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An output of the benchmark, as far as the tables need it."""
    table = values()
    summary: dict[str, Any] = {
        "format": FORMAT,
        "bundle": {"name": "b", "version": "1"},
        "settings": {"budgets": [64, 128]},
        "versions": {},
        "quantities": {q.name: {"title": q.title, "better": q.better} for q in QUANTITIES},
        "cohort": {"patients": PATIENTS, "mean_prevalence": 0.11},
        "results": comparing.results(table),
        "margin": 0.05,
        "non_inferiority": comparing.non_inferiority(table, 0.05),
    }
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "summary.json").write_text(json.dumps(summary))
    return tmp_path / "run"


def run(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["script", *map(str, arguments)])
    module.main()


def parsed(text: str) -> dict[str, list[list[str]]]:
    """Rows of cells by the title above them."""
    found: dict[str, list[list[str]]] = {}
    title = ""
    for line in text.splitlines():
        if line.startswith("**"):
            title = line
            assert title not in found
        elif line.startswith("|") and "---" not in line:
            found.setdefault(title, []).append([cell.strip() for cell in line.strip("|").split(" | ")])
    return found


def test_the_tables_hold_what_the_benchmark_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(script("tables"), monkeypatch, folder)
    found = parsed(capsys.readouterr().out)
    by_words = {title.split("**")[1] + title.split("**")[2].split(" (")[0]: rows for title, rows in found.items()}
    blur = by_words["Areas under the removal curves, log-odds, removed regions take: blur"]
    assert blur[0] == ["method", "passes", "ABPC ↑", "deletion ↓", "insertion ↑"]
    assert [row[:2] for row in blur[1:]] == [
        ["`fused`", "64"],
        ["`lime`", "64"],
        ["`fused`", "128"],
        ["`lime`", "128"],
        ["`gradcam`", "any"],
        ["`random`", "any"],
    ]
    table = values()
    for row in blur[1:]:
        method, budget = row[0].strip("`"), 0 if row[1] == "any" else int(row[1])
        for name, cell in zip(("abpc", "deletion", "insertion"), row[2:], strict=True):
            own = table[(table.method == method) & (table.budget == budget) & (table.quantity == name)]
            mean = own[own.baseline == "blur"].value.mean()
            value, low, high = (float(x) for x in cell.replace("(", "").replace(")", "").replace(",", "").split())
            assert value == pytest.approx(mean, abs=0.0051) and low <= value <= high and low < high
    removal_mean = by_words["Areas under the removal curves, log-odds, removed regions take: mean"]
    assert removal_mean[0] == ["method", "passes", "ABPC ↑"]  # nothing else was measured with it
    outlines = by_words["Against the outlines"]
    assert outlines[0] == ["method", "passes", "relevance rank accuracy ↑", "AUPRC ↑"]
    assert outlines[-1] == ["prevalence: what chance has", "", "0.11", "0.11"]
    assert by_words["From seed to seed"][0] == ["method", "passes", "weighted Spearman ↑", "top-10 Jaccard ↑"]
    assert len(by_words["From seed to seed"]) == 5  # none without a budget
    assert [row[0] for row in by_words["To the long run"][1:3]] == ["`lime`", "`fused`"]  # the smaller error first
    assert not any("intervals" in title for title in by_words)
    parents = by_words["Fused less the better of its parents"]
    wanted = comparing.non_inferiority(table, 0.05)
    assert len(parents) == 1 + len(wanted) == 1 + 2 * 4  # two budgets, ABPC with two baselines, rank and AUPRC
    for row, one in zip(parents[1:], wanted, strict=True):
        assert row[:3] == [one["quantity"], one["baseline"] or "-", str(one["budget"])]
        assert row[6].startswith(f"{one['mean_difference']:.2f}"[:4]) or abs(one["mean_difference"]) < 0.1
        assert row[8] == ("yes" if one["not_inferior"] else "**no**")


def test_methods_and_tables_can_be_chosen_and_a_wrong_name_is_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = script("tables")
    run(module, monkeypatch, folder, "--methods", "fused,controls", "--tables", "cost", "--output", tmp_path / "t.md")
    ((_, rows),) = parsed((tmp_path / "t.md").read_text()).items()
    assert [row[0] for row in rows[1:]] == ["`fused`", "`fused`", "`random`"]
    for arguments, why in ((("--tables", "magic"), "no table magic"), (("--methods", "magic"), "no method magic")):
        with pytest.raises(SystemExit) as caught:
            run(module, monkeypatch, folder, *arguments)
        assert caught.value.code == 2 and why in capsys.readouterr().err


def stability(cases: list[tuple[str, str]], methods: dict[str, list[int]], scale: float = 1.0) -> pd.DataFrame:
    lines = [
        (case, patient, method, budget, scale * (1 + i) * 10 / budget, 1 - 8 / budget)
        for i, (case, patient) in enumerate(cases)
        for method, budgets in methods.items()
        for budget in budgets
    ]
    return pd.DataFrame(lines, columns=["case", "patient", "method", "budget", "nrmse", "jaccard"])


def written(path: Path, table: pd.DataFrame) -> Path:
    path.mkdir()
    table.to_csv(path / "stability.csv", index=False)
    return path


def test_the_figure_has_every_method_and_budget_on_the_shared_patients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [("a1", "a"), ("a2", "a"), ("b", "b"), ("c", "c")]
    one = written(tmp_path / "one", stability(cases, {"fused": [64, 128], "lime": [64, 128], "other": [64]}))
    few = written(tmp_path / "few", stability(cases[:3], {"fused": [24, 64], "lime": [24]}, scale=1.0))
    stock = stability([*cases, ("d", "d")], {"lime-package-log-odds": [24, 128], "lime-package": [64]})
    third = written(tmp_path / "stock", stock)
    module = script("convergence")
    table = module.read([one, few, third])
    assert set(table.case) == {"a1", "a2", "b"}
    assert not table.duplicated(["case", "method", "budget"]).any()
    found = module.curve(table, "fused", "nrmse")
    assert found.budget.tolist() == [24, 64, 128] and found.patients.tolist() == [2, 2, 2]
    np.testing.assert_allclose(found["median"], [(1.5 + 3) / 2 * 10 / budget for budget in (24, 64, 128)])
    figure = module.draw(table)
    errors, agreement = figure.axes
    assert errors.get_xscale() == errors.get_yscale() == "log" and agreement.get_xscale() == "log"
    curves = {line.get_label(): line for line in errors.lines if not line.get_label().startswith("_")}
    assert list(curves) == ["fused", "LIME (ours)", "stock LIME, on log-odds", "stock LIME as it is"]
    assert curves["stock LIME, on log-odds"].get_xdata().tolist() == [24, 128]
    assert [text.get_text() for text in errors.get_xticklabels()] == ["24", "64", "128"]
    run(module, monkeypatch, one, few, third, "--output", tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_the_first_folders_number_counts(tmp_path: Path) -> None:
    cases = [("a", "a"), ("b", "b")]
    first = written(tmp_path / "first", stability(cases, {"fused": [64]}))
    second = written(tmp_path / "second", stability(cases, {"fused": [64, 128]}, scale=100.0))
    found = script("convergence").curve(script("convergence").read([first, second]), "fused", "nrmse")
    np.testing.assert_allclose(found["median"], [15 / 64, 1500 / 128])


def test_folders_without_results_or_without_a_shared_case_are_refused(tmp_path: Path) -> None:
    module = script("convergence")
    one = written(tmp_path / "one", stability([("a", "a")], {"fused": [64]}))
    other = written(tmp_path / "other", stability([("b", "b")], {"fused": [64]}))
    with pytest.raises(SystemExit, match="no case in common"):
        module.read([one, other])
    with pytest.raises(SystemExit, match=r"no stability\.csv"):
        module.read([tmp_path])
