"""How far the work is, on stderr: bars with the time left on a terminal, a line for each finished method elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from camlime.attribution import Attribution
from camlime.cli.console import stderr
from camlime.cli.interrupts import Interrupts
from camlime.methods.case import Progress
from camlime.pipeline import Listeners

STOPPING = "stopping after this batch (Ctrl-C again: at once, keeping nothing)"


class _Stopping(ProgressColumn):
    """Says that a Ctrl-C was heard."""

    def __init__(self, interrupts: Interrupts) -> None:
        super().__init__()
        self._interrupts = interrupts

    def render(self, task: Task) -> Text:
        return Text(STOPPING if self._interrupts.asked and not task.finished else "", style="yellow")


class Watch:
    """Shows the progress of an explanation while it is entered.

    Args:
        interrupts: whether the user wants to stop.
        quiet: show nothing.
    """

    def __init__(self, interrupts: Interrupts, *, quiet: bool) -> None:
        self._printer = stderr()
        self._interrupts = interrupts
        self._live = self._printer.console.is_terminal and not quiet
        self._quiet = quiet
        self._tasks: dict[str, TaskID] = {}
        self._said_stopping = False
        self.last: Progress | None = None
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f} of {task.total:.0f} passes"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            _Stopping(interrupts),
            console=self._printer.console,
            disable=not self._live,
        )

    def __enter__(self) -> Watch:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bars.stop()

    def listeners(self) -> Listeners:
        """What :func:`camlime.explain` reports to."""
        return Listeners(on_progress=self._progress, on_attribution=self._done, cancelled=self._cancelled)

    def _progress(self, progress: Progress) -> None:
        self.last = progress
        if self._live:
            task = self._tasks.get(progress.method)
            if task is None:
                task = self._tasks[progress.method] = self._bars.add_task(progress.method, total=progress.total)
            self._bars.update(task, completed=progress.done, total=progress.total)

    def _done(self, attribution: Attribution) -> None:
        task = self._tasks.get(attribution.method)
        if task is not None and not self._interrupts.asked:
            done = self._bars.tasks[list(self._tasks).index(attribution.method)].completed
            self._bars.update(task, total=max(done, 1), completed=max(done, 1))
        elif not self._quiet and not self._live:
            passes = attribution.forward_passes + attribution.backward_passes
            self._printer.line((f"{attribution.method}: {passes} passes in {attribution.seconds:.1f} s", ""))

    def _cancelled(self) -> bool:
        if self._interrupts.asked and not self._said_stopping and not self._live:
            self._said_stopping = True
            self._printer.line((STOPPING, ""))
        return self._interrupts.asked
