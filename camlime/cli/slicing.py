"""Slices on the command line: which are meant, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from camlime.cli import INTERRUPTED
from camlime.cli.console import Printer, stderr, stdout
from camlime.overview.words import clean

if TYPE_CHECKING:
    from camlime.bundle import Bundle
    from camlime.cli.interrupts import Interrupts
    from camlime.cli.running import Request
    from camlime.scan import Scan
    from camlime.slices import SliceAnswers

_MANY_DIGITS = 7


@dataclass(frozen=True)
class Slicing:
    """What the user said of slices.

    Args:
        plane: ``axial``, ``coronal``, ``sagittal`` or ``native``.
        part: ``A:B``, the slices to classify, both ends included.
        index: the slice to explain, or the only one to classify; who picks a slice has seen it.
        count: how many to explain.
        seen: ``A:B``, the slices in which the user sees what the bundle presumes.

    Raises:
        typer.BadParameter: ``part`` or ``seen`` is no range, or ``index`` is not in ``part``.
    """

    plane: str | None = None
    part: str | None = None
    index: int | None = None
    count: int | None = None
    seen: str | None = None

    def __post_init__(self) -> None:
        part = self.range()
        _range("--seen", self.seen)
        if part is not None and self.index is not None and self.index not in part:
            raise typer.BadParameter(f"--slice {self.index} is not among --slices {self.part}")

    def range(self) -> range | None:
        """The slices that ``part`` names."""
        return _range("--slices", self.part)

    def confirmed(self, bundle: Bundle) -> Sequence[int] | None:
        """The slices that show what the bundle presumes, as far as the user says so.

        Raises:
            RequestError: ``seen`` was given, and the bundle presumes nothing.
        """
        from camlime.errors import RequestError

        if self.seen is not None and bundle.explain_settings.presumes is None:
            raise RequestError(
                f"bundle '{bundle.name}' presumes nothing that could be seen in a slice", hint="leave --seen out"
            )
        named = _range("--seen", self.seen)
        return named if self.index is None else sorted({self.index, *(named or ())})

    def needed(self, bundle: Bundle, scan: Scan) -> bool:
        """Whether the scan has to be taken slice by slice, or the user wants it to be.

        Raises:
            RequestError: the user wants it to be, and the bundle takes volumes; says what it takes instead.
        """
        from camlime.errors import RequestError

        given = {
            "--plane": self.plane,
            "--slices": self.part,
            "--slice": self.index,
            "--n-explained": self.count,
            "--seen": self.seen,
        }
        asked = [option for option, value in given.items() if value is not None]
        if asked and bundle.spatial_dims != 2:
            whole = bundle.field_of_view_mm is None
            takes = "it looks at the whole volume" if whole else "say where to look with --point R A S in mm"
            raise RequestError(
                f"bundle '{bundle.name}' takes volumes, so there are no slices to name",
                hint=f"leave {' and '.join(asked)} out; {takes}",
            )
        return bool(asked) or (bundle.spatial_dims == 2 and len(scan.shape) == 3 and 1 not in scan.shape)

    @property
    def plane_or_native(self) -> str:
        """The plane, the series' own if none was named."""
        return self.plane or "native"


def _range(option: str, text: str | None) -> range | None:
    if text is None:
        return None
    first, colon, last = text.partition(":")
    numbers = [part for part in (first, last) if part.isdecimal() and len(part) < _MANY_DIGITS]
    if not colon or len(numbers) != 2 or int(first) > int(last):
        raise typer.BadParameter(f"{option} '{text}' is not A:B, two slice numbers from 0, the lower one first")
    return range(int(first), int(last) + 1)


def classify_and_print(scan: Scan, bundle: Bundle, slicing: Slicing, device: str, *, as_json: bool) -> None:
    """Classify the slices and print one line each, or JSON."""
    from camlime.record import plain
    from camlime.slices import classify_slices
    from camlime.slices.saving import answer_record

    chosen = slicing.range() if slicing.index is None else [slicing.index]
    answers = classify_slices(
        scan, bundle, plane=slicing.plane_or_native, slices=chosen, seen=slicing.confirmed(bundle), device=device
    )
    if not as_json:
        print_answers(stdout(), answers)
        return
    record = {
        "plane": answers.stack.plane,
        "axis": answers.stack.axis,
        "slices": [answer_record(answer) for answer in answers.answers],
        "domain": {"threshold": answers.threshold, "quantile": answers.quantile},
        "presumes": answers.presumes,
        "seen": None if answers.seen is None else list(answers.seen),
        "volume_class": None,
        "bundle": {"name": bundle.name, "version": bundle.version},
        "warnings": list(answers.warnings),
    }
    stdout().json(plain(record))


