"""The commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from camlime.cli.arguments import Command
from camlime.cli.commands.authoring import add_explain, card, check_bundle, randomisation
from camlime.cli.commands.benchmark import benchmark
from camlime.cli.commands.classify import classify
from camlime.cli.commands.demo import demo
from camlime.cli.commands.explain import explain
from camlime.cli.commands.export import export
from camlime.cli.commands.layers import layers
from camlime.cli.commands.monai_label import monai_label
from camlime.cli.commands.report import report
from camlime.cli.commands.slide import slide
from camlime.cli.commands.what_if import what_if
from camlime.cli.options import Debug
from camlime.version import __version__

app = typer.Typer(
    help="Explain why a MONAI classifier answers as it does, on the patient's own volume. Not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)
COMMANDS = (
    explain,
    classify,
    what_if,
    report,
    export,
    layers,
    slide,
    benchmark,
    monai_label,
    demo,
    check_bundle,
    add_explain,
    card,
    randomisation,
)
for command in COMMANDS:
    app.command(cls=Command)(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"camlime {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Debug = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that stand before the command; the commands look them up."""
