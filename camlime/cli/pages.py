"""Write the report page and say what it lacks: what ``explain --report`` and ``report`` do alike."""

from __future__ import annotations

from pathlib import Path

from camlime.cli.console import stderr
from camlime.explanation import Explanation
from camlime.report import REPORT_NAME, report_text, save_page
from camlime.report.niivue import installed_viewer
from camlime.scan import Scan
from camlime.slices.loading import SavedSlices
from camlime.slices.page import slices_report_text


def write_page(found: Explanation | SavedSlices, place: Path, *, scan: Scan | None, identified: bool) -> Path:
    """Write the page into a folder, as ``report.html``, or to a file.

    Args:
        found: what to show.
        place: a folder that exists, or the file to write.
        scan: shown around the maps.
        identified: also show names of files.

    Returns:
        The file.
    """
    path = place / REPORT_NAME if place.is_dir() else place
    return save_page(page_text(found, scan=scan, identified=identified), path)


def page_text(found: Explanation | SavedSlices, *, scan: Scan | None, identified: bool) -> str:
    """Make the page, to be written together with the results; arguments as of :func:`write_page`."""
    with stderr().busy("writing the page"):
        if isinstance(found, SavedSlices):
            text = slices_report_text(found, scan=scan, identified=identified)
        else:
            text = report_text(found, scan=scan, identified=identified)
    if installed_viewer() is None:
        said = 'the page has still pictures only; for the interactive viewer: pip install "camlime[report]"'
        stderr().line(("warning: ", "yellow"), (said, ""))
    return text
