"""Five trainings, each asked about the patients it has not seen, and the one training that is shipped."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from camlime.training.results import write_json
from camlime.training.weights import save_weights

from .augment import Augment
from .probes import PROBES, probe
from .study import Study
from .trainee import narrow
from .training import Recipe, fit, log_odds, predict

FINAL = "final"


@dataclass(frozen=True)
class Plan:
    """What all trainings share.

    Attributes:
        study: the development part, with stored volumes.
        network: the network to ship, untrained.
        augment: the random views.
        recipe: how to train.
        seed: of the shipped network; fold k has ``seed + 1 + k``.
        teachers: networks in eval mode that a training learns from, by its name (the fold left out, or ``final``).
    """

    study: Study
    network: nn.Module
    augment: Augment
    recipe: Recipe
    seed: int
    teachers: Mapping[str, Sequence[nn.Module]] = field(default_factory=dict)


def train(plan: Plan, output_dir: str | Path, model_path: str | Path, workers: int = 1) -> None:
    """Train the folds' networks and the shipped one, calibrate, and write all of it.

    The shipped network learns from all folds. Its calibration is that of the folds' networks on the patients that they
    have not seen: they are made by the same recipe, and the test part stays untouched.

    Writes ``training_folds.csv`` and ``training_final.csv`` (the logs), ``out_of_fold.csv`` (case, patient, fold,
    target, log-odds, and the log-odds under each probe of ``probes.PROBES``), ``calibration.json``, and the weights.

    Args:
        plan: what to train.
        output_dir: the bundle's ``docs``.
        model_path: file of the weights.
        workers: processes at a time. Each computes on one thread.
    """
    output, study = Path(output_dir), plan.study
    logs: dict[str, list[dict]] = {}
    columns = {name: np.full(len(study.cases), np.nan) for name in ("log_odds", *PROBES)}
    shipped_state: dict[str, torch.Tensor] = {}
    for name, log, answers, state in run_folds(plan, [*study.folds, FINAL], workers):
        logs[name] = log
        if name == FINAL:
            shipped_state = {key: torch.from_numpy(value) for key, value in state.items()}
        for column, values in answers.items():
            columns[column][study.part == name] = values

    table = study.cases[["case", "patient"]].assign(fold=study.part, target=study.target, **columns)
    folds = [row for fold in study.folds for row in logs[fold]]
    for name, rows in (("training_folds", folds), ("training_final", logs[FINAL]), ("out_of_fold", table)):
        pd.DataFrame(rows).to_csv(output / f"{name}.csv", index=False, float_format="%.4f")

    slope, intercept = calibrate(table)
    write_json(output / "calibration.json", {"slope": slope, "intercept": intercept, "from": "out_of_fold.csv"})
    save_weights(narrow(plan.network, shipped_state, slope, intercept), model_path)


def calibrate(table: pd.DataFrame) -> tuple[float, float]:
    """Slope and intercept that make the out-of-fold log-odds honest (Platt's method, no penalty)."""
    model = LogisticRegression(C=np.inf).fit(table[["log_odds"]].to_numpy(), table["target"])
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def soft_target(study: Study, recipe: Recipe) -> np.ndarray:
    """Probability of malignant to train on: the label, mixed with the one reader's score."""
    score = (study.cases["malignancy_1to5"].to_numpy(float) - 1) / 4
    return (1 - recipe.score_weight) * study.target + recipe.score_weight * score


def run_folds(plan: Plan, names: list[str], workers: int = 1) -> Iterator[tuple]:
    """Train each named network, here or in processes that inherit the data."""
    if workers == 1:
        _inherit(plan)
        yield from map(_train_one, names)
        return
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_inherit, initargs=(plan,)) as pool:
        yield from pool.map(_train_one, names)


_plan: Plan


def _inherit(plan: Plan) -> None:
    """Keep the plan for this process: a forked one has it without copying."""
    global _plan  # noqa: PLW0603
    torch.set_num_threads(1)
    _plan = plan


def _train_one(name: str) -> tuple[str, list[dict], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Train without the fold of that name (or on all): name, log, answers on the fold, and weights."""
    study, log = _plan.study, []
    held = study.part == name
    number = 0 if name == FINAL else 1 + study.folds.index(name)

    def keep(row: dict) -> None:
        log.append({"fold": name, **row})
        print(
            {key: round(value, 4) if isinstance(value, float) else value for key, value in log[-1].items()}, flush=True
        )

    trained = fit(
        _plan.network,
        study.volumes,
        soft_target(study, _plan.recipe),
        study.target,
        study.auxiliary,
        np.flatnonzero(~held),
        _plan.augment,
        _plan.recipe,
        _plan.seed + number,
        study.boxes,
        np.flatnonzero(held),
        keep,
        _plan.teachers.get(name, ()),
    )
    answers = {}
    if name != FINAL:
        answers["log_odds"] = log_odds(predict(trained, study.boxes[held]))
        answers |= {kind: log_odds(predict(trained, probe(kind, study, held))) for kind in PROBES}
    return name, log, answers, {key: value.numpy() for key, value in trained.state_dict().items()}
