"""What is to be explained, made from the panel's choices and checked before any work begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from SlicerXAILib.bundles import BundleInfo
from SlicerXAILib.inputs import Plane
from SlicerXAILib.problems import InputError
from SlicerXAILib.views import ShownSlice, is_inside, markup_point, shown_slice

MOST_SLICES = 50


@dataclass(frozen=True)
class SliceRange:
    """Slices of a volume, for bundles that look at pictures.

    Args:
        axis: the voxel axis (0 i, 1 j, 2 k) along which they are counted.
        first: number of the first on this axis.
        last: of the last.
    """

    axis: int
    first: int
    last: int


@dataclass(frozen=True)
class Case:
    """One volume, one bundle, one place.

    Args:
        volume: the volume node.
        bundle: what is asked.
        point: RAS mm in the volume's own frame, where the bundle looks at one place.
        picture: whether the volume is one picture and the bundle gets it as it is.
        slices: which slices of a volume a 2D bundle gets; ``None`` for the volume or picture as it is.
        class_name: the class to explain; empty for the predicted one.
        device: a name that the worker gave, or ``auto``.
        quality: ``quick``, ``standard``, ``thorough``, ``until_certain``.
        regions: segmentation node or ``None``.
        trusted: whether the bundle may run code of its own.
    """

    volume: Any
    bundle: BundleInfo
    point: tuple[float, float, float] | None
    picture: bool
    slices: SliceRange | None
    class_name: str
    device: str
    quality: str
    regions: Any | None
    trusted: bool

    def fields(self) -> dict[str, Any]:
        """The fields of any request, without the scan."""
        slices = self.slices
        return {
            "bundle": self.bundle.name,
            "point": None if self.point is None else list(self.point),
            "device": self.device,
            "trust_code": self.trusted,
            "slices": None if slices is None else {"axis": slices.axis, "first": slices.first, "last": slices.last},
        }

    @property
    def plane(self) -> Plane | None:
        """The only slice of a picture; ``None`` of a volume."""
        return Plane(axis=2, index=0) if self.picture else None


def case_of(
    parameters: Any,
    bundle: BundleInfo | None,
    slice_node: Callable[[str], Any | None],
    *,
    trusted: bool,
    one_slice: bool = False,
) -> Case:
    """The case that the panel's choices describe.

    Args:
        parameters: the parameter node.
        bundle: what is known of the chosen bundle; ``None`` if nothing is.
        slice_node: the slice view's node by its layout name.
        trusted: whether the bundle may run code of its own.
        one_slice: take the slice that the view shows, even where a range is chosen.

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
    picture = bundle.spatial_dims == 2 and volume.GetImageData().GetDimensions()[2] == 1
    whole = picture or bundle.spatial_dims == 3
    return Case(
        volume=volume,
        bundle=bundle,
        point=_point(parameters, bundle, volume),
        picture=picture,
        slices=None if whole else _slices(parameters, volume, slice_node, one_slice=one_slice),
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


def _slices(parameters: Any, volume: Any, slice_node: Callable[[str], Any | None], *, one_slice: bool) -> SliceRange:
    node = slice_node(parameters.slice_view)
    shown = None if node is None else shown_slice(node, volume)
    if shown is None:
        raise InputError(
            _("The {view} view shows no slice of the volume.").format(view=parameters.slice_view),
            _("Scroll it into the volume, or choose another view."),
        )
    if one_slice or not parameters.use_slice_range:
        return SliceRange(shown.axis, shown.index, shown.index)
    return _range(parameters, shown)


def _range(parameters: Any, shown: ShownSlice) -> SliceRange:
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
    return SliceRange(shown.axis, first, last)
