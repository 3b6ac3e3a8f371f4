"""What the server answers by itself: MONAI Label's handlers for these run on the loop that serves everybody.

Paths, parameters and answers are MONAI Label's own, so that its plug-ins and client find what they know.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Optional

from fastapi import APIRouter, BackgroundTasks, Depends, File, Form, HTTPException, UploadFile
from monailabel.config import settings
from monailabel.endpoints.infer import ResultType, send_response
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.exception import ImageNotFoundException
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType

from camlime.errors import RequestError
from camlime.monai_label.app import ExplainApp
from camlime.monai_label.asked import checked_name
from camlime.monai_label.jobs import Jobs
from camlime.monai_label.study import Study

UPLOADS = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", ".png", ".jpg", ".jpeg", ".dcm")

_user = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))
_annotator = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))
_admin = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ADMIN))


def routes(app: ExplainApp) -> APIRouter:
    """The router, to be included before MONAI Label's own."""
    router = APIRouter()

    @router.post("/infer/{model}", tags=["Infer"])
    def infer(
        background_tasks: BackgroundTasks,
        model: str,
        image: str = "",
        session_id: str = "",
        params: str = Form("{}"),
        file: UploadFile = File(None),  # noqa: B008 - as FastAPI has it
        label: UploadFile = File(None),  # noqa: B008
        output: Optional[ResultType] = None,  # noqa: UP045 - read by FastAPI at run time
        user: User = _user,
    ) -> Any:
        if output == ResultType.dicom_seg:
            raise RequestError(
                "this server makes no DICOM SEG", hint="camlime export --dicom does, from a saved result"
            )
        given = _params(params)
        study = _study(app, image, session_id, file)
        if not study.stored and file is not None:
            background_tasks.add_task(study.source.unlink, missing_ok=True)
        result = app.infer({**given, "model": model, "image": study})
        background_tasks.add_task(Path(result["file"]).unlink, missing_ok=True)
        return send_response(app.datastore(), result, output, background_tasks)

    @router.post("/batch/infer/{model}", tags=["Infer"])
    def batch_infer(
        model: str,
        images: BatchInferImageType = BatchInferImageType.IMAGES_ALL,
        params: Optional[dict[str, Any]] = None,  # noqa: UP045
        run_sync: bool = False,
        user: User = _admin,
    ) -> Any:
        job = app.batch_later({"images": images.value, **_known(params), "model": model})
        return job.wait() if run_sync else job.as_dict()

    @router.post("/scoring/{method}", tags=["Scoring"])
    def scoring(
        method: str,
        params: Optional[dict[str, Any]] = None,  # noqa: UP045
        run_sync: bool = False,
        user: User = _annotator,
    ) -> Any:
        job = app.score_later({**_known(params), "method": method})
        return job.wait() if run_sync else job.as_dict()

    for path, jobs, stop_role in (
        ("/batch/infer", app.batch_jobs, _admin),
        ("/scoring/", app.scoring_jobs, _annotator),
    ):
        _add_status(router, path, jobs, stop_role)

    @router.post("/activelearning/{strategy}", tags=["ActiveLearning"])
    def sample(
        strategy: str,
        params: Optional[dict[str, Any]] = None,  # noqa: UP045
        user: User = _user,
    ) -> Any:
        client = (params or {}).get("client_id") or user.username
        chosen = app.next_sample({**(params or {}), "client_id": client, "strategy": strategy})
        if not chosen:
            return {}
        chosen.pop("path", None)
        store = app.datastore()
        with store.guard:
            info = store.get_image_info(chosen["id"])
            handed = {**info.get("strategy", {}), strategy: {"ts": int(time.time()), "client_id": client}}
            store.update_image_info(chosen["id"], {"strategy": handed})
        return {**info, **chosen}

    @router.get("/datastore/", tags=["Datastore"])
    def datastore(output: Optional[str] = None, user: User = _user) -> Any:  # noqa: UP045
        if output == "train":  # pairs of paths on this machine
            raise HTTPException(status_code=404, detail="this server trains nothing")
        return app.datastore().json() if output == "all" else app.datastore().status()

    @router.get("/train/", tags=["Train"])
    def train(user: User = _user) -> Any:
        raise HTTPException(status_code=404, detail="this server trains nothing")

    return router


def _add_status(router: APIRouter, path: str, jobs: Jobs, stop_role: Any) -> None:
    @router.get(path, tags=["Jobs"])
    def status(all: bool = False, check_if_running: bool = False, user: User = _user) -> Any:
        if all:
            return [job.as_dict() for job in jobs.all()]
        job = jobs.running() if check_if_running else next(reversed(jobs.all()), None)
        if job is None:
            raise HTTPException(status_code=404, detail="there is no such job")
        return job.as_dict()

    @router.delete(path, tags=["Jobs"])
    def stop(user: User = stop_role) -> Any:
        job = jobs.stop()
        return None if job is None else job.as_dict()


def _params(text: str) -> dict[str, Any]:
    try:
        given = json.loads(text or "{}")
    except ValueError:
        raise RequestError("'params' is not JSON") from None
    if not isinstance(given, dict):
        raise RequestError("'params' has to be a JSON object")
    return _known(given)


def _known(given: dict[str, Any] | None) -> dict[str, Any]:
    """Without what only this process may say."""
    return {key: value for key, value in (given or {}).items() if key not in {"study", "cancelled", "tell", "image"}}


def _study(app: ExplainApp, image: str, session_id: str, file: UploadFile | None) -> Study:
    """What is to be explained: never a path that a client names."""
    if file is not None:
        name = (file.filename or "").lower()
        suffix = next((known for known in UPLOADS if name.endswith(known)), ".nii.gz")
        handle, path = tempfile.mkstemp(prefix="upload-", suffix=suffix, dir=app.folder)
        with os.fdopen(handle, "wb") as stream:
            shutil.copyfileobj(file.file, stream)
        return Study("the upload", Path(path), Path(path), stored=False)
    if session_id:
        session = app.sessions().get_session(checked_name(session_id, "session"))
        if not session:
            raise ImageNotFoundException(f"there is no session '{session_id}'")
        return Study("the upload", Path(session.image), Path(session.image), stored=False)
    if not image:
        raise RequestError("no study was named", hint="give image, file or session_id")
    study: Study = app.datastore().study(image)
    return study
