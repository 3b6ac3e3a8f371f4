"""``camlime layers``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from camlime.cli import options
from camlime.cli.places import Place, check_scan
from camlime.cli.reporting import reported

if TYPE_CHECKING:
    from torch import Tensor

    from camlime.bundle import Bundle
    from camlime.methods.layers import LayerGrid


@reported
def layers(
    ctx: typer.Context,
    bundle: options.BundleName,
    scan: options.OptionalScanPath = None,
    point: options.Point = None,
    point_lps: options.PointLps = None,
    center_voxel: options.CenterVoxel = None,
    guidance: options.Guidance = None,
    guidance_label: options.GuidanceLabel = None,
    series: options.Series = None,
    trust_code: options.TrustCode = False,
    debug: options.Debug = False,
) -> None:
    """List the layers that a CAM can be taken from, with their grids; * marks the one that would be taken."""
    place = Place(point, point_lps, center_voxel)
    if scan is None and place != Place():
        raise typer.BadParameter("a point needs a scan")
    if scan is None and guidance is not None:
        raise typer.BadParameter("--guidance needs a scan that it lies on")
    if scan is not None:
        check_scan(scan)
    from camlime.bundle import Bundle
    from camlime.classifier import Classifier
    from camlime.guidance import guided
    from camlime.methods.layers import candidate_layers, choose_layer, find_layer
    from camlime.scan import Scan
    from camlime.view import focus

    loaded = Bundle.load(bundle, trust_code=trust_code)
    if scan is None:
        image = _blank_input(loaded)
    else:
        read = Scan.read(scan, series=series)
        read = guided(read, loaded, guidance, guidance_label)
        image = loaded.prepare(focus(read, loaded, place.in_ras(read))).image
    classifier = Classifier(
        loaded.network,
        class_names=loaded.class_names,
        activation=loaded.activation,
        device="cpu",
        inferer=loaded.inferer,
    )
    candidates = candidate_layers(classifier, image)
    chosen, reason = choose_layer(candidates, image.shape[1:])
    own = loaded.explain_settings.target_layer
    if own is not None:
        chosen, reason = find_layer(candidates, own, loaded.network).name, f"{own} is the bundle's own choice"
    _print(candidates, chosen, reason, image)


def _print(candidates: list[LayerGrid], chosen: str, reason: str, image: Tensor) -> None:
    from camlime.cli.console import stdout

    printer = stdout()
    printer.head(f"input: {image.shape[0]} x {' x '.join(map(str, image.shape[1:]))}")
    width = max(len(layer.name) for layer in candidates)
    grids = [" x ".join(map(str, layer.grid)) for layer in candidates]
    for layer, grid in zip(candidates, grids, strict=True):
        mark = "*" if layer.name == chosen else " "
        line = f"{layer.name:<{width}}  {grid:<{max(map(len, grids))}}  {layer.shape[0]:>5} channels  {layer.kind}"
        printer.exactly(f"{mark} {line}", style="bold" if layer.name == chosen else None)
    printer.line((reason, ""))


def _blank_input(bundle: Bundle) -> Tensor:
    """An empty image of the shape that the bundle's metadata states.

    Raises:
        RequestError: it states none, or one with free sizes.
    """
    from camlime.errors import RequestError

    if not bundle.input_shape or None in bundle.input_shape:
        raise RequestError(
            f"the metadata of bundle '{bundle.name}' states no fixed input shape", hint="give a scan as well"
        )
    return bundle.empty_input()
