"""Takes the current folder off Python's path again, where ``python -m`` has put it.

Where that folder is a stranger's bundle, a file named like one of the packages that torch or MONAI look for would be
run. Only what the interpreter has already loaded is used here.
"""

from __future__ import annotations

import os
import sys


def forget_current_folder() -> None:
    """Take it off ``sys.path``, unless camlime itself lies there."""
    here = os.getcwd()  # noqa: PTH109 - pathlib might be taken from the very folder
    home = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120
    if os.path.realpath(here) != home:
        sys.path[:] = [entry for entry in sys.path if entry not in ("", ".", here)]
