"""A bundle's preprocessing, applied to a scan that is already read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from monai.apps.nuclick.transforms import AddLabelAsGuidanced
from monai.data import MetaTensor
from monai.data.utils import to_affine_nd
from monai.transforms import (
    Compose,
    LazyTransform,
    MapTransform,
    Resize,
    Resized,
    Spacing,
    Spacingd,
    Transform,
    Zoom,
    Zoomd,
)
from torch import Tensor, nn

from camlime.bundle.limits import MAX_STEPS, TooLarge, check_grid
from camlime.errors import BundleError

if TYPE_CHECKING:
    from camlime.scan import Scan

_SLAB = 1 << 20
"""Voxel centres looked up at once when padding is marked."""


@dataclass(frozen=True)
class Geometry:
    """An image and where its grid lies.

    Args:
        image: ``(C, *S)``, float32.
        affine: 4x4, voxel index to RAS mm.
    """

    image: Tensor
    affine: np.ndarray


class Preprocessing:
    """Transforms in order, as dictionary or as array transforms.

    Args:
        resolved: what the config's entry made: a transform, a composition, a list, or ``None``.
        input_name: key of the image according to the metadata.
    """

    def __init__(self, resolved: object, input_name: str) -> None:
        self.steps: tuple[Callable[..., Any], ...] = tuple(islice(_flatten(resolved), MAX_STEPS + 1))
        if len(self.steps) > MAX_STEPS:
            raise BundleError(f"the preprocessing has more than {MAX_STEPS} steps", hint="are its lists nested twice?")
        self.key = _image_key(self.steps, input_name)
        self._lazy = _laziness(resolved, self.steps)
        self._dictionary = any(isinstance(step, MapTransform) for step in self.steps)
        for step in self.steps:
            if not callable(step):
                raise BundleError(f"the preprocessing holds a {type(step).__name__}, which is not a transform")
            if isinstance(step, MapTransform):
                step.allow_missing_keys = True
            if self._lazy is not False and isinstance(step, nn.Module) and not isinstance(step, Transform):
                raise BundleError(
                    f"the preprocessing has the layer {type(step).__name__} in a lazy composition, where what it does "
                    "to the grid is not seen",
                    hint="make the composition not lazy",
                )
            if isinstance(step, LazyTransform) and self._lazy is False:
                step.lazy = False

    @property
    def guidance_source(self) -> str | None:
        """Key of the mask that is appended to the image as a further channel, if there is such a step."""
        return next((step.source for step in self.steps if isinstance(step, AddLabelAsGuidanced)), None)

    def field_of_view_mm(self, spatial_shape: Sequence[int | None]) -> tuple[float, ...] | None:
        """Edge lengths, mm, of what the network sees: the spacing it is resampled to times its input's size.

        Returns:
            ``None`` where there is no fixed spacing or size.
        """
        spacing = self.spacing_mm()
        if not spacing or not spatial_shape:
            return None
        if len(spacing) == 1:
            spacing *= len(spatial_shape)
        pairs = list(zip(spacing, spatial_shape, strict=False))
        if len(spacing) < len(spatial_shape) or not all(mm > 0 and np.isfinite(mm) and size for mm, size in pairs):
            return None
        return tuple(mm * size for mm, size in pairs if size)

    def spacing_mm(self) -> list[float] | None:
        """The spacing that images are resampled to, mm, one an axis or one for all; ``None`` where they keep theirs."""
        spacing: list[float] | None = None
        for step in self.steps:
            if isinstance(step, (Spacing, Spacingd)):
                inner = step.spacing_transform if isinstance(step, Spacingd) else step
                spacing = [float(value) for value in np.atleast_1d(inner.pixdim)]
            elif isinstance(step, (Resize, Resized, Zoom, Zoomd)):
                spacing = None
        return spacing

    def apply(self, scan: Scan, spatial_dims: int, input_channels: int) -> Geometry:
        """Run the transforms on a scan.

        Raises:
            BundleError: the scan does not fit the bundle, or a transform fails on it; names the transform.
        """
        image, affine = _fit_dimensions(scan, spatial_dims)
        frame = np.eye(4)
        if spatial_dims == 2:
            frame, affine = _in_plane(affine, scan.spacing)
        data: dict[str, Any] = {self.key: _meta(image, affine)}
        if self.guidance_source is not None:
            if image.shape[0] != input_channels:
                raise BundleError(
                    f"the network takes {input_channels} channels, the last one a guidance mask; "
                    f"{scan.source} has {image.shape[0]}",
                    hint="give the mask: --guidance MASK, a label map or picture on the scan's voxels (or append it as "
                    "the last channel)",
                )
            data[self.key] = _meta(image[:-1], affine)
            data[self.guidance_source] = _meta(image[-1:], affine)
        result, result_affine = self._run(data, affine, scan)
        return Geometry(result, frame @ result_affine)

    def _run(self, data: dict[str, Any], affine: np.ndarray, scan: Scan) -> tuple[Tensor, np.ndarray]:
        together = self._lazy is not False
        for step in [Compose(list(self.steps), lazy=self._lazy)] if together else self.steps:
            name = "the preprocessing" if together else type(step).__name__
            shape = tuple(data[self.key].shape[1:])
            try:
                self._check_grid_after(step, data)
                if self._dictionary:
                    data = step(data)
                else:
                    data[self.key] = step(data[self.key])
                image = data[self.key]
                if not isinstance(image, Tensor):
                    image = torch.as_tensor(np.asarray(image))
            except TooLarge as error:
                raise BundleError(f"{name} fails on {scan.source} with shape {shape}: {error}") from None
            except Exception as error:
                raise BundleError(
                    f"{name} fails on {scan.source} with shape {shape}: {_cause(error)}",
                    hint="the bundle's preprocessing does not fit this scan",
                ) from error
            keeps = tuple(image.shape[1:]) == shape
            if not keeps and not together and not isinstance(step, Transform):  # a layer moves no affine along
                raise BundleError(
                    f"{name} changes the grid without saying how, so that maps cannot be placed in the patient"
                )
            if isinstance(image, MetaTensor):
                affine = to_affine_nd(3, np.asarray(image.affine, dtype=np.float64))
            elif not keeps:
                raise BundleError(
                    f"{name} changes the grid without saying how, so that maps cannot be placed in the patient"
                )
            data[self.key] = image
        image = data[self.key]
        plain = image.as_tensor() if isinstance(image, MetaTensor) else image
        return plain.detach().to("cpu", torch.float32).contiguous(), affine

    def _check_grid_after(self, step: Callable[..., Any], data: Mapping[str, Any]) -> None:
        """Find out what grid a resampling step would make, by having it only announced, and refuse one too large.

        Raises:
            TooLarge: says how large.
        """
        for single in self.steps if isinstance(step, Compose) else (step,):
            if not isinstance(single, LazyTransform) or not isinstance(data[self.key], MetaTensor):
                return
            image = data[self.key]
            pending = MetaTensor(image.as_tensor(), affine=image.affine, applied_operations=[])
            for operation in image.pending_operations:
                pending.push_pending_operation(operation)
            announced = single({**data, self.key: pending} if self._dictionary else pending, lazy=True)
            made = announced[self.key] if self._dictionary else announced
            check_grid((len(made), *made.peek_pending_shape()))
            data = {**data, self.key: made}


def covered(scan: Scan, affine: np.ndarray, shape: Sequence[int]) -> Tensor:
    """Mark the voxels of a grid whose centres lie inside a scan.

    Args:
        scan: answers for points in RAS mm.
        affine: 4x4, the grid's voxel index to RAS mm.
        shape: the grid's 2 or 3 sizes.

    Returns:
        Bool, shape ``shape``.
    """
    total = int(np.prod(shape))
    inside = np.empty(total, dtype=bool)
    for start in range(0, total, _SLAB):
        flat = np.arange(start, min(start + _SLAB, total))
        index = np.stack(np.unravel_index(flat, tuple(shape)), axis=1).astype(np.float64)
        columns = index.shape[1]
        inside[flat] = scan.covers(index @ affine[:3, :columns].T + affine[:3, 3])
    return torch.from_numpy(inside.reshape(tuple(shape)))


def _flatten(resolved: object) -> Iterator[Callable[..., Any]]:
    if isinstance(resolved, Compose):
        yield from _flatten(resolved.transforms)
    elif isinstance(resolved, (list, tuple)):
        for step in resolved:
            yield from _flatten(step)
    elif resolved is not None:
        yield resolved  # type: ignore[misc]


def _laziness(resolved: object, steps: Sequence[object]) -> bool | None:
    """Whether resampling steps are joined into one, as the composition asks (``None``: as each step asks)."""
    lazy = resolved.lazy if isinstance(resolved, Compose) else False
    if lazy is None and not any(isinstance(step, LazyTransform) and step.lazy for step in steps):
        return False
    return lazy


def _image_key(steps: Sequence[object], input_name: str) -> str:
    used = [str(key) for step in steps if isinstance(step, MapTransform) for key in step.keys]
    for name in (input_name, "image"):
        if name in used or not used:
            return name
    return used[0]


def _meta(image: Tensor, affine: np.ndarray) -> MetaTensor:
    return MetaTensor(image.clone(), affine=torch.as_tensor(affine.copy()))


def _fit_dimensions(scan: Scan, spatial_dims: int) -> tuple[Tensor, np.ndarray]:
    image = scan.image.as_tensor() if isinstance(scan.image, MetaTensor) else scan.image
    affine = np.asarray(scan.affine, dtype=np.float64)
    given = image.ndim - 1
    if given == spatial_dims:
        return image, affine
    if spatial_dims == 2 and given == 3:
        if image.shape[-1] == 1:
            return image[..., 0], affine
        raise BundleError(f"the network takes 2D images and {scan.source} is 3D", hint="choose a slice")
    raise BundleError(f"the network takes {spatial_dims}D images and {scan.source} is {given}D")


def _in_plane(affine: np.ndarray, spacing: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Split a 2D image's affine into a frame in the patient and an affine that MONAI's 2D transforms can follow.

    MONAI's 2D transforms look at the upper left 2x2 part only. An image in the transverse plane is left as it is; any
    other gets a plane of its own, and the frame brings it back.
    """
    block = affine[:2, :2]
    transverse = np.allclose(affine[2, :2], 0, atol=1e-6) and abs(np.linalg.det(block)) > 1e-9
    if transverse:
        return np.eye(4), affine
    local = np.diag([spacing[0], spacing[1], 1.0, 1.0])
    return affine @ np.linalg.inv(local), local


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).strip()[:300]}"
