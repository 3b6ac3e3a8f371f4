"""The phantoms hold what they say they hold."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from camlime.phantom import blob, chest_ct_nodule


def test_blob(geometry):
    spacing = np.linalg.norm(geometry[:3, :3], axis=0)
    center = geometry[:3, :3] @ (20, 15, 10) + geometry[:3, 3]
    options = {"spacing": spacing, "direction": geometry[:3, :3] / spacing, "origin": geometry[:3, 3]}
    scan = blob((40, 30, 20), **options, center_ras=center, radius_mm=6, channels=2)
    np.testing.assert_allclose(scan.affine, geometry)
    assert scan.channels == 2
    volume = float((scan.image[0] > 550).sum()) * np.prod(spacing)
    assert abs(volume / (4 / 3 * np.pi * 6**3) - 1) < 0.05
    assert torch.equal(scan.image, blob((40, 30, 20), **options, center_ras=center, radius_mm=6, channels=2).image)
    assert blob((20, 30), radius_mm=4).image.shape == (1, 20, 30)


def test_chest_ct():
    scan, center, nodule = chest_ct_nodule(seed=2)
    again, _, _ = chest_ct_nodule(seed=2)
    assert torch.equal(scan.image, again.image)
    hu = scan.image.as_tensor().numpy()[0]
    assert hu.size < 25e6
    assert nodule.shape == scan.shape

    middle = scan.voxel_to_ras(np.argwhere(nodule).astype(float)).mean(axis=0)
    np.testing.assert_allclose(center, middle, atol=1e-2)
    diameter = (nodule.sum() * np.prod(scan.spacing) * 6 / np.pi) ** (1 / 3)
    assert 14 < diameter < 18
    assert 0 < np.median(hu[ndimage.binary_erosion(nodule, iterations=2)]) < 80
    assert hu[nodule].mean() > hu[ndimage.binary_dilation(nodule, iterations=3) & ~nodule].mean() + 300
    assert (hu < -700).mean() > 0.2  # air and lungs
    i, j, k = np.rint(scan.ras_to_voxel(center)).astype(int)
    around = hu[i - 14 : i + 15, j - 14 : j + 15, k - 11 : k + 12]
    assert np.median(around) < -700  # the nodule lies in lung
    assert hu.max() > 400  # bone
    assert -1024 <= hu.min() <= -950
