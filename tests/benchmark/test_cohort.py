"""The table of cases: what is read, and what is wrong with a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from camlime.benchmark import read_cohort
from camlime.errors import RequestError


def write(folder: Path, text: str) -> Path:
    (folder / "a.nii").write_bytes(b"image")
    (folder / "m.nii").write_bytes(b"mask")
    path = folder / "cases.csv"
    path.write_text(text, encoding="utf-8-sig")
    return path


def test_all_columns_are_read_whatever_their_order_and_case(tmp_path: Path) -> None:
    (line,) = read_cohort(
        write(tmp_path, "Image,R,A,S,case,patient,mask,class,regions,other\na.nii,1,-2,3.5,x,p,m.nii,bright,64,z\n")
    )
    assert (line.case, line.patient, line.class_name, line.regions) == ("x", "p", "bright", 64)
    assert line.point == (1.0, -2.0, 3.5)
    assert (line.image, line.mask) == (tmp_path / "a.nii", tmp_path / "m.nii")


def test_empty_fields_are_absent(tmp_path: Path) -> None:
    (line,) = read_cohort(write(tmp_path, "case,patient,image,mask,r,a,s\nx,p,a.nii,,,,\n"))
    assert (line.mask, line.point, line.class_name, line.regions) == (None, None, None, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("case,image\nx,a.nii\n", "no column patient"),
        ("case,patient,image\n", "no cases"),
        ("", "no column"),
        ("case,patient,image\nx,p,b.nii\n", "line 2.*b.nii does not exist"),
        ("case,patient,image\nx,p,a.nii\nx,q,a.nii\n", "'x' twice"),
        ("case,patient,image\nx,,a.nii\n", "line 2: 'patient' is empty"),
        ("case,patient,image\nx,p\n", "'image' is empty"),
        ("case,patient,image,r,a,s\nx,p,a.nii,1,2,\n", "point is incomplete"),
        ("case,patient,image,r,a,s\nx,p,a.nii,1,2,z\n", "line 2.*could not convert"),
        ("case,patient,image,regions\nx,p,a.nii,many\n", "line 2.*invalid literal"),
        ("case,patient,image,regions\nx,p,a.nii,-1\n", "line 2: -1 regions cannot be made"),
        ("case,patient,image,regions\nx,p,a.nii,1\n", "line 2: 1 regions cannot be made"),
        ("case,patient,image,r,a,s\nx,p,a.nii,1,2,nan\n", "line 2: the point 1, 2, nan is nowhere"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        read_cohort(write(tmp_path, text))


def test_no_table_at_all(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot be read"):
        read_cohort(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(RequestError, match="cannot be read"):
        read_cohort(tmp_path / "binary.csv")


def test_the_digest_follows_what_the_files_hold_and_the_line_says(tmp_path: Path) -> None:
    text = "case,patient,image,mask\nx,p,a.nii,m.nii\n"
    (before,) = read_cohort(write(tmp_path, text))
    digest = before.digest()
    assert before.digest() == digest
    (tmp_path / "a.nii").write_bytes(b"another image")
    assert before.digest() != digest
    (other,) = read_cohort(write(tmp_path, text.replace("x,p", "x,q")))
    assert other.digest() != digest
