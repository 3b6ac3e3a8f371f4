"""How each request is answered: the fields of its ``result``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlime.errors import RequestError
from camlime.methods.case import Progress
from camlime.pipeline import Answered, Listeners, ask, explain
from camlime.record import plain
from camlime.region_source import labels_on_scan
from camlime.regions import Regions
from camlime.slices.regions import SliceRegions
from camlime.slices.stack import cut_labels
from camlime.whatif import what_if
from camlime.worker.engine.answering import Answer, settings_of, told_prediction
from camlime.worker.engine.arrays import ArrayFolder, mask_array
from camlime.worker.engine.describe import description
from camlime.worker.engine.previews import Previewing
from camlime.worker.engine.ranges import classify_range, explain_range, is_range
from camlime.worker.engine.results import explanation_result
from camlime.worker.engine.schedule import Schedule, plan
from camlime.worker.engine.task import Stopped, Task
from camlime.worker.engine.warm import Done, Ready, Warm
from camlime.worker.requests import QUALITIES


def answer_classify(task: Task, warm: Warm) -> Answer:
    """The model's answer, or its answers to a range of slices."""
    if is_range(task.request):
        return classify_range(task, warm)
    ready = warm.ready(task)
    found = _asked(ready)
    return Answer(
        {
            "prediction": told_prediction(found.prediction),
            "assumptions": list(ready.bundle.assumptions),
            "warnings": list(found.warnings),
        }
    )


def _asked(ready: Ready) -> Answered:
    assert ready.scan is not None
    return ask(ready.scan, ready.bundle, ready.prepared.classifier, ready.prepared.input)


def answer_explain(task: Task, warm: Warm) -> Answer:
    """The maps, sent as they come, and all about them at the end."""
    request = task.request
    settings = settings_of(request)
    if is_range(request):
        return explain_range(task, warm, settings)
    folder = ArrayFolder(request["folder"])
    ready = warm.ready(task, amp=settings.get("amp", False), batch_size=settings.get("batch_size"))
    assert ready.scan is not None
    schedule = Schedule(plan(ready.bundle, settings, own_regions="regions" in request), ready.speed)
    found = _asked(ready)
    prediction = found.prediction
    explained = request.get("class_name", prediction.most_probable)
    ready.prepared.classifier.class_index(explained)
    grid = ready.prepared.input
    task.emit(
        "prediction",
        prediction=told_prediction(prediction),
        explained_class=explained,
        warnings=list(found.warnings),
        affine_ras=grid.affine.tolist(),
        shape=list(grid.spatial_shape),
        spacing_mm=list(grid.spacing),
        input={"channels": int(grid.image.shape[0]), "padded_voxels": int((~grid.valid).sum())},
    )
    previews = Previewing(task, folder, grid.affine, grid.spatial_shape, explained)

    def heard(progress: Progress) -> None:
        left = schedule.seconds_left(progress.method, progress.done, progress.total)
        task.progress(progress.method, progress.done, progress.total, left)

    task.stage("regions")
    explanation = explain(
        ready.scan,
        ready.bundle,
        listeners=Listeners(
            on_progress=heard, on_attribution=previews.done, on_draft=previews.draft, cancelled=task.cancelled
        ),
        prepared=ready.prepared,
        class_name=explained,
        point=request.get("point"),
        regions=_regions(ready, request),
        device=request.get("device", "auto"),
        **settings,
    )
    if not explanation.attributions:
        raise Stopped
    if explanation.complete:
        schedule.finish()
        task.progress("writing", 0, 0, None)
    maps = {name: previews.final[name] for name in explanation.attributions}
    warm.explanations.put(request["id"], Done(explanation, request))
    return Answer(explanation_result(explanation, folder, maps), explanation.complete)


