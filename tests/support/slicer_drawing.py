"""Draws the views of a desk off screen, with outlines, legends and surfaces, as Slicer's own view widgets do."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from support.slicer_desk import Desk

_IN_SLICES = (
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLColorLegendDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
)
_POINTS = "vtkMRMLMarkupsDisplayableManager"
_IN_3D = ("vtkMRMLSegmentationsDisplayableManager3D", "vtkMRMLModelDisplayableManager")


def allow_points(desk: Desk) -> None:
    """Let views draw lists of points, as Slicer's module Markups does when it starts."""
    logic = next(each for each in desk.logics if each.GetClassName() == "vtkSlicerMarkupsLogic")
    desk.application.SetModuleLogic("Markups", logic)
    logic.RegisterMarkupsNode(slicer.vtkMRMLMarkupsFiducialNode(), slicer.vtkSlicerPointsWidget())


class SliceView:
    """A slice view's window; make it before what it is to show, as Slicer does.

    Args:
        desk: whose.
        name: of the view, such as ``"Red"``.
        points: draw lists of points as well; :func:`allow_points` comes before.
    """

    def __init__(self, desk: Desk, name: str, *, points: bool = False) -> None:
        self._logic = desk.slices[name]
        node = self._logic.GetSliceNode()
        self._window = _window(node.GetDimensions()[:2])
        pixels, overlay = vtk.vtkRenderer(), vtk.vtkRenderer()
        overlay.SetLayer(1)
        self._window.SetNumberOfLayers(2)
        self._window.AddRenderer(pixels)
        self._window.AddRenderer(overlay)
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        actor = vtk.vtkActor2D()
        actor.SetMapper(self._mapper)
        pixels.AddViewProp(actor)
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        shown = (*_IN_SLICES, _POINTS) if points else _IN_SLICES
        self._interactor, self._group = _managers(desk, factory, self._window, overlay, shown, node)

    def renderWindow(self) -> Any:  # noqa: N802
        """As Slicer's view widget has it."""
        return self._window

    def scheduleRender(self) -> None:  # noqa: N802
        """It is drawn when it is asked to."""

    def draw(self) -> np.ndarray:
        """Everything in the view, axes (y, x, 3), uint8, y downwards."""
        self._logic.UpdateImageData()
        self._mapper.SetInputConnection(self._logic.GetImageDataConnection())
        return _grab(self._window)


class View3D:
    """The window of the desk's 3D view; make it before what it is to show.

    Args:
        desk: whose.
        size: width and height in pixels.
    """

    def __init__(self, desk: Desk, size: tuple[int, int]) -> None:
        self._window = _window(size)
        self._renderer = vtk.vtkRenderer()
        self._renderer.GradientBackgroundOn()
        self._renderer.SetBackground(0.76, 0.76, 0.91)
        self._renderer.SetBackground2(0.46, 0.47, 0.75)
        self._window.AddRenderer(self._renderer)
        vtk.vtkLightKit().AddLightsToRenderer(self._renderer)
        node = desk.scene.GetFirstNodeByClass("vtkMRMLViewNode")
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        self._interactor, self._group = _managers(desk, factory, self._window, self._renderer, _IN_3D, node)

    def draw(self, focus: np.ndarray, distance: float, direction: np.ndarray) -> np.ndarray:
        """What a camera sees, axes (y, x, 3), uint8, y downwards.

        Args:
            focus: world RAS mm in the middle of the picture.
            distance: of the camera, mm.
            direction: from the focus to the camera, RAS.
        """
        camera = self._renderer.GetActiveCamera()
        camera.SetFocalPoint(*focus)
        camera.SetPosition(*(focus + distance * direction / np.linalg.norm(direction)))
        camera.SetViewUp(0, 0, 1)
        self._renderer.ResetCameraClippingRange()
        return _grab(self._window)


def draw_chart(chart: Any, size: tuple[int, int]) -> np.ndarray:
    """A plot chart node, by VTK's chart as in Slicer's plot view; axes (y, x, 3), uint8, y downwards.

    Args:
        chart: a ``vtkMRMLPlotChartNode`` of lines.
        size: width and height in pixels.
    """
    view, drawn = vtk.vtkContextView(), vtk.vtkChartXY()
    window = view.GetRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)
    window.SetSize(*size)
    view.GetRenderer().SetBackground(1.0, 1.0, 1.0)
    view.GetScene().AddItem(drawn)
    for i in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(i)
        line = drawn.AddPlot(vtk.vtkChart.LINE)
        line.SetInputData(series.GetTableNode().GetTable(), series.GetXColumnName(), series.GetYColumnName())
        line.SetColorF(*series.GetColor())
        line.SetWidth(series.GetLineWidth())
        dashed = series.GetLineStyle() == slicer.vtkMRMLPlotSeriesNode.LineStyleDash
        line.GetPen().SetLineType(vtk.vtkPen.DASH_LINE if dashed else vtk.vtkPen.SOLID_LINE)
        line.SetLabel(series.GetName())
    drawn.SetTitle(chart.GetTitle())
    drawn.GetTitleProperties().SetFontSize(16)
    for axis, title in ((vtk.vtkAxis.BOTTOM, chart.GetXAxisTitle()), (vtk.vtkAxis.LEFT, chart.GetYAxisTitle())):
        drawn.GetAxis(axis).SetTitle(title)
        drawn.GetAxis(axis).GetTitleProperties().SetFontSize(14)
    drawn.GetAxis(vtk.vtkAxis.LEFT).SetRange(0.0, 1.0)
    drawn.GetAxis(vtk.vtkAxis.LEFT).SetBehavior(vtk.vtkAxis.FIXED)
    drawn.SetShowLegend(chart.GetLegendVisibility())
    drawn.GetLegend().SetLabelSize(13)
    return _grab(window)


def _window(size: Any) -> Any:
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)  # with more, translucent surfaces vanish on software OpenGL
    window.SetSize(int(size[0]), int(size[1]))
    return window


def _managers(desk: Desk, factory: Any, window: Any, renderer: Any, names: tuple[str, ...], node: Any) -> Any:
    interactor = vtk.vtkRenderWindowInteractor()
    interactor.SetRenderWindow(window)
    factory.SetMRMLApplicationLogic(desk.application)
    for name in names:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    group = factory.InstantiateDisplayableManagers(renderer)
    group.SetMRMLDisplayableNode(node)
    return interactor, group


def _grab(window: Any) -> np.ndarray:
    window.Render()
    reader = vtk.vtkWindowToImageFilter()
    reader.SetInput(window)
    reader.ReadFrontBufferOff()
    reader.Update()
    image = reader.GetOutput()
    width, height, _ = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)[::-1].copy()
