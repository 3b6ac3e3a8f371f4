"""What can be asked of an explanation, and its defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from camlime.errors import RequestError
from camlime.methods import cam
from camlime.methods.combine import RULES
from camlime.regions import Regions

METHODS = (*cam.METHODS, "lime", "fused", "occlusion", *RULES)
"""Every method that can be asked for."""

DEFAULT_METHODS = ("gradcam", "lime", "fused")
DEFAULT_BUDGET = 1024
DEFAULT_REGIONS = 100
DEFAULT_SEGMENTATIONS = 2
DEFAULT_BASELINE = "blur"


@dataclass(frozen=True)
class Settings:
    """What is asked for; what is ``None`` is taken from the bundle's ``explain.json``, else from the engine's defaults.

    Args:
        methods: of :data:`METHODS`.
        class_name: the class to explain; the predicted one if ``None``.
        point: RAS mm; the centre of what a region bundle looks at.
        guidance: a mask (file or array ``(*S,)`` on the scan's voxels) of the structure in question, for bundles that
            take one as their last channel; see :func:`camlime.guidance.guided`.
        guidance_label: only this label of the guidance; all that it marks if ``None``.
        regions: a label map (file) or :class:`Regions` on the input grid; supervoxels if ``None``.
        region_names: names by label number, or a JSON file with them, for the labels of ``regions``; they stand above
            those that the file itself has.
        subdivide: about how many supervoxels to cut the structures of ``regions`` into, none crossing a border.
        n_regions: about how many supervoxels.
        segmentations: how many jittered segmentations share the budget; 1 with ``regions``.
        budget: pass-equivalents for each of LIME and fused, or ``"auto"``: until certain.
        lime_mode: ``default`` or ``stock``.
        seed: of every random choice.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        batch_size: measured if ``None``.
        amp: mixed precision.
        target_layer: of the CAMs; chosen if ``None``.
        baseline: name of what removed regions are replaced by.
        window_mm: edge of the cube that occlusion slides over the image; it covers the regions if ``None``.
        evidence_budget: pass-equivalents for the evidence on all maps; 0 for no evidence; ``None``: what it takes, but
            no more than ten times ``budget``; see :func:`camlime.evidence.plan.share`.

    Raises:
        RequestError: what can be told from the settings alone to make no sense.
    """

    methods: Sequence[str] | None = None
    class_name: str | None = None
    point: Sequence[float] | None = None
    guidance: str | Path | NDArray[Any] | None = None
    guidance_label: int | None = None
    regions: str | Path | Regions | None = None
    region_names: Mapping[int, str] | str | Path | None = None
    subdivide: int | None = None
    n_regions: int | None = None
    segmentations: int | None = None
    budget: int | Literal["auto"] | None = None
    lime_mode: Literal["default", "stock"] = "default"
    seed: int = 0
    device: str = "auto"
    batch_size: int | None = None
    amp: bool = False
    target_layer: str | None = None
    baseline: str | None = None
    window_mm: float | None = None
    evidence_budget: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.budget, str) and self.budget != "auto":
            raise RequestError(f"budget '{self.budget}' is not a number of passes", hint="give a whole number, or auto")
        if self.seed < 0:
            raise RequestError(f"seed {self.seed} is negative", hint="give 0 or a positive whole number")
        if self.regions is None and (self.region_names is not None or self.subdivide is not None):
            raise RequestError("there are no regions to name or to subdivide", hint="give a label map as regions")
        if isinstance(self.regions, Regions) and self.region_names is not None:
            raise RequestError("these regions bring their own names", hint="put the names into Regions(names=...)")


def checked_methods(names: Sequence[str]) -> tuple[str, ...]:
    """The methods' own names, in order and each once.

    Raises:
        RequestError: there is no such method.
    """
    found: list[str] = []
    for name in (names,) if isinstance(names, str) else names:
        known = name if name in METHODS else cam.ALIASES.get(name.lower(), name.lower())
        if known in cam.REFUSED:
            cam.checked_method(known)
        if known not in METHODS:
            raise RequestError(f"there is no method '{name}'", hint="methods: " + ", ".join(METHODS))
        if known not in found:
            found.append(known)
    if not found:
        raise RequestError("no method was asked for", hint="methods: " + ", ".join(METHODS))
    return tuple(found)
