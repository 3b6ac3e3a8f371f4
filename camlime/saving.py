"""An explanation on disk: volumes, ``explanation.json`` and the picture, all of them or none.

Everything is written into a hidden folder beside its final place and then moved, ``explanation.json`` last: a run that
fails on the way (disk full, no permission) leaves nothing half-written, and a reader that finds the JSON finds all that
it names. What an earlier explanation in the same folder named is gone afterwards, or all still there after a failure.
"""

from __future__ import annotations

import json
import math
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from camlime.attribution import Attribution
from camlime.bundle.model_input import ModelInput
from camlime.errors import OutputError
from camlime.evidence.records import Evidence
from camlime.explanation import Explanation, Prediction
from camlime.methods.agreement import Agreement
from camlime.overview import draw_overview
from camlime.regions import Regions
from camlime.resampling import resample
from camlime.scan import load_label_map, save_volume
from camlime.scan.scan import Scan

FORMAT = "camlime explanation 1"
JSON_NAME = "explanation.json"
NATIVE = "native"
"""Sub-folder for the maps on the scan's own grid."""

_OVERVIEW = "overview.png"
_ASIDE = ".earlier-"


def save_explanation(explanation: Explanation, folder: Path, *, native: Scan | None = None) -> list[Path]:
    """Write an explanation to a folder, which is made if it is not there, in place of an earlier one.

    Every file that the earlier ``explanation.json`` names goes, also those that the new one does not write; other files
    stay.

    Args:
        explanation: what to write.
        folder: where to.
        native: the scan; if given, maps (trilinear) and regions (nearest neighbour) are also written on its grid, in
            ``native/``.

    Returns:
        The files, ``explanation.json`` first.

    Raises:
        OutputError: it cannot be written; nothing new is left behind, and an earlier explanation stays as it was.
    """
    with staged(folder, instead_of=_earlier_files) as stage:
        names = _write_volumes(explanation, stage)
        if native is not None:
            (stage / NATIVE).mkdir()
            names += _write_native(explanation, native, stage)
        draw_overview(explanation, stage / _OVERVIEW)
        record = record_of(explanation, native=native is not None)
        (stage / JSON_NAME).write_text(json.dumps(plain(record), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return [folder / name for name in (JSON_NAME, _OVERVIEW, *names)]


def load_explanation(folder: str | Path) -> Explanation:
    """Read what :func:`save_explanation` wrote.

    Raises:
        OutputError: it is not such a folder, or a file is missing or damaged.
    """
    folder = Path(folder)
    try:
        record = json.loads((folder / JSON_NAME).read_text(encoding="utf-8"))
        if record.get("format") != FORMAT:
            raise OutputError(f"{folder / JSON_NAME} has format {record.get('format')!r}, not {FORMAT!r}")
        return _read(record, folder)
    except FileNotFoundError as error:
        raise OutputError(f"{error.filename} is missing", hint="give a folder that camlime explain wrote") from error
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise OutputError(f"{folder / JSON_NAME} is damaged: {error!r}", hint="explain the scan again") from error


@contextmanager
def staged(folder: Path, *, instead_of: Callable[[Path], Iterable[Path]] = lambda folder: ()) -> Iterator[Path]:
    """A hidden folder inside ``folder`` whose files are moved up when the block ends well, and are gone if it fails.

    Args:
        folder: where the files belong; made if it is not there.
        instead_of: tells, for ``folder``, the files to remove as the new ones come, relative to it.

    Raises:
        OutputError: the folder cannot be made or written to, or something that is no file is in the way; what was in
            the folder is there unchanged.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    stage: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".camlime-", dir=folder))
        yield stage
        _move_in(stage, folder, instead_of(folder))
        shutil.rmtree(stage, ignore_errors=True)
    except BaseException as error:
        if stage is not None and not any(stage.glob(f"{_ASIDE}*/**/*.*")):
            shutil.rmtree(stage, ignore_errors=True)
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        if isinstance(error, OSError):
            why = error.strerror or str(error)
            raise OutputError(
                f"cannot write to {folder}: {why}", hint="give --output a folder that you may write to, with space left"
            ) from error
        raise


def _move_in(stage: Path, folder: Path, stale: Iterable[Path]) -> None:
    """Move the files of ``stage`` into ``folder`` and those they replace aside; all of them or none.

    The JSON is the first to go and the last to come, so that at no time one is there whose files are not.
    """
    new = sorted((p.relative_to(stage) for p in stage.rglob("*") if p.is_file()), key=lambda p: p.name == JSON_NAME)
    for name in new:
        _check_free(folder, name)
    aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=stage))
    leaving = [name for name in {*new, *stale} if (folder / name).is_file() or (folder / name).is_symlink()]
    leaving.sort(key=lambda p: p.name != JSON_NAME)
    moves = [(folder / name, aside / name) for name in leaving] + [(stage / name, folder / name) for name in new]
    made: list[Path] = []
    done: list[tuple[Path, Path]] = []
    with _interrupts_deferred() as deliver:
        try:
            for source, target in moves:
                if not target.parent.exists():
                    target.parent.mkdir()
                    made.append(target.parent)
                source.replace(target)
                done.append((source, target))
            deliver()
        except BaseException as error:
            _move_back(done, error, folder, aside)
            for path in made:
                if path.is_relative_to(folder) and not any(path.iterdir()):
                    path.rmdir()
            raise
    for left in {(folder / name).parent for name in leaving} - {folder}:
        if not any(left.iterdir()):
            left.rmdir()


def _move_back(done: list[tuple[Path, Path]], error: BaseException, folder: Path, aside: Path) -> None:
    """Undo moves, the last first.

    Raises:
        OutputError: one cannot be undone; the earlier files that could not be put back stay where they are.
    """
    stuck = False
    for source, target in reversed(done):
        try:
            target.replace(source)
        except OSError:
            stuck = True
    if stuck:
        raise OutputError(
            f"cannot write to {folder}: {error}, and not all that was there could be put back",
            hint=f"earlier files are in {aside}",
        ) from error


def _check_free(folder: Path, name: Path) -> None:
    """Find out whether a file can take this name.

    Raises:
        OutputError: a folder has it, or a file has the name of the sub-folder.
    """
    for parent in list(name.parents)[:-1]:
        if (folder / parent).exists() and not (folder / parent).is_dir():
            raise OutputError(
                f"{folder / parent} is a file, but results belong into a folder of that name",
                hint="move the file away, or give --output another folder",
            )
    if (folder / name).is_dir():
        raise OutputError(
            f"{folder / name} is a folder, but a result has that name",
            hint="move it away, or give --output another folder",
        )


@contextmanager
def _interrupts_deferred() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back while the block runs, where Python can: in the main thread.

    Yields:
        A function that hands on what was held back so far to whoever listens to Ctrl-C.
    """
    listener = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(listener):
        yield lambda: None
        return
    held: list[int] = []

    def deliver() -> None:
        if held:
            listener(held.pop(), None)

    signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield deliver
    finally:
        signal.signal(signal.SIGINT, listener)
    deliver()


def _earlier_files(folder: Path) -> list[Path]:
    """The files that an earlier explanation names, relative to its folder; none if there is none that can be read."""
    try:
        record = json.loads((folder / JSON_NAME).read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            return []
        maps = record["attributions"].values()
        names = [a.get(key) for a in maps for key in ("file", "std_file", "native_file", "native_std_file")]
        if any(a.get("native_file") for a in maps):
            names.append(f"{NATIVE}/regions.nii.gz")
        if record["input"]["padded_voxels"]:
            names.append("valid.nii.gz")
        names += [record["input"]["file"], record["regions_file"], _OVERVIEW, JSON_NAME]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    return [Path(name) for name in names if isinstance(name, str) and _is_ours(name)]


def _is_ours(name: str) -> bool:
    """Whether a name in a JSON, which anybody may have written, is one that could have been saved here."""
    stem = name.removeprefix(f"{NATIVE}/")
    plain = not set(stem) & set("/\\:\0") and not stem.startswith(".")
    return plain and (stem.endswith(".nii.gz") or name in {_OVERVIEW, JSON_NAME})


def _write_volumes(explanation: Explanation, stage: Path) -> list[str]:
    affine = explanation.input.affine
    image = explanation.input.image.numpy()
    several = image.shape[0] > 1
    save_volume(stage / "input.nii.gz", np.moveaxis(image, 0, -1) if several else image[0], affine, vector=several)
    volumes: dict[str, NDArray[Any]] = {"regions": explanation.regions.labels}
    if not bool(explanation.input.valid.all()):
        volumes["valid"] = explanation.input.valid.numpy().astype(np.uint8)
    for attribution in explanation.attributions.values():
        volumes[file_stem(attribution.method)] = attribution.values
        if attribution.std is not None:
            volumes[f"{file_stem(attribution.method)}_std"] = attribution.std
    for name, volume in volumes.items():
        save_volume(stage / f"{name}.nii.gz", volume, affine)
    return ["input.nii.gz", *[f"{name}.nii.gz" for name in volumes]]


def _write_native(explanation: Explanation, scan: Scan, stage: Path) -> list[str]:
    names = []
    volumes: dict[str, tuple[NDArray[Any], str]] = {"regions": (explanation.regions.labels, "nearest")}
    for attribution in explanation.attributions.values():
        volumes[file_stem(attribution.method)] = (attribution.values, "linear")
        if attribution.std is not None:
            volumes[f"{file_stem(attribution.method)}_std"] = (attribution.std, "linear")
    for name, (volume, mode) in volumes.items():
        resampled = resample(volume, explanation.input.affine, scan.shape, scan.affine, mode=mode)
        save_volume(stage / NATIVE / f"{name}.nii.gz", resampled, scan.affine)
        names.append(f"{NATIVE}/{name}.nii.gz")
    return names


def file_stem(method: str) -> str:
    """The file name of a method without its ending: ``gradcam++`` becomes ``gradcampp``, + being awkward in names."""
    return method.replace("+", "p")


def record_of(explanation: Explanation, *, native: bool = False) -> dict[str, Any]:
    """What ``explanation.json`` says, before :func:`plain`; with ``native``, naming maps on the scan's grid as well."""
    prediction = explanation.prediction
    return {
        "format": FORMAT,
        "complete": explanation.complete,
        "prediction": {
            "class": prediction.class_name,
            "probabilities": dict(prediction.probabilities),
            "logits": dict(prediction.logits),
        },
        "explained_class": explanation.explained_class,
        "attributions": {name: _attribution(a, native) for name, a in explanation.attributions.items()},
        "regions": explanation.region_table(),
        "regions_file": "regions.nii.gz",
        "regions_origin": explanation.regions.origin,
        "input": {
            "file": "input.nii.gz",
            "channels": int(explanation.input.image.shape[0]),
            "shape": list(explanation.input.spatial_shape),
            "spacing_mm": list(explanation.input.spacing),
            "affine_ras": explanation.input.affine.tolist(),
            "padded_voxels": int((~explanation.input.valid).sum()),
        },
        "strongest_point_ras_mm": explanation.strongest_point_ras().tolist(),
        "agreement": explanation.agreement.as_dict() if explanation.agreement else None,
        "evidence": {name: evidence.as_dict() for name, evidence in explanation.evidence.items()},
        "warnings": list(explanation.warnings),
        "provenance": dict(explanation.provenance),
    }


def _attribution(attribution: Attribution, native: bool) -> dict[str, Any]:
    stem = file_stem(attribution.method)
    with_std = attribution.std is not None
    record: dict[str, Any] = {
        "file": f"{stem}.nii.gz",
        "std_file": f"{stem}_std.nii.gz" if with_std else None,
        "forward_passes": attribution.forward_passes,
        "backward_passes": attribution.backward_passes,
        "seconds": attribution.seconds,
        "target_layer": attribution.target_layer,
        "parameters": dict(attribution.parameters),
    }
    if native:
        record["native_file"] = f"{NATIVE}/{stem}.nii.gz"
        record["native_std_file"] = f"{NATIVE}/{stem}_std.nii.gz" if with_std else None
    return record


def _read(record: Mapping[str, Any], folder: Path) -> Explanation:
    described = record["input"]
    shape = tuple(described["shape"])
    image = _volume(folder / described["file"]).reshape(*shape, described["channels"])
    valid = np.ones(shape, dtype=bool)
    if described["padded_voxels"]:
        valid = _volume(folder / "valid.nii.gz").reshape(shape) > 0
    rows = record["regions"]
    named = tuple(str(row["name"]) for row in rows) if rows and rows[0]["name"] is not None else None
    labels = load_label_map(folder / record["regions_file"])[0].reshape(shape)
    agreement = record["agreement"]
    return Explanation(
        prediction=Prediction(
            record["prediction"]["class"], record["prediction"]["probabilities"], record["prediction"]["logits"]
        ),
        explained_class=record["explained_class"],
        attributions={
            name: _read_attribution(name, a, rows, shape, folder) for name, a in record["attributions"].items()
        },
        regions=Regions(labels, names=named, origin=record["regions_origin"]),
        input=ModelInput(
            torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0))),
            np.asarray(described["affine_ras"]),
            torch.from_numpy(valid),
            tuple(described["spacing_mm"]),
        ),
        agreement=_read_agreement(agreement) if agreement else None,
        evidence={name: Evidence.from_dict(evidence) for name, evidence in record["evidence"].items()},
        provenance=record["provenance"],
        warnings=tuple(record["warnings"]),
        complete=record["complete"],
    )


