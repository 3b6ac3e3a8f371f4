"""Layers that a CAM can be taken from, and which of them to take.

A CAM needs a layer whose output still has a grid, and says most where all that the network knows passes through that
layer: inside a residual block part of the signal goes round by the shortcut. So the choice falls on the deepest such
layer that has enough cells to tell places apart; for a residual network that is the output of a whole stage after its
ReLU, as in the literature (R. Selvaraju et al., Grad-CAM, ICCV 2017), for a DenseNet the activation after its last
normalisation.
"""

from __future__ import annotations

import difflib
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from camlime.classifier import Classifier
from camlime.device import failures_told
from camlime.errors import RequestError
from camlime.methods.placement import Placement, ReachTracer

ENOUGH_CELLS = 4
"""Cells on each axis from which a map tells places apart rather than halves of the image."""

ROOM = 8
"""Input voxels on an axis from which it can be asked to have ``ENOUGH_CELLS``."""

BARE = (nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm)
"""Modules whose output is taken only where no activation or block of the same grid is there."""

WITHOUT_MAP = (
    nn.Identity,
    nn.modules.dropout._DropoutNd,
    nn.Linear,
    nn.LayerNorm,
    nn.modules.padding._ConstantPadNd,
    nn.modules.padding._ReflectionPadNd,
    nn.modules.padding._ReplicationPadNd,
    nn.modules.padding._CircularPadNd,
)
"""Modules that hand on what they got, whose last axis is channels, or whose grid gets a rim made of padding."""


