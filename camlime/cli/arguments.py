"""How the arguments of all commands are taken."""

from __future__ import annotations

import typer
from typer.core import TyperCommand


class Command(TyperCommand):
    """A command none of whose arguments may be empty.

    An empty one is most often a variable that was not set. As a path it would stand for the current folder, and what
    else it stands for would differ from option to option.
    """

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Take the arguments.

        Raises:
            typer.BadParameter: one is empty; names the option that it stands behind.
        """
        for before, given in zip(["", *args], args, strict=False):
            option, assigned, value = given.partition("=") if given.startswith("--") else (before, "", given)
            if value.strip() or (given.startswith("--") and not assigned):
                continue
            where = option if option.startswith("-") and option != "--" else f"an argument of {ctx.info_name}"
            raise typer.BadParameter(f"{where} is empty: was a variable not set?", ctx=ctx)
        return super().parse_args(ctx, args)