def _read_agreement(record: Mapping[str, Any]) -> Agreement:
    """As it was written; a number that JSON could not hold is NaN again."""
    known: dict[str, Any] = {key: float("nan") if value is None else value for key, value in record.items()}
    return Agreement(**{**known, "interval": tuple(record["interval"])})


def _read_attribution(
    name: str, record: Mapping[str, Any], rows: list[dict[str, Any]], shape: tuple[int, ...], folder: Path
) -> Attribution:
    weighed = bool(rows) and name in rows[0].get("by_method", {})
    weights = np.array([row["by_method"][name]["weight"] for row in rows]) if weighed else None
    errors = [row["by_method"][name]["standard_error"] for row in rows] if weighed else [None]
    return Attribution(
        method=name,
        values=_volume(folder / record["file"]).reshape(shape),
        std=_volume(folder / record["std_file"]).reshape(shape) if record["std_file"] else None,
        region_weights=weights,
        region_std=None if errors[0] is None else np.array(errors, dtype=float),
        forward_passes=record["forward_passes"],
        backward_passes=record["backward_passes"],
        seconds=record["seconds"],
        target_layer=record["target_layer"],
        parameters=record["parameters"],
    )


def _volume(path: Path) -> NDArray[np.float32]:
    import nibabel

    try:
        return np.asarray(nibabel.load(path).dataobj, dtype=np.float32)
    except FileNotFoundError as error:
        raise OutputError(f"{path} is missing", hint="explain the scan again") from error
    except Exception as error:  # nibabel and gzip raise many kinds for damaged files
        raise OutputError(f"{path} is damaged: {error}", hint="explain the scan again") from error


def plain(value: Any) -> Any:
    """JSON's own types; NaN and infinities, which JSON has not, become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
