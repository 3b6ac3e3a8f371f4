"""Who may talk to the server: hosts, origins of web pages, and MONAI Label's own tokens."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import SimpleNamespace
from urllib.parse import urlsplit

import jwt
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from monailabel.endpoints.user import auth
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from camlime.monai_label.addresses import is_loopback

SIGNATURES = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
"""Of tokens: those of a public key, which is all that MONAI Label fetches."""


class OnlyKnownOrigins:
    """Refuses what a browser sends for a page from elsewhere: without it any page could start work on a local server.

    Args:
        app: to protect.
        origins: beside the server's own.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app, self._origins = app, frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 403."""
        headers = {key: value.decode("latin-1") for key, value in scope.get("headers", [])}
        origin, host = headers.get(b"origin"), headers.get(b"host")
        if origin is None or origin in self._origins or urlsplit(origin).netloc == host:
            await self._app(scope, receive, send)
            return
        detail = "a page of this origin may not use the server (its administrator can allow it: --allow-origin)"
        await JSONResponse({"detail": detail}, status_code=403)(scope, receive, send)


def guard(app: FastAPI, *, host: str, origins: Sequence[str]) -> None:
    """Let only this server's own pages and the origins given use it from a browser.

    On a loopback address only requests to a name of this machine are answered: a page that has its own name resolve
    to 127.0.0.1 is not.
    """
    app.add_middleware(
        CORSMiddleware, allow_origins=list(origins), allow_credentials=True, allow_methods=["*"], allow_headers=["*"]
    )
    app.add_middleware(OnlyKnownOrigins, origins=origins)
    if is_loopback(host):
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1", "[::1]", host])


def accept_tokens() -> None:
    """Let MONAI Label check its tokens: 0.8.5 names no algorithms, without which PyJWT 2 refuses every token."""
    auth.jwt = SimpleNamespace(decode=functools.partial(jwt.decode, algorithms=list(SIGNATURES)))
