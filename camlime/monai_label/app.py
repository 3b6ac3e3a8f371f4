"""The MONAI Label app: its datastore, tasks, strategies and scoring, and how an infer request runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dicomweb_client.session_utils import create_session_from_user_pass
from monailabel.config import settings
from monailabel.datastore.dicom import DICOMwebClientX
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random

from camlime.errors import CamlimeError, RequestError
from camlime.monai_label.asked import asked_of
from camlime.monai_label.datastores import Archive, Folder
from camlime.monai_label.explainer import Explainer
from camlime.monai_label.jobs import Job, Jobs
from camlime.monai_label.ordering import DoubtfulFirst, DoubtScoring, remember
from camlime.monai_label.results import brief
from camlime.monai_label.study import Study
from camlime.monai_label.tasks import ExplainTask, tasks_of
from camlime.version import __version__

SCORING = "doubt"


class ExplainApp(MONAILabelApp):
    """Explanations of the studies in a folder or on a DICOMweb server.

    Args:
        explainer: with the bundles.
        studies: a folder, or a DICOMweb server's address.
        folder: of this server's own, for uploads and results until they are sent.
        quality: of explanations, where a client gives none.
        score: whether to score all studies as soon as the server runs.
    """

    def __init__(self, explainer: Explainer, *, studies: str, folder: Path, quality: str, score: bool) -> None:
        self.folder = folder
        self._tasks = tasks_of(explainer, quality=quality, folder=folder)
        self._bundles = tuple(explainer.bundles)
        self._quality = quality
        self._score = score
        self.scoring_jobs, self.batch_jobs = Jobs("scoring"), Jobs("batch_infer")
        super().__init__(
            str(folder),
            studies,
            {},
            name="camlime",
            description="Why a classifier answers as it does, on the patient's own volume. Not for diagnosis.",
            version=__version__,
        )

    def init_datastore(self) -> Folder | Archive:
        """A folder or a DICOMweb server, guarded."""
        if not self.studies.startswith(("http://", "https://")):
            return Folder(
                self.studies,
                extensions=settings.MONAI_LABEL_DATASTORE_FILE_EXT,
                auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
                read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
            )
        user, password = settings.MONAI_LABEL_DICOMWEB_USERNAME, settings.MONAI_LABEL_DICOMWEB_PASSWORD
        client = DICOMwebClientX(
            url=self.studies.rstrip("/"),
            session=create_session_from_user_pass(user, password) if user and password else None,
            qido_url_prefix=settings.MONAI_LABEL_QIDO_PREFIX,
            wado_url_prefix=settings.MONAI_LABEL_WADO_PREFIX,
            stow_url_prefix=settings.MONAI_LABEL_STOW_PREFIX,
        )
        return Archive(
            client=client,
            search_filter=settings.MONAI_LABEL_DICOMWEB_SEARCH_FILTER,
            cache_path=settings.MONAI_LABEL_DICOMWEB_CACHE_PATH.strip() or None,
            fetch_by_frame=settings.MONAI_LABEL_DICOMWEB_FETCH_BY_FRAME,
        )

    def init_infers(self) -> dict[str, ExplainTask]:
        """The tasks of all bundles."""
        return self._tasks

    def init_strategies(self) -> dict[str, Any]:
        """The doubtful first, and two of MONAI Label's own."""
        return {SCORING: DoubtfulFirst(), "first": First(), "random": Random()}

    def init_scoring_methods(self) -> dict[str, Any]:
        """The doubt."""
        return {SCORING: DoubtScoring(self.infer_and_keep, {name: f"{name}_fused" for name in self._bundles})}

    def on_init_complete(self) -> None:
        """Begin the scoring that was asked for."""
        super().on_init_complete()
        if self._score:
            self.score_later({"method": SCORING})

    def async_scoring(self, method: str | None, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """In a thread of this process: a process of its own would write over what this one knows of the studies."""
        return self.score_later({"method": method or SCORING, **(params or {})}).as_dict()

    def score_later(self, request: Mapping[str, Any]) -> Job:
        """Score in the background.

        Raises:
            RequestError: there is no such method.
        """
        if request["method"] not in self._scoring_methods:
            known = ", ".join(self._scoring_methods)
            raise RequestError(f"there is no scoring method '{request['method']}'", hint=f"methods: {known}")

        def work(job: Job) -> Any:
            watched = {"cancelled": job.stopping.is_set, "tell": job.details.append}
            method = self._scoring_methods[request["method"]]
            return method({**request, **watched}, self.datastore())

        return self.scoring_jobs.start(request, work)

    def scoring(self, request: Mapping[str, Any], datastore: Any = None) -> Any:
        """Score at once; a job's fields with the result."""
        return self.score_later(request).wait()

    def infer(self, request: Mapping[str, Any], datastore: Any = None) -> dict[str, Any]:
        """Explain one study.

        Args:
            request: ``model``, ``image`` (the id of a study in the datastore; only this process itself can give a
                :class:`Study` that is not there) and the parameters of docs/monai-label.md.
            datastore: for MONAI Label's own callers.

        Returns:
            ``file`` and ``params`` (the JSON), and where it was kept ``label`` and ``tag``. The file is the caller's.

        Raises:
            RequestError: there is no such task, or a parameter is not what it has to be.
            ImageNotFoundException: there is no such study.
            CamlimeError: the study cannot be explained.
        """
        name = str(request.get("model"))
        task = self._tasks.get(name)
        if task is None:
            raise RequestError(f"there is no task '{name}'", hint=f"tasks: {', '.join(self._tasks)}")
        asked = asked_of(request, self._quality)
        image = request["image"]
        study = image if isinstance(image, Study) else self.datastore().study(image)
        file, answer = task({**request, "study": study})
        result = {"file": file, "label": file, "tag": DefaultLabelTag.ORIGINAL.value, "params": answer}
        if not study.stored:
            return result
        try:
            chosen = answer["slice"]
            # A slice that nobody pointed at is chosen anew: kept as a point, it would count as seen.
            pointed = chosen is None or chosen["pointed"]
            known: dict[str, Any] = {"point_ras_mm": answer["point_ras_mm"]} if pointed else {}
            probabilities = answer["prediction"]["probabilities"]
            if task.method == "fused" and answer["explained_class"] == max(probabilities, key=probabilities.get):
                known |= {"doubt": answer["doubt"], "prediction": answer["prediction"]}
            remember(self.datastore(), study.name, task.bundle, known)
            if asked.save_label:
                tags = [asked.tag] if asked.tag else self._review_tags(study.name, name, floats=asked.wants_map)
                for tag in tags:
                    info = {"model": name, "params": brief(answer)}
                    self.datastore().save_label(study.name, file, tag, info)
                result["tag"] = tags[0]
        except BaseException:
            Path(file).unlink(missing_ok=True)
            raise
        return result

    def infer_and_keep(self, request: Mapping[str, Any], datastore: Any = None) -> dict[str, Any]:
        """As :meth:`infer`, for what stays in the datastore."""
        result = self.infer(request, datastore)
        Path(result.pop("file")).unlink(missing_ok=True)
        return result

    def _review_tags(self, image: str, task: str, *, floats: bool) -> Sequence[str]:
        """The task's own tag, and the one that viewers load with the study, if no one else's work is there."""
        if floats:
            return [f"{task}_map"]
        original = DefaultLabelTag.ORIGINAL.value
        there = self.datastore().get_label_info(image, original)
        free = not there or there.get("model") in self._tasks
        return [task, original] if free and task.endswith("_fused") else [task]

    def batch_later(self, request: Mapping[str, Any]) -> Job:
        """Explain many studies with one task in the background; results are kept.

        Raises:
            RequestError: there is no such task.
        """
        if request["model"] not in self._tasks:
            raise RequestError(f"there is no task '{request['model']}'", hint=f"tasks: {', '.join(self._tasks)}")

        def work(job: Job) -> dict[str, Any]:
            done: dict[str, Any] = {}
            for image in self._images_of(request):
                if job.stopping.is_set():
                    break
                asked = {**request, "image": image, "save_label": True, "cancelled": job.stopping.is_set}
                try:
                    done[image] = brief(self.infer_and_keep(asked)["params"])
                    job.details.append(f"{image}: explained")
                except CamlimeError as error:
                    done[image] = {"error": str(error)}
                    job.details.append(f"{image}: {error}")
            return done

        return self.batch_jobs.start(request, work)

    def batch_infer(self, request: Mapping[str, Any], datastore: Any = None) -> Any:
        """At once; a job's fields with the result."""
        return self.batch_later(request).wait()

    def _images_of(self, request: Mapping[str, Any]) -> list[str]:
        wanted = request.get("images", "all")
        wanted = getattr(wanted, "value", wanted)
        choices: dict[str, Callable[[], list[str]]] = {
            "all": self.datastore().list_images,
            "labeled": lambda: self.datastore().get_labeled_images(None, None),
            "unlabeled": lambda: self.datastore().get_unlabeled_images(None, None),
        }
        return sorted(choices[wanted]() if isinstance(wanted, str) else wanted)
