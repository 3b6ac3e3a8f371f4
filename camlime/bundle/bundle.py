"""A MONAI bundle read safely: its network, its preprocessing and what its outputs mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from monai.inferers import Inferer
from torch import nn

from camlime.archives import hash_file
from camlime.bundle.activation import Activation, final_activation, find_activation, flatten_output
from camlime.bundle.config import METADATA, BundleFolder
from camlime.bundle.extract import Extract, left_behind
from camlime.bundle.metadata import ANY_SIZE, Metadata
from camlime.bundle.model_input import ModelInput
from camlime.bundle.preprocessing import Preprocessing, covered
from camlime.bundle.resolve import Resolver
from camlime.bundle.screening import read_configs, screened
from camlime.bundle.settings import ExplainSettings
from camlime.bundle.shipped import find_bundle
from camlime.bundle.weights import find_weights, fit_weights, is_torchscript, load_torchscript, read_weights
from camlime.errors import BundleError, UntrustedBundleError

if TYPE_CHECKING:
    from camlime.scan import Scan


@dataclass(eq=False)
class Bundle:
    """A classifier in the form of a MONAI bundle.

    Made by :meth:`load`. Reading it runs no code that the bundle brings, unless the user trusts it, fetches nothing,
    and never touches the data set or the evaluator that its configs may name.

    Args:
        name: the name in its metadata, or the folder's.
        root: its folder.
        version: the version in its metadata.
        network: eval mode, weights loaded, on the CPU.
        class_names: one name an output; two names for a single output mean (absent, present).
        activation: how outputs become probabilities.
        assumptions: what had to be assumed, changed or trusted, in words for the user.
        left_behind: ids of the config that were not needed and not resolved.
        inferer: a MONAI inferer, or ``None``.
        input_channels: what the network takes.
        spatial_dims: 2 or 3.
        input_shape: voxels along each axis of the network's input, ``None`` for an axis that is left open; empty if the
            metadata do not say it.
        guidance_channels: input channels that hold a mask, which stay as they are when regions are removed.
        explain_settings: from ``configs/explain.json``, with defaults.
        field_of_view_mm: edge lengths of what the network looks at, mm, from the settings or from the preprocessing's
            spacing and the input's size; ``None`` where neither says it.
        fingerprint: SHA-256 of the weights and of each config read, by file name.
        trusted_code: whether something outside the safe list was run, on the user's trust.

    Example:
        >>> bundle = Bundle.load("my_bundle")  # doctest: +SKIP
        >>> bundle.prepare(Scan.read("chest.nii.gz")).image.shape  # doctest: +SKIP
        torch.Size([1, 64, 64, 64])
    """

    name: str
    root: Path
    version: str
    network: nn.Module
    class_names: tuple[str, ...]
    activation: Activation
    assumptions: tuple[str, ...]
    left_behind: tuple[str, ...]
    inferer: Any
    input_channels: int
    spatial_dims: int
    input_shape: tuple[int | None, ...]
    guidance_channels: tuple[int, ...]
    explain_settings: ExplainSettings
    field_of_view_mm: tuple[float, ...] | None
    fingerprint: dict[str, str]
    trusted_code: bool
    _preprocessing: Preprocessing = field(repr=False)
    _output_checked: bool = field(default=False, repr=False)

    @classmethod
    def load(cls, path: str | Path, *, trust_code: bool = False, activation: Activation | None = None) -> Bundle:
        """Read a bundle.

        Args:
            path: its folder (with ``configs/`` and ``models/``), or the name of a shipped bundle.
            trust_code: also resolve expressions, classes and TorchScript that the safe list does not hold. This runs
                the author's code with the user's rights.
            activation: overrides what the bundle says of its outputs.

        Raises:
            BundleError: missing, damaged, inconsistent or not a classifier; says which file, id or layer.
            UntrustedBundleError: it asks for more than the safe list allows; names the expression and the file.
        """
        if activation not in {None, "softmax", "sigmoid"}:
            raise BundleError(f"there is no activation '{activation}'", hint="use softmax or sigmoid")
        folder = BundleFolder(find_bundle(path))
        metadata = Metadata.parse(folder.read(METADATA))
        source, settings, notes = read_configs(folder)
        weights = find_weights(folder)
        script = is_torchscript(weights)
        if script and not trust_code:
            raise UntrustedBundleError(
                f"{folder.root / weights} is TorchScript, which is code",
                hint="if you trust its author, use --trust-code",
            )
        copy = screened(source, weights)
        if not trust_code:
            copy.require_safe()
        notes += copy.notes
        notes += [f"run on your trust: {refusal}" for refusal in copy.refusals]
        resolver = Resolver(copy, folder.root)
        network = _load_network(folder, weights, copy, resolver)
        channels, dims = _input_format(network, metadata, folder)
        preprocessing = Preprocessing(resolver.build("preprocessing"), metadata.input_name)
        if "preprocessing" not in copy.roles:
            notes.append("the bundle has no preprocessing: a scan is given to the network as it is")
        names, name_notes = _class_names(network, metadata, channels, dims)
        chosen, activation_notes = _choose_activation(activation, resolver, network, names, metadata)
        if script:
            notes.append(f"{weights} is TorchScript and was run on your trust")
        return cls(
            name=metadata.name or folder.root.name,
            root=folder.root,
            version=metadata.version,
            network=network,
            class_names=names,
            activation=chosen,
            assumptions=(*notes, *name_notes, *activation_notes),
            left_behind=left_behind(source, copy.reached),
            inferer=_checked_inferer(resolver.build("inferer"), copy),
            input_channels=channels,
            spatial_dims=dims,
            input_shape=metadata.spatial_shape,
            guidance_channels=(channels - 1,) if preprocessing.guidance_source else (),
            explain_settings=settings,
            field_of_view_mm=settings.field_of_view_mm or preprocessing.field_of_view_mm(metadata.spatial_shape),
            fingerprint={weights: hash_file(folder.root / weights), **folder.digests},
            trusted_code=script or bool(copy.refusals),
            _preprocessing=preprocessing,
        )

    @property
    def preprocessing_steps(self) -> tuple[str, ...]:
        """The transforms that :meth:`prepare` runs, by name, in order."""
        return tuple(type(step).__name__ for step in self._preprocessing.steps)

    @property
    def spacing_mm(self) -> tuple[float, ...] | None:
        """What images are resampled to, mm, one an axis or one for all; ``None`` where they keep their own."""
        found = self._preprocessing.spacing_mm()
        return None if found is None else tuple(found)

    def empty_input(self) -> torch.Tensor:
        """An image of zeros of the announced shape ``(C, *S)``, 64 voxels where an axis is left open, tried out.

        Raises:
            BundleError: the network fails on it, or its outputs are not what the bundle says.
        """
        shape = self.input_shape or (None,) * self.spatial_dims
        image = torch.zeros(self.input_channels, *(size or ANY_SIZE for size in shape))
        self._check_output(image)
        return image

    def prepare(self, scan: Scan) -> ModelInput:
        """Apply the bundle's preprocessing to a scan.

        Steps that read or write files, or make the channel axis first, are skipped: a :class:`Scan` is past them.
        The first call also runs the network once, to check that it is a classifier with the announced outputs.

        Args:
            scan: shape ``(C, *S)``, affine to RAS mm.

        Returns:
            The network's input, shape ``(C, *S')``, with its affine in the scan's frame; ``valid`` marks the voxels
            whose centre lies inside the scan, so that what padding made up is known by its place, not by its value.

        Raises:
            BundleError: the scan does not fit (2D or 3D, channels), a transform fails (named), or the network's outputs
                are not what the bundle says.
        """
        prepared = self._preprocessing.apply(scan, self.spatial_dims, self.input_channels)
        image = prepared.image
        if image.ndim != self.spatial_dims + 1 or image.shape[0] != self.input_channels:
            raise BundleError(
                f"the network takes {self.input_channels} channel(s) in {self.spatial_dims}D, and {scan.source} "
                f"gives an image of shape {tuple(image.shape)} (channels first)",
                hint="choose a scan with the channels that the bundle was trained on",
            )
        if not image.isfinite().all():
            raise BundleError(f"the preprocessing makes values that are not numbers of {scan.source}")
        if not self._output_checked:
            self._check_output(image)
            self._output_checked = True
        shape = tuple(image.shape[1:])
        columns = prepared.affine[:3, : self.spatial_dims]
        return ModelInput(
            image=image,
            affine=prepared.affine,
            valid=covered(scan, prepared.affine, shape),
            spacing=tuple(float(length) for length in np.linalg.norm(columns, axis=0)),
        )

    def _check_output(self, image: torch.Tensor) -> None:
        count = _run(self.network, image[None]).shape[1]
        known = len(self.class_names)
        if count != known and not (count == 1 and known == 2 and self.activation == "sigmoid"):
            raise BundleError(
                f"the network has {count} output(s), and the bundle names {known} class(es): "
                f"{', '.join(self.class_names)[:300]}",
                hint=f"check channel_def and num_channels of the output in {METADATA}",
            )


def _load_network(folder: BundleFolder, weights: str, copy: Extract, resolver: Resolver) -> nn.Module:
    path = folder.root / weights
    if is_torchscript(weights):
        return load_torchscript(path).eval()
    if "network" not in copy.roles:
        raise BundleError(
            f"the configs of {folder.root} define no network", hint="an id network_def or network is looked for"
        )
    tensors = read_weights(path)
    network = resolver.build("network")
    if not isinstance(network, nn.Module):
        raise BundleError(f"'{copy.ids['network']}' makes a {type(network).__name__}, not a network")
    network = network.to("cpu")
    fit_weights(network, tensors, path)
    return network.eval()


def _checked_inferer(inferer: Any, copy: Extract) -> Any:
    """Return it if it is an inferer, a callable of the author's that was trusted, or ``None``; else raise."""
    if inferer is None or isinstance(inferer, Inferer) or (copy.refusals and callable(inferer)):
        return inferer
    raise BundleError(
        f"'{copy.ids['inferer']}' makes a {type(inferer).__name__}, which is no inferer",
        hint="name one of monai.inferers",
    )


