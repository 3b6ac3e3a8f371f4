"""``camlime benchmark`` as a user runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from camlime.cli.app import app

Cohort = Callable[..., Path]


def run(*arguments: object):
    return CliRunner().invoke(app, ["benchmark", *map(str, arguments)])


def test_from_table_to_page(tmp_path: Path, cohort_csv: Cohort, bundle_dir: Path) -> None:
    arguments = ["--bundle", bundle_dir, "--cases", cohort_csv(2), "--output", tmp_path / "out", "--workers", 0]
    arguments += ["--methods", "lime,occlusion,controls", "--budgets", "16,64", "--seeds", "0,1", "--reference", "lime"]
    first = run(*arguments)
    assert first.exit_code == 0, first.output
    assert f"{tmp_path / 'out' / 'index.html'}" in first.stdout
    assert "2 of 2  c1" in first.stderr
    assert "skipped: occlusion at 16 passes in 2 case(s): the budget has no pass for each region" in first.stderr
    assert "from an earlier run" in run(*arguments).stderr
    assert (tmp_path / "out" / "summary.json").exists()


def test_cases_that_failed_show_in_the_exit_code(tmp_path: Path, cohort_csv: Cohort, bundle_dir: Path) -> None:
    path = cohort_csv(2)
    (path.parent / "scan0.nii.gz").write_bytes(b"no image")
    found = run("--bundle", bundle_dir, "--cases", path, "--output", tmp_path / "out", "--workers", 0,
                "--methods", "lime", "--budgets", "32")  # fmt: skip
    assert found.exit_code == 1
    assert "1 of 2 cases could not be done" in found.stderr
    assert (tmp_path / "out" / "index.html").exists()


@pytest.mark.parametrize(
    ("option", "value", "code", "words"),
    [
        ("--methods", "nonsense", 6, "no method 'nonsense'"),
        ("--reference", "fuzed", 6, "no method 'fuzed'"),
        ("--budgets", "64,many", 2, "whole numbers"),
        ("--budgets", "4", 6, "at least 16"),
        ("--cases", "absent.csv", 6, "cannot be read"),
        ("--device", "cuda:99", 9, "cuda"),
        ("--bundle", "absent", 4, "absent"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, cohort_csv: Cohort, bundle_dir: Path, option: str, value: str, code: int, words: str
) -> None:
    given = {"--bundle": bundle_dir, "--cases": cohort_csv(1), "--output": tmp_path / "out", "--workers": 0}
    given[option] = value
    found = run(*[part for pair in given.items() for part in pair])
    assert found.exit_code == code, found.output
    assert words in found.stderr
    assert "Traceback" not in found.output
    assert not (tmp_path / "out").exists()
