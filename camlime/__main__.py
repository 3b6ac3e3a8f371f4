"""``python -m camlime``.

Python puts the current folder on its path for ``-m``. Where that is a stranger's bundle, a file named as one of the
packages that torch or MONAI look for would be run: so it is taken off again, unless camlime itself lies there.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path.cwd()
if Path(__file__).resolve().parents[1] != HERE:
    sys.path[:] = [entry for entry in sys.path if entry not in ("", ".", str(HERE))]

from camlime.cli import main  # noqa: E402 - the path first

if __name__ == "__main__":
    main()
