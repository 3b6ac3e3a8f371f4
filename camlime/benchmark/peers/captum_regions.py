"""captum's Lime and KernelShap on our regions, log-odds and baseline; everything else as captum has it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from camlime.attribution import Attribution
from camlime.benchmark.peers.score import scored
from camlime.extras import needed
from camlime.methods.case import Case


def explain(case: Case, budget: int, kind: str) -> Attribution:
    """Weights by region from captum.

    Padding is a region of its own for captum, and its baseline there is the image: removing it changes nothing.

    Args:
        case: its first segmentation is used.
        budget: samples, one pass each.
        kind: ``Lime`` or ``KernelShap``.
    """
    attr = needed("captum.attr", extra="peers", purpose=f"the method 'captum-{kind.lower()}'")
    regions = case.regions[0]
    labels = torch.from_numpy(regions.labels.astype(np.int64))
    first = int(labels.min())
    with scored(case, gradients=False) as (module, batch):
        mask: Tensor = (labels - first)[None, None].expand(1, *batch.shape[1:]).to(batch.device)
        baseline = torch.where(labels[None] == 0, case.input.image, case.baseline)[None].to(batch)
        found = getattr(attr, kind)(module).attribute(
            batch,
            baselines=baseline,
            target=0,
            feature_mask=mask,
            n_samples=budget,
            perturbations_per_eval=case.classifier.batch_size(case.input.image),
            return_input_shape=False,
        )
    weights = found.reshape(-1).cpu().double().numpy()[1 - first :]
    return Attribution(f"captum-{kind.lower()}", regions.paint(weights), region_weights=weights)
