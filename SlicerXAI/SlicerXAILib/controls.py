"""Small helpers for Qt controls, written as PythonQt wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import qt


@contextmanager
def silent(*controls: Any) -> Iterator[None]:
    """Change controls without hearing of it."""
    before = [control.blockSignals(True) for control in controls]
    try:
        yield
    finally:
        for control, was in zip(controls, before, strict=True):
            control.blockSignals(was)


def fill_selector(selector: Any, entries: Iterable[tuple[str, str]], chosen: str) -> None:
    """Replace a combo box's entries, each a value and its text, and choose one, without a signal.

    An entry that is chosen but not among them is left unchosen.
    """
    with silent(selector):
        selector.clear()
        for value, text in entries:
            selector.addItem(text, value)
        selector.setCurrentIndex(selector.findData(chosen))


def keep_choice(
    selector: Any, parameters: Callable[[], Any], name: str, then: Callable[[], None] | None = None
) -> None:
    """Put what the user chooses in a combo box into a parameter.

    Args:
        selector: the combo box.
        parameters: gives the parameter node's wrapper, ``None`` where there is none.
        name: of the parameter.
        then: called afterwards.
    """

    def put() -> None:
        if parameters() is not None:
            setattr(parameters(), name, chosen_value(selector))
            if then is not None:
                then()

    selector.connect("currentIndexChanged(int)", put)


def chosen_value(selector: Any) -> str:
    """The value of a combo box's chosen entry; empty if there is none."""
    index = selector.currentIndex
    return "" if index < 0 else str(selector.itemData(index))


def fill_table(
    table: Any, headers: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = ()
) -> None:
    """Replace a table's content by text; columns that hold ``numbers`` are aligned to the right."""
    table.clear()
    table.setColumnCount(len(headers))
    table.setRowCount(len(rows))
    table.setHorizontalHeaderLabels(list(headers))
    table.verticalHeader().hide()
    for r, row in enumerate(rows):
        for c, text in enumerate(row):
            item = qt.QTableWidgetItem(text)
            if c in numbers:
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            table.setItem(r, c, item)
    if headers:
        table.horizontalHeader().setStretchLastSection(True)
    table.resizeColumnsToContents()


def set_bar(table: Any, row: int, column: int, share: float, text: str) -> None:
    """Put a bar from 0 to 1, with a text in it, into a table's cell."""
    bar = qt.QProgressBar()
    bar.setRange(0, 1000)
    bar.setValue(round(1000 * share))
    bar.setFormat(text)
    bar.setTextVisible(True)
    table.setCellWidget(row, column, bar)


def embolden(item: Any) -> None:
    """Make a table's item bold."""
    font = item.font()
    font.setBold(True)
    item.setFont(font)
