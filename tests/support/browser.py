"""Report pages in headless Chromium: opened from disk, with all that they ask for and complain about."""

from __future__ import annotations

import importlib.util
import io
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from camlime.report.niivue import installed_viewer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"),
]

_LACKING = (
    "playwright: pip install camlime[test]" if importlib.util.find_spec("playwright") is None
    else "a browser: apt-get install chromium" if CHROMIUM is None
    else "ipyniivue: pip install camlime[report]" if installed_viewer() is None
    else ""
)  # fmt: skip

needs_browser = pytest.mark.skipif(bool(_LACKING), reason=f"needs {_LACKING}")


@dataclass
class Opened:
    """A page, what it asked for, and what it complained about."""

    page: Any
    requests: list[str]
    complaints: list[str]

    def text(self, selector: str) -> str:
        """The visible text of an element."""
        return str(self.page.inner_text(selector))

    def position(self) -> list[float]:
        """RAS mm that the page names, to a tenth."""
        return [float(x) for x in re.findall(r"-?\d+\.\d", self.text("#at").replace("−", "-"))]

    def outward(self) -> list[str]:
        """Requests that are not for the page itself or for what is in it."""
        return [url for url in self.requests if not url.startswith(("data:", "blob:", "file:"))]

    def canvas_colours(self) -> np.ndarray:
        """Pixels of the viewer as they are on the screen, ``(rows, columns, 3)``."""
        self.page.wait_for_timeout(300)
        return np.asarray(Image.open(io.BytesIO(self.page.locator("#canvas").screenshot())).convert("RGB"))


@contextmanager
def started() -> Iterator[Any]:
    """A browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def pages(browser: Any) -> Iterator[Callable[..., Opened]]:
    """Open files in contexts of their own, which end with the block."""
    contexts = []

    def open_file(file: Path, *, script: bool = True) -> Opened:
        context = browser.new_context(viewport={"width": 1300, "height": 900}, java_script_enabled=script)
        contexts.append(context)
        page = context.new_page()
        found = Opened(page, [], [])
        page.on("request", lambda request: found.requests.append(request.url))
        page.on("console", lambda m: found.complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (found.complaints.append("dialog"), dialog.dismiss()))
        page.goto(file.as_uri())
        if script:
            for _ in range(300):  # wait_for_function needs eval, which the page's policy forbids
                if page.evaluate("document.documentElement.dataset.viewer"):
                    break
                page.wait_for_timeout(200)
            assert page.evaluate("document.documentElement.dataset.viewer") == "ready"
        return found

    yield open_file
    for context in contexts:
        context.close()
