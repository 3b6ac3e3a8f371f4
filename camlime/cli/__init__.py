"""The command line. Heavy imports happen inside the commands, so that help and usage errors come at once."""

from __future__ import annotations

import io
import sys

from camlime.threads import wait_asleep

__all__ = ["main"]

INTERRUPTED = 130


def main() -> None:
    """Run the command line with the arguments of the process; always ends in ``SystemExit``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    wait_asleep()
    try:
        from camlime.cli.app import app

        app(prog_name="camlime")
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing was kept\n")
        raise SystemExit(INTERRUPTED) from None
    except OSError as error:  # of what is printed before a command begins, such as help; a command tells its own
        if error.filename is not None:
            raise
        from camlime.cli.console import output_refused

        refused = output_refused(error)
        sys.stderr.write(f"error: {refused.message}\nhint: {refused.hint}\n")
        raise SystemExit(refused.exit_code) from None
