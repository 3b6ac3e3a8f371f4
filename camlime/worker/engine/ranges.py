"""A range of slices of a volume: each is explained by itself, and what comes out is stacked where it lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlime.attribution import Attribution
from camlime.bundle import Bundle
from camlime.errors import RequestError
from camlime.methods.case import Progress
from camlime.pipeline import Listeners
from camlime.record import file_stem
from camlime.slices import SliceAnswers, classify_slices, explain_slices
from camlime.slices.explaining import stacked_grid
from camlime.slices.regions import SliceRegions
from camlime.worker.engine.answering import Answer
from camlime.worker.engine.arrays import ArrayFolder
from camlime.worker.engine.cutting import last_of, plane_asked, range_of, stack_of
from camlime.worker.engine.previews import Previewing
from camlime.worker.engine.schedule import Schedule, plan
from camlime.worker.engine.slice_results import slices_result, told_slices
from camlime.worker.engine.task import Stopped, Task
from camlime.worker.engine.warm import Done, Model, Warm


def is_range(request: Mapping[str, Any]) -> bool:
    """Whether a request asks for more than one slice."""
    asked = request.get("slices")
    return asked is not None and last_of(asked) > asked["first"]


def classify_range(task: Task, warm: Warm) -> Answer:
    """The model's answer to each slice."""
    model = warm.model(task)
    scan, plane, slices = _cut(task, warm, model)
    answers = classify_slices(scan, model.bundle, plane=plane, slices=slices, classifier=model.classifier)
    return Answer(
        {
            "prediction": None,
            "slices": told_slices(answers),
            "assumptions": list(model.bundle.assumptions),
            "warnings": _warnings(answers, model.bundle),
        }
    )


def explain_range(task: Task, warm: Warm, settings: Mapping[str, Any]) -> Answer:
    """Maps of all slices of a range that are like the training data, sent as they come, stacked."""
    request = task.request
    folder = ArrayFolder(request["folder"])
    model = warm.model(task, amp=settings.get("amp", False), batch_size=settings.get("batch_size"))
    scan, plane, slices = _cut(task, warm, model)
    labels = SliceRegions.read(request["regions"], scan) if "regions" in request else None
    watched = _Watch(task, warm, model, folder, settings)
    result = explain_slices(
        scan,
        model.bundle,
        plane=plane,
        slices=slices,
        count=len(slices),
        classifier=model.classifier,
        labels=labels,
        on_answers=watched.begin,
        on_slice=watched.next_slice,
        listeners=Listeners(
            on_progress=watched.progress,
            on_attribution=watched.done,
            on_draft=watched.draft,
            cancelled=task.cancelled,
        ),
        class_name=request.get("class_name"),
        device=request.get("device", "auto"),
        **settings,
    )
    if not result.explanations:
        raise Stopped
    if result.complete:
        task.progress("writing", 0, 0, None)
    warm.explanations.put(request["id"], Done(result, request))
    return Answer(slices_result(result, folder), result.complete)


def _cut(task: Task, warm: Warm, model: Model) -> tuple[Any, str, range]:
    """The scan, the plane, and which slices.

    Raises:
        RequestError: there are no such slices.
    """
    request = task.request
    task.stage("reading")
    scan = warm.scan(request["scan"], request.get("series"))
    task.stage("preparing")
    asked = request["slices"]
    stack_of(scan, model.bundle, asked).checked(last_of(asked))
    return scan, plane_asked(scan, asked), range_of(asked)


def _warnings(answers: SliceAnswers, bundle: Bundle) -> list[str]:
    """What is said of the slices; what is said of the bundle has a field of its own."""
    return [warning for warning in answers.warnings if warning not in bundle.assumptions]


