"""From the field ``slices`` of a request to slices of a scan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from camlime.bundle import Bundle
from camlime.errors import RequestError
from camlime.scan import Scan
from camlime.slices.stack import AS_DISPLAYED, NATIVE, SliceStack, cut, plane_of


def range_of(asked: Mapping[str, Any]) -> range:
    """The slices that are asked for, by index."""
    return range(asked["first"], last_of(asked) + 1)


def last_of(asked: Mapping[str, Any]) -> int:
    """The last of them."""
    last = asked.get("last")
    return int(asked["first"] if last is None else last)


def plane_asked(scan: Scan, asked: Mapping[str, Any]) -> str:
    """The anatomical plane that is asked for, by its name or by an axis of the scan."""
    axis = asked.get("axis")
    if axis is None:
        return str(asked["plane"])
    return NATIVE if axis == len(scan.shape) else plane_of(scan, axis)  # a picture has no axis across


def stack_of(scan: Scan, bundle: Bundle, asked: Mapping[str, Any]) -> SliceStack:
    """The scan cut as asked, held as the bundle wants it.

    Raises:
        RequestError: the bundle takes volumes, or a picture cannot be cut so.
    """
    if bundle.spatial_dims != 2:
        raise RequestError(
            f"bundle '{bundle.name}' takes whole volumes, so there are no slices to choose", hint="leave slices out"
        )
    return cut(scan, plane_asked(scan, asked), bundle.explain_settings.slices or AS_DISPLAYED)


def single(stack: SliceStack, asked: Mapping[str, Any]) -> int:
    """The one slice that is asked for.

    Raises:
        RequestError: there are several, or there is none.
    """
    if last_of(asked) > asked["first"]:
        raise RequestError("this can be asked of one slice at a time", hint="leave last out")
    return stack.checked(asked["first"])
