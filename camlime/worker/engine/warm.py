"""What is kept between requests, within bounds: bundles, models on devices, scans, prepared inputs, explanations."""

from __future__ import annotations

import gc
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from camlime.bundle import Bundle
from camlime.bundle.shipped import find_bundle
from camlime.classifier import Classifier
from camlime.explanation import Explanation
from camlime.pipeline import Prepared, classifier_of
from camlime.scan import Scan
from camlime.slices import SliceExplanations, SliceStack
from camlime.view import input_around
from camlime.worker.engine.arrays import scan_from_array
from camlime.worker.engine.cutting import single, stack_of
from camlime.worker.engine.describe import blank_input
from camlime.worker.engine.task import Task

Value = TypeVar("Value")

MOST_EXPLANATIONS = 64
EXPLANATION_BYTES = 1 << 29


class Kept(Generic[Value]):
    """The values used last, at most so many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value that is kept, or a new one, for which the one that was not used for longest goes."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        while len(self._values) >= self._most:
            self._values.popitem(last=False)
        self._values[key] = value = make()
        return value

    def forget(self, key: Hashable) -> None:
        """Let go of one, if it is there."""
        self._values.pop(key, None)

    def clear(self) -> None:
        """Let go of all."""
        self._values.clear()


@dataclass(frozen=True)
class Ready:
    """A case that can be asked about, and how fast its model answers.

    Args:
        scan: ``None`` for a blank input.
        bundle: its model.
        prepared: the input and the model on its device.
        speed: shared by all cases of the same model, device and input size.
        stack: the slices of which ``scan`` is one; ``None`` where it is a scan of its own.
    """

    scan: Scan | None
    bundle: Bundle
    prepared: Prepared
    speed: Speed
    stack: SliceStack | None = None


@dataclass(frozen=True)
class Model:
    """A bundle's model on its device.

    Args:
        bundle: whose.
        classifier: the model.
        bundle_key: changes when the bundle does.
        key: of the model, with its device and settings.
    """

    bundle: Bundle
    classifier: Classifier
    bundle_key: Hashable
    key: Hashable


@dataclass
class Speed:
    """Seconds a pass takes; as measured on one batch, later as seen in explanations, which do more than passes."""

    seconds_per_pass: float


@dataclass(frozen=True)
class Done:
    """An explanation that may be exported, or those of a range of slices, and the request that asked for it."""

    explanation: Explanation | SliceExplanations
    request: dict[str, Any]

    @property
    def bytes(self) -> int:
        """Memory that its volumes take."""
        if isinstance(self.explanation, Explanation):
            return _bytes_of(self.explanation)
        return sum(map(_bytes_of, self.explanation.explanations.values()))


def _bytes_of(explanation: Explanation) -> int:
    maps = [array for a in explanation.attributions.values() for array in (a.values, a.std) if array is not None]
    arrays = [*maps, explanation.regions.labels, explanation.input.image.numpy(), explanation.input.valid.numpy()]
    return sum(array.nbytes for array in arrays)


class Explanations:
    """The last explanations, as many as fit into so much memory; the last of all is always there."""

    def __init__(self, most: int = MOST_EXPLANATIONS, most_bytes: int = EXPLANATION_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._done: OrderedDict[str | int, Done] = OrderedDict()

    def put(self, name: str | int, done: Done) -> None:
        """Keep the explanation of a request."""
        self._done.pop(name, None)
        self._done[name] = done
        while len(self._done) > 1 and (len(self._done) > self._most or self._bytes > self._most_bytes):
            self._done.popitem(last=False)

    def find(self, name: str | int) -> Done | None:
        """The explanation of a request, if it is still kept."""
        return self._done.get(name)

    @property
    def _bytes(self) -> int:
        return sum(done.bytes for done in self._done.values())


class Warm:
    """All that is kept. A file or folder that changed on disk is read again."""

    def __init__(self) -> None:
        self.explanations = Explanations()
        self._bundles: Kept[Bundle] = Kept(4)
        self._classifiers: Kept[Classifier] = Kept(3)
        self._scans: Kept[Scan] = Kept(2)
        self._inputs: Kept[Any] = Kept(4)
        self._speeds: Kept[Speed] = Kept(16)

    def clear(self) -> None:
        """Give memory back; explanations, which could not be made again, stay."""
        for kept in (self._bundles, self._classifiers, self._scans, self._inputs, self._speeds):
            kept.clear()
        gc.collect()
        torch.cuda.empty_cache()

    def bundle(self, name: str, *, trust_code: bool = False) -> Bundle:
        """Read a bundle; errors as :meth:`camlime.Bundle.load`."""
        return self._bundles.get(_bundle_key(name, trust_code), lambda: Bundle.load(name, trust_code=trust_code))

    def scan(self, asked: str | dict[str, Any], series: str | None) -> Scan:
        """Read a scan; errors as :meth:`camlime.Scan.read`."""
        if isinstance(asked, dict):
            return self._scans.get(_scan_key(asked, series), lambda: scan_from_array(asked))
        return self._scans.get(_scan_key(asked, series), lambda: Scan.read(asked, series=series))

    def model(self, task: Task, *, amp: bool = False, batch_size: int | None = None) -> Model:
        """The model that a request asks.

        Raises:
            Stopped: cancelled before it was there.
            CamlimeError: as :meth:`camlime.Bundle.load`, and for a device that is not there.
        """
        request = task.request
        name, trust, device = request["bundle"], request.get("trust_code", False), request.get("device", "auto")
        task.stage("loading")
        bundle_key = _bundle_key(name, trust)
        bundle = self.bundle(name, trust_code=trust)
        classifier_key = (bundle_key, device, amp, batch_size)

        def on_device() -> Classifier:
            torch.cuda.empty_cache()  # of the model that had to go
            return classifier_of(bundle, device=device, amp=amp, batch_size=batch_size)

        return Model(bundle, self._classifiers.get(classifier_key, on_device), bundle_key, classifier_key)

    def ready(self, task: Task, *, amp: bool = False, batch_size: int | None = None) -> Ready:
        """The case of a request, with the model on its device and its batch size measured.

        Where the request names one slice of a volume, the case is that slice.

        Raises:
            Stopped: cancelled between two steps.
            CamlimeError: as :func:`camlime.explain`.
        """
        request = task.request
        model = self.model(task, amp=amp, batch_size=batch_size)
        bundle, classifier = model.bundle, model.classifier
        task.stage("reading")
        asked, series = request.get("scan"), request.get("series")
        scan = self.scan(asked, series) if asked is not None else None
        stack = None
        if scan is not None and "slices" in request:
            stack = stack_of(scan, bundle, request["slices"])
            scan = stack.slice(single(stack, request["slices"]))
        task.stage("preparing")
        if scan is None or asked is None:
            prepared = Prepared(blank_input(bundle), classifier)
        else:
            whole = scan
            point = tuple(request["point"]) if "point" in request else None
            input_key = (_scan_key(asked, series), model.bundle_key, point, str(request.get("slices")))
            prepared = Prepared(self._inputs.get(input_key, lambda: input_around(whole, bundle, point)), classifier)
        task.stage("measuring")
        return Ready(scan, bundle, prepared, self.speed(model, prepared.input.image), stack)

    def speed(self, model: Model, image: Tensor) -> Speed:
        """How fast a model answers to images ``(C, *S)`` of this size."""
        key = (model.key, tuple(image.shape))
        return self._speeds.get(key, lambda: Speed(_seconds_per_pass(model.classifier, image)))


def _seconds_per_pass(classifier: Classifier, image: Tensor) -> float:
    size = classifier.batch_size(image)
    batch = image.expand(size, *image.shape).contiguous()
    started = time.perf_counter()
    classifier.logits_of_batch(batch)
    return (time.perf_counter() - started) / size


def _bundle_key(name: str, trust_code: bool) -> Hashable:
    root = find_bundle(name)
    return str(root), trust_code, stamp(root / "configs"), stamp(root / "models")


def _scan_key(asked: str | dict[str, Any], series: str | None) -> Hashable:
    if isinstance(asked, dict):
        told = str(asked["affine_ras"]), asked.get("name"), str(asked.get("header"))
        return asked["array"], *told, stamp(Path(asked["array"]))
    return asked, series, stamp(Path(asked))


def stamp(path: Path) -> Hashable:
    """Changes when a file does; of a folder, with all files below it."""
    try:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        stats = [(str(file), file.stat()) for file in files]
    except OSError:
        return None
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
