"""Files that come all together or not at all, and single ones that come whole.

Those of a result are written into a hidden folder beside their final place and then moved, the JSON last: a run that
fails on the way (disk full, no permission) leaves nothing half-written, and a reader that finds the JSON finds all that
it names.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from camlime.errors import OutputError

JSON_NAME = "explanation.json"
"""The file that names the others."""

_ASIDE = ".earlier-"


@contextmanager
def whole_file(path: Path, *, ending: str = "") -> Iterator[Path]:
    """A hidden name beside ``path`` to write to, which becomes ``path`` when the block ends well and is gone if not.

    A reader finds the earlier file or the new one, never a half; of several writers the last one wins. The folder has
    to be there, and what goes wrong stays an ``OSError``: the caller knows what to say of it.

    Args:
        path: the file.
        ending: of the hidden name, for writers that go by it.

    Example:
        >>> with whole_file(Path("numbers.txt")) as aside:  # doctest: +SKIP
        ...     aside.write_text("1 2 3")
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part{ending}")
    try:
        yield aside
        aside.replace(path)
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


@contextmanager
def staged(folder: Path, *, instead_of: Callable[[Path], Iterable[Path]] = lambda folder: ()) -> Iterator[Path]:
    """A hidden folder inside ``folder`` whose files are moved up when the block ends well, and are gone if it fails.

    Args:
        folder: where the files belong; made if it is not there.
        instead_of: tells, for ``folder``, the files to remove as the new ones come, relative to it.

    Raises:
        OutputError: the folder cannot be made or written to, or something that is no file is in the way; what was in
            the folder is there unchanged.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    stage: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".camlime-", dir=folder))
        yield stage
        _move_in(stage, folder, instead_of(folder))
        shutil.rmtree(stage, ignore_errors=True)
    except BaseException as error:
        if stage is not None and not any(stage.glob(f"{_ASIDE}*/**/*.*")):
            shutil.rmtree(stage, ignore_errors=True)
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        if isinstance(error, OSError):
            why = error.strerror or str(error)
            raise OutputError(
                f"cannot write to {folder}: {why}", hint="give --output a folder that you may write to, with space left"
            ) from error
        raise


def _move_in(stage: Path, folder: Path, stale: Iterable[Path]) -> None:
    """Move the files of ``stage`` into ``folder`` and those they replace aside; all of them or none.

    The JSON is the first to go and the last to come, so that at no time one is there whose files are not.
    """
    new = sorted((p.relative_to(stage) for p in stage.rglob("*") if p.is_file()), key=lambda p: p.name == JSON_NAME)
    for name in new:
        _check_free(folder, name)
    aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=stage))
    leaving = [name for name in {*new, *stale} if (folder / name).is_file() or (folder / name).is_symlink()]
    leaving.sort(key=lambda p: p.name != JSON_NAME)
    moves = [(folder / name, aside / name) for name in leaving] + [(stage / name, folder / name) for name in new]
    made: list[Path] = []
    done: list[tuple[Path, Path]] = []
    with _interrupts_deferred() as deliver:
        try:
            for source, target in moves:
                missing = [path for path in target.parents if not path.exists()]
                target.parent.mkdir(parents=True, exist_ok=True)
                made += reversed(missing)
                source.replace(target)
                done.append((source, target))
            deliver()
        except BaseException as error:
            _move_back(done, error, folder, aside)
            for path in reversed(made):
                if path.is_relative_to(folder) and not any(path.iterdir()):
                    path.rmdir()
            raise
    emptied = {folder / path for name in leaving for path in list(name.parents)[:-1]}
    for left in sorted(emptied, key=lambda path: -len(path.parts)):
        if not any(left.iterdir()):
            left.rmdir()


def _move_back(done: list[tuple[Path, Path]], error: BaseException, folder: Path, aside: Path) -> None:
    """Undo moves, the last first.

    Raises:
        OutputError: one cannot be undone; the earlier files that could not be put back stay where they are.
    """
    stuck = False
    for source, target in reversed(done):
        try:
            target.replace(source)
        except OSError:
            stuck = True
    if stuck:
        raise OutputError(
            f"cannot write to {folder}: {error}, and not all that was there could be put back",
            hint=f"earlier files are in {aside}",
        ) from error


def _check_free(folder: Path, name: Path) -> None:
    """Find out whether a file can take this name.

    Raises:
        OutputError: a folder has it, or a file has the name of the sub-folder.
    """
    for parent in list(name.parents)[:-1]:
        if (folder / parent).exists() and not (folder / parent).is_dir():
            raise OutputError(
                f"{folder / parent} is a file, but results belong into a folder of that name",
                hint="move the file away, or give --output another folder",
            )
    if (folder / name).is_dir():
        raise OutputError(
            f"{folder / name} is a folder, but a result has that name",
            hint="move it away, or give --output another folder",
        )


@contextmanager
def _interrupts_deferred() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back while the block runs, where Python can: in the main thread.

    Yields:
        A function that hands on what was held back so far to whoever listens to Ctrl-C.
    """
    listener = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(listener):
        yield lambda: None
        return
    held: list[int] = []

    def deliver() -> None:
        if held:
            listener(held.pop(), None)

    signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield deliver
    finally:
        signal.signal(signal.SIGINT, listener)
    deliver()
