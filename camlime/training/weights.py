"""From a trained network to the weights that are shipped, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from camlime.training.results import write_json


def load_weights(network: nn.Module, path: str | Path) -> nn.Module:
    """The network with the weights of a file, in eval mode."""
    network.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return network.eval()


def save_weights(network: nn.Module, path: str | Path) -> None:
    """Write tensors on the CPU and nothing else, so that they load without pickle code; folders are made."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.part")
    torch.save({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}, unfinished)
    unfinished.replace(file)


@torch.no_grad()
def logits_of(network: nn.Module, loader: Iterable[Mapping]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits ``(N, classes)`` and labels ``(N,)`` of a loader's batches (``image``, ``label``), in its order."""
    network.eval()
    device = next(network.parameters()).device
    pairs = [(network(plain(batch["image"]).to(device)).cpu(), plain(batch["label"])) for batch in loader]
    return torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])


def plain(value: torch.Tensor) -> torch.Tensor:
    """A tensor without MONAI's metadata, which slows every operation on it."""
    return value.as_tensor() if hasattr(value, "as_tensor") else value


def temperature(logits: torch.Tensor, label: torch.Tensor) -> float:
    """The factor on the logits with the least cross-entropy (Guo et al. 2017, ICML, temperature scaling)."""
    log_factor = torch.zeros((), requires_grad=True)
    optimiser = torch.optim.LBFGS([log_factor], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(logits * log_factor.exp(), label)
        loss.backward()
        return loss

    optimiser.step(closure)
    return float(log_factor.detach().exp())


@torch.no_grad()
def scale_logits(network: nn.Module, last: str, factor: float) -> None:
    """Fold a factor on the logits into the last layer, so that the shipped network needs no further step.

    Args:
        network: changed in place.
        last: name of its last layer, linear.
        factor: on the logits.
    """
    layer = network.get_submodule(last)
    if not isinstance(layer, nn.Linear):
        raise TypeError(f"'{last}' is a {type(layer).__name__}; a factor can be folded into a Linear layer")
    layer.weight.mul_(factor)
    if layer.bias is not None:
        layer.bias.mul_(factor)


def ship(
    network: nn.Module, last: str, factor: float, model_path: str | Path, docs_dir: str | Path, source: str
) -> None:
    """Fold the calibration into the last layer, write the weights, and say so in ``calibration.json``.

    Args:
        network: the trained network; changed in place.
        last: name of its last layer.
        factor: on the logits, from `temperature`.
        model_path: file of the weights.
        docs_dir: the bundle's ``docs``.
        source: what the factor was fitted on, in words.
    """
    scale_logits(network, last, factor)
    write_json(Path(docs_dir) / "calibration.json", {"factor_on_logits": round(factor, 4), "from": source})
    save_weights(network, model_path)
