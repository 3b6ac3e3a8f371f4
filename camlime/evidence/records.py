"""What the evidence says of one map: numbers, a verdict, a sentence; to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from camlime.evidence.bundle_record import RecordedCheck
from camlime.evidence.controls import percentile_95
from camlime.evidence.curves import MapCurves
from camlime.evidence.randomisation import Randomisation
from camlime.evidence.repeatability import Repeatability


@dataclass(frozen=True)
class BaselineEvidence:
    """The removal test with one baseline.

    Args:
        curves: of the map.
        controls: of maps that know nothing of the model, by name.
        judged_abpc: the map's ABPC in log-odds on the coarser shares that its copies are measured on; ``None`` if it
            was not judged.
        copies_abpc: that of each shifted copy of the map.
    """

    curves: MapCurves
    controls: Mapping[str, MapCurves]
    judged_abpc: float | None = None
    copies_abpc: tuple[float, ...] = ()

    @property
    def threshold(self) -> float | None:
        """95th percentile of the copies' ABPC."""
        return percentile_95(self.copies_abpc) if self.copies_abpc else None

    @property
    def passed(self) -> bool | None:
        """Whether the map exceeds it; ``None`` if it was not judged."""
        if self.judged_abpc is None or self.threshold is None:
            return None
        return self.judged_abpc > self.threshold

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable."""
        return {
            **self.curves.as_dict(),
            "controls": {name: control.as_dict() for name, control in self.controls.items()},
            "judged_abpc": self.judged_abpc,
            "copies_abpc": list(self.copies_abpc),
            "copies_95th_percentile": self.threshold,
            "passed": self.passed,
        }

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> BaselineEvidence:
        """What :meth:`as_dict` wrote."""
        controls = {name: MapCurves.from_dict(control) for name, control in record["controls"].items()}
        copies = tuple(record["copies_abpc"])
        return BaselineEvidence(MapCurves.from_dict(record), controls, record["judged_abpc"], copies)


@dataclass(frozen=True)
class Evidence:
    """Whether the model used what a map shows, measured on this case.

    Args:
        method: of the map.
        class_name: the class.
        supported: ``True``: with every baseline the map exceeds its shifted copies, and it does not survive
            randomisation; ``False``: one of these fails; ``None``: not judged.
        reason: of the verdict, in words.
        sentence: what removing the strongest 5 % does, in words.
        baselines: the removal test, by scoring baseline.
        randomisation: the map on networks that have learned nothing; ``None`` if not measured.
        repeatability: over seeds; ``None`` if not measured or the method has no seed.
        tied_share: of the valid voxels, those whose value others have too; their order is random.
        budget: pass-equivalents that were allowed for this map.
        passes: that were used; what maps share is counted with the first that needed it.
        seconds: wall time.
        seed: of random orders, copies and the second run.
        bundle_record: what the bundle's author measured of the randomisation check on other cases; ``None`` where there
            is no such record for this method and these settings.
    """

    method: str
    class_name: str
    supported: bool | None
    reason: str
    sentence: str
    baselines: Mapping[str, BaselineEvidence]
    randomisation: Randomisation | None
    repeatability: Repeatability | None
    tied_share: float
    budget: int
    passes: int
    seconds: float
    seed: int
    bundle_record: RecordedCheck | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable."""
        record = dict(vars(self))
        record["baselines"] = {name: baseline.as_dict() for name, baseline in self.baselines.items()}
        record["randomisation"] = self.randomisation.as_dict() if self.randomisation else None
        record["repeatability"] = self.repeatability.as_dict() if self.repeatability else None
        record["bundle_record"] = self.bundle_record.as_dict() if self.bundle_record else None
        return record

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> Evidence:
        """What :meth:`as_dict` wrote."""
        parts: dict[str, Any] = dict(record)
        parts["baselines"] = {name: BaselineEvidence.from_dict(b) for name, b in record["baselines"].items()}
        if record["randomisation"]:
            parts["randomisation"] = Randomisation.from_dict(record["randomisation"])
        if record["repeatability"]:
            parts["repeatability"] = Repeatability.from_dict(record["repeatability"])
        if record.get("bundle_record"):
            parts["bundle_record"] = RecordedCheck.from_dict(record["bundle_record"])
        return Evidence(**parts)
