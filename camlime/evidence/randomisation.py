"""Does the map depend on what the network has learned? The model-randomisation check of Adebayo et al. 2018.

The map is made again on copies of the network with other weights (arXiv:1810.03292, all layers at once) and compared by
Spearman's rank correlation. A map that hardly changes shows the image, not the model: such a map *survives* and is not
supported.

**The copies.** Each weight tensor is drawn anew from a normal distribution with the tensor's own root mean square;
vectors (biases, gains) are put into random order; statistics of batch normalisation are measured anew on the case. So
nothing learned is left but the size of the values, and signals neither die out nor explode on their way through a deep
network, as they do with a layer's default initialisation and no training. The seeds are fixed: for a bundle, the random
weights are the same in every case. They need not be stored, since drawing them is as quick as reading them; all maps of
a case share them. What a method makes of them on a case is kept on disk by bundle and case, see
:mod:`camlime.evidence.kept`.

**The verdict** is on the size of the correlation of the *signed* maps, whichever its sign, since a random network's
last layer turns a map round as often as not; the median over the copies. The correlation of the magnitudes is reported
and not judged by: a removal-based map is necessarily large only where the image differs from the baseline, for any
network.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor, nn

from camlime.attribution import Attribution
from camlime.classifier import Classifier
from camlime.device import failures_told
from camlime.evidence.kept import KeptMaps
from camlime.evidence.meter import Meter
from camlime.methods.case import Case

THRESHOLD = 0.5
"""Rank correlation above which a map survives."""

COPIES = 3
PASSES_EACH = 96
"""At most, for the map on a random network, where the method takes a budget."""

MIXES = (0.0, 1 / 3, 2 / 3, 1.0)
"""Mixtures of the image and its baseline on which statistics of batch normalisation are measured."""

HELD_BYTES = 256 << 20
"""Of all random networks together; where they are larger, each is made anew for each map."""

SURVEY = 8
"""Passes at most, on each network, to find the layer of a CAM."""


@dataclass(frozen=True)
class Randomisation:
    """How much of the map is left on networks that have learned nothing.

    Args:
        similarity: median over the copies of the size of the rank correlation between the signed maps.
        similarity_of_magnitudes: median of the rank correlation between their magnitudes; not judged by.
        threshold: above which the map survives.
        copies: how many random networks.
        survives: whether the map does.
        kept: the random networks' maps were kept from an earlier explanation of the same case; they are the same.
    """

    similarity: float
    similarity_of_magnitudes: float
    threshold: float
    copies: int
    survives: bool
    kept: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable."""
        return asdict(self)

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> Randomisation:
        """What :meth:`as_dict` wrote."""
        return Randomisation(**record)


def passes_of_check(attribution: Attribution) -> int:
    """Pass-equivalents that the check takes at most.

    A CAM and occlusion are made again as they were (occlusion on the first segmentation), other maps with fewer passes.
    """
    each = _passes_of_each(attribution)
    if attribution.parameters.get("random") is False:
        own = _passes_of(attribution)
        each = own if attribution.region_weights is None else min(own, 1 + len(attribution.region_weights))
    return COPIES * (each + len(MIXES) + SURVEY)


def _passes_of(attribution: Attribution) -> int:
    return attribution.forward_passes + 2 * attribution.backward_passes


def _passes_of_each(attribution: Attribution) -> int:
    """No more than the map itself had: below some number of passes a method can be another one."""
    return min(_passes_of(attribution), PASSES_EACH)


class RandomNetworks:
    """The random networks of a case, each made once for all of its maps, unless they are too large to be held.

    Args:
        case: image and baseline, on which statistics are measured.
        classifier: the model.
        meter: counts the passes through all of them.
    """

    def __init__(self, case: Case, classifier: Classifier, meter: Meter) -> None:
        self._case = case
        self._original = classifier
        self._made: dict[int, Classifier] = {}
        self.meter = meter

    def __getitem__(self, seed: int) -> Classifier:
        if seed in self._made:
            return self._made[seed]
        made = self.meter.counted(self._original)
        with failures_told(made.device, work="a copy of the network with random weights"):
            made.network = randomised(self._original.network, seed)
            _measure_statistics(made, self._case.input.image, self._case.baseline)
        if COPIES * _bytes_of(made.network) <= HELD_BYTES:
            self._made[seed] = made
        return made


