"""Runs the methods asked for, each once, and makes them again for the evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from camlime.attribution import Attribution
from camlime.bundle import Bundle
from camlime.errors import RequestError
from camlime.evidence import Remake
from camlime.methods import cam, occlusion
from camlime.methods.agreement import Agreement
from camlime.methods.budget import Budget
from camlime.methods.case import Case
from camlime.methods.combine import RULES, combine
from camlime.methods.fused import Fused
from camlime.methods.lime import Lime
from camlime.methods.sampling import Cancelled
from camlime.settings import Settings
from camlime.subdivision import with_structures


class Runner:
    """Runs methods in the order asked for, each once, parents of a combination first.

    Args:
        case: to be explained.
        wanted: what was asked for.
        budget: of each of LIME and fused.
        bundle: whose model it is.
        on_attribution: hears of each map.
    """

    def __init__(
        self,
        case: Case,
        wanted: Settings,
        budget: Budget,
        bundle: Bundle,
        on_attribution: Callable[[Attribution], None],
    ) -> None:
        self._case = case
        self._wanted = wanted
        self._budget = budget
        self._layer = wanted.target_layer or bundle.explain_settings.target_layer
        self._on_attribution = on_attribution
        self.done: dict[str, Attribution] = {}
        self.agreement: Agreement | None = None

    def check(self, methods: Sequence[str]) -> None:
        """Find out before the long work whether every method can do what is asked of it.

        Raises:
            RequestError: a budget is too small, there is no such layer, or one was asked for that no method would use.
        """
        if self._wanted.target_layer is not None and not any(_takes_a_cam(name) for name in methods):
            raise RequestError(
                f"the target layer '{self._wanted.target_layer}' is for CAMs, and none is among the methods: "
                + ", ".join(methods),
                hint="leave the layer out, or ask for gradcam or fused as well",
            )
        for name in methods:
            for parent in ("gradcam", "lime") if name in RULES else (name,):
                self._method(parent).check(self._case)

    def run(self, methods: Sequence[str]) -> bool:
        """Run them; ``False`` if cancelled on the way."""
        for name in methods:
            if self._case.cancelled():
                return False
            try:
                self._get(name)
            except Cancelled:
                return False
        return not self._case.cancelled()

    def _get(self, name: str) -> Attribution:
        if name not in self.done:
            self.done[name] = with_structures(self._explain(name), self._case.regions[0])
            self._on_attribution(self.done[name])
        return self.done[name]

    def _explain(self, name: str) -> Attribution:
        for rule in RULES:
            if name == rule:
                return combine(rule, self._get("gradcam"), self._get("lime"), self._case.input.valid.numpy())
        method = self._method(name)
        attribution = method.explain(self._case)
        if isinstance(method, Fused):
            self.agreement = method.agreement
        return attribution

    def recipe(self) -> dict[str, Any]:
        """The settings that a method's map of a case depends on, beside the case itself and its budget."""
        return {
            "lime_mode": self._wanted.lime_mode,
            "target_layer": self._layer,
            "window_mm": self._wanted.window_mm,
        }

    def remake(self, name: str) -> Remake:
        """The method's map of another case, within so many passes; CAMs and occlusion take what they take."""

        def make(case: Case, passes: int) -> Attribution:
            for rule in RULES:
                if name == rule:
                    gradcam, lime = (self._method(parent, passes).explain(case) for parent in ("gradcam", "lime"))
                    return combine(rule, gradcam, lime, case.input.valid.numpy())
            # Occlusion covers every part once, whatever it may use.
            return self._method(name, None if name == occlusion.NAME else passes).explain(case)

        return make

    def _method(self, name: str, passes: int | None = None) -> cam.Cam | Lime | Fused | occlusion.Occlusion:
        budget = passes or self._budget
        if name == "lime":
            return Lime(budget=budget, mode=self._wanted.lime_mode)
        if name == "fused":
            return Fused(budget=budget, target_layer=self._layer)
        if name == occlusion.NAME:
            return occlusion.Occlusion(budget=budget, window_mm=self._wanted.window_mm)
        return cam.Cam(name, target_layer=self._layer)


def _takes_a_cam(method: str) -> bool:
    return method in cam.METHODS or method == Fused.name or method in RULES
