"""Ctrl-C: the first keeps what is there, the second stops at once, and before the work nothing is kept."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.conftest import FEW

from camlime.attribution import Attribution
from camlime.cli.progress import Watch
from camlime.methods.case import Progress

Run = Callable[..., Any]
ENDLESS = ("--budget", "100000", "--n-regions", "12", "--batch-size", "2", "--device", "cpu")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process")


def interrupt_at(monkeypatch: pytest.MonkeyPatch, method: str, passes: list[int]) -> None:
    """Press Ctrl-C when a method has done so many passes."""
    heard = Watch._progress

    def pressed(self: Watch, progress: Progress) -> None:
        heard(self, progress)
        if progress.method == method and passes and progress.done >= passes[0]:
            passes.pop(0)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Watch, "_progress", pressed)


def test_the_first_keeps_what_is_there(
    camlime: Run, volume: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, "lime", [40])
    result = camlime("explain", volume, "--bundle", bundle, "--output", tmp_path, *FEW)
    assert result.exit_code == 130
    record = json.loads((tmp_path / "explanation.json").read_text())
    assert record["complete"] is False and list(record["attributions"]) == ["gradcam", "lime"]
    passes = record["attributions"]["lime"]["forward_passes"]
    assert 40 <= passes < 64
    assert f"interrupted: kept gradcam and {passes} passes of lime" in result.stderr
    assert "stopping after this batch" in result.stderr
    assert str(tmp_path / "gradcam.nii.gz") in result.stdout
    assert not list(tmp_path.glob(".*"))


def test_the_second_stops_at_once(
    camlime: Run, volume: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, "lime", [16, 16])
    original = Watch._cancelled
    monkeypatch.setattr(Watch, "_cancelled", lambda self: original(self) and False)
    result = camlime("explain", volume, "--bundle", bundle, "--output", tmp_path / "out", *FEW)
    assert result.exit_code == 130 and "interrupted: nothing was kept" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_second_while_saving_leaves_nothing_half_written(
    camlime: Run, volume: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, "lime", [16])
    monkeypatch.setattr("camlime.saving.draw_overview", lambda *_: signal.raise_signal(signal.SIGINT))
    result = camlime("explain", volume, "--bundle", bundle, "--output", tmp_path / "out", *FEW)
    assert result.exit_code == 130 and "nothing was kept" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_before_the_first_map_nothing_is_kept(
    camlime: Run, volume: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr("camlime.bundle.Bundle.load", pressed)
    result = camlime("explain", volume, "--bundle", bundle, "--output", tmp_path / "out", *FEW)
    assert result.exit_code == 130 and result.stderr == "interrupted: nothing was kept\n"
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGINT) is before


def test_what_was_kept_in_words() -> None:
    from types import SimpleNamespace
    from typing import cast

    from camlime.cli.running import kept_in_words
    from camlime.explanation import Explanation

    done = {name: Attribution(name, np.zeros((2, 2), np.float32), forward_passes=412) for name in ("a", "b", "lime")}
    kept = cast(Explanation, SimpleNamespace(attributions=done))
    assert kept_in_words(kept, "lime") == "a, b and 412 passes of lime"
    assert kept_in_words(kept, "") == "a, b and lime"
    assert kept_in_words(cast(Explanation, SimpleNamespace(attributions={"lime": done["lime"]})), "") == "lime"


def test_in_a_process_of_its_own(
    process: Callable[..., subprocess.Popen[str]], volume: Path, bundle: Path, tmp_path: Path
) -> None:
    """One is interrupted in the middle of LIME, one while it still imports; both at the same time to save some."""
    reporting_imports = {"PYTHONPROFILEIMPORTTIME": "1"}
    early = process(
        "explain", volume, "--bundle", bundle, "--output", tmp_path / "early", *ENDLESS, **reporting_imports
    )
    late = process("explain", volume, "--bundle", bundle, "--output", tmp_path / "late", *ENDLESS)
    try:
        assert early.stderr is not None
        assert any("| " in line and "torch" in line for line in early.stderr)
        early.send_signal(signal.SIGINT)
        _, said = early.communicate(timeout=60)
        assert early.returncode in {130, -signal.SIGINT}  # a shell shows both as 130; Python chooses the second if a C
        assert said.endswith("interrupted: nothing was kept\n") and "Traceback" not in said  # module was being loaded
        assert not (tmp_path / "early").exists()

        assert late.stderr is not None
        assert late.stderr.readline().startswith("gradcam: ")
        late.send_signal(signal.SIGINT)
        printed, said = late.communicate(timeout=60)
        assert late.returncode == 130
        assert "interrupted: kept gradcam" in said and "Traceback" not in said and "Warning" not in said
        record = json.loads((tmp_path / "late" / "explanation.json").read_text())
        assert record["complete"] is False and "gradcam" in record["attributions"]
        assert "overview.png" in printed
    finally:
        for one in (early, late):
            if one.poll() is None:
                one.kill()
                one.wait()
