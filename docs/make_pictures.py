"""Make the pictures of these pages anew: ``python docs/make_pictures.py``.

They show the phantom that the project makes itself, explained by a shipped bundle; no patient's image is in the
repository.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Run the demo and keep its overview."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "camlime", "demo", "--output", folder, "--seed", "0", "--device", "cpu"], check=True
        )
        shutil.copy(Path(folder) / "overview.png", IMAGES / "overview.png")


if __name__ == "__main__":
    main()