def _bytes_of(network: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))


def check_randomisation(
    case: Case,
    networks: RandomNetworks,
    attribution: Attribution,
    remake: Callable[[Case, int], Attribution],
    kept: KeptMaps | None = None,
) -> Randomisation:
    """Make the map again on random networks and compare.

    Args:
        case: as the map was made from.
        networks: of the case.
        attribution: the map.
        remake: makes the method's map of a case within so many passes.
        kept: region weights of earlier explanations, and where to keep those that are made; ``None`` for neither.

    Raises:
        CamlimeError: the method does not work on the random network.
        Cancelled: the user cancelled.
    """
    case = replace(case, regions=case.regions[:1])
    valid, weights = case.input.valid.numpy(), attribution.region_weights
    found, path = None, None
    if kept is not None and weights is not None:
        path = kept.path(case, attribution.method, _passes_of_each(attribution))
        found = kept.find(path, (COPIES, len(weights)))
    if found is not None:
        others = [replace(attribution, region_weights=row) for row in found]
    else:
        passes = _passes_of_each(attribution)
        others = [_on_random_network(case, networks, remake, seed, passes) for seed in range(COPIES)]
        rows = [other.region_weights for other in others if other.region_weights is not None]
        if kept is not None and path is not None and len(rows) == COPIES:
            kept.keep(path, np.stack(rows))
    correlations = [similarity(attribution, other, valid) for other in others]
    signed = np.median([abs(of_signed) for of_signed, _ in correlations])
    magnitudes = np.median([of_magnitudes for _, of_magnitudes in correlations])
    return Randomisation(
        float(signed), float(magnitudes), THRESHOLD, COPIES, bool(signed > THRESHOLD), kept=found is not None
    )


def _on_random_network(
    case: Case, networks: RandomNetworks, remake: Callable[[Case, int], Attribution], seed: int, passes: int
) -> Attribution:
    meter = networks.meter
    meter.check()
    made = remake(replace(meter.case(networks[seed], seed=case.seed), regions=case.regions), passes)
    meter.check()
    return made


def randomised(network: nn.Module, seed: int) -> nn.Module:
    """A copy with random weights, the same on any device; the network itself stays as it is."""
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode(False), torch.no_grad():
        twin = copy.deepcopy(network)
        for parameter in twin.parameters():
            values = parameter.detach().cpu()
            if values.ndim > 1:
                drawn = torch.randn(values.shape, generator=generator) * values.float().square().mean().sqrt()
            else:
                drawn = values.flatten()[torch.randperm(values.numel(), generator=generator)].reshape(values.shape)
            parameter.copy_(drawn)
    return twin


def similarity(one: Attribution, other: Attribution, valid: NDArray[np.bool_]) -> tuple[float, float]:
    """Rank correlations of the signed maps and of their magnitudes, over regions if both have weights, else voxels."""
    a, b = one.region_weights, other.region_weights
    if a is None or b is None:
        a, b = one.values[valid].astype(np.float64), other.values[valid].astype(np.float64)
    return rank_correlation(a, b), rank_correlation(np.abs(a), np.abs(b))


def rank_correlation(
    a: NDArray[np.float64], b: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> float:
    """Spearman's, ties averaged; with weights, Pearson's weighted correlation of the ranks. 0 if either is constant."""
    w = np.ones(len(a)) if weights is None else weights
    if np.ptp(a) == 0 or np.ptp(b) == 0 or w.sum() == 0:
        return 0.0
    ranks = np.stack([rankdata(a), rankdata(b)])
    centred = ranks - np.average(ranks, axis=1, weights=w)[:, None]
    products = (centred * w) @ centred.T
    size = np.sqrt(products[0, 0] * products[1, 1])
    return float(products[0, 1] / size) if size > 0 else 0.0


def _measure_statistics(classifier: Classifier, image: Tensor, baseline: Tensor) -> None:
    norms = [module for module in classifier.network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    norms = [norm for norm in norms if norm.track_running_stats]
    if not norms:
        return
    images = torch.stack([torch.lerp(image, baseline, mix) for mix in MIXES])
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    with torch.inference_mode(False), torch.no_grad(), classifier.as_in_use():
        try:
            for norm in norms:
                norm.train()
            classifier.forward(images.to(classifier.device))
        finally:
            for norm in norms:
                norm.eval()