def explain_and_save_slices(request: Request, scan: Scan, bundle: Bundle, interrupts: Interrupts) -> list[Path]:
    """Explain the slices, save and print; a first Ctrl-C saves what there is.

    Raises:
        typer.Exit: interrupted; what was kept is saved.
        KeyboardInterrupt: interrupted with nothing saved.
    """
    from camlime.cli.progress import Watch
    from camlime.slices import explain_slices
    from camlime.slices.explaining import DEFAULT_EXPLAINED

    slicing, settings = request.slicing, _settings(request)
    with Watch(interrupts, quiet=request.quiet) as watch:
        result = explain_slices(
            scan,
            bundle,
            plane=slicing.plane_or_native,
            slices=slicing.range(),
            seen=slicing.confirmed(bundle),
            explained=None if slicing.index is None else [slicing.index],
            count=slicing.count or DEFAULT_EXPLAINED,
            listeners=watch.listeners(),
            on_slice=lambda n: None if request.quiet else stderr().line((f"slice {n}", "dim")),
            **settings,
        )
    if not result.complete and not result.explanations:
        raise KeyboardInterrupt
    files = result.save(
        request.output,
        native=scan if request.native_grid else None,
        page=partial(_page, scan, request) if request.report else None,
    )
    printer = stdout()
    if request.quiet:
        printer.exactly(*files)
    else:
        print_answers(printer, result.answers, tuple(result.explanations))
        for n, explanation in result.explanations.items():
            printer.of_slice(n, explanation)
        printer.head("files")
        printer.exactly(*[f"  {path}" for path in files])
    if not result.complete:
        stderr().line(("interrupted: ", "yellow"), (f"kept {len(result.explanations)} explained slice(s)", ""))
        raise typer.Exit(INTERRUPTED)
    return files


def _page(scan: Scan, request: Request, saved: Path) -> str:
    from camlime.cli.pages import page_text
    from camlime.slices.loading import load_slices

    return page_text(load_slices(saved), scan=scan, identified=request.identified)


def print_answers(printer: Printer, answers: SliceAnswers, explained: Sequence[int] = ()) -> None:
    """Print one line a slice, then what the user should know."""
    stack = answers.stack
    own = ", the series' own plane" if stack.native else ""
    several = f"{stack.plane} slices along axis {stack.axis}{own}; no class for the volume"
    printer.head(several if len(stack.scan.shape) == 3 else "one image, taken as it is")
    if answers.threshold is not None and answers.quantile is not None:
        printer.line(
            (f"  flagged beyond a score of {answers.threshold:.1f}", "dim"),
            (f", which {1 - answers.quantile:.0%} of the training data's kind exceed", "dim"),
        )
    for answer in answers.answers:
        x, y, z = answer.centre_ras
        place = f"  {answer.index:4d}  R {x:7.1f}  A {y:7.1f}  S {z:7.1f}  "
        score = "" if answer.score is None else f"  score {answer.score:6.1f}"
        note = "  explained" if answer.index in explained else ""
        name = answer.class_name or answer.class_if_present
        if name is None:
            printer.line((place, ""), (clean(answer.no_class), "yellow"), (score, "dim"), (note, "dark_orange"))
            continue
        said = f"{clean(name)} {100 * answer.probabilities[name]:5.1f} %"
        condition = "" if answer.class_name else f"no class unless {clean(answers.presumes)} is there: "
        style = "bold" if answer.class_name else ""
        printer.line((place, ""), (condition, "yellow"), (said, style), (score, "dim"), (note, "dark_orange"))
    if answers.presumes is not None and any(answer.class_name for answer in answers.answers):
        printer.line((f"  a class presumes that the slice shows {clean(answers.presumes)}", "dim"))
    if answers.unconfirmed and answers.seen is None:
        printer.line((f"  name the slices in which you see {clean(answers.presumes)} with --seen A:B", "dim"))
    for warning in answers.warnings:
        printer.line(("warning: ", "yellow"), (warning, ""))


def _settings(request: Request) -> dict[str, Any]:
    from camlime.errors import RequestError

    place = request.place
    if any(value is not None for value in (place.ras, place.lps, place.voxel)):
        raise RequestError("a point is not for slices", hint="name the slice with --slice instead")
    return dict(request.settings)
