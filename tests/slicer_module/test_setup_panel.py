"""What is installed is shown; what is missing is installed by Slicer's rules, only after a yes."""

from __future__ import annotations

from typing import Any

import pytest
from support.slicer_panel import bootstrapped

bootstrapped()

from SlicerXAILib import packages  # noqa: E402
from SlicerXAILib.packages import Installer, installed_version, missing, requirements  # noqa: E402


class TorchLogic:
    """Takes the calls that ``PyTorchUtilsLogic`` takes."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.calls: list[dict[str, Any]] = []

    def installTorch(  # noqa: N802
        self,
        askConfirmation: bool = False,
        forceComputationBackend: str | None = None,
        torchVersionRequirement: str | None = None,
        torchvisionVersionRequirement: str | None = None,
    ) -> Any:
        self.calls.append({"torch": torchVersionRequirement, "torchvision": torchvisionVersionRequirement})
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def run(wanted: list[str], *, torch: Any = None, pip: Any = None) -> tuple[list[Any], list[str]]:
    ended, log = [], []
    Installer(log.append, lambda: torch, pip or (lambda text: None)).install(wanted, ended.append)
    return ended, log


def test_the_table_names_what_is_needed_and_what_is_there(ready):
    rows = {
        ready.ui.packagesTable.item(r, 0).text(): ready.ui.packagesTable.item(r, 1).text()
        for r in range(ready.ui.packagesTable.rowCount)
    }
    assert ready.ui.packagesTable.rowCount == len(rows)
    assert rows["torch"] == installed_version("torch")
    assert set(requirements()) | {"numpy", "SimpleITK"} == set(rows)
    assert "The engine is ready" in ready.ui.engineLabel.text
    assert "CPU" in ready.ui.engineLabel.text
    assert "--no-index" in ready.ui.offlineLabel.text


def test_missing_is_what_is_absent_or_too_old():
    def version(name: str) -> str | None:
        return {"monai": "0.9", "lime": None}.get(name, "9999.0")

    assert missing(version) == ["monai>=1.5", "lime>=0.2.0.1"]
    assert missing(lambda name: "9999.0") == []


def test_torch_comes_only_from_the_pytorch_extension_and_slicers_numpy_stays():
    asked: list[str] = []
    logic = TorchLogic(object())
    ended, _ = run(["torch>=2.6", "monai>=1.5"], torch=logic, pip=asked.append)
    assert logic.calls == [{"torch": ">=2.6", "torchvision": None}]
    assert ended == [None]
    assert len(asked) == 1
    assert "'monai>=1.5'" in asked[0]
    assert "torch" not in asked[0]
    assert f"'numpy<={installed_version('numpy')}'" in asked[0]


def test_without_the_pytorch_extension_it_says_where_to_get_it():
    asked: list[str] = []
    ended, _ = run(["torch>=2.6", "monai>=1.5"], torch=None, pip=asked.append)
    assert "PyTorch" in ended[0].message
    assert "Extensions Manager" in ended[0].hint
    assert asked == []


@pytest.mark.parametrize("answer", [None, RuntimeError("no network")])
def test_a_torch_that_cannot_be_installed_is_a_message(answer):
    ended, _ = run(["torch>=2.6"], torch=TorchLogic(answer))
    assert "not installed" in ended[0].message
    assert ended[0].hint


def test_newer_slicers_install_in_the_background():
    calls: list[Any] = []

    def pip(requirements: str, blocking: bool = True, logCallback=None, completedCallback=None, requester=None) -> None:
        calls.append((blocking, completedCallback))
        logCallback("Collecting monai")

    ended, log = run(["monai>=1.5"], pip=pip)
    assert ended == []
    assert calls[0][0] is False
    assert "Collecting monai" in log
    calls[0][1](0)
    assert ended == [None]
    calls[0][1](1)
    assert "code 1" in ended[1].message


def test_a_failing_pip_is_a_message():
    def pip(text: str) -> None:
        raise OSError("no network")

    ended, _ = run(["monai>=1.5"], pip=pip)
    assert "no network" in ended[0].message


def test_nothing_is_installed_without_a_yes(ready, monkeypatch):
    wanted: list[Any] = []
    monkeypatch.setattr("SlicerXAILib.setup_panel.missing", lambda: ["lime>=0.2.0.1"])
    monkeypatch.setattr(ready.panel.setup._installer, "install", lambda packages, done: wanted.append((packages, done)))
    ready.panel.setup.refresh()
    ready.ui.installButton.click()
    assert "lime" in ready.answers.asked[0]
    assert wanted == []
    assert ready.panel.engine.state == "ready"


def test_after_a_yes_the_engine_starts_anew(ready, monkeypatch):
    monkeypatch.setattr("SlicerXAILib.setup_panel.missing", lambda: ["lime>=0.2.0.1"])
    monkeypatch.setattr(ready.panel.setup._installer, "install", lambda packages, done: done(None))
    started: list[bool] = []
    monkeypatch.setattr(ready.panel.engine, "stop", lambda: None)
    monkeypatch.setattr(ready.panel.engine, "restart", lambda: started.append(True))
    ready.panel.setup.refresh()
    ready.answers.yes = True
    ready.ui.installButton.click()
    assert started == [True]
    assert "Installed" in ready.ui.logEdit.plainText


def test_the_log_can_be_copied_with_the_versions(ready):
    ready.ui.copyLogButton.click()
    assert f"torch {installed_version('torch')}" in ready.answers.clipboard
    assert "Slicer 5" in ready.answers.clipboard


def test_the_requirements_file_is_the_one_that_is_shipped():
    assert packages.REQUIREMENTS_FILE.is_file()
    assert all(">=" in line for line in requirements().values())


def test_the_section_opens_where_something_is_missing(ready, monkeypatch):
    ready.ui.setupSection.collapsed = True
    ready.panel.setup.open_if_needed()
    assert ready.ui.setupSection.collapsed
    monkeypatch.setattr("SlicerXAILib.setup_panel.missing", lambda: ["lime>=0.2.0.1"])
    ready.panel.setup.open_if_needed()
    assert not ready.ui.setupSection.collapsed
