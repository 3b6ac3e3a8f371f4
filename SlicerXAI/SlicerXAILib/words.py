"""The words that the panel puts on what the worker names: stages, qualities, times, probabilities."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _


def quality_title(quality: str) -> str:
    """A quality's name on screens."""
    return {
        "quick": _("Quick"),
        "standard": _("Standard"),
        "thorough": _("Thorough"),
        "until_certain": _("Until certain"),
    }[quality]


def quality_meaning(quality: str) -> str:
    """What one gets for the time, in a sentence."""
    return {
        "quick": _("A first look: fewer masked images, and no verdict on the map."),
        "standard": _("The bundle's own settings, with a verdict on the map."),
        "thorough": _("Four times the masked images over twice the segmentations."),
        "until_certain": _("Goes on until the strongest regions are told apart, or a bound is reached."),
    }[quality]


def quality_entry(quality: str, expected: Mapping[str, Any] | None, slices: int = 1) -> str:
    """An entry of the quality selector, with the time that so many slices are expected to take, where it is known."""
    if not expected or expected.get("seconds") is None:
        return quality_title(quality)
    time = duration(slices * float(expected["seconds"]))
    if expected.get("at_most"):
        return _("{quality} (at most {time})").format(quality=quality_title(quality), time=time)
    return _("{quality} (about {time})").format(quality=quality_title(quality), time=time)


def duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 1.5:
        return _("1 s")
    if seconds < 90:
        return _("{seconds} s").format(seconds=round(seconds))
    if seconds < 5400:
        return _("{minutes} min").format(minutes=round(seconds / 60))
    return _("{hours} h").format(hours=round(seconds / 3600, 1))


def stage_title(stage: str) -> str:
    """What is being done; a stage without words of its own is shown as the worker names it."""
    return {
        "starting": _("Starting the engine"),
        "loading": _("Loading the bundle"),
        "reading": _("Reading the volume"),
        "preparing": _("Preparing the input"),
        "measuring": _("Measuring the speed"),
        "regions": _("Finding regions"),
        "evidence": _("Testing the map on the model"),
        "writing": _("Writing"),
    }.get(stage) or method_title(stage, stage)


def method_title(method: str, title: str) -> str:
    """A method's name; one without words of its own is shown by its title as the engine gives it."""
    return {
        "gradcam": _("Grad-CAM"),
        "gradcam++": _("Grad-CAM++"),
        "hirescam": _("HiResCAM"),
        "layercam": _("LayerCAM"),
        "xgradcam": _("XGrad-CAM"),
        "eigencam": _("Eigen-CAM"),
        "lime": _("LIME"),
        "fused": _("Fused"),
        "occlusion": _("Occlusion"),
        "mean": _("Mean"),
        "geometric": _("Geometric mean"),
        "rank": _("Rank mean"),
    }.get(method, title)


def map_title(key: str, kind: str, title: str) -> str:
    """An entry of the map selector.

    Args:
        key: of the map: a method's, with ``.std`` for its deviation, or ``agreement``.
        kind: ``evidence``, ``spread`` or ``agreement``.
        title: as the scene names it.
    """
    if kind == "agreement":
        return _("Agreement of methods")
    if kind == "spread":
        method = key.removesuffix(".std")
        return _("Uncertainty of {map}").format(map=method_title(method, method))
    return method_title(key, title)


def region_name(number: int, name: str) -> str:
    """A region of the table: its own name, or its number, after the slice that it lies in."""
    found = re.fullmatch(r"(?:Slice (\d+): )?(.*)", name)
    assert found is not None
    slice_number, own = found.groups()
    own = _("Region {number}").format(number=number) if own == f"Region {number}" else own
    return own if slice_number is None else _("Slice {index}: {stage}").format(index=slice_number, stage=own)


def level_name(key: str, name: str) -> str:
    """A level of evidence by its key; one without words of its own is shown as the engine names it."""
    return {
        "strong_for": _("Strong evidence for"),
        "moderate_for": _("Moderate evidence for"),
        "against": _("Evidence against"),
        "agreement": _("Methods agree"),
        "conflict": _("Methods conflict"),
    }.get(key, name)


def level_meaning(key: str, meaning: str) -> str:
    """What a level says, in a sentence; as the engine says it where there are no words of its own."""
    return {
        "strong_for": _("At least half of the map's largest magnitude, for the class."),
        "moderate_for": _("A quarter to a half of the largest magnitude, for the class."),
        "against": _("At least a quarter of the largest magnitude, against the class."),
        "agreement": _("The CAM and LIME both point the same way here."),
        "conflict": _("The CAM and LIME point opposite ways here."),
    }.get(key, meaning)


def progress_text(event: Mapping[str, Any]) -> str:
    """The line below the progress bar, from an event ``progress``."""
    title = stage_title(str(event.get("stage", "")))
    if event.get("slice") is not None:
        title = _("Slice {index}: {stage}").format(index=event["slice"], stage=title)
    left = event.get("seconds_left")
    if left is None:
        return _("{stage} ...").format(stage=title)
    return _("{stage}: {time} left").format(stage=title, time=duration(float(left)))


def percent(probability: float) -> str:
    """A probability; never 100 % or 0 % for what is not."""
    if 0.999 < probability < 1:
        return "> 99.9 %"
    if 0 < probability < 0.001:
        return "< 0.1 %"
    return f"{100 * probability:.1f} %"


def difference(before: float, after: float) -> str:
    """The change of a probability, in percentage points, with its sign."""
    return _("{points:+.1f} points").format(points=100 * (after - before))


def memory(size: float | None) -> str:
    """Bytes in GB; empty if they are not known."""
    return "" if size is None else f"{size / 1e9:.0f} GB"


def device_entry(device: Mapping[str, Any]) -> str:
    """An entry of the device selector: the name and its memory."""
    title = str(device.get("title") or device["name"])
    processor = re.fullmatch(r"CPU, (\d+) cores \((.*)\)", title)
    if processor is not None:
        title = _("CPU, {cores} cores ({machine})").format(cores=processor[1], machine=processor[2])
    size = memory(device.get("memory_bytes"))
    return f"{title}, {size}" if size else title


def badge(supported: bool | None) -> str:
    """The verdict on a map in one or two words."""
    if supported is None:
        return _("NOT JUDGED")
    return _("SUPPORTED") if supported else _("NOT SUPPORTED")


def flag_words(flag: str | None) -> str:
    """Why a slice has no class."""
    return {
        None: "",
        "constant": _("empty"),
        "out of domain": _("outside the training domain: no class"),
        "other sequence": _("another sequence than the training data: no class"),
        "unconfirmed": _("no class unless somebody confirms it"),
    }.get(flag, str(flag))


def baseline_title(baseline: str, kept: str) -> str:
    """A row of the what-if table."""
    if kept == "part":
        return _("only this part, the rest {baseline}").format(baseline=filling(baseline))
    return _("without it, {baseline} in its place").format(baseline=filling(baseline))


def filling(baseline: str) -> str:
    """What a part of the image is replaced by; the engine names it ``mean``, ``blur (sigma_mm 3)`` and the like."""
    blurred = re.fullmatch(r"blur \(sigma_mm ([\d.]+)\)", baseline)
    if blurred is not None:
        return _("an image blurred by {size} mm").format(size=blurred[1])
    return {
        "constant": _("the bundle's constant value"),
        "mean": _("the mean"),
        "median": _("the median"),
        "blur": _("a blurred image"),
    }.get(baseline, baseline)
