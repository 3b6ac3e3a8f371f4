"""One method's map for one class, and the numbers that came with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

NORMAL_95 = 1.959964
"""Standard errors to either side that hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class Attribution:
    """One method's signed map for one class, as measured: never clipped or rescaled (display scaling is a view).

    Args:
        method: its name.
        values: shape ``(*S,)``, float32; positive speaks for the class. Units are the method's: log-odds a region for
            LIME and fused, activation times gradient for CAMs.
        std: shape ``(*S,)``, float32, one standard deviation in the units of ``values``; ``None`` where not known.
        region_weights: shape ``(d,)``: log-odds that each region of the reported segmentation adds by being there.
        region_std: shape ``(d,)``: their standard errors.
        forward_passes: images that went forward through the network for it.
        backward_passes: images that went backward.
        seconds: wall time.
        target_layer: the layer a CAM was taken from.
        parameters: what it was made with and what it noted, JSON-serialisable.
        region_covariance: shape ``(d, d)``: their covariance, where the method knows it; not saved.
        structure_std: shape ``(s,)``: standard errors of the sums of weights over each structure's parts, where regions
            are parts of structures.
    """

    method: str
    values: NDArray[np.float32]
    std: NDArray[np.float32] | None = None
    region_weights: FloatArray | None = None
    region_std: FloatArray | None = None
    forward_passes: int = 0
    backward_passes: int = 0
    seconds: float = 0.0
    target_layer: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    region_covariance: FloatArray | None = field(default=None, repr=False)
    structure_std: FloatArray | None = None

    @property
    def interval_factor(self) -> float:
        """Half the width of a 95 % interval in standard errors: as the method states it, else the normal one."""
        return float(self.parameters.get("interval_factor", NORMAL_95))
