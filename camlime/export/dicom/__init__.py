"""An explanation as DICOM for the archive of the scan that it explains."""

from camlime.export.dicom.writing import export_dicom

__all__ = ["export_dicom"]
