"""The report page of slices: every answer, and the maps of the explained slices over the volume."""

from camlime.slices.page.writing import slices_report_text, write_slices_report

__all__ = ["slices_report_text", "write_slices_report"]
