"""The codes of the exported objects: DICOM's and SNOMED's where there is one, else those of a private scheme.

No standard scheme has codes for evidence that a classifier used. The private scheme's designator begins with 99, as
PS3.16 section 8 asks for; each object that uses it says so in its CodingSchemeIdentificationSequence.
"""

from __future__ import annotations

from typing import Any

from camlime.explanation import Explanation
from camlime.levels import CODE_SCHEME, Level
from camlime.overview.words import clean

SCHEME_NAME = "camlime: evidence used by a classifier"
MAKER = "SlicerXAI"

LONGEST_MEANING = 64
"""Characters that a code's meaning, and any other attribute of value representation LO, can hold."""

NO_CLASS = ", no class"
"""Ends a description where the image has no class: lists of series show nothing else."""

_LONGEST_WHAT = 40


def private(value: str, meaning: str) -> Any:
    """A code of the private scheme, as pydicom has it.

    Args:
        value: at most 16 characters.
        meaning: for readers; may come from a file: brought to one line of at most 64 characters without backslashes,
            which would part values in DICOM.
    """
    from pydicom.sr.coding import Code

    return Code(value, CODE_SCHEME, fit(meaning, LONGEST_MEANING) or value)


def fit(text: object, longest: int) -> str:
    r"""Text that fits into a DICOM attribute of so many characters.

    Example:
        >>> fit("a\\b\nc" + 9 * "x", 8)
        'a/b cxx…'
    """
    said = clean(text).replace("\\", "/")
    return said if len(said) <= longest else f"{said[: longest - 1]}…"


def described(what: str, explanation: Explanation) -> str:
    """What an object shows and for which class, in at most 64 characters, for lists of series and of objects.

    A long name of a class is cut, but never that the image has no class.

    Args:
        what: such as "camlime maps"; a method's title may come from a file.
        explanation: whose explained class it is.
    """
    end = "" if explanation.prediction.has_class else NO_CLASS
    start = f"{fit(what, _LONGEST_WHAT)} for "
    return f"{start}{fit(explanation.explained_class, LONGEST_MEANING - len(start) - len(end))}{end}"


def level_code(level: Level) -> Any:
    """The code of a level of evidence: its key is the code value, its name the meaning."""
    return private(level.key, level.name)


def spatial_concept() -> Any:
    """The category of segments that are neither tissue nor lesion but places of interest (PS3.16, CID 7150)."""
    from pydicom.sr.codedict import codes

    return codes.cid7150.SpatialAndRelationalConcept


def keep_laterality(dataset: Any, header: Any) -> None:
    """Take over which side of a paired part the source shows; empty, as DICOM asks for, where the source is silent."""
    if "Laterality" not in dataset and "ImageLaterality" not in dataset:
        dataset.Laterality = header.get("Laterality")


_IDENTITY = (
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
)


def keep_identity_statements(dataset: Any, header: Any) -> None:
    """Say of an object what its source says: whether identity was removed, how, and whether dates were changed."""
    for keyword in _IDENTITY:
        if keyword in header and keyword not in dataset:
            dataset[keyword] = header[keyword]


def name_scheme(dataset: Any) -> None:
    """Say in a dataset whose codes the private ones are (PS3.3 C.12.1.1.7)."""
    from pydicom.dataset import Dataset

    scheme = Dataset()
    scheme.CodingSchemeDesignator = CODE_SCHEME
    scheme.CodingSchemeName = SCHEME_NAME
    scheme.CodingSchemeResponsibleOrganization = MAKER
    dataset.CodingSchemeIdentificationSequence = [scheme]
