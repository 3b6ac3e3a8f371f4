"""Writes ``configs/explain.json`` into somebody's bundle, after it has been found to hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from camlime.bundle import Bundle, ExplainSettings
from camlime.bundle.config import BundleFolder
from camlime.bundle.model_input import ModelInput
from camlime.bundle.settings import SETTINGS_FILE
from camlime.errors import BundleError, OutputError, RequestError
from camlime.masking import make_baseline
from camlime.methods.layers import candidate_layers, find_layer
from camlime.pipeline import DEFAULT_METHODS, checked_methods, classifier_of
from camlime.saving import staged

ANY_NETWORK = ("lime", "occlusion")
"""Methods that need nothing but answers."""

CALL = (
    "$camlime.explain(@scan, @bundle_root, methods=@methods, class_name=@class_name, point=@point, regions=@regions, "
    "budget=@budget, seed=@seed, device=@device_name)"
)


def add_explain(
    folder: str | Path, settings: Mapping[str, Any], *, trust_code: bool = False, force: bool = False
) -> tuple[Path, Bundle]:
    """Write explain.json into a bundle: how it wants to be explained, and ids by which MONAI can run it.

    Args:
        folder: the bundle's; not a zip.
        settings: the block ``explain``; see :class:`~camlime.bundle.ExplainSettings`. What is ``None`` is left out.
        trust_code: let the bundle run code of its own while it is read.
        force: replace an explain.json that is there.

    Returns:
        The file, and the bundle as it is read with it.

    Raises:
        BundleError: it is no folder with a bundle, or a setting has the wrong type; nothing is written.
        RequestError: a method, baseline or layer does not exist; nothing is written.
        OutputError: there is an explain.json already, or it cannot be written.

    Example:
        >>> add_explain("my_bundle", {"target_layer": "features.norm5"})  # doctest: +SKIP
    """
    root = bundle_folder(folder)
    file = root / SETTINGS_FILE
    there = BundleFolder(root).find(SETTINGS_FILE) is not None or file.is_symlink()
    if there and not force:
        raise OutputError(f"{file} is there already", hint="use --force to replace it")
    bundle = Bundle.load(root, trust_code=trust_code)
    block = {key: value for key, value in settings.items() if value is not None}
    block.setdefault("methods", _suitable_methods(bundle))
    _check(bundle, ExplainSettings.parse(block))
    record = {
        "imports": ["$import camlime"],
        "bundle_root": ".",
        "scan": "",
        "output_dir": "$@bundle_root + '/eval/explanation'",
        **dict.fromkeys(("methods", "class_name", "point", "regions", "budget")),
        "seed": 0,
        "device_name": "auto",
        "explanation": CALL,
        "explain": block,
        "run": ["$@explanation.save(@output_dir)"],
    }
    with staged(file.parent) as stage:
        (stage / file.name).write_text(json.dumps(record, indent=4) + "\n", encoding="utf-8")
    return file, Bundle.load(root, trust_code=trust_code)


def bundle_folder(path: str | Path) -> Path:
    """The folder of a bundle that is to be written into.

    Raises:
        BundleError: it is none.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise BundleError(f"'{path}' is not a bundle's folder", hint="name the folder; unpack a zip first")
    if not (root / "configs").is_dir():
        raise BundleError(f"'{path}' holds no bundle: it has no configs/", hint="name the bundle's folder")
    return root


def _suitable_methods(bundle: Bundle) -> list[str]:
    """The engine's default; where no CAM can be taken, what works on any network."""
    try:
        candidate_layers(classifier_of(bundle, device="cpu", batch_size=1), bundle.empty_input())
    except RequestError:
        return list(ANY_NETWORK)
    return list(DEFAULT_METHODS)


def _check(bundle: Bundle, settings: ExplainSettings) -> None:
    checked_methods(settings.methods)
    image = bundle.empty_input()
    spacing = bundle.spacing_mm or (1.0,)
    spacing = spacing if len(spacing) == bundle.spatial_dims else (1.0,) * bundle.spatial_dims
    whole = image[0] == 0
    model_input = ModelInput(image, np.eye(4), whole, spacing)
    for named in (settings.baseline, *settings.score_baselines):
        if named is not None:
            make_baseline(named.name, model_input, **named.options)
    axes = settings.field_of_view_mm
    if axes is not None and len(axes) not in (1, bundle.spatial_dims):
        raise RequestError(f"{len(axes)} lengths for a network in {bundle.spatial_dims}D", hint="give one an axis")
    if settings.target_layer is not None:
        layers = candidate_layers(classifier_of(bundle, device="cpu", batch_size=1), image)
        find_layer(layers, settings.target_layer, bundle.network)
