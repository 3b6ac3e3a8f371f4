"""Parts of MONAI's trainers and evaluators: metrics of the class, a log by epoch."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from ignite.engine import Engine, Events
from ignite.metrics import Loss, Metric, Recall


def _answer(output: Mapping) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels; a training with further targets has the label among them."""
    label = output["label"]
    return output["pred"], label["label"] if isinstance(label, Mapping) else label


def balanced_accuracy() -> Metric:
    """Mean of the classes' recalls, as a metric of MONAI's engines."""
    return Recall(average=True, output_transform=_answer)


def cross_entropy() -> Metric:
    """Mean cross-entropy (nats), as a metric of MONAI's engines."""
    return Loss(F.cross_entropy, output_transform=_answer)


class EpochLog:
    """Writes one line an epoch: loss, seconds, and the validator's metrics where it ran.

    Args:
        path: the table, written anew.
        validator: engine whose metrics are read; its runs come before this in the trainer's handlers.
        metrics: names of those that are kept.
    """

    def __init__(
        self, path: str | Path, validator: Engine, metrics: Sequence[str] = ("balanced_accuracy", "cross_entropy")
    ) -> None:
        self.path, self.validator, self.metrics = Path(path), validator, tuple(metrics)
        self.columns = ("epoch", "loss", "seconds", *self.metrics)
        self.losses: list[float] = []
        self.start = 0.0

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        engine.add_event_handler(Events.STARTED, lambda _: self._write(self.columns, "w"))
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._end)

    def _begin(self, _: Engine) -> None:
        self.losses, self.start = [], time.perf_counter()
        self.validator.state.metrics = {}

    def _keep(self, engine: Engine) -> None:
        output: Any = engine.state.output
        self.losses.append(output["loss"].item())

    def _end(self, engine: Engine) -> None:
        row: list[object] = [engine.state.epoch, f"{sum(self.losses) / len(self.losses):.4f}"]
        row.append(f"{time.perf_counter() - self.start:.1f}")
        found = self.validator.state.metrics
        row += [f"{found[name]:.4f}" if name in found else "" for name in self.metrics]
        self._write(row, "a")
        print(dict(zip(self.columns, row, strict=True)), flush=True)

    def _write(self, row: Sequence[object], mode: str) -> None:
        with self.path.open(mode, newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(row)
