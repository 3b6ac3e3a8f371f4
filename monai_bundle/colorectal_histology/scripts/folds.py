"""Six trainings: five that are asked about the cases they have not seen, and the one that is shipped."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from camlime.training.weights import load_weights, logits_of, save_weights, ship, temperature

from .data import CLASSES, FOLDS

NONE = "none"
"""Held back by the training that is shipped: nothing but the test part."""


def run_all(config_files: Sequence[str], work_dir: str | Path, workers: int, **settings: object) -> None:
    """Run the config's ``one`` for each fold and for the shipped network, each in a process of its own.

    A training whose result is in ``work_dir`` already is not run again.

    Args:
        config_files: as given to ``monai.bundle run``.
        work_dir: where the trainings leave their weights, answers and logs.
        workers: processes at a time, each on one thread.
        settings: further values of the config.

    Raises:
        RuntimeError: a training failed; its log says why.
    """
    work = Path(work_dir).resolve()
    work.mkdir(parents=True, exist_ok=True)
    given = [f"--{name}={value}" for name, value in {**settings, "work_dir": work}.items()]

    def one(held: str) -> None:
        if (work / f"{held}.pt").is_file():
            return
        command = [sys.executable, "-m", "monai.bundle", "run", "one", f"--config_file={list(config_files)}"]
        log = work / f"{held}.log"
        with log.open("w") as file:
            done = subprocess.run(
                [*command, *given, f"--held={held}"],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"the training that holds back {held} failed: see {log}")

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, [*FOLDS, NONE]))


def keep(network: nn.Module, held: str, loader, work_dir: str | Path) -> None:
    """Write a training's weights, and its logits of the tiles that it was not shown (none for the shipped one)."""
    work = Path(work_dir)
    if held != NONE:
        answers(network, loader).assign(fold=held).to_csv(work / f"{held}.csv", index=False, float_format="%.4f")
    save_weights(network, work / f"{held}.pt")


def answers(network: nn.Module, loader) -> pd.DataFrame:
    """One row a tile of the loader: ``case, group, target`` and the logit of each class."""
    logits, label = logits_of(network, loader)
    rows = [{"case": item["case"], "group": item["group"]} for item in loader.dataset.data]
    return pd.DataFrame(rows).assign(target=label.numpy(), **dict(zip(CLASSES, logits.numpy().T, strict=True)))


def finish(network: nn.Module, work_dir: str | Path, docs_dir: str | Path, model_path: str | Path) -> None:
    """Collect the folds' answers and logs, calibrate the shipped network by them, and write its weights.

    The temperature is that of the folds' networks on cases that they have not seen: they are made by the same recipe,
    and the test part stays untouched.

    Writes ``out_of_fold.csv`` (logits, calibrated), ``training.csv``, ``calibration.json`` and the weights.
    """
    work, docs = Path(work_dir), Path(docs_dir)
    table = pd.concat([pd.read_csv(work / f"{fold}.csv", dtype={"case": str, "group": str}) for fold in FOLDS])
    logits = torch.from_numpy(table[list(CLASSES)].to_numpy())
    factor = temperature(logits, torch.from_numpy(table["target"].to_numpy()))
    table[list(CLASSES)] *= factor
    table.to_csv(docs / "out_of_fold.csv", index=False, float_format="%.4f")
    logs = [pd.read_csv(work / f"training_{held}.csv").assign(held=held) for held in (*FOLDS, NONE)]
    pd.concat(logs).to_csv(docs / "training.csv", index=False)
    load_weights(network, work / f"{NONE}.pt")
    ship(network, "fc", factor, model_path, docs, "out_of_fold.csv")
