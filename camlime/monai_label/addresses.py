"""Where the server listens, and which web pages may use it."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from camlime.errors import RequestError


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked_origin(text: str) -> str:
    """An origin as browsers send it.

    Raises:
        RequestError: it is none, or stands for all.

    Example:
        >>> checked_origin("http://ohif.hospital.org:3000/")
        'http://ohif.hospital.org:3000'
    """
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path not in {"", "/"} or "*" in text:
        raise RequestError(
            f"'{text}' is no origin", hint="give scheme, host and port, for instance http://localhost:3000"
        )
    return f"{parts.scheme}://{parts.netloc}"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens already, so that who reads the address can use it.

    Raises:
        RequestError: the address is taken, not this machine's, or not allowed.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        where = f"{host}, port {port}"
        raise RequestError(f"cannot listen on {where}: {why}", hint="give another --port or --host") from error
    return listening
