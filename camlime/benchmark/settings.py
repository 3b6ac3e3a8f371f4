"""What a benchmark is asked to do, and a hash by which results of different settings are told apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any

from camlime.benchmark.state import computing_state
from camlime.device import select_device
from camlime.errors import RequestError

FORMAT = "camlime benchmark 1"


@dataclass(frozen=True)
class BenchmarkSettings:
    """Everything that a case's result depends on, beside the case itself.

    Args:
        bundle: folder, or name of a shipped one.
        methods: names, in order.
        budgets: pass-equivalents, for the methods that take a budget.
        seeds: of every random choice, for the methods that have one.
        limit: passes of the long run that errors are measured against; 0 for none.
        jitter_mm: how far at most the point is moved along the longest axis of a region bundle's view, and in
            proportion along the others, so that a map of the centre does not win.
        n_regions: about how many supervoxels; the bundle's, else the engine's default if ``None``.
        segmentations: how many segmentations share a budget; the first is the one that weights are compared on.
        baseline: what removed regions are replaced by; the bundle's, else the engine's default if ``None``.
        target_layer: of the CAMs; the bundle's, else chosen if ``None``.
        batch_size: images a pass; fixed, so that every worker gives the same numbers.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        trust_code: let the bundle run code of its own.
    """

    bundle: str
    methods: tuple[str, ...]
    budgets: tuple[int, ...] = (64, 128)
    seeds: tuple[int, ...] = (0,)
    limit: int = 0
    jitter_mm: float = 0.0
    n_regions: int | None = None
    segmentations: int = 1
    baseline: str | None = None
    target_layer: str | None = None
    batch_size: int = 16
    device: str = "auto"
    trust_code: bool = False

    def __post_init__(self) -> None:
        for name, least in (("budgets", 16), ("seeds", 0)):
            values = getattr(self, name)
            if not values or min(values) < least or len(set(values)) != len(values):
                raise RequestError(
                    f"{name} {', '.join(map(str, values)) or 'none'} cannot be used",
                    hint=f"give different whole numbers of at least {least}",
                )
        if self.limit and self.limit < 2 * max(self.budgets):
            raise RequestError(
                f"a limit of {self.limit} passes is no limit for budgets up to {max(self.budgets)}",
                hint="give --limit many more passes than the largest budget, such as 20000",
            )
        if not 0 <= self.jitter_mm < 1000:
            raise RequestError(f"a jitter of {self.jitter_mm} mm is none", hint="give a number of mm, 0 or more")
        if self.segmentations < 1:
            raise RequestError("at least one segmentation is needed", hint="give --segmentations 1 or more")

    def on_device(self) -> BenchmarkSettings:
        """The same, with the device that ``auto`` stands for on this machine."""
        return replace(self, device=select_device().type) if self.device == "auto" else self

    def measured_with(self, fingerprint: Mapping[str, str]) -> dict[str, Any]:
        """All that a case's numbers depend on beside the case: what :meth:`digest` is the hash of.

        Where the bundle lies does not matter, and of the device only its kind.

        Args:
            fingerprint: of the bundle's weights and configs.
        """
        said: dict[str, Any] = asdict(self.on_device())
        del said["bundle"]
        said["device"] = said["device"].split(":")[0]
        whole = {"format": FORMAT, "settings": said, "bundle": dict(fingerprint), **computing_state()}
        plain: dict[str, Any] = json.loads(json.dumps(whole))
        return plain

    def digest(self, fingerprint: Mapping[str, str]) -> str:
        """Hash of :meth:`measured_with`."""
        return digest(self.measured_with(fingerprint))


def digest(measured_with: Mapping[str, Any]) -> str:
    """Hash of what :meth:`BenchmarkSettings.measured_with` gives."""
    return sha256(json.dumps(measured_with, sort_keys=True).encode()).hexdigest()[:16]
