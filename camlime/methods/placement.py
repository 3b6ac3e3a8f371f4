r"""Where the centre of every feature cell lies on the input grid, and maps brought there.

A cell of a feature grid sees a box of input voxels, its receptive field. Along one axis cell ``i`` sees the voxels
``lo + step * i .. hi + step * i``, and its centre is the middle of that range. For a convolution or pooling with kernel
``k``, stride ``s``, padding ``p``, dilation ``d`` (A. Araujo, W. Norris, J. Sim, "Computing Receptive Fields of
Convolutional Neural Networks", Distill 2019, https://distill.pub/2019/computing-receptive-fields):

.. math:: lo' = lo - p\,step, \qquad hi' = hi + (d(k-1) - p)\,step, \qquad step' = s\,step

so cell ``i`` of a convolution with ``k=3, s=2, p=1`` sits at voxel ``2i``. The rule of plain resizing (half-pixel:
``(i + 0.5) S / n - 0.5``) says ``2i + 0.5``, and the error adds up over the strides of a deep network: 15.5 voxels for
a ResNet that reduces 224 pixels to 7 cells.

:class:`ReachTracer` does this arithmetic while a network runs, on the tensor operations themselves, so it needs no list
of known architectures; where two paths meet the ranges are united. What a global gate (squeeze-and-excitation)
multiplies in carries no place and is left out. An operation that is not understood ends the arithmetic, and the
half-pixel rule stands in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class Placement:
    """Centres of a feature grid's cells: cell ``i`` lies at ``offset + stride * i`` on each axis.

    Args:
        offset: where cell 0 lies, in input voxels, one a spatial axis (voxel 0's centre is 0.0).
        stride: input voxels from one cell to the next, one a spatial axis.
        rule: ``receptive field`` where it follows from the network, ``half-pixel`` where it had to be assumed.

    Example:
        >>> Placement.half_pixel((8,), (2,)).centres((2,))
        (array([1.5, 5.5]),)
    """

    offset: tuple[float, ...]
    stride: tuple[float, ...]
    rule: Literal["receptive field", "half-pixel"]

    @classmethod
    def half_pixel(cls, input_shape: Sequence[int], grid: Sequence[int]) -> Placement:
        """Cells that divide the input evenly, as resizing without aligned corners has it."""
        stride = tuple(size / cells for size, cells in zip(input_shape, grid, strict=True))
        return cls(tuple((step - 1) / 2 for step in stride), stride, "half-pixel")

    def centres(self, grid: Sequence[int]) -> tuple[NDArray[np.floating], ...]:
        """Positions of the cells of ``grid`` in input voxels, one array a spatial axis."""
        return tuple(o + s * np.arange(n) for o, s, n in zip(self.offset, self.stride, grid, strict=True))


def to_input_grid(
    feature_map: NDArray[np.floating], placement: Placement, input_shape: Sequence[int]
) -> NDArray[np.float32]:
    """Bring a map from the feature grid to the input grid by linear interpolation between the cells' centres.

    Outside the first and the last centre the edge value is kept, so nothing rings or overshoots.

    Args:
        feature_map: shape ``(*grid,)``, one value a cell.
        placement: where the cells lie.
        input_shape: ``(*S,)``, voxels.

    Returns:
        Shape ``(*S,)``, in the units of ``feature_map``. With half-pixel placement equal to
        ``torch.nn.functional.interpolate(..., mode="bilinear" or "trilinear", align_corners=False)``.

    Example:
        >>> to_input_grid(np.array([0.0, 1.0]), Placement((0.0,), (2.0,), "receptive field"), (4,))
        array([0. , 0.5, 1. , 1. ], dtype=float32)
    """
    values = np.asarray(feature_map, dtype=np.float32)
    for axis, size in enumerate(input_shape):
        cells = values.shape[axis]
        position = np.clip((np.arange(size) - placement.offset[axis]) / placement.stride[axis], 0, cells - 1)
        lower = np.minimum(position.astype(int), max(cells - 2, 0))
        share = position - lower
        weights = np.zeros((size, cells), dtype=np.float32)
        weights[np.arange(size), lower] = 1 - share
        weights[np.arange(size), np.minimum(lower + 1, cells - 1)] += share
        values = np.moveaxis(np.tensordot(weights, values, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(values)


class Span(NamedTuple):
    """Along one axis, cell ``i`` sees the input voxels ``lo + step * i .. hi + step * i``."""

    lo: float
    hi: float
    step: float

    def window(self, kernel: int, stride: int, padding: int, dilation: int) -> Span:
        """The reach of a sliding window on this grid."""
        return Span(
            self.lo - padding * self.step,
            self.hi + (dilation * (kernel - 1) - padding) * self.step,
            self.step * stride,
        )

    def unwindow(self, kernel: int, stride: int, padding: int, dilation: int) -> Span:
        """The reach of a transposed convolution: cell ``j`` sees the cells ``i`` with ``j = s i - p + d k``."""
        step = self.step / stride
        return Span(self.lo + (padding - dilation * (kernel - 1)) * step, self.hi + padding * step, step)

    def resized(self, before: int, after: int, *, aligned: bool = False) -> Span:
        """The reach after resizing ``before`` cells to ``after``; the middle of the neighbours it mixes counts."""
        if aligned:
            return self._replace(step=self.step * (before - 1) / max(after - 1, 1))
        ratio = before / after
        shift = (ratio - 1) / 2 * self.step
        return Span(self.lo + shift, self.hi + shift, self.step * ratio)

    def shifted(self, cells: float, stride: int = 1) -> Span:
        """The reach of a grid whose cell 0 is cell ``cells`` of this one, and which keeps every ``stride``-th."""
        return Span(self.lo + cells * self.step, self.hi + cells * self.step, self.step * stride)


Reach = tuple[Span, ...]


class Mark(NamedTuple):
    """What is known of a tensor: its node in the graph of operations, and its cells' reach (``None``: not known)."""

    node: int
    reach: Reach | None


SAME_PLACE = frozenset(
    {"view", "_unsafe_view", "clone", "_to_copy", "detach", "alias", "copy", "expand", "unsqueeze", "squeeze", "select"}
    | {"split", "split_with_sizes", "chunk", "cat", "mean", "sum", "amax", "max", "_softmax", "_log_softmax"}
    | {"hardswish", "log_sigmoid_forward", "rrelu_with_noise", "_prelu_kernel", "glu", "native_dropout"}
    | {"native_layer_norm", "native_group_norm", "native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm"}
    | {"_native_batch_norm_legit", "_native_batch_norm_legit_no_training"}
    | {"_batch_norm_no_update", "_batch_norm_with_update", "native_channel_shuffle", "channel_shuffle"}
)
"""Operations, beside the pointwise ones, that leave every cell where it is as long as the grid keeps its size."""


class ReachTracer(TorchDispatchMode):
    """Follow an image through a network: where the cells of each tensor lie, and which operations depend on which.

    Tensors are known by their place in memory, which every operation on the way renews; nothing is kept or changed.

    Args:
        image: shape ``(1, C, *S)``, as it will be given to the network.

    Example:
        >>> image = torch.zeros(1, 1, 8, 8)
        >>> with torch.no_grad(), ReachTracer(image) as tracer:
        ...     output = torch.nn.functional.max_pool2d(image, 3, stride=2, padding=1)
        >>> tracer.mark(output).reach[0]
        Span(lo=-1.0, hi=1.0, step=2.0)
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.dims = image.ndim - 2
        self._parents: list[list[int]] = [[]]
        self._marks: dict[tuple[Any, ...], Mark] = {_place(image): Mark(0, (Span(0.0, 0.0, 1.0),) * self.dims)}

    def mark(self, tensor: Tensor) -> Mark | None:
        """What is known of a tensor; ``None`` if it does not depend on the image."""
        return self._marks.get(_place(tensor))

    def placement(self, tensor: Tensor, input_shape: Sequence[int]) -> Placement:
        """Where the cells of a tensor ``(1, C, *grid)`` lie on the image."""
        mark = self.mark(tensor)
        if mark is None or mark.reach is None:
            return Placement.half_pixel(input_shape, tensor.shape[2:])
        centre = tuple((span.lo + span.hi) / 2 for span in mark.reach)
        return Placement(centre, tuple(span.step for span in mark.reach), "receptive field")

    def bottlenecks(self, output: Tensor) -> set[int]:
        """Nodes that every path from the image to ``output`` passes through."""
        mark = self.mark(output)
        if mark is None:
            return set()
        needed = {mark.node}
        skipped = np.zeros(len(self._parents) + 1, dtype=int)
        for node in range(mark.node, -1, -1):
            if node in needed:
                needed.update(self._parents[node])
                for parent in self._parents[node]:
                    skipped[parent + 1] += 1
                    skipped[node] -= 1
        skipped = np.cumsum(skipped)
        return {node for node in needed if skipped[node] == 0}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation and note what its results are."""
        kwargs = kwargs or {}
        sources = []
        for tensor in _tensors((*args, *kwargs.values())):
            mark = self.mark(tensor)
            if mark is not None:
                sources.append((tuple(tensor.shape), mark))
        result = func(*args, **kwargs)
        if sources:
            self._parents.append(sorted({mark.node for _, mark in sources}))
        for tensor in _tensors((result,)):
            if sources:
                options = _options(func, args, kwargs)
                reach = _reach(func, options, sources, tuple(tensor.shape), self.dims)
                self._marks[_place(tensor)] = Mark(len(self._parents) - 1, reach)
            else:
                self._marks.pop(_place(tensor), None)
        return result


def _place(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.untyped_storage()._cdata, tensor.storage_offset(), tuple(tensor.shape), tensor.stride()


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _options(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments of an operation by name, with its defaults."""
    declared = func._schema.arguments
    given = {argument.name: value for argument, value in zip(declared, args, strict=False)}
    return {argument.name: argument.default_value for argument in declared} | given | kwargs


def _reach(
    func: Any, options: dict[str, Any], sources: list[tuple[tuple[int, ...], Mark]], shape: tuple[int, ...], dims: int
) -> Reach | None:
    """The reach of an operation's result, ``None`` where it is not understood or has no grid."""
    name = func.overloadpacket.__name__.rstrip("_")
    grid = shape[-dims:]
    if len(shape) <= dims or max(grid) == 1:
        return None
    rule = next((rule for prefix, rule in MOVING.items() if name.startswith(prefix)), None)
    if rule is not None:
        before, mark = sources[0]
        if mark.reach is None or len(before) != len(shape):
            return None
        return rule(mark.reach, options, before, shape)
    stays = name in SAME_PLACE or torch.Tag.pointwise in func.tags or _keeps_axes(name, options, len(shape), dims)
    placed = [(old[-dims:], mark.reach) for old, mark in sources if len(old) > dims and max(old[-dims:]) > 1]
    if not stays or not placed or any(old != grid for old, _ in placed):
        return None
    united: Reach | None = placed[0][1]
    for _, reach in placed[1:]:
        united = _union(united, reach)
    return united


def _union(one: Reach | None, other: Reach | None) -> Reach | None:
    if one is None or other is None or any(abs(a.step - b.step) > 1e-9 for a, b in zip(one, other, strict=True)):
        return None
    return tuple(Span(min(a.lo, b.lo), max(a.hi, b.hi), a.step) for a, b in zip(one, other, strict=True))


def _keeps_axes(name: str, options: dict[str, Any], ndim: int, dims: int) -> bool:
    if name == "permute":
        return [d % ndim for d in options["dims"]][-dims:] == list(range(ndim - dims, ndim))
    return name == "transpose" and max(options["dim0"] % ndim, options["dim1"] % ndim) < ndim - dims


def _each(value: Any, dims: int) -> list[int]:
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return values * dims if len(values) == 1 else values


def _convolution(reach: Reach, options: dict[str, Any], before: tuple[int, ...], shape: tuple[int, ...]) -> Reach:
    settings = zip(
        options["weight"].shape[2:],
        *(_each(options[key], len(reach)) for key in ("stride", "padding", "dilation")),
        strict=True,
    )
    if options["transposed"]:
        return tuple(span.unwindow(*setting) for span, setting in zip(reach, settings, strict=True))
    return tuple(span.window(*setting) for span, setting in zip(reach, settings, strict=True))


def _pooling(reach: Reach, options: dict[str, Any], before: tuple[int, ...], shape: tuple[int, ...]) -> Reach:
    stride = options["stride"] or options["kernel_size"]
    values = (options["kernel_size"], stride, options["padding"], options.get("dilation", 1))
    settings = zip(*(_each(value, len(reach)) for value in values), strict=True)
    return tuple(span.window(*setting) for span, setting in zip(reach, settings, strict=True))


def _resizing(reach: Reach, options: dict[str, Any], before: tuple[int, ...], shape: tuple[int, ...]) -> Reach:
    sizes = zip(reach, before[-len(reach) :], shape[-len(reach) :], strict=True)
    return tuple(span.resized(old, new, aligned=bool(options.get("align_corners"))) for span, old, new in sizes)


def _padding(reach: Reach, options: dict[str, Any], before: tuple[int, ...], shape: tuple[int, ...]) -> Reach:
    front = options["pad" if "pad" in options else "padding"][::2]
    front = [*front, *[0] * len(reach)][: len(reach)][::-1]
    return tuple(span.shifted(-cells) for span, cells in zip(reach, front, strict=True))


def _slicing(reach: Reach, options: dict[str, Any], before: tuple[int, ...], shape: tuple[int, ...]) -> Reach:
    axis = options["dim"] % len(before) - (len(before) - len(reach))
    start = options["start"] or 0
    start = max(start + before[options["dim"]], 0) if start < 0 else start
    return tuple(s.shifted(start, options["step"]) if i == axis else s for i, s in enumerate(reach))


MOVING: dict[str, Callable[[Reach, dict[str, Any], tuple[int, ...], tuple[int, ...]], Reach]] = {
    "convolution": _convolution,
    "max_pool": _pooling,
    "avg_pool": _pooling,
    "_adaptive_avg_pool": _resizing,
    "adaptive_max_pool": _resizing,
    "upsample_": _resizing,
    "constant_pad_nd": _padding,
    "reflection_pad": _padding,
    "replication_pad": _padding,
    "slice": _slicing,
}
"""Operations that move or resize the grid, by the beginning of their name, and what they do to a reach."""
