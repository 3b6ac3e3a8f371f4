"""Guidance: a mask of the structure in question, which some networks take as a further channel beside the image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.utils import MetaKeys
from numpy.typing import NDArray

from camlime.bundle import Bundle
from camlime.errors import RequestError
from camlime.region_source import on_whole_grid, same_lattice
from camlime.scan import Scan, load_label_map
from camlime.scan.label_map import PICTURES


def guided(scan: Scan, bundle: Bundle, guidance: str | Path | NDArray[Any] | None, label: int | None = None) -> Scan:
    """The scan with the guidance as its last channel, which is where :meth:`camlime.Bundle.prepare` looks for it.

    Args:
        scan: without the guidance.
        bundle: whose preprocessing makes a channel of it.
        guidance: a label map or picture on the scan's voxels, or an array ``(*S,)``; 0 is background. ``None`` leaves
            the scan as it is.
        label: only this one, of a map that marks many; all if ``None``.

    Raises:
        RequestError: the bundle takes no guidance, the scan has it already, or it does not fit the scan, marks nothing,
            or lacks the label.
        ScanError: the file cannot be read.
    """
    if guidance is None:
        if label is not None:
            raise RequestError("there is no guidance to take a label from", hint="give a label map as guidance")
        return scan
    if not bundle.guidance_channels:
        raise RequestError(
            f"bundle '{bundle.name}' takes no guidance: its preprocessing makes no channel of a mask",
            hint="leave the guidance out",
        )
    if scan.channels + 1 != bundle.input_channels:
        raise RequestError(
            f"the network of '{bundle.name}' takes {bundle.input_channels - 1} channel(s) and the guidance; "
            f"{scan.source} has {scan.channels}",
            hint="is the guidance the last channel of the scan already?",
        )
    if isinstance(guidance, np.ndarray):
        labels, name = _from_array(guidance, scan), "the guidance"
    else:
        labels, name = _from_file(Path(guidance), scan), str(guidance)
    if label is not None:
        if label == 0 or not (labels == label).any():
            there = ", ".join(str(value) for value in np.unique(labels[labels != 0])[:20])
            raise RequestError(f"{name} has no label {label}", hint=f"labels: {there or 'none'}")
        labels = np.where(labels == label, labels, 0)
    if not labels.any():
        raise RequestError(f"{name} marks nothing", hint="mark the structure that the network is asked about")
    channel = torch.from_numpy(np.ascontiguousarray(labels, dtype=np.float32))[None]
    meta = {key: value for key, value in scan.image.meta.items() if key != MetaKeys.AFFINE}
    image = MetaTensor(torch.cat([scan.image.as_tensor(), channel]), affine=scan.image.affine, meta=meta)
    return replace(scan, image=image)


def _from_array(guidance: NDArray[Any], scan: Scan) -> NDArray[np.int32]:
    if guidance.dtype.kind not in "biu":
        raise RequestError(
            f"the guidance holds values of type {guidance.dtype}", hint="give whole numbers or bool, 0 for background"
        )
    if guidance.shape != scan.shape:
        raise RequestError(f"the guidance has shape {guidance.shape}, the scan {scan.shape}")
    return guidance.astype(np.int32)


def _from_file(path: Path, scan: Scan) -> NDArray[np.int32]:
    labels, affine, _ = load_label_map(path)
    if path.suffix.lower() in PICTURES and labels.shape != scan.shape:
        raise RequestError(
            f"{path} has {_pixels(labels.shape)} pixels, {scan.source} has {_pixels(scan.shape)}",
            hint="the mask has to lie on the scan, pixel by pixel",
        )
    if path.suffix.lower() in PICTURES:
        return labels
    if not same_lattice(labels.shape, affine, scan.shape, scan.affine):
        raise RequestError(
            f"{path} lies on another voxel grid than {scan.source}", hint="resample it onto the scan, nearest neighbour"
        )
    return on_whole_grid(labels, affine, scan)


def _pixels(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)
