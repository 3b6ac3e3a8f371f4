"""Explains studies in this process: bundles and models kept, one request at a time on a device."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from camlime.bundle import Bundle
from camlime.classifier import Classifier
from camlime.errors import CamlimeError
from camlime.explanation import Explanation
from camlime.monai_label.asked import Asked
from camlime.monai_label.slices import ChosenSlice, choose_slice
from camlime.monai_label.study import Study
from camlime.pipeline import Listeners, Prepared, classifier_of, explain
from camlime.scan import Scan
from camlime.slices.answers import UNCONFIRMED
from camlime.view import focus, input_around
from camlime.worker.engine.warm import Kept, stamp
from camlime.worker.engine.work import in_fields

MOST_EXPLANATIONS = 64
MOST_SCANS = 2

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Explained:
    """An explanation, and what it was made from.

    Args:
        explanation: the result.
        scan: the study as read.
        point: RAS mm where it was looked; ``None`` if the model sees the whole scan.
        slice: which slice of a volume, where the bundle takes 2D images.
    """

    explanation: Explanation
    scan: Scan
    point: Triple | None
    slice: ChosenSlice | None = None


class Explainer:
    """The bundles of a server on one device.

    Requests may come from several threads: a network and its hooks are never used by two at a time, since a lock
    belongs to the device. Explanations that were made already are kept, so that asking for the map after its levels
    costs nothing.

    Args:
        bundles: by the name that tasks carry.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    """

    def __init__(self, bundles: Mapping[str, Bundle], *, device: str = "auto") -> None:
        self.bundles = dict(bundles)
        self._device = device
        self._lock = threading.Lock()
        self._classifiers: dict[str, Classifier] = {}
        self._scans: Kept[Scan] = Kept(MOST_SCANS)
        self._done: Kept[Explained] = Kept(MOST_EXPLANATIONS)

    def explain(
        self,
        study: Study,
        bundle: str,
        method: str,
        asked: Asked,
        *,
        usual_point: Triple | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Explained:
        """Explain a study, with gradients whatever the calling thread has switched off.

        Args:
            study: what to explain.
            bundle: its name.
            method: which map.
            asked: with which settings.
            usual_point: RAS mm, for a request without a point, of a bundle that looks at a region.
            cancelled: asked between batches; a cut-short explanation is not kept.

        Raises:
            CamlimeError: anything the client can put right; no path of the server is in its words.
        """
        with self._lock, torch.inference_mode(mode=False), torch.enable_grad():
            try:
                return self._explain(study, bundle, method, asked, usual_point, cancelled)
            except CamlimeError as error:
                message, hint = study.without_paths(error.message), in_fields(study.without_paths(error.hint))
                raise type(error)(message, hint=hint) from error

    def _explain(
        self,
        study: Study,
        name: str,
        method: str,
        asked: Asked,
        usual_point: Triple | None,
        cancelled: Callable[[], bool],
    ) -> Explained:
        bundle = self.bundles[name]
        file_key = (study.source, stamp(study.source))
        scan = self._scans.get(file_key, lambda: Scan.read(study.source))
        if bundle.spatial_dims == 2 and len(scan.shape) == 3 and 1 not in scan.shape:
            return self._explain_slice(file_key, scan, name, method, asked, usual_point, cancelled)
        point = asked.place.in_ras(scan) or usual_point or _centre(scan, bundle)

        def work() -> Explained:
            prepared = Prepared(input_around(scan, bundle, point), self._classifier(name))
            explanation = explain(
                scan,
                bundle,
                listeners=Listeners(cancelled=cancelled),
                prepared=prepared,
                methods=[method],
                class_name=asked.class_name,
                point=point,
                device=self._device,
                **asked.settings,
            )
            return Explained(explanation, scan, point)

        return self._kept((file_key, name, method, point, asked.key), work)

    def _explain_slice(
        self,
        file_key: tuple[Any, ...],
        scan: Scan,
        name: str,
        method: str,
        asked: Asked,
        usual_point: Triple | None,
        cancelled: Callable[[], bool],
    ) -> Explained:
        """One slice of a volume: the one through the point, else the one with the strongest evidence."""
        bundle, classifier = self.bundles[name], self._classifier(name)
        point = asked.place.in_ras(scan) or usual_point

        def work() -> Explained:
            if asked.class_name is not None:
                classifier.class_index(asked.class_name)
            chosen, given, image = choose_slice(scan, bundle, classifier, point, asked.class_name)
            explanation = explain(
                image,
                bundle,
                listeners=Listeners(cancelled=cancelled),
                prepared=Prepared(given, classifier),
                methods=[method],
                class_name=asked.class_name,
                device=self._device,
                **asked.settings,
            )
            # Explained as a picture that somebody chose; whether anybody did is known here alone.
            prediction = replace(explanation.prediction, unconfirmed=chosen.flag == UNCONFIRMED)
            explanation = explanation.answered(prediction)
            return Explained(explanation, scan, point or chosen.middle_ras, chosen)

        return self._kept((file_key, name, method, point, asked.key), work)

    def _kept(self, key: tuple[Any, ...], work: Callable[[], Explained]) -> Explained:
        explained = self._done.get(key, work)
        if not explained.explanation.complete:
            self._done.forget(key)
        return explained

    def _classifier(self, name: str) -> Classifier:
        if name not in self._classifiers:
            self._classifiers[name] = classifier_of(self.bundles[name], device=self._device)
        return self._classifiers[name]


def _centre(scan: Scan, bundle: Bundle) -> Triple | None:
    """The middle of a scan that is a crop around what a region bundle looks at; of others, none is needed.

    Raises:
        RequestError: the scan is much larger than what the bundle looks at.
    """
    focus(scan, bundle, None)
    if bundle.explain_settings.field_of_view_mm is None or len(scan.shape) != 3:
        return None
    r, a, s = (float(x) for x in scan.voxel_to_ras([(n - 1) / 2 for n in scan.shape]))
    return r, a, s
