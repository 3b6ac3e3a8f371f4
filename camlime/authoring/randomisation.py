"""The bundle's record of the randomisation check: what each method makes of random networks on a handful of cases."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from camlime.authoring.explain_config import bundle_folder
from camlime.benchmark.cohort import CohortCase
from camlime.benchmark.preparing import prepare
from camlime.benchmark.settings import BenchmarkSettings
from camlime.bundle import Bundle
from camlime.bundle.config import BundleFolder
from camlime.errors import CamlimeError, OutputError, RequestError
from camlime.evidence.bundle_record import (
    DIGITS,
    FEWEST_CASES,
    FILE,
    METHODS,
    BundleRecord,
    RecordedCheck,
    bound_files,
    settings_of,
)
from camlime.evidence.meter import Meter
from camlime.evidence.randomisation import RandomNetworks, check_randomisation
from camlime.evidence.record_file import MOST_CASES, read_record
from camlime.pipeline import DEFAULT_METHODS, checked_methods, explaining_baseline
from camlime.runner import Runner
from camlime.settings import Settings
from camlime.staging import staged
from camlime.version import __version__

BUDGET = 256
"""Passes of each map: region by region, more do not change what is left of it on a random network by much."""

PATIENTS = 12

Said = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Recorded:
    """A record that was written.

    Args:
        path: of the file.
        record: what it says.
        left_out: methods that could not be checked on some case, and why; they are not in the record.
    """

    path: Path
    record: BundleRecord
    left_out: dict[str, str]


def write_record(
    folder: str | Path,
    cases: Sequence[CohortCase],
    *,
    methods: Sequence[str] | None = None,
    patients: int = PATIENTS,
    budget: int = BUDGET,
    jitter_mm: float = 0.0,
    seed: int = 0,
    device: str = "auto",
    force: bool = False,
    on_case: Said = lambda case, done, total: None,
) -> Recorded:
    """Check methods on a bundle's cases, and write what came out into the bundle, as ``models/randomisation.json``.

    Args:
        folder: the bundle's.
        cases: of at least five patients, whom the network may have seen; see :func:`camlime.benchmark.read_cohort`.
        methods: names; the bundle's own choice, else the engine's, if ``None``.
        patients: so many are drawn by the seed, one case each; all of them where there are no more.
        budget: passes of each of LIME, fused and occlusion.
        jitter_mm: see :class:`camlime.benchmark.BenchmarkSettings`.
        seed: of every random choice.
        device: as in :func:`camlime.explain`.
        force: replace a record that is there.
        on_case: hears of each case that is done: its name, how many are done, how many there are.

    Raises:
        RequestError: too few patients, a method that has no record, a bundle that runs code of its own.
        OutputError: there is a record already, or it cannot be written.
        CamlimeError: a case cannot be done.

    Example:
        >>> write_record("my_bundle", read_cohort("cases.csv"))  # doctest: +SKIP
    """
    root = bundle_folder(folder)
    inside = BundleFolder(root)
    there = inside.find(FILE) is not None or (root / FILE).is_symlink()
    if there and not force:
        raise OutputError(f"{root / FILE} is there already", hint="use --force to replace it")
    drawn = draw(cases, patients, seed)
    if not FEWEST_CASES <= len(drawn) <= MOST_CASES:
        raise RequestError(
            f"{len(drawn)} patient(s) make no record", hint=f"give cases of {FEWEST_CASES} to {MOST_CASES} patients"
        )
    bundle = Bundle.load(root)
    names = checked_methods(methods or bundle.explain_settings.methods or DEFAULT_METHODS)
    refused = [name for name in names if name not in METHODS]
    if refused:
        raise RequestError(f"there is no record of {', '.join(refused)}", hint="methods: " + ", ".join(METHODS))
    settings = BenchmarkSettings(str(root), names, budgets=(budget,), jitter_mm=jitter_mm, device=device)
    found: dict[str, list[tuple[dict[str, Any], float]]] = {name: [] for name in names}
    left_out: dict[str, str] = {}
    for number, line in enumerate(drawn, start=1):
        for name, outcome in _checks(line, settings, bundle, names, seed).items():
            if isinstance(outcome, str):
                left_out.setdefault(name, f"{line.case}: {outcome}")
            else:
                found[name].append(outcome)
        on_case(line.case, number, len(drawn))
    checks = [_together(name, found[name], left_out) for name in names if name not in left_out]
    record = BundleRecord(
        bound_files(bundle.fingerprint),
        tuple(check for check in checks if check is not None),
        len(drawn),
        seed,
        __version__,
    )
    if not record.checks:
        why = "; ".join(f"{name}: {problem}" for name, problem in left_out.items())
        raise RequestError(f"no method could be checked: {why}", hint="ask for other --methods")
    with staged((root / FILE).parent) as stage:
        text = json.dumps(record.as_dict(), indent=1, allow_nan=False) + "\n"
        (stage / Path(FILE).name).write_text(text, encoding="utf-8")
    read_record(root)
    return Recorded(root / FILE, record, left_out)


def draw(cases: Sequence[CohortCase], patients: int, seed: int) -> list[CohortCase]:
    """One case each of so many patients, by a seed, in the order of their names."""
    own: dict[str, list[CohortCase]] = {}
    for line in sorted(cases, key=lambda line: line.case):
        own.setdefault(line.patient, []).append(line)
    rng = random.Random(seed)
    chosen = rng.sample(sorted(own), min(patients, len(own)))
    return [rng.choice(own[patient]) for patient in sorted(chosen)]


def _checks(
    line: CohortCase, settings: BenchmarkSettings, bundle: Bundle, names: Sequence[str], seed: int
) -> dict[str, tuple[dict[str, Any], float] | str]:
    """Settings and similarity of each method on one case, or why there are none."""
    prepared = prepare(line, settings, dict(bundle.fingerprint))
    case = replace(prepared.case, seed=seed)
    baseline, _ = explaining_baseline(bundle, case.input, None)
    runner = Runner(case, Settings(seed=seed), settings.budgets[0], bundle, lambda attribution: None)
    meter = Meter(case, 0)
    networks = RandomNetworks(case, meter.counted(case.classifier), meter)
    outcomes: dict[str, tuple[dict[str, Any], float] | str] = {}
    for name in names:
        try:
            runner.check([name])
            runner.run([name])
            attribution = runner.done[name]
            found = check_randomisation(case, networks, attribution, runner.remake(name))
        except CamlimeError as error:
            outcomes[name] = error.message
        else:
            outcomes[name] = (settings_of(attribution, runner.recipe(), baseline), round(found.similarity, DIGITS))
    return outcomes


def _together(
    name: str, outcomes: Sequence[tuple[dict[str, Any], float]], left_out: dict[str, str]
) -> RecordedCheck | None:
    """One check of all cases; ``None``, and said, where the settings are not the same on all of them."""
    settings = outcomes[0][0]
    if any(other != settings for other, _ in outcomes):
        left_out[name] = "not every case has the same target layer: name one in explain.json"
        return None
    return RecordedCheck(name, settings, tuple(similarity for _, similarity in outcomes))
