from pathlib import Path

import numpy as np
import pytest
from support.slicer_panel import bootstrapped

slicer = bootstrapped()

import slicer_harness  # noqa: E402
from slicer_harness import pythonqt  # noqa: E402
from slicer_harness.uiloader import UiError  # noqa: E402

DEMO = Path(__file__).parent / "demo" / "XAIDemo"


@pytest.fixture(autouse=True)
def clean():
    pythonqt.errors.clear()
    slicer.mrmlScene.Clear()
    yield
    assert not pythonqt.errors


@pytest.fixture
def demo():
    return slicer_harness.loadModule(str(DEMO / "XAIDemo.py"))


def volume():
    import slicer.util

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "in")
    slicer.util.updateVolumeFromArray(node, np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    node.SetSpacing(1, 2, 3)
    node.SetOrigin(-7, 8, 9)
    return node


def test_gui_and_parameter_node(demo):
    widget = demo[2]
    ui = widget.ui
    assert not ui.applyButton.enabled
    node = volume()
    ui.inputSelector.setCurrentNode(node)
    assert widget._parameterNode.inputVolume is node
    assert ui.applyButton.enabled
    ui.opacitySlider.value = 0.25
    assert widget._parameterNode.opacity == 0.25
    widget._parameterNode.opacity = 0.75
    assert ui.opacitySlider.value == 0.75
    ui.invertCheckBox.click()
    assert widget._parameterNode.invert is True
    ui.methodComboBox.currentText = "LIME"
    assert widget._parameterNode.method == "LIME"
    ui.applyButton.click()
    out = widget._parameterNode.outputVolume
    assert out.GetName() == "heat"
    assert np.isclose(slicer.util.arrayFromVolume(out).max(), 1)
    assert out.GetOrigin() == node.GetOrigin()


def test_a_parameter_takes_only_what_it_says_and_is_kept_in_the_scene(demo):
    """The same on Slicer's own files and on the stand-ins for them."""
    code, _, widget = demo
    parameters = widget._parameterNode
    with pytest.raises(ValueError):
        parameters.method = "magic"
    with pytest.raises(ValueError):
        parameters.opacity = 2.0
    parameters.method, parameters.opacity, parameters.invert = "LIME", 0.125, True
    parameters.inputVolume = node = volume()
    again = code.XAIDemoParameterNode(parameters.parameterNode)
    assert (again.method, again.opacity, again.invert, again.inputVolume) == ("LIME", 0.125, True, node)
    slicer.mrmlScene.RemoveNode(node)
    assert again.inputVolume is None


def test_a_control_that_is_let_go_is_left_alone(demo):
    widget = demo[2]
    parameters, ui = widget._parameterNode, widget.ui
    parameters.disconnectGui(widget._tag)
    parameters.opacity = 0.75
    assert ui.opacitySlider.value != 0.75
    ui.opacitySlider.value = 0.25
    assert parameters.opacity == 0.75


def test_pythonqt_mistakes_are_caught(demo):
    ui = demo[2].ui
    with pytest.raises(TypeError):
        ui.applyButton.text()
    with pytest.raises(TypeError):
        ui.opacitySlider.value()
    with pytest.raises(AttributeError):
        ui.opacitySlider.setPageStap(3)
    with pytest.raises(AttributeError):
        ui.applyButton.enabeld = True
    with pytest.raises(ValueError):
        ui.applyButton.connect("clickd()", print)
    with pytest.raises(ValueError):
        ui.inputSelector.connect("currentNodeChanged(vtkMRMLScene*)", print)
    ui.inputSelector.connect("currentNodeChanged(vtkMRMLNode*)", print)


def test_slot_errors_are_seen(demo):
    ui = demo[2].ui

    def broken():
        raise RuntimeError("boom")

    ui.applyButton.enabled = True
    ui.applyButton.disconnect("clicked(bool)")
    ui.applyButton.connect("clicked()", broken)
    ui.applyButton.click()
    assert len(pythonqt.errors) == 1
    pythonqt.errors.clear()


def test_bad_ui_is_caught(tmp_path):
    import slicer.util

    text = (DEMO / "Resources" / "UI" / "XAIDemo.ui").read_text()
    mistakes = (
        ('name="singleStep"', 'name="singelStep"', UiError),
        ("ctkSliderWidget", "ctkSlideWidget", UiError),
        ("<receiver>inputSelector", "<receiver>inputSelektor", UiError),
        ("mrmlSceneChanged(vtkMRMLScene*)", "mrmlSceneChangd(vtkMRMLScene*)", ValueError),
    )
    for old, new, error in mistakes:
        bad = tmp_path / "bad.ui"
        bad.write_text(text.replace(old, new))
        with pytest.raises(error):
            slicer.util.loadUI(str(bad))