class _Watch:
    """Tells of a range while it is explained: how far it is, and the maps so far.

    Args:
        task: whose it is.
        warm: knows the model's speed.
        model: what is asked.
        folder: for the arrays.
        settings: of the request.
    """

    def __init__(self, task: Task, warm: Warm, model: Model, folder: ArrayFolder, settings: Mapping[str, Any]) -> None:
        self._task, self._warm, self._model, self._folder = task, warm, model, folder
        self._plan = plan(model.bundle, settings, own_regions="regions" in task.request)
        self._left: list[int] = []
        self._slice = 0

    def begin(self, answers: SliceAnswers, chosen: tuple[int, ...]) -> None:
        """All slices are classified."""
        if not chosen:
            raise RequestError(
                f"every slice of the range is flagged, such as the first one: {answers.answers[0].no_class}",
                hint="choose others, or a single one",
            )
        task, explained = self._task, self._task.request.get("class_name")
        affine, first = stacked_grid(answers)
        seen = answers.inputs[chosen[0]]
        shape = (*seen.spatial_shape, answers.answers[-1].index - first + 1)
        task.emit(
            "prediction",
            prediction=None,
            explained_class=explained,
            slices=told_slices(answers),
            warnings=_warnings(answers, self._model.bundle),
            affine_ras=affine.tolist(),
            shape=list(shape),
            spacing_mm=[float(edge) for edge in np.linalg.norm(affine[:3, :3], axis=0)],
            input={"channels": int(seen.image.shape[0]), "padded_voxels": 0},
        )
        task.stage("measuring")
        self._speed = self._warm.speed(self._model, seen.image)
        self._previews = StackPreviews(task, self._folder, affine, shape, first, explained)
        self._left = list(chosen)

    def next_slice(self, n: int) -> None:
        """Another slice is begun."""
        self._left.remove(n)
        self._slice = n
        self._schedule = Schedule(self._plan, self._speed)
        self._previews.begin(n)
        self._task.progress("regions", 0, 0, None, slice=n)

    def progress(self, progress: Progress) -> None:
        """After a batch."""
        left = self._schedule.seconds_left(progress.method, progress.done, progress.total)
        left += len(self._left) * self._plan.total * self._speed.seconds_per_pass
        self._task.progress(progress.method, progress.done, progress.total, round(left, 1), slice=self._slice)

    def draft(self, method: str, make: Callable[[], Attribution]) -> None:
        """A map on its way."""
        self._previews.draft(method, make)

    def done(self, attribution: Attribution) -> None:
        """A map of the slice is finished."""
        self._previews.done(attribution)


class StackPreviews(Previewing):
    """Maps of the slices so far, stacked; 0 where there are none yet.

    Args:
        task: whose they are.
        folder: for the arrays.
        affine: of the stack, 4x4.
        shape: of the stack.
        first: slice at index 0 of the stack.
        explained_class: what the maps speak of; ``None`` for each slice's own class.
    """

    def __init__(
        self,
        task: Task,
        folder: ArrayFolder,
        affine: NDArray[np.float64],
        shape: tuple[int, ...],
        first: int,
        explained_class: str | None,
    ) -> None:
        super().__init__(task, folder, affine, shape, explained_class)
        self._shape, self._first, self._n = shape, first, first
        self._stacks: dict[str, NDArray[np.float32]] = {}

    def begin(self, n: int) -> None:
        """From now on maps are of this slice."""
        self._n = n
        self.start_anew()

    def _write(self, attribution: Attribution, ending: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
        stem, ending = file_stem(attribution.method), f"-slice-{self._n}{ending}"
        values = self._put(stem, attribution.values)
        written = self._folder.write(f"{stem}{ending}", values)
        if attribution.std is None:
            return written, None
        return written, self._folder.write(f"{stem}_std{ending}", self._put(f"{stem}_std", attribution.std))

    def _put(self, name: str, values: NDArray[np.floating]) -> NDArray[np.float32]:
        stack = self._stacks.setdefault(name, np.zeros(self._shape, dtype=np.float32))
        stack[..., self._n - self._first] = values
        return stack

    def _more(self) -> dict[str, Any]:
        return {"slice": self._n}
