r"""Class activation maps: Grad-CAM and its relatives, in 2D and 3D.

With :math:`A` the activations of one channel at the target layer, :math:`G = \partial y / \partial A` the gradient of
the class's log-odds :math:`y`, and :math:`\sum` over the cells, each map on the feature grid is a sum over channels of

========== ============================================================================= ==========================
method     term                                                                          paper
========== ============================================================================= ==========================
gradcam    :math:`w A`, :math:`w` = mean of :math:`G`                                    Selvaraju et al., ICCV 2017
gradcam++  :math:`w A`, :math:`w = \sum \alpha\,\mathrm{relu}(G)`,                        Chattopadhay et al., WACV
           :math:`\alpha = G^2 / (2 G^2 + G^3 \sum A)`                                   2018
hirescam   :math:`G A`                                                                   Draelos and Carin, 2020
layercam   :math:`\mathrm{relu}(G) A`                                                    Jiang et al., TIP 2021
xgradcam   :math:`w A`, :math:`w = \sum G A / \sum A`                                    Fu et al., BMVC 2020
eigencam   centred :math:`A`, projected on their first principal direction               Muhammad, IJCNN 2020
========== ============================================================================= ==========================

computed by the package grad-cam. The ReLU that some of the papers put on the finished map is a matter of display: maps
keep their sign and their units. EigenCAM does not look at the class, and the sign of its direction is arbitrary: it is
turned so that it correlates positively with the mean activation. HiResCAM sums to the log-odds (up to the bias) where
only averaging and one linear layer follow and one class's logit is the score, so it is faithful there; Grad-CAM need
not be.

What the package does around this is done differently here. It blows maps up with aligned corners (cells end up voxels
away from what they see) and rescales each to 0..1; it keeps activations that a later in-place ReLU overwrites; it
leaves gradients, eval mode and hooks behind. Its constants suit gradients of order one, but in 3D they are 1e-5 and its
Grad-CAM++ loses its meaning: :func:`feature_map` scales them first, which changes nothing in the formula. Its EigenCAM
makes a matrix of cells by cells (4 GB for 32 x 32 x 32).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from camlime.attribution import Attribution
from camlime.classifier import Classifier
from camlime.device import failures_told
from camlime.errors import RequestError
from camlime.methods.case import Case
from camlime.methods.layers import LayerGrid, candidate_layers, choose_layer, find_layer, plain_batch
from camlime.methods.placement import to_input_grid

METHODS = ("gradcam", "gradcam++", "hirescam", "layercam", "xgradcam", "eigencam")
"""The methods on offer."""

ALIASES = {"gradcampp": "gradcam++", "gradcamplusplus": "gradcam++"}

REFUSED = {
    "scorecam": "fails in 3D in the package grad-cam",
    "ablationcam": "fails in 3D in the package grad-cam and leaves the network changed",
    "fullgrad": "fails in 3D in the package grad-cam",
}

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Capture:
    """What one pass of the network yields for a CAM.

    Args:
        activations: shape ``(C, *grid)``, the target layer's output.
        gradients: shape ``(C, *grid)``, of the log-odds with respect to it; ``None`` if not asked for.
        log_odds: of the class.
    """

    activations: Array
    gradients: Array | None
    log_odds: float


class Cam:
    """A class activation map.

    Args:
        method: ``gradcam``, ``gradcam++`` (or ``gradcampp``), ``hirescam``, ``layercam``, ``xgradcam``, ``eigencam``.
        target_layer: name of the layer to take it from; ``None``: see :func:`~camlime.methods.layers.choose_layer`.

    Raises:
        RequestError: there is no such method.

    Example:
        >>> attribution = Cam("hirescam", target_layer="layer4").explain(case)  # doctest: +SKIP
        >>> attribution.values.shape == case.input.spatial_shape  # doctest: +SKIP
        True
    """

    def __init__(self, method: str = "gradcam", *, target_layer: str | None = None) -> None:
        self.method = checked_method(method)
        self.target_layer = target_layer

    def check(self, case: Case) -> None:
        """Find out whether this can be done; lists the layers in one forward pass.

        Raises:
            RequestError: there is no such layer, or CAM does not apply to the network.
        """
        target(case, self.target_layer)

    def explain(self, case: Case) -> Attribution:
        """Explain one case: one forward and one backward pass (EigenCAM: no backward pass).

        The first case of a shape costs one more forward pass, in which the layers are listed.

        Returns:
            The map on the input grid, signed, in units of log-odds a cell (EigenCAM: of activation). ``parameters``
            holds the layer's grid and why it was chosen, where its cells lie, and ``notes`` on what is doubtful about
            the map.

        Raises:
            RequestError: no such layer or class, CAM does not apply, or the class's score does not depend on the layer.
        """
        started = time.perf_counter()
        passes = copy.copy(case.classifier.passes)
        layer, reason = target(case, self.target_layer)
        capture = take(case, layer, gradients=self.method != "eigencam")
        on_features = feature_map(self.method, capture.activations, capture.gradients)
        finite(self.method, layer, on_features)
        values = to_input_grid(on_features, layer.placement, case.input.spatial_shape)
        return Attribution(
            method=self.method,
            values=values,
            forward_passes=case.classifier.passes.forward - passes.forward,
            backward_passes=case.classifier.passes.backward - passes.backward,
            seconds=time.perf_counter() - started,
            target_layer=layer.name,
            parameters={
                "log_odds": capture.log_odds,
                "layer_reason": reason,
                "layer_shape": list(layer.shape),
                "placement": layer.placement.rule,
                "cell_offset": list(layer.placement.offset),
                "cell_stride": list(layer.placement.stride),
                "notes": notes(self.method, layer, capture, on_features),
            },
        )


def checked_method(name: str) -> str:
    """Return the method's own name for a name or an alias of it.

    Raises:
        RequestError: there is no such method; lists those there are.
    """
    method = ALIASES.get(name.lower(), name.lower())
    if method in METHODS:
        return method
    why = f"CAM method '{name}' {REFUSED[method]}" if method in REFUSED else f"there is no CAM method '{name}'"
    raise RequestError(why, hint="methods: " + ", ".join(METHODS))


def target(case: Case, name: str | None) -> tuple[LayerGrid, str]:
    """Return the layer of that name, or the one chosen if ``None``, and the reason for it in words."""
    candidates = candidate_layers(case.classifier, case.input.image)
    if name is not None:
        return find_layer(candidates, name, case.classifier.network), "asked for"
    name, reason = choose_layer(candidates, case.input.spatial_shape)
    return find_layer(candidates, name, case.classifier.network), reason


def take(case: Case, layer: LayerGrid, *, gradients: bool = True) -> Capture:
    """Take activations at a layer and gradients there of the class's log-odds, in one forward and one backward pass.

    The layer's output is replaced by a leaf of the gradient's graph with the same values: the backward pass ends there,
    in-place operations further on change a copy, and no parameter is involved. Mixed precision is off.
    """
    classifier = case.classifier
    if not 0 <= case.class_index < len(classifier.class_names):
        count = len(classifier.class_names)
        raise RequestError(f"there is no class number {case.class_index}", hint=f"classes are 0 to {count - 1}")
    with (
        failures_told(classifier.device, work=f"a CAM for {case.input.spatial_shape} voxels"),
        classifier.gradients(),
        torch.autocast(classifier.device.type, enabled=False),
        torch.set_grad_enabled(gradients),
    ):
        leaf, score = _score_with_leaf(classifier, case, layer)
        gradient = _gradient(classifier, score, leaf, layer) if gradients else None
        activations: Array = leaf.detach()[0].cpu().numpy()
        return Capture(activations, gradient, float(score.detach()))


def _score_with_leaf(classifier: Classifier, case: Case, layer: LayerGrid) -> tuple[Tensor, Tensor]:
    leaves: list[Tensor] = []
    calls = 0

    def hook(module: nn.Module, args: Any, output: Tensor) -> Tensor | None:
        nonlocal calls
        call, calls = calls, calls + 1
        if call != layer.call:
            return None
        leaves.append(output.detach().clone().requires_grad_(torch.is_grad_enabled()))
        return leaves[0].clone()

    full_precision = copy.copy(classifier)
    full_precision.amp = False
    handle = classifier.network.get_submodule(layer.name).register_forward_hook(hook)
    try:
        logits = full_precision.forward(plain_batch(case.input.image, classifier.device))
    finally:
        handle.remove()
    if not leaves:
        raise RequestError(f"the network did not use layer '{layer.name}' for this image", hint="choose another layer")
    return leaves[0], classifier.log_odds(logits.float(), case.class_index)[0]


def _gradient(classifier: Classifier, score: Tensor, leaf: Tensor, layer: LayerGrid) -> Array:
    gradient = torch.autograd.grad(score, leaf, allow_unused=True)[0] if score.requires_grad else None
    if gradient is None:
        raise RequestError(
            f"the class's score does not depend on layer '{layer.name}', or the network cuts the gradient behind it",
            hint="choose another layer",
        )
    classifier.passes.backward += 1
    array: Array = gradient[0].cpu().numpy()
    return array


def feature_map(method: str, activations: Array, gradients: Array | None) -> Array:
    """The map on the feature grid, by the package grad-cam.

    Args:
        method: one of ``METHODS``.
        activations: shape ``(C, *grid)``.
        gradients: shape ``(C, *grid)``; EigenCAM needs none.

    Returns:
        Shape ``(*grid,)``, signed.
    """
    if method == "eigencam":
        return principal_projection(activations)
    if gradients is None:
        raise ValueError(f"{method} needs gradients")
    import pytorch_grad_cam as package

    maker = {
        "gradcam": package.GradCAM,
        "gradcam++": package.GradCAMPlusPlus,
        "hirescam": package.HiResCAM,
        "layercam": package.LayerCAM,
        "xgradcam": package.XGradCAM,
    }[method]
    formula = maker(nn.Linear(1, 1), [])
    scale = _scale(method, activations, gradients)
    result = formula.get_cam_image(None, None, None, activations[None] * scale, gradients[None] / scale, False)
    return np.asarray(result[0], dtype=np.float32)


def _scale(method: str, activations: Array, gradients: Array) -> np.float32:
    """What to multiply activations and divide gradients by so that the package's constants are negligible."""
    largest = {"gradcam++": np.abs(gradients).max() / 1e4, "xgradcam": 1 / (np.abs(activations).max() or 1)}
    return np.float32(largest.get(method) or 1)


