"""The engine's sentences in the user's language: those that it sends as text alone, recognised by their wording.

Each is listed twice, as the engine writes it, with a name in braces where it puts something in, and as a text that can
be translated. One that is not listed is shown as the engine wrote it. The tests look for each wording in the engine.
"""

from __future__ import annotations

import re
from functools import cache

from slicer.i18n import tr as _

from SlicerXAILib.words import method_title

METHOD, NESTED = "method", "words"
"""Names in braces that stand for a method's key, and for another sentence."""


def said(text: str) -> str:
    """A sentence of the engine in the user's language, or as it is.

    Example:
        >>> said("lime: what nobody has said before")
        'LIME: what nobody has said before'
    """
    for pattern, translated in zip(_patterns(), _translated(), strict=True):
        found = pattern.fullmatch(text)
        if found is not None:
            return translated.format(**{name: _inner(name, part) for name, part in found.groupdict().items()})
    return text


def _inner(name: str, part: str) -> str:
    if name == METHOD:
        return method_title(part, part)
    return said(part) if name == NESTED else part


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern_of(wording), re.DOTALL) for wording in WORDINGS)


def pattern_of(wording: str) -> str:
    """A regular expression for a sentence with names in braces."""
    parts = re.split(r"\{(\w+)\}", wording)
    kinds = {METHOD: r"[\w+]+", NESTED: r".+"}
    return "".join(
        f"(?P<{part}>{kinds.get(part, r'[^:]+?')})" if number % 2 else re.escape(part)
        for number, part in enumerate(parts)
    )


WORDINGS = (
    "{padding} of what the network sees is padding beyond the scan; it is neither explained nor shown",
    "{padding} of what the network sees is padding beyond the scan; it is neither explained nor shown. The answer "
    "itself is to be doubted: most of its input was made up",
    "what the network sees is the same everywhere: is the point right? There is nothing to explain here",
    "mixed precision on a CPU: log-odds are less exact, and unless it computes with bfloat16 in hardware all is much "
    "slower than in full precision",
    "the evidence was stopped on the way: whether the model used what the maps show is not known of all",
    "the image is unlike the training data (score {score}, beyond {threshold}, which {share} of their kind exceed): "
    "the answer means nothing",
    "this may not be {name}, which the bundle was trained on: {words}",
    "the modality is {found}, not {wanted}",
    "{described} speaks of {found}",
    "{described} does not speak of {wanted}",
    "no contrast agent is named",
    "cut short; its standard deviations hold what was sampled, and not the variation between segmentations that were "
    "not reached",
    "too few masked images for this many regions to trust the standard errors; raise the budget",
    "the map is zero everywhere: this layer says nothing about the class for this image",
    "nothing in the map speaks for the class: it is nowhere positive",
    "where the cells lie could not be worked out from the network; they were taken to divide the input evenly",
    "part of the signal goes round layer '{layer}', which the map does not show",
    "the bundle has no preprocessing: a scan is given to the network as it is",
    "Not judged: {allowed} passes of evidence are too few for this map, a verdict takes {needed}; {words}.",
    "Not judged: {allowed} passes of evidence are too few for this map, a verdict takes {needed}.",
    "the bundle's record is of {method} with CAMs, from {passes} passes on, and says nothing of this map",
    "the bundle's record is of {method} without CAMs, and says nothing of this map",
    "the bundle's record is of {method} with another {settings}, and says nothing of this map",
    "Not judged: the image leaves nothing to replace voxels by but what the map was made with.",
    "memory ran out",
    "close other programs, use another device, or a smaller scan",
    "the engine was ended by signal {number}",
    "the engine ended with exit code {number}",
    "its memory may have run out: try a smaller scan, another device or fewer regions; then see the log",
    "it is started again with the next request",
    "slice {index}: {words}",
    "{method}: {words}",
)
"""As the engine writes them."""


def _translated() -> tuple[str, ...]:
    """The same, in the same order, in the user's language."""
    return (
        _("{padding} of what the network sees is padding beyond the scan; it is neither explained nor shown"),
        _(
            "{padding} of what the network sees is padding beyond the scan; it is neither explained nor shown. The "
            "answer itself is to be doubted: most of its input was made up"
        ),
        _("what the network sees is the same everywhere: is the point right? There is nothing to explain here"),
        _(
            "mixed precision on a CPU: log-odds are less exact, and unless it computes with bfloat16 in hardware all "
            "is much slower than in full precision"
        ),
        _("the evidence was stopped on the way: whether the model used what the maps show is not known of all"),
        _(
            "the image is unlike the training data (score {score}, beyond {threshold}, which {share} of their kind "
            "exceed): the answer means nothing"
        ),
        _("this may not be {name}, which the bundle was trained on: {words}"),
        _("the modality is {found}, not {wanted}"),
        _("{described} speaks of {found}"),
        _("{described} does not speak of {wanted}"),
        _("no contrast agent is named"),
        _(
            "cut short; its standard deviations hold what was sampled, and not the variation between segmentations "
            "that were not reached"
        ),
        _("too few masked images for this many regions to trust the standard errors; raise the budget"),
        _("the map is zero everywhere: this layer says nothing about the class for this image"),
        _("nothing in the map speaks for the class: it is nowhere positive"),
        _("where the cells lie could not be worked out from the network; they were taken to divide the input evenly"),
        _("part of the signal goes round layer '{layer}', which the map does not show"),
        _("the bundle has no preprocessing: a scan is given to the network as it is"),
        _("Not judged: {allowed} passes of evidence are too few for this map, a verdict takes {needed}; {words}."),
        _("Not judged: {allowed} passes of evidence are too few for this map, a verdict takes {needed}."),
        _("the bundle's record is of {method} with CAMs, from {passes} passes on, and says nothing of this map"),
        _("the bundle's record is of {method} without CAMs, and says nothing of this map"),
        _("the bundle's record is of {method} with another {settings}, and says nothing of this map"),
        _("Not judged: the image leaves nothing to replace voxels by but what the map was made with."),
        _("memory ran out"),
        _("close other programs, use another device, or a smaller scan"),
        _("the engine was ended by signal {number}"),
        _("the engine ended with exit code {number}"),
        _("its memory may have run out: try a smaller scan, another device or fewer regions; then see the log"),
        _("it is started again with the next request"),
        _("slice {index}: {words}"),
        _("{method}: {words}"),
    )
