"""From a bundle's folder to the screened copy of what it would have resolved; nothing is resolved here."""

from __future__ import annotations

from pathlib import Path

from camlime.bundle.config import BundleFolder, ConfigSource
from camlime.bundle.extract import Extract, extract
from camlime.bundle.settings import SETTINGS_FILE, ExplainSettings
from camlime.bundle.shipped import find_bundle
from camlime.bundle.weights import find_weights, is_torchscript
from camlime.errors import BundleError


def screen(path: str | Path) -> Extract:
    """Screen a bundle without resolving anything; its ``refusals`` are what ``--trust-code`` would let run.

    Raises:
        BundleError: it cannot be read.
        UntrustedBundleError: something in it that no trust allows.

    Example:
        >>> screen("lung_nodule_ct").refusals
        []
    """
    folder = BundleFolder(find_bundle(path))
    source, _, _ = read_configs(folder)
    return screened(source, find_weights(folder))


def screened(source: ConfigSource, weights: str) -> Extract:
    """Copy out what is needed; TorchScript weights are a network themselves, and need none from the configs."""
    return extract(source, skip=frozenset({"network"}) if is_torchscript(weights) else frozenset())


def read_configs(folder: BundleFolder) -> tuple[ConfigSource, ExplainSettings, list[str]]:
    """Read the inference config (else train and evaluate) and explain.json over it, as plain data.

    Returns:
        The ids of all of them, what the author says of explaining, and what had to be assumed.

    Raises:
        BundleError: there are none, or one is damaged.
        UntrustedBundleError: a link or macro leads out of the bundle, or a YAML tag makes objects.
    """
    source = ConfigSource(folder)
    notes: list[str] = []
    inference = folder.read_any("configs/inference")
    if inference is not None:
        source.merge(*inference)
    else:
        others = [found for stem in ("train", "evaluate") if (found := folder.read_any(f"configs/{stem}")) is not None]
        if not others:
            raise BundleError(f"the bundle {folder.root} has no configs/inference.json (or .yaml)")
        for found in others:
            source.merge(*found)
        notes.append(f"there is no inference config: {' and '.join(name for name, _ in others)} were read instead")
    if folder.find(SETTINGS_FILE) is not None:
        explain = folder.read(SETTINGS_FILE)
        source.merge(SETTINGS_FILE, {key: value for key, value in explain.items() if key != "explain"})
    return source, read_settings(folder), notes


def read_settings(folder: BundleFolder) -> ExplainSettings:
    """What the author says of explaining, as plain data; defaults where the bundle has no explain.json.

    Raises:
        BundleError: it is damaged.
        UntrustedBundleError: a link leads out of the bundle.
    """
    if folder.find(SETTINGS_FILE) is None:
        return ExplainSettings()
    return ExplainSettings.parse(folder.read(SETTINGS_FILE).get("explain", {}))
