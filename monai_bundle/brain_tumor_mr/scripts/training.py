"""What training keeps: a log by epoch, the calibrated weights."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from ignite.engine import Engine, Events
from ignite.metrics import Loss as MeanLoss
from ignite.metrics import Metric, Recall
from torch import nn

from .data import CLASSES


def _answer(output: dict) -> tuple[torch.Tensor, torch.Tensor]:
    return output["pred"], output["label"]["label"]


def balanced_accuracy() -> Metric:
    """Mean of the classes' recalls, as a metric of MONAI's engines."""
    return Recall(average=True, output_transform=_answer)


def cross_entropy() -> Metric:
    """Mean cross-entropy (nats), as a metric of MONAI's engines."""
    return MeanLoss(F.cross_entropy, output_transform=_answer)


class EpochLog:
    """Writes one line an epoch: loss, seconds, and the validator's metrics where it ran.

    Args:
        path: the table, written anew.
        validator: engine whose metrics are read.
    """

    COLUMNS = ("epoch", "loss", "seconds", "balanced_accuracy", "cross_entropy")

    def __init__(self, path: str | Path, validator: Engine) -> None:
        self.path, self.validator = Path(path), validator
        self.losses: list[float] = []
        self.start = 0.0

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        engine.add_event_handler(Events.STARTED, lambda _: self._write(self.COLUMNS, "w"))
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._end)

    def _begin(self, _: Engine) -> None:
        self.losses, self.start = [], time.perf_counter()
        self.validator.state.metrics = {}

    def _keep(self, engine: Engine) -> None:
        self.losses.append(engine.state.output["loss"].item())

    def _end(self, engine: Engine) -> None:
        row: list[object] = [engine.state.epoch, f"{sum(self.losses) / len(self.losses):.4f}"]
        row.append(f"{time.perf_counter() - self.start:.1f}")
        metrics = self.validator.state.metrics
        row += [f"{metrics[name]:.4f}" if name in metrics else "" for name in self.COLUMNS[3:]]
        self._write(row, "a")
        print(dict(zip(self.COLUMNS, row, strict=True)), flush=True)

    def _write(self, row, mode: str) -> None:
        with self.path.open(mode, newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(row)


@torch.no_grad()
def logits_of(network: nn.Module, loader) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits ``(N, classes)`` and labels ``(N,)`` of a loader's slices, in its order."""
    network.eval()
    device = next(network.parameters()).device
    pairs = [(network(batch["image"].as_tensor().to(device)).cpu(), batch["label"]) for batch in loader]
    return torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])


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


def ship(network: nn.Module, validation, model_path: str | Path, docs_dir: str | Path) -> None:
    """Fold the temperature of the validation part into the last layer and write the weights."""
    factor = temperature(*logits_of(network, validation))
    with torch.no_grad():
        network.fc.weight.mul_(factor)
        network.fc.bias.mul_(factor)
    text = json.dumps({"factor_on_logits": round(factor, 4), "from": "validation part"}, indent=4)
    (Path(docs_dir) / "calibration.json").write_text(text + "\n")
    Path(model_path).parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}, model_path)


def fit_domain(
    network: nn.Module, training, validation, layers: Sequence[str], path: str | Path, quantile: float = 0.95
) -> None:
    """Measure the training slices as the shipped network sees them; the validation part makes the scale of it."""
    from camlime.classifier import Classifier
    from camlime.domain import Domain, answers_and_features

    classifier = Classifier(network, class_names=CLASSES, activation="softmax", device="cpu")

    def features(loader) -> np.ndarray:
        parts = [answers_and_features(classifier, batch["image"].as_tensor(), layers)[1] for batch in loader]
        return np.concatenate(parts)

    Domain.fit(features(training), features(validation), layers, quantile).save(path)
