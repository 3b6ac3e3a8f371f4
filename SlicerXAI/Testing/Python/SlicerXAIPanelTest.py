"""Inside Slicer: the panel opens, follows the scene and closes, without the engine's packages."""

import unittest

import slicer
import slicer.util


class SlicerXAIPanelTest(unittest.TestCase):
    """Run by ctest, or from Slicer's Python console."""

    def setUp(self):
        slicer.mrmlScene.Clear()
        self.panel = slicer.util.getModuleWidget("SlicerXAI").panel

    def test_without_a_volume_nothing_can_be_explained(self):
        self.assertIsNone(self.panel.parameters.volume)
        self.assertFalse(self.panel.ui.explainButton.enabled)

    def test_choices_are_kept_in_the_scene(self):
        volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
        self.panel.ui.volumeSelector.setCurrentNode(volume)
        self.assertIs(self.panel.parameters.volume, volume)
        self.panel.parameters.quality = "thorough"
        self.assertEqual(self.panel.ui.qualitySelector.currentIndex, 2)

    def test_closing_the_scene_empties_the_panel(self):
        volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
        self.panel.parameters.volume = volume
        slicer.mrmlScene.Clear()
        self.assertIsNone(self.panel.parameters.volume)


if __name__ == "__main__":
    unittest.main()