def _input_format(network: nn.Module, metadata: Metadata, folder: BundleFolder) -> tuple[int, int]:
    convolutions = (nn.Conv2d, nn.Conv3d)
    first = next((module for module in network.modules() if isinstance(module, convolutions)), None)
    channels = metadata.input_channels or (first.in_channels if first is not None else None)
    dims = len(metadata.spatial_shape) or (len(first.kernel_size) if first is not None else None)
    if channels is None or dims not in {2, 3}:
        raise BundleError(
            f"{METADATA} of {folder.root} does not say how many channels and axes the network's input has",
            hint="give num_channels and spatial_shape under network_data_format::inputs",
        )
    return channels, dims


def _class_names(
    network: nn.Module, metadata: Metadata, channels: int, dims: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if metadata.class_names:
        twice = next((name for name, count in Counter(metadata.class_names).items() if count > 1), None)
        if twice is not None:  # answers are told by name: one of the two would be lost
            raise BundleError(
                f"the metadata gives two classes the same name: '{twice}'",
                hint=f"give each output a name of its own in 'channel_def' in {METADATA}",
            )
        return metadata.class_names, ()
    count = metadata.output_count
    if count is None:
        shape = metadata.probe_shape or (64,) * dims
        count = _run(network, torch.zeros(1, channels, *shape)).shape[1]
    names = tuple(f"class_{index}" for index in range(count))
    return names, (f"the metadata names no classes: they are called {names[0]} to {names[-1]}",)


def _choose_activation(
    wanted: Activation | None, resolver: Resolver, network: nn.Module, names: tuple[str, ...], metadata: Metadata
) -> tuple[Activation, list[str]]:
    notes: list[str] = []
    last = final_activation(network)
    if last is not None:
        notes.append(f"the network itself ends in {last}: its outputs are taken as they are, as if they were logits")
    if wanted is not None:
        return wanted, notes
    found = find_activation(resolver.build("postprocessing"))
    if found is not None:
        return found, notes
    outputs = metadata.output_count or len(names)
    chosen: Activation = "sigmoid" if outputs == 1 else "softmax"
    notes.append(f"the post-processing names no activation: {chosen} is assumed for {outputs} output(s)")
    return chosen, notes


def _run(network: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    try:
        with torch.no_grad():
            output: Any = network(batch)
    except Exception as error:
        raise BundleError(
            f"the network fails on an image of shape {tuple(batch.shape[1:])}: {str(error).strip()[:300]}",
            hint=f"check spatial_shape and num_channels of the input in {METADATA}",
        ) from error
    if isinstance(output, Mapping):
        raise BundleError(
            "the network returns a dictionary, not class scores", hint="only classifiers can be explained"
        )
    return flatten_output(output)
