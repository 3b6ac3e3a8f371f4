"""The result: all attributions of one case, the prediction, the regions, the agreement, and where it all came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlime.attribution import Attribution
from camlime.bundle.model_input import ModelInput
from camlime.domain import Likeness
from camlime.evidence.records import Evidence
from camlime.evidence.words import in_words
from camlime.levels import first_to_show
from camlime.methods.agreement import Agreement
from camlime.regions import Regions
from camlime.scan import Scan

__all__ = ["Attribution", "Explanation", "Prediction"]

_WEIGHED_FIRST = ("fused", "lime", "occlusion")
"""Whose weights of regions stand first in tables."""


@dataclass(frozen=True)
class Prediction:
    """What the model answered on the untouched input.

    Args:
        most_probable: the class with the largest probability, whether or not it is the image's; see :attr:`class_name`.
        probabilities: by class name, in the model's order.
        logits: by class name (one entry for a single sigmoid output).
        presumes: what the answer presumes that the image shows, such as "a tumour"; ``None`` for nothing.
        outside_because: in what the image is outside the training domain, in words; all of the above then means
            nothing, and the image has no class. ``None`` where nothing says so.
        unconfirmed: nobody said that the image shows what is presumed: it has no class, and the probabilities are those
            of the classes if it does.
    """

    most_probable: str
    probabilities: Mapping[str, float]
    logits: Mapping[str, float]
    presumes: str | None = None
    outside_because: str | None = None
    unconfirmed: bool = False

    @property
    def has_class(self) -> bool:
        """Whether the most probable class is the image's class."""
        return self.outside_because is None and not self.unconfirmed

    @property
    def class_name(self) -> str | None:
        """The image's class; ``None`` where it has none."""
        return self.most_probable if self.has_class else None

    @property
    def no_class(self) -> str:
        """What an image outside the training domain has in place of a class, in words; empty for any other."""
        if self.outside_because is None:
            return ""
        return f"outside the training domain ({self.outside_because}): no class"

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable; ``class`` is ``None`` where there is none."""
        return {
            "class": self.class_name,
            "probabilities": dict(self.probabilities),
            "logits": dict(self.logits),
            "presumes": self.presumes,
            "outside_because": self.outside_because,
            "unconfirmed": self.unconfirmed,
        }

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> Prediction:
        """Read what :meth:`as_dict` wrote.

        Raises:
            KeyError: something is missing.
            ValueError: there are no classes.
        """
        probabilities = record["probabilities"]
        if not probabilities:
            raise ValueError("the prediction has no probabilities")
        return Prediction(
            max(probabilities, key=lambda name: probabilities[name]),
            probabilities,
            record["logits"],
            record["presumes"],
            record["outside_because"],
            record["unconfirmed"],
        )


@dataclass(frozen=True)
class Explanation:
    """Why the model answered as it did, on the grid of its input.

    Args:
        prediction: its answer.
        explained_class: the class that the maps speak of.
        attributions: by method.
        regions: the reported segmentation.
        input: what the network saw, and where it lies in the patient (RAS).
        agreement: of CAM and LIME, where fused ran.
        provenance: versions, hashes, seed, device, baseline.
        warnings: what the user should know, in sentences.
        complete: ``False`` if it was cancelled on the way; what is there is sound, only less certain, or a method or
            the evidence is missing.
        evidence: by method, whether the model used what the map shows, where it was measured; the map to show first
            comes first.
        likeness: how unlike the bundle's training data the input is; ``None`` where the bundle cannot tell.

    Example:
        >>> explanation = camlime.explain("ct.nii.gz", "lung_nodule_ct", point=(-62.0, 14.0, -120.0))  # doctest: +SKIP
        >>> explanation.prediction.class_name, explanation.attributions["fused"].values.shape  # doctest: +SKIP
        ('malignant', (40, 40, 8))
    """

    prediction: Prediction
    explained_class: str
    attributions: Mapping[str, Attribution]
    regions: Regions
    input: ModelInput
    agreement: Agreement | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    complete: bool = True
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    likeness: Likeness | None = None

    def answered(self, prediction: Prediction) -> Explanation:
        """The same explanation of another answer: its evidence claims no probability that the answer does not."""
        only_if = prediction.presumes if prediction.unconfirmed else None
        outside = prediction.outside_because is not None
        evidence = {
            name: replace(found, sentence=in_words(found.class_name, found.baselines, only_if=only_if, outside=outside))
            for name, found in self.evidence.items()
        }
        return replace(self, prediction=prediction, evidence=evidence)

    @property
    def title(self) -> str:
        """Of pages and scenes: a question about the class where the image has one, else whose evidence is shown."""
        name = self.explained_class
        return f"Why {name}?" if self.prediction.has_class else f"Evidence for {name}"

    @property
    def best(self) -> Attribution | None:
        """The attribution to show first: fused, else lime, else the first there is."""
        return leading(self.attributions)

    def strongest_point_ras(self) -> NDArray[np.float64]:
        """RAS mm of the voxel where the first map to show speaks most for the class, shape ``(3,)``.

        A region's weight is the same over all its voxels, so among equal voxels the one nearest their centre is taken.
        """
        index = strongest_voxel(self.best.values if self.best else np.zeros(self.input.spatial_shape))
        padded = np.concatenate([index, np.zeros(3 - len(index))])
        point: NDArray[np.float64] = self.input.affine[:3, :3] @ padded + self.input.affine[:3, 3]
        return point

    def region_table(self) -> list[dict[str, Any]]:
        """One row a region: id, name, structure if it is part of one, ml, centre in RAS mm, and by method its weight.

        A weight, in log-odds, comes with its standard error and 95 % interval, where known.

        ``weight`` and ``standard_error`` on the row itself are those of the attribution to show first.
        """
        volumes = self.regions.volumes_ml(self.input.affine)
        centres = self.regions.centres_ras(self.input.affine)
        weighed = {name: a for name, a in self.attributions.items() if a.region_weights is not None}
        lead = next((weighed[name] for name in _WEIGHED_FIRST if name in weighed), None)
        structures = self.regions.structure_names()
        rows: list[dict[str, Any]] = []
        for i in range(self.regions.count):
            row: dict[str, Any] = {
                "id": i + 1,
                "name": self.regions.names[i] if self.regions.names else None,
                **({} if structures is None else {"structure": structures[i]}),
                "volume_ml": float(volumes[i]),
                "centre_ras_mm": [float(x) for x in centres[i]],
            }
            if lead is not None:
                row |= _weight(lead, i)
                row["weight_per_ml"] = row["weight"] / row["volume_ml"] if row["volume_ml"] else None
                row["by_method"] = {name: _weight(attribution, i) for name, attribution in weighed.items()}
            rows.append(row)
        return rows

    def structure_table(self) -> list[dict[str, Any]]:
        """One row a structure where the regions are parts of structures, else none; columns as :meth:`region_table`.

        A structure's weight is the sum of its parts' weights, its standard error that of the sum.
        """
        names, structure_of = self.regions.structures, self.regions.structure_of
        if names is None or structure_of is None:
            return []
        volumes = self.regions.volumes_ml(self.input.affine)
        weighed = {name: a for name, a in self.attributions.items() if a.region_weights is not None}
        lead = next((weighed[name] for name in _WEIGHED_FIRST if name in weighed), None)
        rows: list[dict[str, Any]] = []
        for i, name in enumerate(names):
            parts = np.flatnonzero(structure_of == i)
            row: dict[str, Any] = {
                "name": name,
                "parts": [int(part) + 1 for part in parts],
                "volume_ml": float(volumes[parts].sum()),
            }
            if lead is not None:
                row |= _structure_weight(lead, i, parts)
                row["by_method"] = {method: _structure_weight(a, i, parts) for method, a in weighed.items()}
            rows.append(row)
        return rows

    def save(
        self,
        folder: str | Path,
        *,
        native: Scan | None = None,
        also: Sequence[Path] = (),
        page: Callable[[], str] | None = None,
    ) -> list[Path]:
        """Write everything to a folder; see :func:`camlime.saving.save_explanation`."""
        from camlime.saving import save_explanation

        return save_explanation(self, Path(folder), native=native, also=also, page=page)

    @staticmethod
    def load(folder: str | Path) -> Explanation:
        """Read what :meth:`save` wrote; see :func:`camlime.saving.load_explanation`."""
        from camlime.saving import load_explanation

        return load_explanation(folder)


def leading(attributions: Mapping[str, Attribution]) -> Attribution | None:
    """The attribution to show first: fused, else lime, else the first there is."""
    first = first_to_show(attributions)
    return None if first is None else attributions[first]


def strongest_voxel(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Index of the largest value, shape ``(ndim,)``; within a plateau, the voxel nearest to the plateau's centre."""
    plateau = np.argwhere(values >= values.max())
    centre = plateau.mean(axis=0)
    index: NDArray[np.int64] = plateau[np.argmin(((plateau - centre) ** 2).sum(axis=1))]
    return index


def _weight(attribution: Attribution, i: int) -> dict[str, Any]:
    weights, std = attribution.region_weights, attribution.region_std
    return _with_interval(
        float(weights[i]) if weights is not None else None,
        float(std[i]) if std is not None else None,
        attribution.interval_factor,
    )


def _structure_weight(attribution: Attribution, i: int, parts: NDArray[np.int64]) -> dict[str, Any]:
    weights, std = attribution.region_weights, attribution.structure_std
    return _with_interval(
        float(weights[parts].sum()) if weights is not None else None,
        float(std[i]) if std is not None else None,
        attribution.interval_factor,
    )


def _with_interval(weight: float | None, error: float | None, factor: float) -> dict[str, Any]:
    reach = None if weight is None or error is None else factor * error
    interval = None if weight is None or reach is None else [weight - reach, weight + reach]
    return {"weight": weight, "standard_error": error, "interval_95": interval}
