"""Surfaces of levels of evidence, smoothed as Slicer smooths its own, within a bounded time."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer.util
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from SlicerXAILib.shapes import Shape

_HALF = 0.5
_ITERATIONS = 40
_PASS_BAND = 0.01
"""As Slicer's conversion with its usual smoothing factor of 0.5."""


def surface_of(shape: Shape, affine_ras: np.ndarray) -> Any:
    """A closed surface around a level, in RAS mm of the affine.

    It goes where half of a block of voxels belongs to the level; a level that fills half of none, such as a thin sheet
    in large blocks, is drawn where it fills most.

    Args:
        shape: the level.
        affine_ras: 4x4, voxel index of the label map to RAS mm.
    """
    image = vtk.vtkImageData()
    image.SetDimensions(*shape.coarse.shape)
    image.GetPointData().SetScalars(numpy_to_vtk(shape.coarse.ravel(order="F"), deep=True))
    edges = vtk.vtkFlyingEdges3D()
    edges.SetInputData(image)
    edges.SetValue(0, min(_HALF, _HALF * float(shape.coarse.max())))
    edges.ComputeNormalsOff()
    edges.ComputeGradientsOff()
    edges.ComputeScalarsOff()
    smooth = vtk.vtkWindowedSincPolyDataFilter()
    smooth.SetInputConnection(edges.GetOutputPort())
    smooth.SetNumberOfIterations(_ITERATIONS)
    smooth.SetPassBand(_PASS_BAND)
    smooth.BoundarySmoothingOff()
    smooth.FeatureEdgeSmoothingOff()
    smooth.NonManifoldSmoothingOn()
    smooth.NormalizeCoordinatesOn()
    to_ras = vtk.vtkTransform()
    to_ras.SetMatrix(slicer.util.vtkMatrixFromArray(affine_ras @ _block_to_voxel(shape)))
    place = vtk.vtkTransformPolyDataFilter()
    place.SetInputConnection(smooth.GetOutputPort())
    place.SetTransform(to_ras)
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputConnection(place.GetOutputPort())
    normals.ConsistencyOn()
    normals.SplittingOff()
    normals.Update()
    return normals.GetOutput()


def _block_to_voxel(shape: Shape) -> np.ndarray:
    """4x4: index in ``coarse``, whose first block is its border, to the voxel index of the block's middle."""
    edges, first = np.array(shape.block, dtype=float), np.array(shape.first, dtype=float)
    matrix = np.diag([*edges, 1.0])
    matrix[:3, 3] = first + (edges - 1) / 2 - edges
    return matrix
