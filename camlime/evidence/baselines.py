"""What removed voxels are replaced by when a map is scored: other baselines than the one that it was explained with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from camlime.bundle import NamedOptions
from camlime.bundle.model_input import ModelInput
from camlime.masking import make_baseline

NUMBER = 2
"""At least so many, where the image allows."""

FALLBACKS = (
    NamedOptions("blur"),
    NamedOptions("mean"),
    NamedOptions("median"),
    NamedOptions("blur", {"sigma_mm": 3.0}),
)
"""In this order, where the bundle names too few."""


def scoring_baselines(
    wanted: Sequence[NamedOptions], model_input: ModelInput, explained_with: Tensor, *, fixed: Sequence[int] = ()
) -> dict[str, Tensor]:
    """Baselines to score with, by name: those wanted, filled up to two, none equal to another or to the explainer's.

    A map must not profit from the quirks of the baseline that it was made with.

    Args:
        wanted: the bundle's ``score_baselines``.
        model_input: the image.
        explained_with: the baseline that the map was made with, ``(C, *S)``.
        fixed: channels that are never removed (guidance).

    Returns:
        Images ``(C, *S)``; fewer than two only for an image on which the kinds of baseline do not differ.

    Raises:
        RequestError: a baseline does not exist.
    """
    found: dict[str, Tensor] = {}
    for number, kind in enumerate([*wanted, *FALLBACKS]):
        if number >= len(wanted) and len(found) >= NUMBER:
            break
        image = make_baseline(kind.name, model_input, **kind.options)
        image[list(fixed)] = model_input.image[list(fixed)]
        if not any(torch.allclose(image, other, atol=1e-6) for other in (explained_with, *found.values())):
            found[titled(kind)] = image
    return found


def titled(kind: NamedOptions) -> str:
    """A baseline's name and its settings, such as ``blur (sigma_mm 3)``."""
    said = ", ".join(f"{key} {value:g}" for key, value in kind.options.items())
    return f"{kind.name} ({said})" if said else kind.name
