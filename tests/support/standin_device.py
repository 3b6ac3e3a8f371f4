"""A stand-in for a GPU, for machines without one: its tensors lie apart, its memory is small, and it rounds otherwise.

What goes wrong on a GPU and never on a CPU is mostly one of four: a tensor was left on the other side, an array was
taken from a tensor that is not the CPU's, memory ran out, or sums were rounded in another order and something further
on hung on the last bit. All four can be had without a GPU. While a :class:`Standin` is open, tensors that are sent to
``cuda`` say that they are there; each keeps a CPU tensor that does the work. An operation takes tensors of one side
alone (but for numbers, as CUDA has it), what is held is counted, CUDA's own error is raised where that is too much, and
what adds up many numbers can be done in double precision, which rounds its results otherwise than single precision.

What it cannot show: cuDNN's own algorithms, kernels that add in no fixed order, speed.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import camlime.device

DEVICE = torch.device("cuda", 0)
aten = torch.ops.aten

ANSWERS = {
    "is_available": True,
    "device_count": 1,
    "current_device": 0,
    "get_device_name": "Stand-in",
    "get_rng_state": torch.zeros(16, dtype=torch.uint8),
    "set_rng_state": None,
    "_lazy_init": None,
}
"""What ``torch.cuda`` says meanwhile."""

ADDING_UP = frozenset(
    {"convolution", "convolution_backward", "addmm", "mm", "bmm", "mean", "sum", "lerp", "_softmax", "logsumexp"}
    | {"native_batch_norm", "native_batch_norm_backward", "_native_batch_norm_legit_no_training", "_log_softmax"}
    | {"avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "native_group_norm"}
)
"""Operations whose result depends on the order of a sum, by name."""


class Held(Tensor):
    """A tensor of the device; ``inner`` is the CPU's that it stands for."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Held:
        self = Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device="meta",  # else torch would look for a driver
        )
        self.inner = inner
        return self

    @property
    def device(self) -> torch.device:
        return DEVICE

    @property
    def is_cuda(self) -> bool:
        return True

    def untyped_storage(self) -> Any:
        return self.inner.untyped_storage()

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def __repr__(self) -> str:
        return f"Held({self.inner})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError("an operation on the device outside `Standin`")


class Standin(TorchDispatchMode):
    """The device, while this context is open.

    Args:
        capacity: bytes that it can hold.
        other_rounding: add up in double precision.

    Attributes:
        held: bytes that are held now.
        peak: the most bytes that were held at once.
        ran_out: how often there was no memory.
        operations: how often each was done on the device, by name.
        elsewhere: how often each was done on the CPU.
    """

    def __init__(self, *, capacity: float = float("inf"), other_rounding: bool = False) -> None:
        super().__init__()
        self.capacity, self.other_rounding = capacity, other_rounding
        self.held = self.peak = self.ran_out = 0
        self.operations: dict[str, int] = {}
        self.elsewhere: dict[str, int] = {}
        self._lookers: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        given = list(_leaves((args, kwargs)))
        tensors = [value for value in given if isinstance(value, Tensor)]
        here = [tensor for tensor in tensors if isinstance(tensor, Held)]
        copies = func.overloadpacket in {aten._to_copy, aten.copy_, aten.copy}
        if here and not copies and any(t.dim() for t in tensors if not isinstance(t, Held)):
            shapes = [(type(tensor).__name__, tuple(tensor.shape)) for tensor in tensors]
            raise RuntimeError(f"Expected all tensors to be on the same device: {func}, {shapes}")
        asked = [value for value in given if isinstance(value, torch.device)]
        to_here = asked[0].type in {DEVICE.type, "meta"} if asked else bool(here)
        inner_args, inner_kwargs = _each(_inner, (args, kwargs))
        name = func.overloadpacket.__name__
        if self.other_rounding and to_here and name in ADDING_UP:
            result = _in_double(func, inner_args, inner_kwargs)
        else:
            result = func(*inner_args, **inner_kwargs)
        count = self.operations if to_here else self.elsewhere
        count[name] = count.get(name, 0) + 1
        if func.overloadpacket is aten.copy_:
            return args[0]
        if not to_here:
            return result
        known = {id(tensor.inner): tensor for tensor in here}

        def outer(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            return known[id(value)] if id(value) in known else self._hold(value)

        return _each(outer, result)

    def _hold(self, inner: Tensor) -> Held:
        """A tensor of the device, counted for as long as it is alive; what several look at counts once."""
        place, size = inner.untyped_storage()._cdata, inner.untyped_storage().nbytes()
        lookers = self._lookers.get(place, 0)
        if not lookers:
            if self.held + size > self.capacity:
                self.ran_out += 1
                raise torch.cuda.OutOfMemoryError(f"CUDA out of memory: {self.held} + {size} of {self.capacity} bytes")
            self.held += size
            self.peak = max(self.peak, self.held)
        self._lookers[place] = lookers + 1
        weakref.finalize(inner, self._let_go, place, size)
        return Held(inner)

    def _let_go(self, place: int, size: int) -> None:
        self._lookers[place] -= 1
        if not self._lookers[place]:
            del self._lookers[place]
            self.held -= size

    def __enter__(self) -> Standin:
        self._lifting = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)  # else torch.tensor(..., device=) would pass this mode by
        self._patches = [
            mock.patch.object(torch.cuda, name, mock.Mock(return_value=answer)) for name, answer in ANSWERS.items()
        ]
        self._patches += [
            mock.patch.object(torch.backends.cudnn, "version", mock.Mock(return_value=0)),
            mock.patch.object(camlime.device, "_usable", set()),  # it works only here
        ]
        for patch in self._patches:
            patch.start()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for patch in self._patches:
            patch.stop()
        torch._C._set_only_lift_cpu_tensors(self._lifting)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple, dict)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _leaves(one)
    else:
        yield value


def _each(change: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _each(change, one) for key, one in value.items()}
    return type(value)(_each(change, one) for one in value) if type(value) in {list, tuple} else change(value)


def _inner(value: Any) -> Any:
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value.inner if isinstance(value, Held) else value


def _in_double(func: Any, args: Any, kwargs: Any) -> Any:
    def wide(value: Any) -> Any:
        return value.double() if isinstance(value, Tensor) and value.dtype == torch.float32 else value

    def narrow(value: Any) -> Any:
        return value.float() if isinstance(value, Tensor) and value.dtype == torch.float64 else value

    floats = [v for v in _leaves((args, kwargs)) if isinstance(v, Tensor) and v.is_floating_point()]
    if any(tensor.dtype != torch.float32 for tensor in floats):
        return func(*args, **kwargs)
    wide_args = _each(wide, args)
    result = _each(narrow, func(*wide_args, **_each(wide, kwargs)))
    if func.overloadpacket is aten.native_batch_norm:  # which also moves the running statistics, if they are given
        for given, moved in zip(args[3:5], wide_args[3:5], strict=True):
            if given is not None:
                given.copy_(moved)
    if "out" in kwargs:
        return kwargs["out"].copy_(result)
    return result
