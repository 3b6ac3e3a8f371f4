"""What is said of a range of slices, each of which has an answer and a test of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def explained(slices: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The answers of slices that have maps, in the scan's order."""
    return [answer for answer in slices["answers"] if answer.get("explanation")]


def evidence_of(slices: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By map, as of one case: supported if every slice's map that was tested is, and each slice's verdict in words."""
    found: dict[str, dict[str, Any]] = {}
    for answer in explained(slices):
        for key, evidence in answer["explanation"]["evidence"].items():
            one = found.setdefault(key, {"supported": None, "verdict": "", "in_words": []})
            if evidence["supported"] is not None:
                one["supported"] = evidence["supported"] and one["supported"] is not False
            one["in_words"].append(f"Slice {answer['index']}: {evidence['verdict']}.")
    return found


def strongest(slices: Mapping[str, Any], lead: str) -> Mapping[str, Any] | None:
    """The tested slice with the highest probability of its class; ``None`` if none was tested."""
    tested = [answer for answer in explained(slices) if answer["explanation"]["evidence"].get(lead)]
    return max(tested, key=_probability, default=None)


def prediction_of(answer: Mapping[str, Any], slices: Mapping[str, Any]) -> dict[str, Any]:
    """What a slice's answer presumes, and whether it holds only if that is there, as the prediction of one image says.

    Args:
        answer: one of a slice with maps.
        slices: that it is of.
    """
    return {"presumes": slices.get("presumes"), "unconfirmed": answer["flag"] == "unconfirmed"}


def kept(slices: Mapping[str, Any], lead: str) -> list[dict[str, Any]]:
    """A row for each slice, for the panel and the scene."""
    return [
        {
            "index": answer["index"],
            "class": answer["class"],
            "class_if_present": answer["class_if_present"],
            "presumes": slices.get("presumes"),
            "probability": None if _most_probable(answer) is None else _probability(answer),
            "verdict": ((answer.get("explanation") or {}).get("evidence", {}).get(lead) or {}).get("verdict", ""),
            "flag": answer["flag"],
            "centre_ras": list(answer["centre_ras_mm"]),
        }
        for answer in slices["answers"]
    ]


def _probability(answer: Mapping[str, Any]) -> float:
    name = _most_probable(answer)
    return 0.0 if name is None else float(answer["probabilities"][name])


def _most_probable(answer: Mapping[str, Any]) -> str | None:
    """The class; of a slice that nobody confirmed, the one that it would have."""
    name: str | None = answer["class"] or answer["class_if_present"]
    return name
