"""Removing regions: what stands in the place of what is removed, and masked images built fast.

A removed voxel takes the value of a *baseline* image. None is black by accident: black is a colour that the network
has an opinion on. Explain with one baseline and score with another, so that a map cannot profit from the first one's
quirks.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from camlime.bundle.model_input import ModelInput
from camlime.errors import RequestError
from camlime.regions import Regions, flat_labels

BLUR_MM = 6.0
"""Default width of the blurred baseline (one standard deviation, mm): most lesions' detail goes, the organ stays."""


WIDEST_BLUR_MM = 1000
"""Wider than any patient: a mean, at ever more time and memory."""


def constant_baseline(model_input: ModelInput, value: float) -> Tensor:
    """One value everywhere, in units of the network's input, shape ``(C, *S)``.

    Raises:
        RequestError: the value is not finite.
    """
    if not math.isfinite(value):
        raise RequestError(f"{value} is no value to fill with", hint="give a finite number")
    return torch.full_like(model_input.image, float(value))


def mean_baseline(model_input: ModelInput) -> Tensor:
    """Each channel's mean over the valid voxels, shape ``(C, *S)``."""
    means = model_input.image[:, model_input.valid].mean(dim=1)
    return means.reshape(-1, *[1] * len(model_input.spatial_shape)).expand_as(model_input.image).clone()


def median_baseline(model_input: ModelInput) -> Tensor:
    """Each channel's median over the valid voxels: in an organ that fills the view, the organ; shape ``(C, *S)``."""
    medians = model_input.image[:, model_input.valid].median(dim=1).values
    return medians.reshape(-1, *[1] * len(model_input.spatial_shape)).expand_as(model_input.image).clone()


def blur_baseline(model_input: ModelInput, sigma_mm: float = BLUR_MM) -> Tensor:
    """The image blurred by a Gaussian of ``sigma_mm`` mm, padding not mixed in (normalised convolution), ``(C, *S)``.

    Raises:
        RequestError: the width is not positive.
    """
    if not 0 < sigma_mm <= WIDEST_BLUR_MM:
        raise RequestError(
            f"a blur of {sigma_mm} mm is no blur", hint=f"sigma_mm is a positive number of mm, at most {WIDEST_BLUR_MM}"
        )
    sigma = [sigma_mm / size for size in model_input.spacing]
    valid = model_input.valid.numpy().astype(np.float32)
    weight = np.maximum(ndimage.gaussian_filter(valid, sigma, mode="nearest"), 1e-6)
    blurred = [
        ndimage.gaussian_filter(channel * valid, sigma, mode="nearest") / weight
        for channel in model_input.image.numpy()
    ]
    return torch.from_numpy(np.stack(blurred).astype(np.float32))


def region_mean_baseline(model_input: ModelInput, regions: Regions) -> Tensor:
    """Each region filled with its own mean, channel by channel, as the lime package does; shape ``(C, *S)``."""
    sizes = np.maximum(regions.voxel_counts(), 1)
    channels = []
    for channel in model_input.image.numpy():
        filled = regions.paint(regions.pool(channel) / sizes)
        channels.append(np.where(regions.labels > 0, filled, channel))
    return torch.from_numpy(np.stack(channels).astype(np.float32))


_BASELINES: dict[str, Callable[..., Tensor]] = {
    "constant": constant_baseline,
    "mean": mean_baseline,
    "median": median_baseline,
    "blur": blur_baseline,
}


def make_baseline(name: str, model_input: ModelInput, /, **parameters: float) -> Tensor:
    """Make a baseline by name: ``constant`` (value), ``mean``, ``median`` or ``blur`` (sigma_mm).

    Raises:
        RequestError: there is no such baseline, or it does not take such a parameter.
    """
    if name not in _BASELINES:
        raise RequestError(f"there is no baseline '{name}'", hint="baselines: " + ", ".join(_BASELINES))
    try:
        return _BASELINES[name](model_input, **parameters)
    except (TypeError, ValueError, OverflowError) as error:
        raise RequestError(f"baseline '{name}' cannot be made with {parameters}", hint=str(error)) from error


class Masker:
    """Builds masked images: voxels of absent regions take the baseline's value.

    One ``gather`` spreads each mask row over the voxels and one ``lerp`` a channel mixes image and baseline in place,
    on the device where the network is; the lime package loops over absent regions instead. Most of the time that is
    left goes into fresh memory, which a loop saves by passing ``out``.

    Args:
        image: shape ``(C, *S)``.
        baseline: shape ``(C, *S)``.
        regions: on the same grid; voxels of label 0 are always kept.
        device: where the masked images are wanted.

    Example:
        >>> regions = Regions(np.array([[1, 2]], dtype=np.int32))
        >>> masker = Masker(torch.ones(1, 1, 2), torch.zeros(1, 1, 2), regions, torch.device("cpu"))
        >>> masker(torch.tensor([[1.0, 0.0]]))
        tensor([[[[1., 0.]]]])
    """

    def __init__(self, image: Tensor, baseline: Tensor, regions: Regions, device: torch.device) -> None:
        self._shape = tuple(image.shape)
        self._image = image.reshape(len(image), -1).to(device)
        self._baseline = baseline.reshape(len(image), -1).to(device)
        self._labels = flat_labels(regions).to(device)

    def __call__(self, presence: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Masked images ``(N, C, *S)`` for presences ``(N, d)``, 1 kept and 0 removed (values between mix the two).

        Args:
            presence: on any device.
            out: from an earlier call with at least N rows; its first N are overwritten and returned.
        """
        count, channels = len(presence), len(self._image)
        kept = self._image.new_ones(count, presence.shape[1] + 1)
        kept[:, 1:] = presence
        images = self._image.new_empty(count, *self._shape) if out is None else out[:count]
        voxels = images.view(count, channels, -1)
        weight = voxels[:, -1]
        torch.gather(kept, 1, self._labels.expand(count, -1), out=weight)
        for channel in range(channels):
            torch.lerp(self._baseline[channel], self._image[channel], weight, out=voxels[:, channel])
        return images

    def reusing_memory(self) -> Callable[[Tensor], Tensor]:
        """This masker for a loop: each answer of the function lies in the memory of the one before, where it fits."""
        room: Tensor | None = None

        def masked(presence: Tensor) -> Tensor:
            nonlocal room
            kept, room = room, None  # which gives it back, should memory run out now
            if kept is not None and not len(presence) <= len(kept) < 2 * len(presence):
                kept = None
            images = self(presence, out=kept)
            room = images if kept is None else kept
            return images

        return masked
