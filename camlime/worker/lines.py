"""JSON lines over pipes: read within limits, written whole, on a standard output that nobody else can write to."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import IO, Any

PROTOCOL = 1
"""Version of the protocol in docs/worker.md; raised when an older client could no longer understand."""

LONGEST_LINE = 1 << 20
"""Bytes of a request; volumes travel by file."""


class LineError(ValueError):
    """A line is no JSON object, or too long."""


class Writer:
    """Writes objects to a stream, one a line, plain ASCII; safe to use from several threads.

    Args:
        stream: raw or buffered.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, message: Mapping[str, Any]) -> None:
        """Write one object.

        Raises:
            OSError: nobody reads any more (also ``ValueError``: the stream was closed).
            ValueError: a number is not finite.
        """
        line = json.dumps(message, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()


def claim_stdout() -> IO[bytes]:
    """Take standard output for the protocol alone: what this process prints from now on goes to standard error.

    The descriptor itself is moved, so that prints of C libraries and of child processes are caught as well.
    """
    sys.stdout.flush()
    private = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return os.fdopen(private, "wb")


def claim_stdin() -> IO[bytes]:
    """Take standard input for the protocol alone: what else reads it finds it empty."""
    private = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return os.fdopen(private, "rb")


def read_lines(stream: IO[bytes], *, longest: int | None = None) -> Iterator[bytes | LineError]:
    """The lines of a stream until it ends; a line that is longer than may be comes as an error, and reading goes on.

    Args:
        stream: buffered.
        longest: bytes of a line; ``None`` for no limit.
    """
    while True:
        line = stream.readline() if longest is None else stream.readline(longest + 1)
        if not line:
            return
        if longest is not None and len(line) > longest and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = stream.readline(longest)
            yield LineError(f"a line is longer than {longest} bytes")
        elif line.strip():
            yield line


def parse(line: bytes) -> dict[str, Any]:
    """The object that a line holds.

    Raises:
        LineError: it holds none.
    """
    try:
        message = json.loads(line.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise LineError(f"a line is not JSON: {str(error)[:200] or type(error).__name__}") from error
    if not isinstance(message, dict):
        raise LineError(f"a line holds {type(message).__name__}, not an object")
    return message


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
