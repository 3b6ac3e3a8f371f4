"""``python -m camlime.worker.engine``, which only the worker starts."""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import sys
import time
from pathlib import Path

from camlime.current_folder import forget_current_folder
from camlime.threads import wait_asleep
from camlime.worker.engine.inbox import Inbox
from camlime.worker.lines import Writer, claim_stdin, claim_stdout

FIRST_TO_GO = "800"
"""Of 1000: when memory runs out, Linux is to end the engine, not the program that uses it."""


def main() -> None:
    """Import, say so, and work until the worker is gone."""
    started = time.perf_counter()
    wait_asleep()
    forget_current_folder()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    events = Writer(claim_stdout())
    inbox = Inbox(claim_stdin())
    faulthandler.enable()  # so that the last words of a crash say where it was
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)
    try:
        from camlime.worker.engine.work import Engine
    except ImportError as error:
        hint = "install what is missing: the greeting lists the packages"
        events.write({"event": "failed", "message": f"the engine cannot be imported: {error}", "hint": hint})
        sys.exit(1)
    Engine(events, inbox, started=started).run()


if __name__ == "__main__":
    main()
