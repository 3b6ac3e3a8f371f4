"""The infer tasks: one a bundle and method, of the type that viewers list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from camlime.bundle import Bundle
from camlime.errors import RequestError
from camlime.monai_label.asked import PREDICTED, asked_of
from camlime.monai_label.explainer import Explainer
from camlime.monai_label.ordering import KEY
from camlime.monai_label.results import LABELS, result_json, write_result
from camlime.monai_label.study import Study
from camlime.overview.words import method_title
from camlime.worker.requests import QUALITIES

METHODS = ("gradcam", "lime", "fused")
CLICK = "click"
"""Ends the name of the task that takes the point from a click in the viewer."""


class ExplainTask(InferTask):
    """Explains with one bundle and one method.

    Args:
        explainer: shared by all tasks.
        bundle: name of the bundle.
        method: which map.
        quality: where a client gives none.
        folder: for the files of results, until they are sent.
        click: list it where viewers let the user click points (their type "deepedit").
    """

    def __init__(
        self, explainer: Explainer, bundle: str, method: str, *, quality: str, folder: Path, click: bool = False
    ) -> None:
        self._explainer, self.bundle, self.method = explainer, bundle, method
        self._quality, self._folder = quality, folder
        read = explainer.bundles[bundle]
        qualities = [quality, *[name for name in QUALITIES if name != quality]]
        place = {"point": ""} if takes_a_point(read) and not click else {}
        super().__init__(
            type=InferType.DEEPEDIT if click else InferType.SEGMENTATION,
            labels=LABELS,
            dimension=read.spatial_dims,
            description=f"{method_title(method)}: why {read.name} answers as it does"
            + (", at the point that was clicked" if click else ""),
            config={**place, "class_name": [PREDICTED, *read.class_names], "quality": qualities},
        )

    def is_valid(self) -> bool:
        """Always: the bundle was read when the server began."""
        return True

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Explain ``request["study"]``.

        Returns:
            The volume's file, and the JSON.

        Raises:
            CamlimeError: as :meth:`camlime.monai_label.explainer.Explainer.explain`.
        """
        study: Study = request["study"]
        asked = asked_of(request, self._quality)
        cancelled: Callable[[], bool] = request.get("cancelled", lambda: False)
        usual = study.known.get(KEY, {}).get(self.bundle, {}).get("point_ras_mm")
        explained = self._explainer.explain(
            study,
            self.bundle,
            self.method,
            asked,
            usual_point=tuple(usual) if usual is not None else None,
            cancelled=cancelled,
        )
        if not explained.explanation.complete:
            raise RequestError("the explanation was cancelled")
        return str(write_result(explained, study, asked, self._folder)), result_json(explained, study)


def looks_at_a_region(bundle: Bundle) -> bool:
    """Whether a bundle has to know where to look."""
    return bundle.explain_settings.field_of_view_mm is not None and bundle.spatial_dims == 3


def takes_a_point(bundle: Bundle) -> bool:
    """Whether a point says where to look, or, of a volume, which slice to look at."""
    return bundle.spatial_dims == 2 or looks_at_a_region(bundle)


def tasks_of(explainer: Explainer, *, quality: str, folder: Path) -> dict[str, ExplainTask]:
    """The tasks of all bundles, by name."""
    tasks = {}
    for name, bundle in explainer.bundles.items():
        for method in METHODS:
            tasks[f"{name}_{method}"] = ExplainTask(explainer, name, method, quality=quality, folder=folder)
        if looks_at_a_region(bundle):
            tasks[f"{name}_fused_{CLICK}"] = ExplainTask(
                explainer, name, "fused", quality=quality, folder=folder, click=True
            )
    return tasks
