"""What a client hears when something goes wrong: a message with a status, never a bare 500."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException, MONAILabelException

from camlime.device import is_out_of_memory
from camlime.errors import BundleError, CamlimeError, DeviceError, RegionsError, RequestError, ScanError

_log = logging.getLogger(__name__)

STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (ImageNotFoundException, 404),
    (LabelNotFoundException, 404),
    (MONAILabelException, 400),
    (RequestError, 400),
    (ScanError, 422),
    (RegionsError, 422),
    (BundleError, 422),
    (DeviceError, 503),
    (CamlimeError, 500),
)


def tell_errors(app: FastAPI) -> None:
    """Answer every exception with ``{"detail": ...}``, as FastAPI's own errors are."""
    for kind in (CamlimeError, MONAILabelException, Exception):
        app.add_exception_handler(kind, _answer)


async def _answer(request: Request, error: Exception) -> JSONResponse:
    status, detail = told(error)
    return JSONResponse({"detail": detail}, status_code=status)


def told(error: Exception) -> tuple[int, str]:
    """Status and words for an exception; of what is not expected only the kind, since its words may hold paths.

    Example:
        >>> told(RequestError("there is no task 'x'", hint="tasks: a, b"))
        (400, "there is no task 'x' (tasks: a, b)")
    """
    status = next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
    if isinstance(error, CamlimeError):
        return status, str(error)
    if isinstance(error, MONAILabelException):
        said: Any = error.msg
        return status, str(said)
    if isinstance(error, MemoryError) or is_out_of_memory(error):
        return 503, "memory ran out (use another device, or a smaller study)"
    _log.error("unexpected", exc_info=error)
    return status, f"this should not have happened: {type(error).__name__} (the server's log has the details)"
