"""How each request is answered: the fields of its ``result``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from camlime.errors import RequestError
from camlime.methods.case import Progress
from camlime.pipeline import Listeners, explain, predict
from camlime.record import plain
from camlime.whatif import what_if
from camlime.worker.engine.arrays import ArrayFolder, mask_array
from camlime.worker.engine.describe import description
from camlime.worker.engine.previews import Previews
from camlime.worker.engine.results import explanation_result
from camlime.worker.engine.schedule import Schedule, plan
from camlime.worker.engine.task import Stopped, Task
from camlime.worker.engine.warm import Done, Ready, Warm
from camlime.worker.requests import QUALITIES


@dataclass(frozen=True)
class Answer:
    """What a request gave.

    Args:
        fields: of its last event.
        complete: ``False`` if it was cancelled on the way and this is what was kept.
    """

    fields: dict[str, Any]
    complete: bool = True


def answer_classify(task: Task, warm: Warm) -> Answer:
    """The model's answer."""
    ready = warm.ready(task)
    prediction = predict(ready.prepared.classifier, ready.prepared.input)
    return Answer({"prediction": _prediction(prediction), "assumptions": list(ready.bundle.assumptions)})


def answer_explain(task: Task, warm: Warm) -> Answer:
    """The maps, sent as they come, and all about them at the end."""
    request = task.request
    settings = {**QUALITIES[request.get("quality", "standard")], **request.get("settings", {})}
    if "regions" in request and "n_regions" in settings:
        raise RequestError(
            "n_regions is for supervoxels, and regions gives regions of your own", hint="give one of them"
        )
    folder = ArrayFolder(request["folder"])
    ready = warm.ready(task, amp=settings.get("amp", False), batch_size=settings.get("batch_size"))
    assert ready.scan is not None
    schedule = Schedule(plan(ready.bundle, settings), ready.speed)
    prediction = predict(ready.prepared.classifier, ready.prepared.input)
    explained = request.get("class_name", prediction.class_name)
    ready.prepared.classifier.class_index(explained)
    grid = ready.prepared.input
    task.emit(
        "prediction",
        prediction=_prediction(prediction),
        explained_class=explained,
        affine_ras=grid.affine.tolist(),
        shape=list(grid.spatial_shape),
        spacing_mm=list(grid.spacing),
        input={"channels": int(grid.image.shape[0]), "padded_voxels": int((~grid.valid).sum())},
    )
    previews = Previews(task, folder, ready.prepared, explained)

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
        regions=request.get("regions"),
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
    mask = request["mask"]
    answers = what_if(
        ready.scan,
        ready.bundle,
        mask=mask_array(mask["array"]) if isinstance(mask, dict) else mask,
        label=request.get("label"),
        prepared=ready.prepared,
    )
    return Answer(plain(answers.as_dict()))


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
    planned = plan(ready.bundle, settings)
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


def _prediction(prediction: Any) -> dict[str, Any]:
    told: dict[str, Any] = plain(
        {
            "class": prediction.class_name,
            "probabilities": prediction.probabilities,
            "logits": prediction.logits,
        }
    )
    return told


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
