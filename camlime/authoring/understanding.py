"""What the engine understood of a bundle, what it had to assume, and what it left behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from camlime.bundle import Bundle
from camlime.errors import RequestError
from camlime.methods.layers import LayerGrid, candidate_layers, choose_layer, find_layer
from camlime.overview.words import clean
from camlime.pipeline import DEFAULT_METHODS, classifier_of


@dataclass(frozen=True)
class Understanding:
    """A bundle in plain values, JSON-serialisable by :meth:`as_dict`.

    Args:
        name: of the bundle.
        version: of the bundle.
        folder: where it lies.
        network: class of the network.
        parameters: how many numbers it has.
        channels: of its input.
        guidance_channels: of those, the ones that hold a mask and stay as they are.
        input_shape: voxels along each axis by the metadata, ``None`` where an axis is left open.
        tried_shape: voxels of the empty image that the network was tried with.
        spacing_mm: what images are resampled to; ``None``: they keep their own.
        field_of_view_mm: edge lengths of what the network looks at; ``None`` where it is the whole scan.
        needs_point: whether a whole scan needs a point to look at.
        preprocessing: the transforms, by name, in order.
        classes: names by output.
        activation: how outputs become probabilities.
        inferer: class of the inferer, empty if there is none.
        layers: name and grid of the layers that a CAM can be taken from and that the whole signal passes through.
        target_layer: the one that would be taken; empty where CAM does not apply.
        layer_reason: why that one, or why none.
        methods: what would be run without being asked.
        presumes: what every training image shows; ``None`` where nothing is presumed.
        trusted_code: whether something outside the safe list was run.
        assumptions: what had to be assumed, changed or trusted.
        left_behind: ids of the configs that were not needed.
        files: SHA-256 of each file read.
    """

    name: str
    version: str
    folder: str
    network: str
    parameters: int
    channels: int
    guidance_channels: tuple[int, ...]
    input_shape: tuple[int | None, ...]
    tried_shape: tuple[int, ...]
    spacing_mm: tuple[float, ...] | None
    field_of_view_mm: tuple[float, ...] | None
    needs_point: bool
    preprocessing: tuple[str, ...]
    classes: tuple[str, ...]
    activation: str
    inferer: str
    layers: tuple[tuple[str, tuple[int, ...]], ...]
    target_layer: str
    layer_reason: str
    methods: tuple[str, ...]
    presumes: str | None
    trusted_code: bool
    assumptions: tuple[str, ...]
    left_behind: tuple[str, ...]
    files: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable."""
        return asdict(self)

    def in_words(self) -> Iterator[tuple[str, str]]:
        """Pairs of what and how, for people."""
        yield "bundle", f"{self.name} {self.version}".strip() + f" in {self.folder}"
        yield "network", f"{self.network}, {self.parameters} parameters"
        shape = " x ".join("any" if size is None else str(size) for size in self.input_shape) or "any size"
        guidance = f", of which {_listed(self.guidance_channels)} a mask that stays" if self.guidance_channels else ""
        yield "input", f"{self.channels} channel(s){guidance}, {len(self.tried_shape)}D, {shape}"
        yield "spacing", f"{_mm(self.spacing_mm)}" if self.spacing_mm else "the scan's own"
        point = "; a whole scan needs --point" if self.needs_point else ""
        yield "looks at", (_mm(self.field_of_view_mm) if self.field_of_view_mm else "the whole image") + point
        yield "preprocessing", ", ".join(self.preprocessing) or "none"
        yield "classes", ", ".join(self.classes)
        yield "activation", self.activation
        yield "inferer", self.inferer or "none"
        yield "layers", ", ".join(f"{name} ({_times(grid)})" for name, grid in self.layers) or "none"
        yield "CAM", self.layer_reason
        yield "methods", ", ".join(self.methods)
        yield "presumes", f"that an image shows {clean(self.presumes)}" if self.presumes else "nothing"
        yield "trust", "code of its own was run on your trust" if self.trusted_code else "runs no code of its own"


def understand(bundle: Bundle) -> Understanding:
    """Try a bundle out on an empty image and say what was understood.

    Raises:
        BundleError: the network fails, or its outputs are not what the bundle says.
        RequestError: explain.json names a layer that the network does not have.

    Example:
        >>> understand(Bundle.load("lung_nodule_ct")).activation  # doctest: +SKIP
        'softmax'
    """
    image = bundle.empty_input()
    classifier = classifier_of(bundle, device="cpu", batch_size=1)
    own = bundle.explain_settings.target_layer
    layers: list[LayerGrid] = []
    try:
        layers = candidate_layers(classifier, image)
        chosen, reason = choose_layer(layers, image.shape[1:])
    except RequestError as error:
        chosen, reason = "", str(error)
    if own is not None and layers:
        chosen, reason = find_layer(layers, own, bundle.network).name, f"{own} is the bundle's own choice"
    return Understanding(
        name=bundle.name,
        version=bundle.version,
        folder=str(bundle.root),
        network=type(bundle.network).__name__,
        parameters=sum(parameter.numel() for parameter in bundle.network.parameters()),
        channels=bundle.input_channels,
        guidance_channels=bundle.guidance_channels,
        input_shape=bundle.input_shape,
        tried_shape=tuple(image.shape[1:]),
        spacing_mm=bundle.spacing_mm,
        field_of_view_mm=bundle.field_of_view_mm,
        needs_point=bundle.explain_settings.field_of_view_mm is not None,
        preprocessing=bundle.preprocessing_steps,
        classes=bundle.class_names,
        activation=bundle.activation,
        inferer="" if bundle.inferer is None else type(bundle.inferer).__name__,
        layers=tuple((layer.name, layer.grid) for layer in [layer for layer in layers if layer.whole] or layers),
        target_layer=chosen,
        layer_reason=reason,
        methods=bundle.explain_settings.methods or DEFAULT_METHODS,
        presumes=bundle.explain_settings.presumes,
        trusted_code=bundle.trusted_code,
        assumptions=bundle.assumptions,
        left_behind=bundle.left_behind,
        files=dict(bundle.fingerprint),
    )


def _times(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))


def _mm(lengths: tuple[float, ...]) -> str:
    return " x ".join(f"{length:g}" for length in lengths) + " mm"


def _listed(numbers: tuple[int, ...]) -> str:
    return "number " + " and ".join(map(str, numbers))
