"""Start the server: settings, app, address."""

from __future__ import annotations

import logging
import os
import re
import socket
import tarfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camlime.errors import RequestError
from camlime.extras import needed
from camlime.monai_label.addresses import checked_origin, is_loopback, listen

if TYPE_CHECKING:
    from camlime.bundle import Bundle

EXTRA = "monai-label"
PURPOSE = "the MONAI Label server"

_SETTINGS = {
    "MONAI_LABEL_DICOMWEB_CACHE_EXPIRY": "30",  # seconds; with MONAI Label's two hours a new series is not found
    "MONAI_LABEL_TASKS_TRAIN": "false",
    "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",
}
"""Of MONAI Label, which reads them when it is imported; what the environment says comes first."""


@dataclass(frozen=True)
class Serving:
    """What to serve, and to whom.

    Args:
        studies: a folder, or a DICOMweb server's address.
        bundles: folders, zips or names of shipped bundles; all shipped ones if empty.
        host: to listen on.
        port: 0 for any that is free.
        origins: of web pages that may use the server, beside its own.
        without_authentication: serve a network although nobody has to say who they are.
        device: for the models.
        quality: where a client gives none.
        score: score all studies as soon as the server runs.
        trust_code: let the bundles run code of their own.
    """

    studies: str
    bundles: Sequence[str] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    origins: Sequence[str] = ()
    without_authentication: bool = False
    device: str = "auto"
    quality: str = "standard"
    score: bool = False
    trust_code: bool = False


@dataclass(frozen=True)
class Ready:
    """A server that listens already.

    Args:
        address: where.
        tasks: names of the infer tasks.
        studies: how many there are.
        server: uvicorn's.
        listening: its socket.
    """

    address: str
    tasks: tuple[str, ...]
    studies: int
    server: Any
    listening: socket.socket

    def run(self) -> None:
        """Serve until it is told to end."""
        self.server.run(sockets=[self.listening])


def ready(serving: Serving, folder: Path) -> Ready:
    """Listen, then read the bundles and the studies.

    Args:
        serving: what is asked for.
        folder: of the server's own, gone when it has ended.

    Raises:
        RequestError: MONAI Label is not installed, the address is taken or open to a network without authentication.
        BundleError: a bundle cannot be read.
    """
    origins = [checked_origin(origin) for origin in serving.origins]
    for key, value in {**_SETTINGS, "MONAI_LABEL_SESSION_PATH": str(folder / "sessions")}.items():
        os.environ.setdefault(key, value)
    settings = needed("monailabel.config", extra=EXTRA, purpose=PURPOSE).settings
    open_to_all = not settings.MONAI_LABEL_AUTH_ENABLE and not serving.without_authentication
    if open_to_all and not is_loopback(serving.host):
        raise RequestError(
            f"on {serving.host} the studies would be open to everybody on the network",
            hint="set up authentication (docs/monai-label.md), or say --without-authentication",
        )
    listening = listen(serving.host, serving.port)
    try:
        app = _app(serving, settings, folder)
        import uvicorn

        web = web_app(app, host=serving.host, origins=origins)
        config = uvicorn.Config(web, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
        count = len(app.datastore().list_images())
    except BaseException:
        listening.close()
        raise
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return Ready(f"http://{shown}:{port}", tuple(app.init_infers()), count, uvicorn.Server(config), listening)


def _app(serving: Serving, settings: Any, folder: Path) -> Any:
    from camlime.device import select_device

    select_device(serving.device)
    bundles = named_bundles(serving.bundles, trust_code=serving.trust_code)
    settings.MONAI_LABEL_STUDIES = serving.studies
    logging.getLogger("monailabel").setLevel(logging.WARNING)  # below, it prints requests with patients' data
    # It sets its own level, and says only that it runs. A filter stays where uvicorn's logging enables loggers again.
    logging.getLogger("timeloop").addFilter(lambda record: False)
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)  # of sessions that are uploaded as an archive
    for module in ("monailabel.interfaces.app", "nrrd", "uvicorn"):
        needed(module, extra=EXTRA, purpose=PURPOSE)
    from camlime.monai_label.app import ExplainApp
    from camlime.monai_label.explainer import Explainer

    return ExplainApp(
        Explainer(bundles, device=serving.device),
        studies=serving.studies,
        folder=folder,
        quality=serving.quality,
        score=serving.score,
    )


def web_app(app: Any, *, host: str, origins: Sequence[str]) -> Any:
    """The web application: this package's routes, and of MONAI Label's those that make sense here.

    Left out are training, models' files, logs, whole slides and ``/reload``.
    """
    from fastapi import FastAPI
    from monailabel.config import settings
    from monailabel.endpoints import datastore, info, login, ohif, proxy, session
    from monailabel.interfaces.utils.app import apps

    from camlime.monai_label.errors import tell_errors
    from camlime.monai_label.guards import accept_tokens, guard
    from camlime.monai_label.routes import routes

    settings.MONAI_LABEL_APP_DIR = app.app_dir
    apps[f"{settings.MONAI_LABEL_APP_DIR}{settings.MONAI_LABEL_STUDIES}"] = app  # where MONAI Label's handlers look

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        app.server_mode(True)
        app.on_init_complete()
        yield
        app.scoring_jobs.stop()
        app.batch_jobs.stop()

    web = FastAPI(title="camlime for MONAI Label", docs_url=None, redoc_url=None, lifespan=life)
    tell_errors(web)
    guard(web, host=host, origins=origins)
    web.include_router(routes(app))
    if settings.MONAI_LABEL_AUTH_ENABLE:
        accept_tokens()
        web.include_router(login.router)
    for stock in (info, datastore, session, ohif, proxy):
        web.include_router(stock.router)
    return web


def named_bundles(given: Sequence[str], *, trust_code: bool = False) -> dict[str, Bundle]:
    """The bundles by a name that can stand in an address: the folder's.

    Raises:
        BundleError: one cannot be read.
        RequestError: two have the same name, or there is none.
    """
    from camlime.bundle import Bundle, shipped_bundles

    named: dict[str, Bundle] = {}
    for path in given or list(shipped_bundles()):
        bundle = Bundle.load(path, trust_code=trust_code)
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", bundle.root.resolve().name)
        if name in named:
            raise RequestError(f"two bundles are called '{name}'", hint="rename the folder of one of them")
        named[name] = bundle
    if not named:
        raise RequestError("there is no bundle to serve", hint="give --bundle")
    return named
