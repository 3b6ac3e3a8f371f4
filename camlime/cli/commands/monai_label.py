"""``camlime monai-label``."""

from __future__ import annotations

import tempfile
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from camlime.cli import options
from camlime.cli.places import check_writable
from camlime.cli.reporting import reported
from camlime.errors import RequestError


class Quality(str, Enum):
    """How long an explanation may take; as the worker's."""

    quick = "quick"
    standard = "standard"
    thorough = "thorough"
    until_certain = "until_certain"


@reported
def monai_label(
    ctx: typer.Context,
    studies: Annotated[
        str, typer.Option("--studies", metavar="DIR|URL", help="Folder of images, or a DICOMweb server's address.")
    ],
    bundle: Annotated[
        list[str] | None,
        typer.Option("--bundle", metavar="DIR", help="A MONAI bundle; several times for several. All shipped if none."),
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="To listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="To listen on; 0 for any.")] = 8000,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option("--allow-origin", metavar="ORIGIN", help="A web page that may use the server, such as OHIF's."),
    ] = None,
    without_authentication: Annotated[
        bool, typer.Option("--without-authentication", help="Serve a network although nobody has to log in.")
    ] = False,
    quality: Annotated[
        Quality, typer.Option("--quality", help="Of explanations, where the client asks for none.")
    ] = Quality.standard,
    score: Annotated[
        bool, typer.Option("--score", help="Explain all studies in the background, to order them by doubt.")
    ] = False,
    device: options.Device = "auto",
    trust_code: options.TrustCode = False,
    debug: options.Debug = False,
) -> None:
    """Serve explanations to 3D Slicer, OHIF and other clients of MONAI Label; the doubtful studies first.

    Ends with Ctrl-C.
    """
    if not studies.startswith(("http://", "https://")):
        if not Path(studies).is_dir():
            raise RequestError(f"{studies} is no folder", hint="give --studies a folder of images that exists")
        check_writable(Path(studies))
        studies = str(Path(studies).resolve())
    from camlime.cli.console import stderr, stdout

    with tempfile.TemporaryDirectory(prefix="camlime-monai-label-") as folder:
        with stderr().busy("starting"):
            from camlime.monai_label.serving import Serving, ready

            server = ready(
                Serving(
                    studies=studies,
                    bundles=bundle or (),
                    host=host,
                    port=port,
                    origins=allow_origin or (),
                    without_authentication=without_authentication,
                    device=device,
                    quality=quality.value,
                    score=score,
                    trust_code=trust_code,
                ),
                Path(folder),
            )
        printer = stdout()
        printer.line(("MONAI Label server: ", "bold"), (server.address, ""))
        printer.line(("studies: ", "bold"), (str(server.studies), ""))
        printer.line(("tasks: ", "bold"), (", ".join(server.tasks), ""))
        try:
            server.run()
        except KeyboardInterrupt:
            stderr().line(("ended", ""))
