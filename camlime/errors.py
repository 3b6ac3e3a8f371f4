"""Errors that a user can act on.

Every error that bad input can cause is a :class:`CamlimeError`: it says what was wrong and, as a hint, what to do.
The command line prints both and exits with the class's ``exit_code``; a traceback appears only with ``--debug``.
Any other exception is a defect of the engine.
"""

from __future__ import annotations

from pathlib import Path


class CamlimeError(Exception):
    """What was wrong, in one sentence, and a hint that says what to do.

    Args:
        message: what was wrong; names the file, value or layer at fault.
        hint: what the user can do about it, may be empty.

    Example:
        >>> str(ScanError("scan.nii.gz is truncated", hint="copy the file again"))
        'scan.nii.gz is truncated (copy the file again)'
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ScanError(CamlimeError):
    """An image cannot be read, or is not something that can be explained."""

    exit_code = 3


class BundleError(CamlimeError):
    """A MONAI bundle is incomplete, inconsistent or not a classifier."""

    exit_code = 4


class UntrustedBundleError(BundleError):
    """A bundle asks to run code that the safety screen does not allow."""

    exit_code = 5


class RequestError(CamlimeError):
    """The user asked for a class, method, layer, point or setting that does not exist."""

    exit_code = 6


class RegionsError(CamlimeError):
    """A label map cannot serve as regions for this scan."""

    exit_code = 7


class OutputError(CamlimeError):
    """Results cannot be written."""

    exit_code = 8


class DeviceError(CamlimeError):
    """The compute device is not there or its memory is too small."""

    exit_code = 9


def unreadable(file: Path, error: Exception) -> OutputError:
    """What is said of a record that holds something else than this version reads, be it of an image or of slices.

    Args:
        file: the record.
        error: that reading it raised. A key is not lost by damage: one that is missing, the writing version did not
            know.
    """
    if isinstance(error, KeyError):
        return OutputError(
            f"{file} was written by another version of camlime: it lacks {error}",
            hint="explain the scan again with this one",
        )
    return OutputError(f"{file} or what it names is damaged: {error!r}", hint="explain the scan again")
