"""What is to be explained, made from the panel's choices and checked before any work begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from SlicerXAILib.bundles import BundleInfo
from SlicerXAILib.inputs import Plane
from SlicerXAILib.problems import InputError
from SlicerXAILib.views import is_inside, markup_point, shown_slice

MOST_SLICES = 50


@dataclass(frozen=True)
class Case:
    """One volume, one bundle, one place.

    Args:
        volume: the volume node.
        bundle: what is asked.
        point: RAS mm in the volume's own frame, where the bundle looks at one place.
        planes: the slices that a 2D bundle gets, one explanation each; ``(None,)`` for the volume as it is.
        class_name: the class to explain; empty for the predicted one.
        device: a name that the worker gave, or ``auto``.
        quality: ``quick``, ``standard``, ``thorough``, ``until_certain``.
        regions: segmentation node or ``None``.
        trusted: whether the bundle may run code of its own.
    """

    volume: Any
    bundle: BundleInfo
    point: tuple[float, float, float] | None
    planes: tuple[Plane | None, ...]
    class_name: str
    device: str
    quality: str
    regions: Any | None
    trusted: bool

    def fields(self) -> dict[str, Any]:
        """The fields of a request that do not depend on the slice, without the scan."""
        return {
            "bundle": self.bundle.name,
            "point": None if self.point is None else list(self.point),
            "device": self.device,
            "trust_code": self.trusted,
        }


def case_of(
    parameters: Any, bundle: BundleInfo | None, slice_node: Callable[[str], Any | None], *, trusted: bool
) -> Case:
    """The case that the panel's choices describe.

    Args:
        parameters: the parameter node.
        bundle: what is known of the chosen bundle; ``None`` if nothing is.
        slice_node: the slice view's node by its layout name.
        trusted: whether the bundle may run code of its own.

    Raises:
        InputError: something is missing or does not fit, and what to do.
    """
    volume = parameters.volume
    if volume is None:
        raise InputError(_("There is no volume to explain."), _("Load one, or choose it above."))
    if volume.GetImageData() is None:
        raise InputError(_("The volume '{name}' is empty.").format(name=volume.GetName()), _("Choose another volume."))
    if bundle is None:
        raise InputError(_("No bundle is ready."), _("Choose a bundle, and wait until the engine has read it."))
    if parameters.class_name and parameters.class_name not in bundle.class_names:
        raise InputError(
            _("The bundle has no class '{name}'.").format(name=parameters.class_name), _("Choose another class.")
        )
    return Case(
        volume=volume,
        bundle=bundle,
        point=_point(parameters, bundle, volume),
        planes=_planes(parameters, bundle, volume, slice_node),
        class_name=parameters.class_name,
        device=parameters.device or "auto",
        quality=parameters.quality,
        regions=parameters.regions,
        trusted=trusted,
    )


def _point(parameters: Any, bundle: BundleInfo, volume: Any) -> tuple[float, float, float] | None:
    if not bundle.needs_point:
        return None
    point = markup_point(parameters.point, volume)
    if point is None:
        raise InputError(
            _("This bundle looks at one place, and no point says where."),
            _("Press 'Place', then click on the place in a slice view."),
        )
    if not is_inside(volume, point):
        raise InputError(_("The point lies outside the volume."), _("Place it anew, or choose another volume."))
    r, a, s = (float(x) for x in point)
    return r, a, s


def _planes(
    parameters: Any, bundle: BundleInfo, volume: Any, slice_node: Callable[[str], Any | None]
) -> tuple[Plane | None, ...]:
    if bundle.spatial_dims == 3:
        return (None,)
    if volume.GetImageData().GetDimensions()[2] == 1:
        return (Plane(axis=2, index=0),)
    node = slice_node(parameters.slice_view)
    shown = None if node is None else shown_slice(node, volume)
    if shown is None:
        raise InputError(
            _("The {view} view shows no slice of the volume.").format(view=parameters.slice_view),
            _("Scroll it into the volume, or choose another view."),
        )
    if not parameters.use_slice_range:
        return (Plane(shown.axis, shown.index),)
    first, last = sorted((parameters.first_slice, parameters.last_slice))
    if last >= shown.count:
        raise InputError(
            _("There is no slice {index}: the volume has {count} on this axis.").format(index=last, count=shown.count),
            _("Choose a slice from 0 to {last}.").format(last=shown.count - 1),
        )
    if last - first >= MOST_SLICES:
        raise InputError(
            _("{count} slices are too many to explain one by one.").format(count=last - first + 1),
            _("Choose at most {most}.").format(most=MOST_SLICES),
        )
    return tuple(Plane(shown.axis, index) for index in range(first, last + 1))
