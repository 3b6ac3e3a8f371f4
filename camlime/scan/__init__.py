"""Pixels and where they lie in the patient: reading scans and label maps, writing volumes."""

from camlime.scan.label_map import load_label_map
from camlime.scan.scan import Scan
from camlime.scan.writing import save_volume

__all__ = ["Scan", "load_label_map", "save_volume"]
