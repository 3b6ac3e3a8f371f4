"""Explanations with known maps for the report page, with names that whoever made the files has chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from camlime.attribution import Attribution
from camlime.bundle.model_input import ModelInput
from camlime.evidence.curves import FRACTIONS, Curve, MapCurves
from camlime.evidence.records import BaselineEvidence, Evidence
from camlime.explanation import Explanation, Prediction
from camlime.methods.agreement import Agreement
from camlime.regions import Regions

HOSTILE = (
    "<script>window.broken=1</script>",
    "</script><script>window.broken=1</script>",
    "<img src=x onerror=window.broken=1>",
    "\"'><svg/onload=window.broken=1>",
    "{{ 7*7 }}{% raw %}${window.broken=1}`",
    "</style><style>*{display:none}</style>",
    "javascript:window.broken=1//&lt;b&gt;",
    "a\u202eb\x1b[31m\x00<!--<script>",
)
SHAPE = (20, 16, 10)


def volume_explanation(
    *,
    class_name: str = "malignant",
    region_names: Sequence[str] | None = None,
    bundle: str = "Test bundle",
    scan: str = "scan.nii.gz",
    shape: tuple[int, ...] = SHAPE,
    turned: tuple[float, float, float] | None = None,
) -> Explanation:
    """A bright block that speaks for the class, a darker one against it; ``turned`` by degrees about x, y and z."""
    rng = np.random.default_rng(0)
    labels = np.ones(shape, np.int32)
    labels[12:, :8, :] = 2
    labels[4:9, 5:11, 3:8] = 3
    weights, errors = np.array([0.05, -0.8, 1.6]), np.array([0.05, 0.1, 0.1])
    if region_names is not None:  # a corner for each name
        labels.ravel()[: len(region_names)] = np.arange(1, len(region_names) + 1)
        weights, errors = np.resize(weights, len(region_names)), np.resize(errors, len(region_names))
    regions = Regions(labels, names=None if region_names is None else tuple(region_names))
    affine = np.diag([-0.9, -0.9, 1.4, 1.0])
    if turned is not None:
        affine[:3, :3] = Rotation.from_euler("xyz", turned, degrees=True).as_matrix() @ affine[:3, :3]
    affine[:3, 3] = (12.0, 33.0, -50.0)
    fused = Attribution("fused", regions.paint(weights), regions.paint(errors), weights, errors, 64, 4, 0.4, "layer2")
    lime = Attribution("lime", regions.paint(weights * 0.9), regions.paint(errors), weights, errors, 64, 0, 0.4)
    cam = Attribution("gradcam", (labels == 3) + 0.1 * rng.normal(size=shape).astype(np.float32), target_layer="layer2")
    image = 0.3 + 0.05 * rng.random((1, *shape), dtype=np.float32) + 0.4 * (labels == 3)
    return Explanation(
        Prediction(class_name, {"benign": 0.08, class_name: 0.92}, {"benign": -1.2, class_name: 1.2}),
        class_name,
        {"gradcam": cam, "lime": lime, "fused": fused},
        regions,
        ModelInput(
            torch.from_numpy(image.astype(np.float32)), affine, torch.ones(shape, dtype=torch.bool), (0.9, 0.9, 1.4)
        ),
        Agreement("gradcam", 0.5, (0.2, 0.8), 3.0, 0.9, 0.7, 10, "concordant"),
        {
            "seed": 3,
            "scan": {"name": scan, "series_uid": "1.2.840.99"},
            "bundle": {"name": bundle, "version": "1.0", "sha256": {"models/model.pt": "0" * 64}},
            "packages": {"torch": "2.14.1"},
        },
        ("a warning that matters",),
        True,
        {"fused": evidence(class_name)},
    )


def evidence(class_name: str) -> Evidence:
    """Curves of a map that holds."""
    q = np.array(FRACTIONS)

    def curve(z: np.ndarray) -> Curve:
        return Curve(tuple(z.tolist()), tuple((1 / (1 + np.exp(-z))).tolist()))

    curves = MapCurves(FRACTIONS, curve(2.4 - 4 * q**0.5), curve(2.4 - 4 * q**2))
    random = MapCurves(FRACTIONS, curve(2.4 - 4 * q), curve(2.4 - 4 * q))
    one = BaselineEvidence(curves, {"random": random}, 1.3, tuple(0.01 * i for i in range(19)))
    return Evidence(
        "fused",
        class_name,
        True,
        "the map orders the input better than its copies",
        "Removing the strongest 5 % of the input by this map takes p from 0.92 to 0.42.",
        {"mean": one, "blur": one},
        None,
        None,
        0.9,
        1000,
        990,
        2.0,
        0,
    )


def picture_explanation() -> Explanation:
    """A picture of 32 x 24 pixels with a red spot at the upper right, where the map is strongest."""
    shape = (32, 24)
    image = np.full((3, *shape), 0.8, np.float32)
    image[:, 20:29, 1:8] = np.array([0.9, 0.05, 0.05], np.float32)[:, None, None]
    labels = np.ones(shape, np.int32)
    labels[20:29, 1:8] = 2
    regions = Regions(labels)
    weights = np.array([0.1, 2.0])
    fused = Attribution("fused", regions.paint(weights), None, weights, None, 32, 0, 0.1)
    return Explanation(
        Prediction("spot", {"none": 0.1, "spot": 0.9}, {"none": -1.0, "spot": 1.0}),
        "spot",
        {"fused": fused},
        regions,
        ModelInput(torch.from_numpy(image), np.eye(4), torch.ones(shape, dtype=torch.bool), (1.0, 1.0)),
        provenance={"scan": {"name": "spot.png", "series_uid": None}},
    )
