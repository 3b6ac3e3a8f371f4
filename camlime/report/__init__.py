"""An explanation as one HTML page that opens from disk, without a network."""

from camlime.report.writing import report_text, save_page, write_report
from camlime.saving import REPORT_NAME

__all__ = ["REPORT_NAME", "report_text", "save_page", "write_report"]
