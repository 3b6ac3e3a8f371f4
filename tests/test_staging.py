"""A file is there whole, or as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from camlime.staging import whole_file


def test_nothing_is_to_be_seen_before_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "numbers.txt"
    path.write_text("earlier")
    with whole_file(path, ending=".nii.gz") as aside:
        assert aside.name.startswith(".") and aside.name.endswith(".nii.gz")
        aside.write_text("half")
        assert path.read_text() == "earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["numbers.txt"]
    assert path.read_text() == "half"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_leaves_the_earlier_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "numbers.txt"
    path.write_text("earlier")
    with pytest.raises(type(error)), whole_file(path) as aside:
        aside.write_text("half")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["numbers.txt"]
    assert path.read_text() == "earlier"


def test_two_writers_have_a_place_each_and_the_last_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "numbers.txt"
    with whole_file(path) as one:
        one.write_text("one")
        with whole_file(path) as other:
            other.write_text("other")
        assert path.read_text() == "other"
    assert path.read_text() == "one"


def test_a_folder_in_the_way_stays(tmp_path: Path) -> None:
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(OSError), whole_file(tmp_path / "taken") as aside:
        aside.write_text("whole")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
