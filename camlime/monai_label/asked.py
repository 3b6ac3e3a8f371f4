"""What a client asks of an infer task, checked before any work."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from camlime.cli.places import Place, Triple
from camlime.errors import RequestError
from camlime.levels import EVIDENCE_LEVELS
from camlime.worker.requests import QUALITIES

PREDICTED = "predicted"
"""Stands for the class that the model predicts, in clients that offer a list."""

EXTENSIONS = (".nii.gz", ".nii", ".nrrd")
FLOATS = ("float16", "float32", "float64", "float")
INTEGERS = ("uint8", "uint16", "int8", "int16", "int32")

_NUMBERS = ("budget", "evidence_budget", "seed", "n_regions", "segmentations")
_LONGEST_TAG = 64


@dataclass(frozen=True)
class Asked:
    """One request for an explanation.

    Args:
        place: where to look; may be nowhere.
        class_name: to explain; ``None`` for the predicted one.
        settings: of :func:`camlime.explain`.
        dtype: number type of the volume: a float for the map, an integer for its levels of evidence.
        extension: of its file.
        compress: whether a NRRD is compressed.
        save_label: whether the datastore keeps it.
        tag: under which; ``None`` for the task's own name.
    """

    place: Place
    class_name: str | None
    settings: Mapping[str, Any]
    dtype: str = "uint8"
    extension: str = ".nii.gz"
    compress: bool = True
    save_label: bool = False
    tag: str | None = None

    @property
    def wants_map(self) -> bool:
        """Whether the float map is wanted, not its levels."""
        return self.dtype in FLOATS

    @property
    def key(self) -> tuple[Any, ...]:
        """What an explanation depends on, beside the study, the bundle, the method and the point."""
        return self.class_name, tuple(sorted(self.settings.items()))


def asked_of(request: Mapping[str, Any], quality: str = "standard") -> Asked:
    """Read the parameters that mean something here; clients send many more, which are ignored.

    Args:
        request: as MONAI Label hands it over; see docs/monai-label.md.
        quality: where the client gives none.

    Raises:
        RequestError: a value is not what it has to be.

    Example:
        >>> asked = asked_of({"point": "-62 14 -120", "result_dtype": "float32", "quality": "quick"})
        >>> asked.place.ras, asked.wants_map, asked.settings["evidence_budget"]
        ((-62.0, 14.0, -120.0), True, 0)
    """
    chosen = _chosen(request, "quality") or quality
    if chosen not in QUALITIES:
        raise RequestError(f"there is no quality '{chosen}'", hint=f"qualities: {', '.join(QUALITIES)}")
    class_name = _chosen(request, "class_name")
    return Asked(
        place=_place(request),
        class_name=None if class_name == PREDICTED else class_name,
        settings={**QUALITIES[chosen], **_numbers(request)},
        dtype=_among(request, "result_dtype", (*FLOATS, *INTEGERS), "uint8"),
        extension=_among(request, "result_extension", EXTENSIONS, ".nii.gz"),
        compress=_switch(request, "result_compress", default=True),
        save_label=_switch(request, "save_label", default=False),
        tag=checked_name(str(request["label_tag"]), "label_tag") if request.get("label_tag") else None,
    )


def checked_name(name: str, what: str) -> str:
    """An id or a tag that can only ever be a file name, never a way into another folder.

    Raises:
        RequestError: it is empty or too long, begins with a dot or holds a separator or a control character.
    """
    if not name or len(name) > 255 or name.startswith(".") or re.search(r"[/\\\x00-\x1f]", name):
        raise RequestError(f"'{name[:_LONGEST_TAG]}' is no {what}", hint="it has to be a plain name, without folders")
    return name


def _chosen(request: Mapping[str, Any], key: str) -> str | None:
    """A text; of a list of choices, as plug-ins have it, the first."""
    value = request.get(key)
    if isinstance(value, list) and value:
        value = value[0]
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise RequestError(f"'{key}' has to be a text")
    return value


def _among(request: Mapping[str, Any], key: str, known: tuple[str, ...], default: str) -> str:
    value = _chosen(request, key) or default
    if value not in known:
        raise RequestError(f"'{key}' cannot be '{value[:40]}'", hint=f"one of: {', '.join(known)}")
    return value


def _switch(request: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = request.get(key, default)
    if isinstance(value, str) and value.lower() in {"true", "false", "1", "0"}:
        return value.lower() in {"true", "1"}
    if not isinstance(value, (bool, int)):
        raise RequestError(f"'{key}' has to be true or false")
    return bool(value)


def _numbers(request: Mapping[str, Any]) -> dict[str, int]:
    given: dict[str, int] = {}
    for key in _NUMBERS:
        value = request.get(key)
        if value is None or value == "":
            continue
        if isinstance(value, bool) or not str(value).isdecimal() or int(value) >= 1 << 31:
            raise RequestError(f"'{key}' has to be a whole number")
        given[key] = int(value)
    return given


def _place(request: Mapping[str, Any]) -> Place:
    """RAS or LPS mm by name, or the last point that was clicked in a viewer, a voxel index."""
    ras, lps = _triple(request.get("point"), "point"), _triple(request.get("point_lps"), "point_lps")
    if ras is not None and lps is not None:
        raise RequestError("both 'point' and 'point_lps' were given", hint="give one of them")
    if ras is not None or lps is not None:
        return Place(ras=ras, lps=lps)
    clicks = [request.get(key) for key in ("foreground", *[level.name for level in EVIDENCE_LEVELS])]
    clicked = [points[-1] for points in clicks if isinstance(points, list) and points]
    return Place(voxel=_triple(clicked[-1], "foreground")) if clicked else Place()


def _triple(value: Any, key: str) -> Triple | None:
    if value is None or value in ("", []):
        return None
    numbers: Any = value
    if isinstance(value, str):
        try:
            numbers = json.loads(value) if value.lstrip().startswith("[") else value.replace(",", " ").split()
        except ValueError:
            numbers = None
    try:
        x, y, z = (float(number) for number in numbers)
    except (TypeError, ValueError):
        raise RequestError(f"'{key}' has to be three numbers", hint="for instance -62 14 -120") from None
    return x, y, z