@dataclass(frozen=True)
class LayerGrid:
    """A layer whose output has a grid.

    Args:
        name: as in ``network.named_modules()``.
        shape: ``(channels, *grid)`` of its output.
        kind: the module's class.
        call: which of the calls of the module in one pass is meant, from 0: the last with a grid.
        calls: how often the module is called in one pass.
        whole: everything that reaches the network's output passes through it.
        bare: it is a single convolution or normalisation, before its activation.
        placement: where its cells lie on the input.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    call: int
    calls: int
    whole: bool
    bare: bool
    placement: Placement

    @property
    def grid(self) -> tuple[int, ...]:
        """Cells along each spatial axis."""
        return self.shape[1:]

    def __str__(self) -> str:
        return f"{self.name} ({' x '.join(map(str, self.grid))})"


@dataclass(frozen=True)
class _Seen:
    layer: LayerGrid
    node: int


_surveys: weakref.WeakKeyDictionary[Classifier, dict[tuple[int, ...], list[LayerGrid]]] = weakref.WeakKeyDictionary()


def candidate_layers(classifier: Classifier, image: Tensor) -> list[LayerGrid]:
    """List the layers whose output has a grid (some axis longer than 1), in the order in which they are done.

    Costs one forward pass the first time for a classifier and image shape; the network is left as it was found. A
    module that is called several times (a ReLU shared within a block) stands for its last call with a grid. Left out
    are modules that return no single tensor, that hand on what they got, that only pad, or whose last axis is channels
    (``Linear``).

    Args:
        classifier: the model.
        image: shape ``(C, *S)``.

    Raises:
        RequestError: the network has no such layer, or ends in a transformer: CAM does not apply.

    Example:
        >>> from monai.networks.nets import resnet18
        >>> network = resnet18(spatial_dims=2, n_input_channels=1, num_classes=2)
        >>> classifier = Classifier(network, class_names=("no", "yes"), activation="softmax", device="cpu")
        >>> candidate_layers(classifier, torch.zeros(1, 64, 64))[-1].name
        'layer4'
    """
    known = _surveys.setdefault(classifier, {})
    shape = tuple(image.shape)
    if shape not in known:
        known[shape] = _survey(classifier, image)
    return known[shape]


def _survey(classifier: Classifier, image: Tensor) -> list[LayerGrid]:
    network = classifier.network
    if any(isinstance(module, torch.jit.ScriptModule) for module in network.modules()):
        raise RequestError(
            "CAM does not apply to this network: it is TorchScript, which hides its layers",
            hint="use --methods lime,occlusion",
        )
    told = failures_told(classifier.device, work=f"one image of shape {tuple(image.shape)}")
    with told, classifier.gradients(), torch.no_grad():
        batch = plain_batch(image, classifier.device)
        seen: dict[str, _Seen] = {}
        calls: dict[str, int] = {}
        tokens_after: list[str] = []

        def look(name: str) -> Callable[[nn.Module, Any, Any], None]:
            def hook(module: nn.Module, args: Any, output: Any) -> None:
                call = calls[name] = calls.get(name, -1) + 1
                if isinstance(module, (nn.LayerNorm, nn.MultiheadAttention)) and _is_tokens(output):
                    tokens_after.append(name)
                mark = tracer.mark(output) if _has_grid(module, output, batch.ndim) else None
                if mark is None or mark.node == 0:
                    return
                seen.pop(name, None)
                tokens_after.clear()
                placement = tracer.placement(output, image.shape[1:])
                bare = isinstance(module, BARE)
                grid = LayerGrid(name, tuple(output.shape[1:]), type(module).__name__, call, 1, False, bare, placement)
                seen[name] = _Seen(grid, mark.node)

            return hook

        handles = [module.register_forward_hook(look(name)) for name, module in network.named_modules() if name]
        try:
            with torch.autocast(classifier.device.type, enabled=False), ReachTracer(batch) as tracer:
                logits = classifier.forward(batch)
        finally:
            for handle in handles:
                handle.remove()
        whole = tracer.bottlenecks(logits)
    if tokens_after:
        raise RequestError(
            f"CAM does not apply to this network: from '{tokens_after[0]}' on it works on tokens, not on a grid "
            "(a transformer)",
            hint="use --methods lime,occlusion",
        )
    if not seen:
        raise RequestError(
            "CAM does not apply to this network: no layer's output has a grid", hint="use --methods lime,occlusion"
        )
    return [replace(one.layer, calls=calls[name] + 1, whole=one.node in whole) for name, one in seen.items()]


def plain_batch(image: Tensor, device: torch.device) -> Tensor:
    """A fresh ordinary tensor ``(1, C, *S)`` on the device: no subclass, no inference tensor, nothing shared."""
    tensor = image.as_tensor() if hasattr(image, "as_tensor") else image
    return tensor.detach().to(device, dtype=torch.float32, copy=True)[None].clone()


def _has_grid(module: nn.Module, output: Any, ndim: int) -> bool:
    return (
        isinstance(output, Tensor)
        and not isinstance(module, WITHOUT_MAP)
        and output.ndim == ndim
        and output.shape[0] == 1
        and max(output.shape[2:]) > 1
    )


def _is_tokens(output: Any) -> bool:
    first = output[0] if isinstance(output, tuple) else output
    return isinstance(first, Tensor) and first.ndim == 3 and first.shape[1] > 1


def choose_layer(candidates: Sequence[LayerGrid], input_shape: Sequence[int]) -> tuple[str, str]:
    """Choose the layer for a CAM and say why.

    The deepest layer that everything passes through and that has at least 4 cells on each axis with room for them (8
    input voxels); if none has, the deepest among those with the most cells on their shortest axis. Among layers of the
    same grid a block or an activation comes before a bare convolution or normalisation.

    Args:
        candidates: of :func:`candidate_layers`.
        input_shape: ``(*S,)``, voxels.

    Returns:
        Its name, and the reason in words.
    """
    roomy = [axis for axis, size in enumerate(input_shape) if size >= ROOM]
    whole = [layer for layer in candidates if layer.whole]
    among = whole or list(candidates)

    def fewest(layer: LayerGrid) -> int:
        return min((layer.grid[axis] for axis in roomy), default=ENOUGH_CELLS)

    enough = [layer for layer in among if fewest(layer) >= ENOUGH_CELLS]
    best = max(fewest(layer) for layer in among)
    eligible = enough or [layer for layer in among if fewest(layer) == best]
    same_grid = [layer for layer in eligible if layer.grid == eligible[-1].grid]
    chosen = ([layer for layer in same_grid if not layer.bare] or same_grid)[-1]
    grid = " x ".join(map(str, chosen.grid))
    what = "layer" if chosen.bare else "block or activation"
    reason = f"{chosen.name} ({chosen.kind}, {grid} cells) is the deepest {what}"
    reason += " that the whole signal passes through" if whole else ""
    if not enough:
        reason += f" among those with the finest grid; none has {ENOUGH_CELLS} cells on each axis, so the map is coarse"
    elif roomy:
        reason += f" with at least {ENOUGH_CELLS} cells on each axis"
        reason += f" of {ROOM} or more voxels" if len(roomy) < len(input_shape) else ""
    if chosen.calls > 1:
        reason += f"; call {chosen.call + 1} of its {chosen.calls} in a pass"
    return chosen.name, reason


def find_layer(candidates: Sequence[LayerGrid], name: str, network: nn.Module) -> LayerGrid:
    """Return the candidate of that name.

    Raises:
        RequestError: there is none; says whether the network has such a layer at all, and lists near matches.
    """
    by_name = {layer.name: layer for layer in candidates}
    if name in by_name:
        return by_name[name]
    if name in dict(network.named_modules()):
        message = (
            f"layer '{name}' is there, but no map can be taken from it: it returns no single tensor with a grid, "
            "hands on what it got, or is not used for this input"
        )
    else:
        message = f"the network has no layer '{name}'"
    near = difflib.get_close_matches(name, by_name, n=3, cutoff=0.6)
    listed = [str(layer) for layer in candidates if layer.whole or len(candidates) <= 12][-12:]
    hint = (f"did you mean {' or '.join(near)}? " if near else "") + "layers with a grid: " + ", ".join(listed)
    raise RequestError(message, hint=hint)
