"""Which classes and functions a config may name without the user's trust.

A name is looked up only in modules that are already loaded and on the list below; what it gives is judged by the object
itself, not by the name: a public class (or listed function) that was defined in an allowed module, of the right kind.
Left out are those that import, open or call what a config names.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import FunctionType
from typing import Any

import monai.apps.nuclick.transforms
import monai.inferers
import monai.networks.nets
import monai.transforms
import torchvision.models
from monai.inferers import Inferer
from monai.transforms import Transform
from torch import nn

from camlime.bundle.limits import TooLarge, check_sizes
from camlime.errors import BundleError, UntrustedBundleError


@dataclass(frozen=True)
class Checked:
    """An allowed target that looks at its arguments once more when it is called, when expressions have their values.

    Args:
        kind: the class or function.
        at: id in the config.
        file: the config.
    """

    kind: Callable[..., Any]
    at: str
    file: str

    def __call__(self, **arguments: Any) -> Any:
        """Make the object.

        Raises:
            BundleError: a size is too large.
            UntrustedBundleError: an argument would fetch or reach for something by name.
        """
        try:
            check_sizes(arguments)
            check_arguments(self.kind, arguments)
        except TooLarge as reason:
            raise BundleError(f"{reason}, at {self.at} in {self.file}") from None
        except RefusedTarget as reason:
            raise UntrustedBundleError(
                f"'{self.kind.__name__}' at {self.at} in {self.file}: {reason}", hint="write the argument out"
            ) from None
        if is_network(self.kind):
            arguments |= pretrained_arguments(self.kind, arguments)
        return self.kind(**arguments)


class RefusedTarget(Exception):  # noqa: N818 - a finding, turned into an error by the caller
    """Why a ``_target_`` is not on the safe list."""


@dataclass(frozen=True)
class _Family:
    """Classes of one kind: importable from ``modules``, defined under ``home``, derived from ``base``."""

    modules: tuple[str, ...]
    home: str
    base: type
    except_: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()

    def holds(self, kind: object) -> bool:
        return (
            inspect.isclass(kind)
            and issubclass(kind, self.base)
            and _is_under(kind.__module__, self.home)
            and kind.__qualname__ not in self.except_
            and (not self.only or kind.__qualname__ in self.only)
        )


_NETWORKS = _Family(
    ("monai.networks.nets",),
    "monai.networks.nets",
    nn.Module,
    # these download, open a path or import a name that the config gives
    except_=frozenset(
        [
            "BertAttention",
            "BertMixedLayer",
            "BertOutput",
            "BertPreTrainedModel",
            "CellSamWrapper",
            "FlexibleUNet",
            "HoVerNet",
            "MILModel",
            "MultiModal",
            "NetAdapter",
            "Pooler",
            "ResNetEncoder",
            "ResNetFeatures",
            "EfficientNetEncoder",
            "EfficientNetBNFeatures",
            "Transchex",
        ]
    ),
)
_TRANSFORMS = _Family(
    ("monai.transforms",),
    "monai.transforms",
    Transform,
    # these call, import or write what the config gives, or are random as a whole
    except_=frozenset(
        [
            "BatchInverseTransform",
            "CuCIM",
            "CuCIMd",
            "DataStats",
            "DataStatsd",
            "Ensembled",
            "Invert",
            "Invertd",
            "Lambda",
            "Lambdad",
            "LoadImage",
            "LoadImaged",
            "MeanEnsembled",
            "OneOf",
            "PadListDataCollate",
            "RandCuCIM",
            "RandCuCIMd",
            "RandLambda",
            "RandLambdad",
            "RandTorchIO",
            "RandTorchIOd",
            "RandTorchVision",
            "RandTorchVisiond",
            "RandomOrder",
            "SaveClassificationd",
            "SaveImage",
            "SaveImaged",
            "SimulateDelay",
            "SimulateDelayd",
            "SomeOf",
            "TorchIO",
            "TorchIOd",
            "TorchVision",
            "TorchVisiond",
            "VoteEnsembled",
            "WriteFileMapping",
            "WriteFileMappingd",
        ]
    ),
)
_GUIDANCE = _Family(
    ("monai.apps.nuclick.transforms",),
    "monai.apps.nuclick.transforms",
    Transform,
    only=frozenset({"AddLabelAsGuidanced"}),
)
_INFERERS = _Family(
    ("monai.inferers",),
    "monai.inferers",
    Inferer,
    only=frozenset({"SimpleInferer", "SliceInferer", "SlidingWindowInferer", "SlidingWindowInfererAdapt"}),
)
_LAYERS = _Family(("torch.nn", "torch.nn.modules"), "torch.nn.modules", nn.Module)

_FAMILIES = (_NETWORKS, _TRANSFORMS, _INFERERS, _GUIDANCE, _LAYERS)
_BARE_FAMILIES = (_NETWORKS, _TRANSFORMS, _INFERERS, _GUIDANCE)
_NETWORK_FUNCTIONS = frozenset({"resnet10", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet200"})
_NAMED_BUILDERS = {"TorchVisionFCModel": "model_name"}
"""Classes that call a builder of torchvision by name, and the argument that names it."""

PRETRAINED_ARGUMENTS = frozenset({"pretrained", "pretrained_backbone", "weights", "weights_backbone"})


def locate_target(name: str) -> Any:
    """Return the allowed class or function that ``_target_`` names; imports nothing.

    Args:
        name: ``DenseNet121`` or ``monai.networks.nets.DenseNet121``.

    Raises:
        RefusedTarget: it is not on the list.

    Example:
        >>> locate_target("monai.transforms.Resized").__name__
        'Resized'
    """
    module, _, last = name.rpartition(".")
    if not last.isidentifier() or last.startswith("_"):
        raise RefusedTarget("it is not the name of a public class")
    if not module:
        for family in _BARE_FAMILIES:
            found = _find(family.modules[0], last)
            if family.holds(found) or _is_network_function(found):
                return found
        raise RefusedTarget("no class on the safe list has this name")
    if module == "torchvision.models" or module.startswith("torchvision.models."):
        found = _find(module, last)
        if last in _torchvision_builders() and found is torchvision.models.get_model_builder(last):
            return found
    for family in _FAMILIES:
        if any(_is_under(module, start) for start in family.modules):
            found = _find(module, last)
            if family.holds(found) or (family is _NETWORKS and _is_network_function(found)):
                return found
    raise RefusedTarget("it is not a class on the safe list")


def locate_layer(name: str) -> type[nn.Module] | None:
    """Return the layer class ``torch.nn.<name>``, or ``None`` if there is none that is allowed."""
    found = _find("torch.nn", name)
    return found if inspect.isclass(found) and _LAYERS.holds(found) else None


def check_arguments(target: Any, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that would have an allowed class reach for something by name.

    Raises:
        RefusedTarget: the argument is not a plain, allowed name.
    """
    argument = _NAMED_BUILDERS.get(getattr(target, "__name__", ""))
    if argument is None:
        return
    name = arguments.get(argument, "resnet18")
    if not isinstance(name, str) or name not in _torchvision_builders():
        raise RefusedTarget(f"'{argument}' is not the name of a torchvision classifier")


