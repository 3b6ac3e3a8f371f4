"""Make the pictures of these pages anew: ``python docs/make_pictures.py``.

They show the phantom that the project makes itself, explained by a shipped bundle; no patient's image is in the
repository. That of the report page needs Chromium (``apt-get install chromium``) and the extra ``test``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Run the demo; keep its overview and the top of its report page."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "camlime", "demo", "--output", folder, "--seed", "0", "--device", "cpu"], check=True
        )
        shutil.copy(Path(folder) / "overview.png", IMAGES / "overview.png")
        scan = str(Path(folder) / "scan.nii.gz")
        subprocess.run([sys.executable, "-m", "camlime", "report", folder, "--scan", scan], check=True)
        photograph(Path(folder) / "report.html", IMAGES / "report.png")


def photograph(page: Path, picture: Path) -> None:
    """Keep what a reader sees first of a page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        flags = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"]
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        view = browser.new_page(viewport={"width": 1280, "height": 1120})
        view.goto(page.as_uri())
        while not view.evaluate("document.documentElement.dataset.viewer"):
            view.wait_for_timeout(200)
        view.wait_for_timeout(1000)
        view.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main()
