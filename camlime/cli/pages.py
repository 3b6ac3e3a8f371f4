"""Write the report page and say what it lacks: what ``explain --report`` and ``report`` do alike."""

from __future__ import annotations

from pathlib import Path

from camlime.cli.console import stderr
from camlime.explanation import Explanation
from camlime.report import REPORT_NAME, write_report
from camlime.report.niivue import installed_viewer
from camlime.scan import Scan
from camlime.slices.loading import SavedSlices
from camlime.slices.page import write_slices_report


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
    with stderr().busy("writing the page"):
        if isinstance(found, SavedSlices):
            written = write_slices_report(found, path, scan=scan, identified=identified)
        else:
            written = write_report(found, path, scan=scan, identified=identified)
    if installed_viewer() is None:
        said = 'the page has still pictures only; for the interactive viewer: pip install "camlime[report]"'
        stderr().line(("warning: ", "yellow"), (said, ""))
    return written
