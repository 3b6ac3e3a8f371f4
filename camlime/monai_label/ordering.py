"""The doubt about each study: a scoring method that writes it, and a strategy that hands out the doubtful first."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy

from camlime.errors import CamlimeError, RequestError
from camlime.monai_label.asked import PREDICTED
from camlime.monai_label.doubt import UNKNOWN

KEY = "camlime"
"""In what the datastore knows of a study: by bundle, its doubt, the point and the prediction, or an error."""

HANDED_OUT_SECONDS = 3600
"""A study that another client got so short a time ago is passed over, so that two readers do not read the same."""

MOST_LISTED = 100


def known_doubt(info: Mapping[str, Any]) -> float:
    """The largest doubt of any bundle about a study; :data:`UNKNOWN` if there is none.

    Example:
        >>> known_doubt({"camlime": {"a": {"doubt": {"value": 0.2}}, "b": {"doubt": {"value": 0.7}}}}), known_doubt({})
        (0.7, 0.5)
    """
    values = [known["doubt"]["value"] for known in info.get(KEY, {}).values() if "doubt" in known]
    return max(values, default=UNKNOWN)


class DoubtfulFirst(Strategy):
    """Hands out the study without a final label that is in most doubt; among equals, by name."""

    def __init__(self) -> None:
        super().__init__("The doubtful first: low evidence, methods in conflict, an uncertain answer")

    def __call__(self, request: Mapping[str, Any], datastore: Any) -> dict[str, Any] | None:
        """The next study, its doubt with the reasons, and the order of those that follow; none if all are labelled."""
        images = datastore.get_unlabeled_images(request.get("label_tag"), request.get("labels"))
        infos = {image: datastore.get_image_info(image) for image in images}
        order = sorted(infos, key=lambda image: (-known_doubt(infos[image]), image))
        if not order:
            return None
        client, strategy = request.get("client_id"), str(request.get("strategy", "doubt"))
        free = (image for image in order if not _handed_to_another(infos[image], strategy, client))
        chosen = next(free, order[0])
        listed = [{"id": image, "doubt": known_doubt(infos[image])} for image in order[:MOST_LISTED]]
        return {"id": chosen, "doubt": known_doubt(infos[chosen]), "order": listed, "of": len(order)}


def _handed_to_another(info: Mapping[str, Any], strategy: str, client: str | None) -> bool:
    last = info.get("strategy", {}).get(strategy, {})
    recent = time.time() - last.get("ts", 0) < HANDED_OUT_SECONDS
    return recent and client is not None and last.get("client_id") not in (None, client)


Infer = Callable[[dict[str, Any]], dict[str, Any]]


class DoubtScoring(ScoringMethod):
    """Explains the studies that nothing is known of yet, and writes the doubt about each.

    Args:
        infer: runs an infer task and writes the doubt, as :meth:`camlime.monai_label.app.ExplainApp.infer`.
        tasks: the task of each bundle that the doubt is taken from.
    """

    def __init__(self, infer: Infer, tasks: Mapping[str, str]) -> None:
        super().__init__("Explains each study and writes how much it needs a human")
        self._infer = infer
        self._tasks = dict(tasks)

    def __call__(self, request: Mapping[str, Any], datastore: Any) -> dict[str, Any]:
        """Score; parameters as docs/monai-label.md lists them.

        A study that cannot be explained does not stop the others: its error is kept with it.

        Raises:
            RequestError: there is no such bundle.
        """
        wanted = request.get("bundle") or list(self._tasks)
        bundles = [wanted] if isinstance(wanted, str) else list(wanted)
        unknown = [name for name in bundles if name not in self._tasks]
        if unknown:
            raise RequestError(f"there is no bundle '{unknown[0]}'", hint=f"bundles: {', '.join(self._tasks)}")
        tell = request.get("tell", lambda sentence: None)
        cancelled = request.get("cancelled", lambda: False)
        passed_on = {key: request[key] for key in ("quality", "budget", "evidence_budget", "seed") if key in request}
        scored, failed, kept = [], {}, 0
        for image in sorted(datastore.get_unlabeled_images(None, None)):
            for bundle in bundles:
                if cancelled():
                    break
                if "doubt" in datastore.get_image_info(image).get(KEY, {}).get(bundle, {}) and not request.get("again"):
                    kept += 1
                    continue
                asked = {"model": self._tasks[bundle], "image": image, "class_name": PREDICTED, "save_label": True}
                try:
                    answer = self._infer({**asked, **passed_on, "cancelled": cancelled})
                    scored.append(image)
                    tell(f"{image}: doubt {answer['params']['doubt']['value']:.2f} by {bundle}")
                except CamlimeError as error:
                    failed[image] = str(error)
                    remember(datastore, image, bundle, {"error": str(error)})
                    tell(f"{image}: not scored: {error}")
        infos = {image: datastore.get_image_info(image) for image in datastore.list_images()}
        doubts = {image: known_doubt(info) for image, info in infos.items() if info.get(KEY)}
        return {"scored": scored, "failed": failed, "kept": kept, "doubt": doubts}


def remember(datastore: Any, image: str, bundle: str, known: Mapping[str, Any]) -> None:
    """Add to what the datastore knows of a study, for one bundle."""
    with datastore.guard:
        info = dict(datastore.get_image_info(image).get(KEY, {}))
        info[bundle] = {**info.get(bundle, {}), **known}
        if "doubt" in known:
            info[bundle].pop("error", None)
        datastore.update_image_info(image, {KEY: info})