def principal_projection(activations: Array) -> Array:
    """EigenCAM: the centred activations ``(C, *grid)`` projected on their first principal direction over channels.

    Equal to the package's up to sign, from the smaller of the two covariance matrices. The sign is the one that
    correlates positively with the mean over channels.
    """
    columns = activations.reshape(len(activations), -1).astype(np.float64)
    columns -= columns.mean(axis=1, keepdims=True)
    channels, cells = columns.shape
    if channels <= cells:
        projection = np.linalg.eigh(columns @ columns.T)[1][:, -1] @ columns
    else:
        values, vectors = np.linalg.eigh(columns.T @ columns)
        projection = vectors[:, -1] * np.sqrt(max(values[-1], 0.0))
    if projection @ columns.mean(axis=0) < 0:
        projection = -projection
    return projection.reshape(activations.shape[1:]).astype(np.float32)


def finite(method: str, layer: LayerGrid, on_features: Array) -> Array:
    """Return the map if all its values are finite, or raise a :class:`RequestError` that names method and layer."""
    if np.isfinite(on_features).all():
        return on_features
    raise RequestError(
        f"the {method} map at layer '{layer.name}' has values that are not finite", hint="choose another layer"
    )


def notes(method: str, layer: LayerGrid, capture: Capture, on_features: Array) -> list[str]:
    """What a reader of the map should know, in words; empty where nothing is amiss."""
    said = []
    if not on_features.any():
        said.append("the map is zero everywhere: this layer says nothing about the class for this image")
    elif not (on_features > 0).any():
        said.append("nothing in the map speaks for the class: it is nowhere positive")
    if method in {"gradcam++", "xgradcam"} and (capture.activations < 0).any():
        said.append(f"{method} assumes activations that are not negative, and layer '{layer.name}' has negative ones")
    if layer.placement.rule == "half-pixel":
        said.append(
            "where the cells lie could not be worked out from the network; they were taken to divide the input evenly"
        )
    if not layer.whole:
        said.append(f"part of the signal goes round layer '{layer.name}', which the map does not show")
    if method == "eigencam":
        said.append("EigenCAM shows the strongest pattern of activation whatever the class")
    return said


def input_grid_maps(
    case: Case, methods: Sequence[str], *, target_layer: str | None = None
) -> tuple[str, dict[str, Array]]:
    """The layer's name, and maps ``(*S,)`` by method, all from one shared forward and backward pass.

    Raises:
        RequestError: as :meth:`Cam.explain`.
    """
    names = [checked_method(method) for method in methods]
    layer, _ = target(case, target_layer)
    capture = take(case, layer, gradients=names != ["eigencam"])
    maps = {}
    for method in names:
        on_features = feature_map(method, capture.activations, capture.gradients)
        maps[method] = to_input_grid(finite(method, layer, on_features), layer.placement, case.input.spatial_shape)
    return layer.name, maps
