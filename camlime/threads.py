"""How the threads of one pass wait for each other.

torch splits each layer between threads, and those that are done wait for the others. OpenMP lets them wait by running
in circles for some milliseconds, longer than a small network's layer takes. On a machine with other work a thread that
is waited for may not be running at all: then nearly all of the time goes into circles. Asleep, they leave it the core.
"""

from __future__ import annotations

import os

WAIT_POLICY = "OMP_WAIT_POLICY"


def wait_asleep() -> None:
    """Let waiting threads of this process sleep, unless the user's environment says otherwise.

    It has to be called before torch is imported: OpenMP reads the variable once. For programs of one's own; a library
    leaves the environment of its process alone.
    """
    os.environ.setdefault(WAIT_POLICY, "passive")
