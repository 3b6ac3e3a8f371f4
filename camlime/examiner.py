"""The evidence on every map of an explanation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from camlime.attribution import Attribution
from camlime.bundle import Bundle
from camlime.errors import RequestError
from camlime.evidence import Evidence, Examination, scoring_baselines
from camlime.evidence.bundle_record import BundleRecord, settings_of
from camlime.evidence.kept import KeptMaps, bundle_key, cache_folder
from camlime.evidence.plan import TIMES_THE_MAPS_BUDGET, default_budget_of_all, share
from camlime.evidence.record_file import usable_record
from camlime.explanation import leading
from camlime.methods.case import Case
from camlime.methods.sampling import Cancelled
from camlime.runner import Runner
from camlime.settings import Settings


class Examiner:
    """Measures the evidence on every map that was asked for, the one to show first before the others.

    Args:
        case: as the maps are made from.
        wanted: what was asked for.
        bundle: whose model it is.
        runner: makes maps again.
        maps_budget: passes that each of LIME and fused has; ``None`` if they run until certain.
        baseline: name and options of what the maps are made with.

    Raises:
        RequestError: the budget is negative, or the bundle names a baseline that does not exist.
    """

    def __init__(
        self,
        case: Case,
        wanted: Settings,
        bundle: Bundle,
        runner: Runner,
        maps_budget: int | None,
        baseline: Mapping[str, Any],
    ) -> None:
        self._case = case
        self._bundle = bundle
        self._runner = runner
        self._budget = wanted.evidence_budget
        self._maps_budget = maps_budget
        self._baseline = baseline
        if self._budget is not None and self._budget < 0:
            raise RequestError(f"{self._budget} passes are no budget for the evidence", hint="give 0 for no evidence")
        self._baselines = scoring_baselines(
            bundle.explain_settings.score_baselines, case.input, case.baseline, fixed=bundle.guidance_channels
        )
        self.done: dict[str, Evidence] = {}
        self.cut_short = False
        self.notes: tuple[str, ...] = ()

    def run(self, attributions: Mapping[str, Attribution]) -> bool:
        """Measure it; ``False`` if cancelled on the way, and then it is there only for the maps that were done."""
        first = leading(attributions)
        if first is None or self._budget == 0:
            return True
        maps = [first, *[a for a in attributions.values() if a is not first]]
        count = len(self._baselines)
        plans = share(self._default(maps) if self._budget is None else self._budget, maps, count)
        examination = Examination(self._case, self._baselines, sum(plan.passes for plan in plans), self._kept())
        record, problem = self._record()
        self.notes = (problem,) if problem else ()
        for attribution, plan in zip(maps, plans, strict=True):
            settings = settings_of(attribution, self._runner.recipe(), self._baseline)
            method = attribution.method
            recorded = None if record is None else record.find(method, settings)
            unfit = "" if record is None else record.unfit(method, settings)
            try:
                found = examination.evidence(attribution, self._runner.remake(method), plan, recorded, unfit)
            except Cancelled:
                self.cut_short = True
                return False
            self.done[method] = found
        return True

    def _default(self, maps: list[Attribution]) -> int:
        everything = default_budget_of_all(maps, len(self._baselines))
        return everything if self._maps_budget is None else min(everything, TIMES_THE_MAPS_BUDGET * self._maps_budget)

    def _record(self) -> tuple[BundleRecord | None, str]:
        """What the bundle's author measured on other cases: not for code of the bundle's own."""
        return (None, "") if self._bundle.trusted_code else usable_record(self._bundle.root, self._bundle.fingerprint)

    def _kept(self) -> KeptMaps | None:
        """Where maps on random networks are kept: not for code of the bundle's own, which has no fingerprint."""
        folder = cache_folder()
        if folder is None or self._bundle.trusted_code:
            return None
        return KeptMaps(
            folder / "randomisation",
            bundle_key(self._case.classifier.network, self._bundle.fingerprint),
            self._runner.recipe(),
        )
