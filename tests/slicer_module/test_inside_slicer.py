"""What ctest runs inside Slicer, run here on the same panel."""

from __future__ import annotations

import importlib.util
import unittest

from support.slicer_panel import MODULE, bootstrapped

bootstrapped()

import slicer.util  # noqa: E402


def test_the_tests_for_slicer_pass_here(desk, monkeypatch):
    monkeypatch.setattr(slicer.util, "getModuleWidget", lambda name: desk.widget)
    path = MODULE.parent / "Testing" / "Python" / "SlicerXAIPanelTest.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    code = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(code)
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromModule(code).run(result)
    assert result.testsRun == 3
    assert not [text for _, text in result.errors + result.failures]


def test_loaded_anew_every_part_is_read_again(desk, monkeypatch):
    """As Slicer's button 'Reload' does: the package's modules are forgotten before the module file is read again."""
    import sys

    kept = {name: part for name, part in sys.modules.items() if name.partition(".")[0] == "SlicerXAILib"}
    reloaded = []
    monkeypatch.setattr(slicer.util, "reloadScriptedModule", reloaded.append)
    try:
        desk.widget.onReload()
        assert reloaded == ["SlicerXAI"]
        assert not [name for name in sys.modules if name.partition(".")[0] == "SlicerXAILib"]
    finally:
        sys.modules.update(kept)
