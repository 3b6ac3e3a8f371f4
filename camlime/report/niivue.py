"""NiiVue, the viewer of the page, out of the installed package ipyniivue.

NiiVue offers itself as text for pages that stand alone: its module ``@niivue/niivue/min`` exports ``esm``, its own
source, percent-encoded, and ipyniivue's front end carries that string for ``save_html``. Here it is found and decoded;
nothing of it is kept in this project.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from urllib.parse import unquote

PACKAGE = "ipyniivue"

NEEDED = ("Niivue", "NVImage", "SLICE_TYPE", "DRAG_MODE", "SHOW_RENDER", "MULTIPLANAR_TYPE")
"""What the page's own script uses."""

_ENCODED = re.compile(r"[\"`]((?:[A-Za-z0-9\-_.!~*'()]|%[0-9A-Fa-f]{2}){200000,})[\"`]")
_EXPORTS = re.compile(r"export\s*\{([^{}]*)\}\s*;?\s*$")
_ENDS_A_SCRIPT = re.compile(r"</script|<!--", re.IGNORECASE)


@dataclass(frozen=True)
class Viewer:
    """NiiVue, ready for a page.

    Args:
        script: a JavaScript module that hangs the names in :data:`NEEDED` onto ``globalThis.niivue``.
        licence: its licence's text.
        version: of the package it came in.
    """

    script: str
    licence: str
    version: str


@lru_cache(maxsize=1)
def installed_viewer() -> Viewer | None:
    """NiiVue from the installed package; ``None`` if it is not installed or its bundle is not as expected."""
    try:
        files = metadata.files(PACKAGE) or []
        version = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return None
    bundles = [file for file in files if file.name == "widget.js"]
    licences = [file for file in files if file.name.upper().startswith("LICENSE")]
    if not bundles:
        return None
    script = module_from_bundle(bundles[0].read_text(encoding="utf-8"))
    licence = licences[0].read_text(encoding="utf-8") if licences else "BSD-2-Clause"
    return None if script is None else Viewer(script, licence, version)


def module_from_bundle(bundle: str) -> str | None:
    """The module in a bundle that carries it percent-encoded, with its exports hung onto ``globalThis.niivue``.

    Returns:
        ``None`` if there is none that exports all of :data:`NEEDED` and can stand inside a script element.
    """
    for found in _ENCODED.finditer(bundle):
        source = unquote(found[1]).replace("\r\n", "\n").replace("\r", "\n")
        exports = _EXPORTS.search(source)
        if exports is None or _ENDS_A_SCRIPT.search(source):
            continue
        names = dict(_name(part) for part in exports[1].split(",") if part.strip())
        if all(name in names for name in NEEDED):
            given = ",".join(f"{name}:{names[name]}" for name in NEEDED)
            return f"{source[: exports.start()]}globalThis.niivue=Object.freeze({{{given}}});"
    return None


def _name(part: str) -> tuple[str, str]:
    """Exported and local name of one part of an export clause."""
    local, _, exported = part.strip().partition(" as ")
    return (exported or local).strip(), local.strip()
