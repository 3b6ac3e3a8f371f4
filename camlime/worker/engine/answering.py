"""What all answers share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from camlime.errors import RequestError
from camlime.record import plain
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


def settings_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """Of the quality that an ``explain`` asks for, and its own.

    Raises:
        RequestError: they contradict each other.
    """
    settings = {**QUALITIES[request.get("quality", "standard")], **request.get("settings", {})}
    if "regions" in request and "n_regions" in settings:
        raise RequestError(
            "n_regions is for supervoxels, and regions gives regions of your own", hint="give one of them"
        )
    return settings


def told_prediction(prediction: Any) -> dict[str, Any]:
    """A prediction as events tell it."""
    told: dict[str, Any] = plain(prediction.as_dict())
    return told
