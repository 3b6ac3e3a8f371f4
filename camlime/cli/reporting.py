"""What a user hears when something goes wrong, and the exit code that goes with it."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable
from typing import Any

import typer

from camlime.cli import INTERRUPTED
from camlime.cli.console import stderr
from camlime.cli.noise import without_noise
from camlime.errors import CamlimeError

DEFECT = 70
"""Exit code for what should not have happened (``EX_SOFTWARE``)."""

Command = Callable[..., None]


def reported(command: Command) -> Command:
    """Turn errors of a command into a message and an exit code; a traceback comes only with ``--debug``.

    Args:
        command: takes the context as ``ctx`` and the option ``debug``; usage errors pass through to typer.
    """

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        ctx: typer.Context = arguments["ctx"]
        debug = arguments["debug"] or bool(ctx.find_root().params.get("debug"))
        try:
            with without_noise():
                command(**arguments)
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            _say("interrupted", "nothing was kept")
            raise typer.Exit(INTERRUPTED) from None
        except CamlimeError as error:
            _trace(error, debug)
            _say("error", error.message)
            if error.hint:
                _say("hint", error.hint)
            raise typer.Exit(error.exit_code) from None
        except Exception as error:
            _trace(error, debug)
            _say("error", f"this should not have happened: {type(error).__name__}: {error}")
            if not debug:
                _say("hint", "run it again with --debug and report what it shows")
            raise typer.Exit(DEFECT) from None

    run.__signature__ = inspect.signature(command, eval_str=True)  # type: ignore[attr-defined]
    return run


def _trace(error: BaseException, debug: bool) -> None:
    if debug:
        typer.echo("".join(traceback.format_exception(error)).rstrip(), err=True)


def _say(kind: str, text: str) -> None:
    colour = {"error": "bold red", "hint": "cyan", "interrupted": "yellow"}[kind]
    stderr().line((f"{kind}: ", colour), (text, "red" if kind == "error" else ""))