def answer_what_if(task: Task, warm: Warm) -> Answer:
    """The model's answers without a part."""
    request = task.request
    ready = warm.ready(task)
    assert ready.scan is not None
    answers = what_if(
        ready.scan,
        ready.bundle,
        mask=_mask(ready, request),
        label=None if isinstance(request.get("label"), str) and ready.stack is not None else request.get("label"),
        prepared=ready.prepared,
    )
    return Answer(plain(answers.as_dict()))


def _regions(ready: Ready, request: Mapping[str, Any]) -> str | Regions | None:
    """The label map that a request names; of a slice, the labels in it."""
    path: str | None = request.get("regions")
    if path is None or ready.stack is None:
        return path
    return SliceRegions.read(path, ready.stack.scan).of(ready.stack, request["slices"]["first"], ready.prepared.input)


def _mask(ready: Ready, request: Mapping[str, Any]) -> str | NDArray[Any]:
    """The mask that a request names; of a slice, what is in it."""
    given, stack = request["mask"], ready.stack
    if stack is None:
        return mask_array(given["array"]) if isinstance(given, dict) else str(given)
    if isinstance(given, dict):
        mask = mask_array(given["array"])
        if mask.shape != tuple(stack.scan.shape):
            return mask  # on the network's grid, or an error that says which grids there are
    else:
        mask, names = labels_on_scan(given, stack.scan)
        label = request.get("label")
        if isinstance(label, str):  # an array has no names
            mask = (mask == next((value for value, name in names.items() if name == label), -1)).astype(np.int32)
    return np.ascontiguousarray(cut_labels(mask, stack)[..., request["slices"]["first"]])


def answer_describe(task: Task, warm: Warm) -> Answer:
    """What a bundle is for."""
    task.stage("loading")
    bundle = warm.bundle(task.request["bundle"], trust_code=task.request.get("trust_code", False))
    return Answer({"bundle": description(bundle)})


def answer_estimate(task: Task, warm: Warm) -> Answer:
    """How long each quality would take."""
    ready = warm.ready(task)
    classifier, image = ready.prepared.classifier, ready.prepared.input.image
    return Answer(
        {
            "device": str(classifier.device),
            "batch_size": classifier.batch_size(image),
            "seconds_per_pass": ready.speed.seconds_per_pass,
            "qualities": {name: _expected(ready, settings) for name, settings in QUALITIES.items()},
        }
    )


def _expected(ready: Ready, settings: Mapping[str, Any]) -> dict[str, Any]:
    planned = plan(ready.bundle, settings, own_regions=False)
    seconds = planned.total * ready.speed.seconds_per_pass
    return {"seconds": round(seconds, 1), "passes": planned.total, "at_most": planned.bound}


def answer_export(task: Task, warm: Warm) -> Answer:
    """The files of ``camlime explain``."""
    request = task.request
    done = warm.explanations.find(request["explanation"])
    if done is None:
        raise RequestError(
            f"there is no explanation {request['explanation']!r} to export",
            hint="only the last ones are kept, and only while the engine runs: explain the scan again",
        )
    native = None
    if request.get("native_grid", False):
        task.stage("reading")
        native = warm.scan(done.request["scan"], done.request.get("series"))
    task.stage("writing")
    files = done.explanation.save(request["folder"], native=native)
    return Answer({"files": [str(path) for path in files]})


ANSWERS: dict[str, Callable[[Task, Warm], Answer]] = {
    "classify": answer_classify,
    "explain": answer_explain,
    "what_if": answer_what_if,
    "describe": answer_describe,
    "estimate": answer_estimate,
    "export": answer_export,
}


def answer(task: Task, warm: Warm) -> Answer:
    """Answer any request; its fields get the seconds that it took.

    Raises:
        Stopped: cancelled with nothing to keep.
        CamlimeError: anything the user can put right.
    """
    started = time.perf_counter()
    given = ANSWERS[task.request["request"]](task, warm)
    head = {"request": task.request["request"], "seconds": round(time.perf_counter() - started, 3)}
    return Answer({**head, **given.fields}, given.complete)
