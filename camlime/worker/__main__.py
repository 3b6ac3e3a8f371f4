"""``python -m camlime.worker``."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from camlime.worker.front import PATIENCE_SECONDS, Front
from camlime.worker.lines import claim_stdin, claim_stdout


def main() -> None:
    """Run the worker until its client is gone."""
    parser = argparse.ArgumentParser(
        prog="python -m camlime.worker", description="Explain on request: JSON lines in and out; see docs/worker.md."
    )
    parser.add_argument("--parent", type=int, metavar="PID", help="end when this process is gone")
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE_SECONDS,
        metavar="SECONDS",
        help="kill an engine that has not ended a cancelled request by then (default %(default)g)",
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the client's to hear
    Front(claim_stdin(), claim_stdout(), parent=arguments.parent, patience=arguments.patience).run()
    sys.stderr.flush()
    os._exit(0)  # a thread may still wait for input that never comes


if __name__ == "__main__":
    main()
