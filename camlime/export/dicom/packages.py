"""The optional packages of the DICOM export, imported where they are used."""

from __future__ import annotations

from types import ModuleType

from camlime.errors import OutputError


def highdicom() -> ModuleType:
    """The package highdicom.

    Raises:
        OutputError: it is not installed.
    """
    try:
        import highdicom
    except ImportError as error:
        raise OutputError(
            "the package highdicom is needed to write DICOM, and is not there",
            hint='install it with: pip install "camlime[dicom]"',
        ) from error
    module: ModuleType = highdicom
    return module
