"""Makes the sample chest CT: run as a program by the Python that has the engine's packages, never inside Slicer.

    PythonSlicer make_phantom.py FOLDER

writes ``scan.npy``, int16 HU with axes ``(i, j, k)``, and ``scan.json`` with ``affine_ras`` and ``nodule_ras_mm``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np


def main(folder: Path) -> None:
    """Make the phantom and write it."""
    from camlime.phantom import chest_ct_nodule

    scan, centre, _ = chest_ct_nodule(seed=0)
    np.save(folder / "scan.npy", scan.image[0].numpy().astype(np.int16))
    words = {"affine_ras": np.asarray(scan.affine).tolist(), "nodule_ras_mm": np.asarray(centre).tolist()}
    (folder / "scan.json").write_text(json.dumps(words), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
