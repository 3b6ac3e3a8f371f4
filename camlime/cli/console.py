"""What the commands print: plain lines that a script can read, with colour on a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from camlime.errors import OutputError
from camlime.overview.words import (
    agreement_in_numbers,
    agreement_in_words,
    clean,
    evidence_in_words,
    reason_in_words,
    verdict_in_words,
    visible,
)

if TYPE_CHECKING:
    from camlime.explanation import Explanation, Prediction

BAR = 30
LONGEST_NAME = 60
"""Characters; longer names are not cut, only no longer aligned."""

_VERDICTS = {True: "bold green", False: "bold red", None: "bold yellow"}
_BADGES = {"concordant": "bold green", "CAM uninformative": "bold yellow", "conflict": "bold red"}


class Printer:
    """Prints lines to a stream: never wrapped, cut or read as markup."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def line(self, *parts: tuple[str, str]) -> None:
        """Print parts ``(text, style)`` on one line; control characters become spaces."""
        said = Text()
        for text, style in parts:
            said.append(visible(text), style=style or None)
        with _told(self.console.file):
            self.console.print(said, soft_wrap=True)

    def busy(self, text: str, *, quiet: bool = False) -> AbstractContextManager[object]:
        """Show on a terminal, while it lasts, that work goes on."""
        return nullcontext() if quiet or not self.console.is_terminal else self.console.status(text)

    def head(self, text: str) -> None:
        """Print the heading of a part."""
        self.line((text, "bold"))

    def prediction(self, prediction: Prediction, explained: str | None = None) -> None:
        """Print the classes with their probabilities as bars, the most probable first; or why there is no class."""
        self.head("prediction")
        if prediction.no_class:
            self.line(("  ", ""), (clean(prediction.no_class), "yellow"))
            return
        if prediction.unconfirmed:
            self.line((f"  no class unless the image shows {clean(prediction.presumes)}, in which case:", "yellow"))
        elif prediction.presumes is not None:
            self.line((f"  presuming that the image shows {clean(prediction.presumes)}:", "dim"))
        names = sorted(prediction.probabilities, key=lambda name: -prediction.probabilities[name])
        width = min(max(len(clean(name)) for name in names), LONGEST_NAME)
        full, empty = ("█", "·") if "utf" in (self.console.encoding or "").lower() else ("#", ".")
        for name in names:
            p = prediction.probabilities[name]
            filled = round(BAR * min(max(p, 0.0), 1.0))
            style = "bold" if name == prediction.most_probable else ""
            note = "  explained" if name == explained else ""
            self.line(
                ("  ", ""),
                (clean(name), style),
                (" " * (width - len(clean(name)) + 2), ""),
                (full * filled, "dark_orange" if name == explained else "blue"),
                (empty * (BAR - filled), "dim"),
                (f" {100 * p:5.1f} %", style),
                (note, "dark_orange"),
            )

    def explanation(self, explanation: Explanation) -> None:
        """Print the prediction, where the time went, the agreement, the evidence, and the warnings."""
        self.prediction(explanation.prediction, explanation.explained_class)
        if explanation.attributions:
            self.head("methods")
        width = max((len(name) for name in explanation.attributions), default=0)
        for name, a in explanation.attributions.items():
            layer = f"  layer {a.target_layer}" if a.target_layer else ""
            back = f" + {a.backward_passes} backward" if a.backward_passes else ""
            why = a.parameters.get("stopped_because")
            stopped = f"  ({'; '.join(dict.fromkeys(why))})" if why else ""
            passes = f"{a.forward_passes} forward{back} passes"
            self.line(
                (f"  {name}", ""),
                (" " * (width - len(name)), ""),
                (f"  {a.seconds:7.2f} s  {passes}", ""),
                (layer + stopped, "dim"),
            )
        if explanation.agreement is not None:
            badge = explanation.agreement.badge
            self.line(("agreement: ", "bold"), (badge, _BADGES.get(badge, "bold")))
            self.line((f"  {agreement_in_words(explanation.agreement)}", ""))
            self.line((f"  {agreement_in_numbers(explanation.agreement)}", "dim"))
        for i, evidence in enumerate(explanation.evidence.values()):
            verdict = verdict_in_words(evidence)
            cost = f"  {evidence.method}, {evidence.passes} passes in {evidence.seconds:.1f} s"
            self.line(("evidence: ", "bold"), (verdict, _VERDICTS[evidence.supported]), (cost, "dim"))
            for said in evidence_in_words(evidence) if i == 0 else reason_in_words(evidence):
                self.line((f"  {said}", ""))
        structures = explanation.structure_table()
        if structures and "weight" in structures[0]:
            self.head("structures, log-odds added by being there")
            width = min(max(len(clean(row["name"])) for row in structures), LONGEST_NAME)
            for row in structures:
                interval = row["interval_95"]
                known = "" if interval is None else f"  ({interval[0]:+.2f} to {interval[1]:+.2f})"
                count = f"  {len(row['parts'])} part{'s' if len(row['parts']) > 1 else ''}"
                self.line((f"  {clean(row['name']):<{width}}  {row['weight']:+.2f}{known}", ""), (count, "dim"))
        for warning in explanation.warnings:
            self.line(("warning: ", "yellow"), (warning, ""))

    def of_slice(self, n: int, explanation: Explanation) -> None:
        """Print what is known of the maps of one slice of a volume, in short; the whole is in its own files."""
        self.head(f"slice {n}: evidence for {clean(explanation.explained_class)}")
        if explanation.agreement is not None:
            badge = explanation.agreement.badge
            self.line(("  agreement: ", ""), (badge, _BADGES.get(badge, "bold")))
        for i, evidence in enumerate(explanation.evidence.values()):
            verdict = verdict_in_words(evidence), _VERDICTS[evidence.supported]
            self.line((f"  {evidence.method}: ", ""), verdict)
            for said in evidence_in_words(evidence)[:1] if i == 0 else ():
                self.line((f"    {said}", "dim"))
        for warning in explanation.warnings:
            self.line(("  warning: ", "yellow"), (warning, ""))

    def exactly(self, *lines: object, style: str | None = None) -> None:
        """Print lines as they are, such as the names of files and commands to copy."""
        with _told(self.console.file):
            for line in lines:
                self.console.out(str(line), style=style, highlight=False)

    def json(self, record: Mapping[str, Any]) -> None:
        """Print a record for programs to read."""
        self.exactly(json.dumps(record, indent=2))


@contextmanager
def _told(stream: IO[str]) -> Iterator[None]:
    """Say what is wrong where the standard output takes no more; a reader that went away is no error of ours.

    Raises:
        OutputError: it takes no more, most often because it goes to a file on a disk that is full.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if stream is not sys.stdout:
            raise
        raise output_refused(error) from error


def output_refused(error: OSError) -> OutputError:
    """What is said where the standard output cannot be written to, of which nothing more is tried."""
    with suppress(OSError, ValueError, AttributeError):  # else the interpreter tries again as it ends, and complains
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OutputError(
        f"cannot write to the standard output: {error.strerror or error}",
        hint="send it to a place with space left; files that were written are there",
    )


def stdout() -> Printer:
    """For results."""
    return Printer(Console(file=sys.stdout, highlight=False, emoji=False))


def stderr() -> Printer:
    """For progress and errors."""
    return Printer(Console(file=sys.stderr, highlight=False, emoji=False))
