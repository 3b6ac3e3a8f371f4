"""Results on disk: one file a case, in a folder of the settings' own, so that a run goes on where it stopped.

``OUTPUT/cases/<hash>/<case>.json``: the hash is that of settings, weights and versions, so that what was measured
otherwise lies elsewhere and is never mixed in; it is used again when the earlier settings come back. Each file also
holds the digest of its line and of the image: a case whose files changed is done again. A file is written under
another name and then renamed: one that is there is whole.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from camlime.errors import OutputError

FOLDER = "cases"


class Store:
    """Results of one benchmark.

    Args:
        output: the benchmark's folder.
        digest: of the settings.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(self, output: Path, digest: str) -> None:
        self.folder = output / FOLDER / digest
        self.digest = digest
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _refused(self.folder, error) from error

    def load(self, case: str, digest: str) -> dict[str, Any] | None:
        """The result of a case, or ``None`` where there is none of this line and image."""
        try:
            whole = json.loads(self._path(case).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(whole, dict) or (whole.get("settings"), whole.get("digest")) != (self.digest, digest):
            return None
        record: dict[str, Any] = whole["result"]
        return record

    def save(self, case: str, digest: str, result: dict[str, Any]) -> None:
        """Keep the result of a case.

        Raises:
            OutputError: it cannot be written; nothing half-written is left.
        """
        whole = {"settings": self.digest, "digest": digest, "result": result}
        path = self._path(case)
        write_whole(path, json.dumps(whole, indent=1, allow_nan=False) + "\n")

    def _path(self, case: str) -> Path:
        return self.folder / f"{quote(case, safe=' ')}.json"


def write_whole(path: Path, text: str | bytes) -> None:
    """Write a file under another name and rename it.

    Raises:
        OutputError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(text.encode() if isinstance(text, str) else text)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write to {path}: {error.strerror or error}",
        hint="give --output a folder that you may write to, with space left",
    )
