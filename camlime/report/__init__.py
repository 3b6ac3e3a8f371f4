"""An explanation as one HTML page that opens from disk, without a network."""

from camlime.report.writing import write_report
from camlime.saving import REPORT_NAME

__all__ = ["REPORT_NAME", "write_report"]
