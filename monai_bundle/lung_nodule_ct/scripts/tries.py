"""Other recipes than the shipped one, trained on the folds and held against it; the test part is never opened.

``tries.json`` names them: what is tried, with which seeds, what it changes in ``configs/train.json``, and which other
tries teach it. From the bundle's folder::

    python -m scripts.tries --dataset_dir DATA --work_dir WORK
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from monai.bundle import ConfigParser
from torch import nn

from .crossval import Plan, run_folds
from .trainee import narrow
from .training import log_odds, predict
from .tried import write_answers, write_figures

TRIES = Path(__file__).with_suffix(".json")


def changed(config: dict | list, changes: Mapping) -> dict | list:
    """A copy of the config with the changes laid over it, level by level; entries of a list go by their numbers."""
    result = config.copy()
    for key, value in changes.items():
        place = int(key) if isinstance(result, list) else key
        result[place] = changed(result[place], value) if isinstance(value, Mapping) else value
    return result


def make_plan(bundle_root: str | Path, dataset_dir: str | Path, changes: Mapping, seed: int) -> Plan:
    """What ``configs/train.json``, laid over ``configs/inference.json``, plans, but for the changes and the seed."""
    configs = Path(bundle_root) / "configs"
    config = ConfigParser.load_config_files([configs / "inference.json", configs / "train.json"])
    places = {"bundle_root": str(bundle_root), "dataset_dir": str(dataset_dir), "seed": seed}
    return ConfigParser({**changed(config, changes), **places}).get_parsed_content("plan")


def members(tries: Mapping[str, Mapping]) -> dict[str, tuple[Mapping, int]]:
    """Each training of five folds by its name, ``<try>_<seed>``, in the order of the table: what is tried, seed."""
    return {f"{name}_{seed}": (entry, seed) for name, entry in tries.items() for seed in entry["seeds"]}


def train_member(plan: Plan, name: str, teachers: list[str], work_dir: Path, folds: int | None = None) -> None:
    """Train the networks of the five folds, going on from those that ``work_dir`` holds.

    Writes ``<name>_<fold>.pt`` (weights) and, anew after each fold, ``<name>.csv``: case, log-odds, and log-odds
    averaged over mirrored boxes; empty where the fold is still to come.

    Args:
        plan: what to train.
        name: of the training.
        teachers: names of trainings whose networks of the same fold teach this one's; they must lie in ``work_dir``.
        work_dir: an existing folder.
        folds: only the first so many; 0 only asks the networks that are there.
    """
    study = plan.study
    table = study.cases[["case"]].assign(log_odds=np.nan, mirrored=np.nan)

    def ask(fold: str) -> None:
        held = study.part == fold
        network = _load(plan.network, work_dir / f"{name}_{fold}.pt")
        table.loc[held, "log_odds"] = log_odds(predict(network, study.boxes[held]))
        table.loc[held, "mirrored"] = mirrored_log_odds(network, study.boxes[held])
        table.to_csv(work_dir / f"{name}.csv", index=False, float_format="%.4f")

    missing = []
    for fold in study.folds:
        if (work_dir / f"{name}_{fold}.pt").exists():
            ask(fold)
        else:
            missing.append(fold)
    networks = {fold: [_load(plan.network, work_dir / f"{one}_{fold}.pt") for one in teachers] for fold in missing}
    for fold, _, _, weights in run_folds(replace(plan, teachers=networks), missing[:folds]):
        unfinished = work_dir / f"{name}_{fold}.part"
        torch.save({key: torch.from_numpy(value) for key, value in weights.items()}, unfinished)
        unfinished.replace(work_dir / f"{name}_{fold}.pt")
        ask(fold)


def finished(work_dir: Path, name: str) -> bool:
    """Whether all folds of that training have their answers in ``work_dir``."""
    path = work_dir / f"{name}.csv"
    return path.exists() and not pd.read_csv(path).isna().to_numpy().any()


def _load(network: nn.Module, path: Path) -> nn.Module:
    """A training's network with two outputs, in the memory layout that is fast on a CPU."""
    trained = narrow(network, torch.load(path, weights_only=True))
    return trained.to(memory_format=torch.channels_last_3d)


def mirrored_log_odds(network: nn.Module, boxes: torch.Tensor) -> np.ndarray:
    """Log-odds averaged over the eight mirror images of each box ``(cases, 1, X, Y, Z)``."""
    axes = [[axis for bit, axis in enumerate((2, 3, 4)) if image >> bit & 1] for image in range(8)]
    return np.mean([log_odds(predict(network, boxes.flip(mirror))) for mirror in axes], axis=0)


def main() -> None:
    """Train what is not in the work folder yet, then write ``docs/tried_out_of_fold.csv`` and ``docs/tried.csv``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_dir", required=True, help="folder that holds cases.csv")
    parser.add_argument("--work_dir", help="folder of weights and answers, to go on from; none: only the figures")
    parser.add_argument("--bundle_root", default=".", help="the bundle's folder")
    parser.add_argument("--only", nargs="*", metavar="NAME_SEED", help="the trainings to run now; none named: none")
    parser.add_argument("--folds", type=int, help="train at most so many folds of each now")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    docs, trainings = Path(arguments.bundle_root) / "docs", members(json.loads(TRIES.read_text()))
    if unknown := set(arguments.only or ()) - set(trainings):
        parser.error(f"no training is called {' or '.join(sorted(unknown))}; there are {', '.join(trainings)}")
    if arguments.work_dir is not None:
        work = Path(arguments.work_dir)
        work.mkdir(parents=True, exist_ok=True)
        for name, (entry, seed) in trainings.items():
            if (arguments.only is None or name in arguments.only) and not finished(work, name):
                print(name, flush=True)
                plan = make_plan(arguments.bundle_root, arguments.dataset_dir, entry.get("changes", {}), seed)
                train_member(plan, name, entry.get("teachers", []), work, arguments.folds)
        write_answers(docs, work, list(trainings))
    write_figures(docs, arguments.dataset_dir, {name: entry["what"] for name, (entry, _) in trainings.items()})


if __name__ == "__main__":
    main()
