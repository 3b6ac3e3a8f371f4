"""Every method that can be compared: ours, those of other packages, and controls that know nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Literal

from camlime.attribution import Attribution
from camlime.benchmark import controls, wrong_columns
from camlime.benchmark.peers import baylime, cams, captum_regions, lime_package, occlusion
from camlime.errors import RequestError
from camlime.methods.cam import Cam
from camlime.methods.case import Case
from camlime.methods.combine import RULES, combine
from camlime.methods.fused import Fused
from camlime.methods.lime import Lime
from camlime.methods.occlusion import Occlusion

Group = Literal["ours", "peers", "controls", "wrong"]
GROUPS: tuple[Group, ...] = ("ours", "peers", "controls", "wrong")
DEFAULT = ("ours", "peers", "controls")

COMMON = "lime"
"""The method whose long run is the one target of all whose weights tend to it."""

Explain = Callable[[Case, int, str | None], Attribution]
"""From the case, the budget (0 for methods that take none) and the target layer (``None``: chosen)."""


@dataclass(frozen=True)
class Method:
    """A method as the benchmark runs it.

    Args:
        name: as the user writes it.
        group: whose it is.
        explain: makes the map.
        budgeted: takes a number of passes; else it is made once and compared at every budget.
        seeded: another seed gives another map.
        limit: the method whose long run its region weights converge to; ``None`` where it has none.
        log_odds: it explains the log-odds with the case's baseline.
        module: the optional module that it needs.
    """

    name: str
    group: Group
    explain: Explain
    budgeted: bool = True
    seeded: bool = True
    limit: str | None = None
    log_odds: bool = True
    module: str | None = None

    @property
    def own_target(self) -> bool:
        """Its weights tend to others than those of LIME, so that they cannot be held against these.

        It asks another question (probability, another baseline, one region at a time), or gives masks other weights:
        then even a run without end differs from LIME, and that is no error.
        """
        return self.limit != COMMON

    @property
    def installed(self) -> bool:
        """Whether the package that it needs is there."""
        return self.module is None or find_spec(self.module) is not None


def _cam(name: str) -> Method:
    def explain(case: Case, budget: int, layer: str | None) -> Attribution:
        return Cam(name, target_layer=layer).explain(case)

    return Method(name, "ours", explain, budgeted=False, seeded=False)


def _occlusion(case: Case, budget: int, layer: str | None) -> Attribution:
    if 1 + case.regions[0].count > budget:
        raise RequestError(
            "the budget has no pass for each region, and one for the image", hint="raise the budget, or ask for fewer"
        )
    return Occlusion(budget=budget).explain(case)


def _combined(rule: str) -> Method:
    def explain(case: Case, budget: int, layer: str | None) -> Attribution:
        parent = Cam("gradcam", target_layer=layer).explain(case)
        spent = parent.forward_passes + 2 * parent.backward_passes
        return combine(rule, parent, Lime(budget=budget - spent).explain(case), case.input.valid.numpy())  # type: ignore[arg-type]

    return Method(rule, "ours", explain)


def _other_cam(name: str, make: cams.Maker, module: str) -> Method:
    def explain(case: Case, budget: int, layer: str | None) -> Attribution:
        return cams.explain(case, make, name, layer)

    return Method(name, "peers", explain, budgeted=False, seeded=False, module=module)


def _plain(explain: Callable[[Case, int], Attribution]) -> Explain:
    return lambda case, budget, layer: explain(case, budget)


def _control(name: str) -> Method:
    return Method(
        name,
        "controls",
        lambda case, budget, layer: controls.control(name, case),
        budgeted=False,
        seeded=name == "random",
    )


def _wrong(name: str) -> Method:
    return Method(
        name, "wrong", lambda case, budget, layer: wrong_columns.explain(case, budget, name, layer), limit="lime"
    )


_ALL = (
    *[_cam(name) for name in ("gradcam", "hirescam", "layercam", "gradcam++", "xgradcam", "eigencam")],
    Method("lime", "ours", lambda case, budget, layer: Lime(budget=budget).explain(case), limit="lime"),
    Method(
        "fused",
        "ours",
        lambda case, budget, layer: Fused(budget=budget, target_layer=layer).explain(case),
        limit="lime",
    ),
    Method(
        "fused-cams-only",
        "ours",
        lambda case, budget, layer: Fused(budget=budget, target_layer=layer, gradient_pairs=0).explain(case),
        limit="lime",
    ),
    Method("occlusion", "ours", _occlusion, seeded=False),
    *[_combined(rule) for rule in RULES],
    Method("lime-package", "peers", _plain(lime_package.explain), limit="lime-package", log_odds=False),
    Method("lime-package-log-odds", "peers", _plain(lime_package.on_log_odds), limit="lime-package-log-odds"),
    Method("baylime", "peers", _plain(baylime.without_prior), limit="baylime", module="sklearn"),
    Method("baylime-prior", "peers", baylime.with_prior, limit="baylime-prior"),
    Method(
        "captum-lime",
        "peers",
        _plain(partial(captum_regions.explain, kind="Lime")),
        limit="captum-lime",
        module="captum",
    ),
    Method(
        "captum-kernelshap",
        "peers",
        _plain(partial(captum_regions.explain, kind="KernelShap")),
        limit="captum-kernelshap",
        module="captum",
    ),
    Method("captum-occlusion", "peers", _plain(occlusion.captum), seeded=False, module="captum"),
    Method("monai-occlusion", "peers", _plain(occlusion.monai), seeded=False),
    _other_cam("grad-cam", cams.grad_cam, "pytorch_grad_cam"),
    _other_cam("captum-gradcam", cams.captum_layer, "captum"),
    _other_cam("monai-gradcam", cams.monai, "monai"),
    _other_cam("torchcam", cams.torch_cam, "torchcam"),
    *[_control(name) for name in controls.NAMES],
    *[_wrong(name) for pair in wrong_columns.PAIRS.items() for name in pair],
)

METHODS = {method.name: method for method in _ALL}
"""By name, in the order in which they are shown."""


def chosen(names: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The methods asked for, each once and in order, and those left out with the reason.

    Args:
        names: of methods or of groups (:data:`GROUPS`).

    Raises:
        RequestError: there is no such method or group, or a method that was asked for by name needs a package that is
            not installed. Of a group, such methods are left out.

    Example:
        >>> chosen(["lime", "controls"])[0]
        ('lime', 'random', 'centre', 'intensity', 'edges')
    """
    found: dict[str, None] = {}
    left_out: dict[str, str] = {}
    for name in names:
        if name in GROUPS:
            for method in METHODS.values():
                if method.group == name and method.installed:
                    found[method.name] = None
                elif method.group == name:
                    left_out[method.name] = f"the module '{method.module}' is not installed"
        elif name not in METHODS:
            raise RequestError(
                f"there is no method '{name}' to compare",
                hint=f"groups: {', '.join(GROUPS)}; methods: {', '.join(METHODS)}",
            )
        elif not METHODS[name].installed:
            raise RequestError(
                f"the method '{name}' needs the module '{METHODS[name].module}', which is not installed",
                hint='pip install "camlime[benchmark,peers]"',
            )
        else:
            found[name] = None
    if not found:
        raise RequestError("no method was asked for", hint=f"groups: {', '.join(GROUPS)}")
    return tuple(found), left_out
