"""A label map of a volume, slice by slice, as a 2D bundle sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from camlime.bundle.model_input import ModelInput
from camlime.errors import RegionsError, ScanError
from camlime.region_source import labels_on_scan
from camlime.regions import Regions, regions_from_label_map
from camlime.scan import Scan
from camlime.slices.stack import SliceStack, cut_labels


@dataclass(frozen=True, eq=False)
class SliceRegions:
    """Labels on a scan's voxels.

    Args:
        labels: ``(I, J, K)``.
        names: by label, those that have one.
        source: named in errors.
    """

    labels: NDArray[np.int32]
    names: Mapping[int, str]
    source: str

    @classmethod
    def read(cls, path: str | Path, scan: Scan) -> SliceRegions:
        """From a label map file on the scan's voxels, or on a part of them.

        Raises:
            RegionsError: it cannot be read, is no label map, or lies on another grid.
        """
        labels, names = labels_on_scan(path, scan)
        return cls(labels, names, str(path))

    def of(self, stack: SliceStack, n: int, seen: ModelInput) -> Regions:
        """The regions of slice ``n`` on the grid that the network sees.

        Raises:
            RegionsError: no label is in this slice.
        """
        labels = np.ascontiguousarray(cut_labels(self.labels, stack)[..., n])
        try:
            affine = stack.slice(n).affine
        except ScanError as error:
            raise RegionsError(f"slice {n} is constant", hint="choose another slice") from error
        return regions_from_label_map(labels, affine, seen, names=self.names, source=f"slice {n} of {self.source}")
