"""Results on disk: one file a case, in a folder of the settings' own, so that a run goes on where it stopped.

``OUTPUT/cases/<hash>/<case>.json``: the hash is that of settings, weights, versions and sources, so that what was
measured otherwise lies elsewhere and is never mixed in; it is used again when the earlier state comes back.
``OUTPUT/cases/<hash>.json`` holds what the hash is of, so that it can be said what is different. Each case's file also
holds the digest of its line and of the image: a case whose files changed is done again. A file is written under
another name and then renamed: one that is there is whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from camlime.benchmark.settings import digest
from camlime.errors import OutputError
from camlime.staging import whole_file

FOLDER = "cases"


class Store:
    """Results of one benchmark.

    Args:
        output: the benchmark's folder.
        measured_with: what the results depend on, see :meth:`BenchmarkSettings.measured_with`.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(self, output: Path, measured_with: Mapping[str, Any]) -> None:
        self.digest = digest(measured_with)
        self.folder = output / FOLDER / self.digest
        self._measured_with = measured_with
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _refused(self.folder, error) from error
        write_whole(_about(self.folder), json.dumps(measured_with, indent=1, sort_keys=True) + "\n")

    def set_aside(self) -> list[str]:
        """In words, earlier results in the same output that are not used, and why; none once this state has its own.

        They are left where they are: whoever goes back to that state goes on with them.
        """
        if any(self.folder.glob("*.json")):
            return []
        said = []
        for other in sorted(self.folder.parent.iterdir()):
            number = len(list(other.glob("*.json"))) if other.is_dir() and other != self.folder else 0
            if number:
                why = "; ".join(_differences(_read(_about(other)), self._measured_with))
                said.append(f"the results of {number} case(s) in {other} are not used: {why}")
        return said

    def load(self, case: str, digest: str) -> dict[str, Any] | None:
        """The result of a case, or ``None`` where there is none of this line and image."""
        whole = _read(self._path(case))
        if (whole.get("settings"), whole.get("digest")) != (self.digest, digest):
            return None
        record: dict[str, Any] | None = whole.get("result")
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


def _about(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _read(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing where there is none, or it is something else."""
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return whole if isinstance(whole, dict) else {}


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In what two states differ, in words."""
    if not then:
        return ["it is not known what they were measured with"]
    said = []
    for part, title in (("settings", "other settings"), ("bundle", "another bundle"), ("versions", "other versions")):
        names = [name for name in now[part] if then.get(part, {}).get(name) != now[part][name]]
        names += [name for name in then.get(part, {}) if name not in now[part]]
        if names:
            said.append(f"{title}: {', '.join(names)}")
    if then.get("sources") != now["sources"]:
        said.append("other sources of camlime")
    return said or ["another format"]


def write_whole(path: Path, text: str | bytes) -> None:
    """Write a file under another name and rename it.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as aside:
            aside.write_bytes(text.encode() if isinstance(text, str) else text)
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write to {path}: {error.strerror or error}",
        hint="give --output a folder that you may write to, with space left",
    )
