"""The panel's section 'Inputs' but for the place: bundle, class, device, quality."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from SlicerXAILib.bundles import BundleInfo, unpack_bundle
from SlicerXAILib.controls import chosen_value, fill_selector, keep_choice
from SlicerXAILib.dialogs import Dialogs
from SlicerXAILib.engine import READY, Engine
from SlicerXAILib.fitting import best, remember, remembered, traits_of
from SlicerXAILib.parameters import QUALITIES
from SlicerXAILib.problems import InputError, Problem
from SlicerXAILib.signals import Signal
from SlicerXAILib.words import device_entry, quality_entry, quality_meaning


class InputsPanel:
    """Keeps the selectors, the parameter node and what the engine knows in step.

    Args:
        ui: the panel's controls.
        engine: knows bundles and devices.
        dialogs: asks the user.
        bundle_home: where zips are unpacked.

    Attributes:
        changed: signal, no argument: a choice was made.
        failed: signal, :class:`Problem`.
    """

    def __init__(self, ui: Any, engine: Engine, dialogs: Dialogs, bundle_home: Path) -> None:
        self.changed = Signal()
        self.failed = Signal()
        self._ui = ui
        self._engine = engine
        self._dialogs = dialogs
        self._home = bundle_home
        self._parameters: Any = None
        self._expected: Mapping[str, Any] = {}
        self._estimated: tuple[str, str] | None = None
        self._suggested = ""
        self._suggested_for: str | None = None
        ui.bundleSelector.connect("currentIndexChanged(int)", self._choose_bundle)
        ui.bundleFolderButton.connect("clicked()", self._open_folder)
        ui.bundleZipButton.connect("clicked()", self._open_zip)
        for selector, name in (
            (ui.classSelector, "class_name"),
            (ui.deviceSelector, "device"),
            (ui.qualitySelector, "quality"),
        ):
            keep_choice(selector, lambda: self._parameters, name, self._chosen)
        engine.changed.connect(self._learn)
        engine.described.connect(self._take_described)
        engine.trust_needed.connect(self._ask_for_trust)
        engine.estimated.connect(self._take_estimate)

    @property
    def bundle(self) -> BundleInfo | None:
        """What is known of the chosen bundle."""
        return None if self._parameters is None else self._engine.bundles.get(self._parameters.bundle)

    def set_parameters(self, parameters: Any) -> None:
        """Show another parameter node's choices."""
        self._parameters = parameters
        self._suggested_for = None
        self._learn()

    def refresh(self) -> None:
        """Show what the parameter node says."""
        if self._parameters is None:
            return
        chosen = self._parameters.bundle
        bundles = {name: info.title for name, info in self._engine.bundles.items()}
        if chosen:
            bundles.setdefault(chosen, Path(chosen).name)
        fill_selector(self._ui.bundleSelector, bundles.items(), chosen)
        info = self.bundle
        words = "" if info is None else _described(info)
        self._ui.bundleDescriptionLabel.text = words.split(". ")[0]
        self._ui.bundleDescriptionLabel.toolTip = words
        classes = [("", _("The predicted class"))]
        classes += [] if info is None else [(name, name) for name in info.class_names]
        fill_selector(self._ui.classSelector, classes, self._parameters.class_name)
        devices = [("auto", _("Automatic"))]
        devices += [(device["name"], device_entry(device)) for device in self._engine.devices]
        if self._parameters.device not in dict(devices):
            devices.append((self._parameters.device, _("{name} (not there)").format(name=self._parameters.device)))
        fill_selector(self._ui.deviceSelector, devices, self._parameters.device)
        qualities = [
            (quality, quality_entry(quality, self._expected.get(quality), self._slices())) for quality in QUALITIES
        ]
        fill_selector(self._ui.qualitySelector, qualities, self._parameters.quality)
        self._ui.qualityLabel.text = quality_meaning(self._parameters.quality)

    def _slices(self) -> int:
        """How many the bundle will explain one by one."""
        parameters, info = self._parameters, self.bundle
        if info is None or info.spatial_dims == 3 or not parameters.use_slice_range:
            return 1
        return abs(int(parameters.last_slice) - int(parameters.first_slice)) + 1

    def open_bundle(self, folder: str) -> None:
        """Choose a bundle by its folder or name, as if the user had."""
        self._suggested = ""
        remember(folder)
        self._parameters.bundle = folder
        self._parameters.class_name = ""
        self._learn()
        self.changed.emit()

    def suggest(self) -> None:
        """Choose the bundle that the volume is likely to be meant for, unless the user has chosen one."""
        parameters = self._parameters
        if parameters is None or not self._engine.bundles or parameters.bundle not in ("", self._suggested):
            return
        volume = parameters.volume
        seen = None if volume is None or volume.GetImageData() is None else volume.GetID()
        if parameters.bundle and seen == self._suggested_for:
            return
        traits = None if seen is None else traits_of(volume)
        self._suggested_for = seen
        found = best(self._engine.bundles, traits, remembered())
        if found != parameters.bundle:
            self._suggested = found
            parameters.bundle = found
            parameters.class_name = ""
            self.changed.emit()

    def _chosen(self) -> None:
        self.refresh()
        self._estimate()
        self.changed.emit()

    def _choose_bundle(self) -> None:
        if self._parameters is not None and chosen_value(self._ui.bundleSelector):
            self.open_bundle(chosen_value(self._ui.bundleSelector))

    def _open_folder(self) -> None:
        folder = self._dialogs.choose_folder(_("A MONAI bundle's folder"))
        if folder:
            self.open_bundle(folder)

    def _open_zip(self) -> None:
        archive = self._dialogs.choose_zip(_("A MONAI bundle's zip file"))
        if not archive:
            return

        def fail(error: Exception) -> None:
            self.failed.emit(error.problem if isinstance(error, InputError) else Problem(str(error)))

        self._engine.session.background.run(
            lambda: unpack_bundle(Path(archive), self._home), lambda folder: self.open_bundle(str(folder)), fail
        )
        self._engine.start()  # its timer hears when it is unpacked

    def _learn(self) -> None:
        """Something new is known of bundles or devices, or another bundle was chosen."""
        if self._parameters is None:
            return
        self.suggest()
        self.refresh()
        if self._engine.state != READY or not self._parameters.bundle:
            return
        if self.bundle is None:
            self._engine.describe(self._parameters.bundle)
        else:
            self._estimate()

    def _take_described(self, info: BundleInfo) -> None:
        self.refresh()
        self.changed.emit()

    def _ask_for_trust(self, bundle: str, problem: Problem) -> None:
        question = _(
            "{message}\n\nCode of its own may do anything on this computer that you may do. "
            "Let it run, until Slicer is closed?"
        ).format(message=problem.message)
        if self._dialogs.confirm(question):
            self._engine.trusted.add(bundle)
            self._engine.describe(bundle)
        else:
            self.failed.emit(problem)

    def _estimate(self) -> None:
        asked = (self._parameters.bundle, self._parameters.device)
        if self._engine.state == READY and self.bundle is not None and asked != self._estimated:
            self._estimated, self._expected = asked, {}
            self._engine.estimate(*asked)

    def _take_estimate(self, qualities: Mapping[str, Any]) -> None:
        self._expected = qualities
        self.refresh()


def _described(info: BundleInfo) -> str:
    parts = [info.description, *info.assumptions]
    return " ".join(part for part in parts if part)
