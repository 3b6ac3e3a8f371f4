"""How often tiles are flagged as unlike the training set: the set's own, changed ones, and other pictures."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.transforms import GaussianSmooth

from camlime import Bundle
from camlime.domain import Domain, answers_and_features
from camlime.pipeline import classifier_of
from camlime.training.results import write_part


def study(bundle_root: str | Path, test, docs_dir: str | Path) -> None:
    """Write ``domain.json``: flagged shares of the test part, which sets the threshold, and of its changed copies.

    Args:
        bundle_root: the bundle, with weights and domain file.
        test: loader of the test part.
        docs_dir: the bundle's ``docs``.
    """
    bundle, path = Bundle.load(bundle_root), Path(docs_dir) / "domain.json"
    domain, classifier = Domain.of(bundle), classifier_of(bundle, device="cpu")
    tiles = torch.cat([batch["image"] for batch in test])

    def flagged(images: torch.Tensor) -> float:
        scores = domain.scores(answers_and_features(classifier, images, domain.layers)[1])
        return float((scores > domain.threshold).mean())

    write_part(path, "quantile", domain.quantile)
    write_part(path, "threshold", domain.threshold)
    write_part(path, "flagged_share", {name: flagged(change(tiles)) for name, change in CHANGES.items()})


def _half(tiles: torch.Tensor) -> torch.Tensor:
    """Twice the microns a pixel, as a tile from the wrong level of a slide: four small copies side by side."""
    small = torch.nn.functional.interpolate(tiles, scale_factor=0.5, mode="bilinear", antialias=True)
    return small.repeat(1, 1, 2, 2)


def _twice(tiles: torch.Tensor) -> torch.Tensor:
    """Half the microns a pixel: the middle quarter, blown up."""
    edge = tiles.shape[-1] // 4
    middle = tiles[..., edge:-edge, edge:-edge]
    return torch.nn.functional.interpolate(middle, size=tiles.shape[2:], mode="bilinear")


def _noise(tiles: torch.Tensor) -> torch.Tensor:
    return 2 * torch.rand(tiles.shape, generator=torch.Generator().manual_seed(0)) - 1


CHANGES = {
    "as_they_are": lambda tiles: tiles,
    "upside_down": lambda tiles: tiles.flip(-1),
    "blank_glass": torch.ones_like,
    "noise": _noise,
    "blurred": lambda tiles: torch.stack([GaussianSmooth(sigma=4.0)(tile) for tile in tiles]),
    "twice_the_microns": _half,
    "half_the_microns": _twice,
    "grey": lambda tiles: tiles.mean(1, keepdim=True).expand_as(tiles).contiguous(),
    "colours_inverted": lambda tiles: -tiles,
    "red_and_blue_swapped": lambda tiles: tiles.flip(1),
}