def pretrained_arguments(target: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that ask for weights from elsewhere, by name, with the value that turns them off."""
    off: dict[str, Any] = {}
    try:
        parameters: Mapping[str, inspect.Parameter] = inspect.signature(target).parameters
    except (TypeError, ValueError):
        parameters = {}
    for name in PRETRAINED_ARGUMENTS:
        default = parameters[name].default if name in parameters else None
        if arguments.get(name, default if default is not inspect.Parameter.empty else None):
            off[name] = None if name.startswith("weights") else False
    return off


def is_network(target: object) -> bool:
    """Whether a target makes a network: such a class, or one of the functions on the list."""
    return isinstance(target, FunctionType) or (inspect.isclass(target) and issubclass(target, nn.Module))


def is_random(target: object) -> bool:
    """Whether a transform draws random numbers."""
    kinds = (monai.transforms.RandomizableTrait, monai.transforms.Randomizable)
    return inspect.isclass(target) and issubclass(target, kinds) and target.__name__ != "Compose"


def _find(module: str, name: str) -> object:
    loaded = sys.modules.get(module)
    found = vars(loaded).get(name) if loaded is not None else None
    if not (inspect.isclass(found) or isinstance(found, FunctionType)):
        return None
    home = sys.modules.get(found.__module__)
    return found if home is not None and vars(home).get(found.__name__) is found else None


def _is_network_function(found: object) -> bool:
    return (
        isinstance(found, FunctionType)
        and found.__module__ == "monai.networks.nets.resnet"
        and found.__name__ in _NETWORK_FUNCTIONS
    )


@cache
def _torchvision_builders() -> frozenset[str]:
    return frozenset(torchvision.models.list_models(module=torchvision.models))


def _is_under(module: str, home: str) -> bool:
    return module == home or module.startswith(home + ".")
