"""The page without a browser: what is taken from the viewer's package, how volumes are made small, what is refused."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import html
from pathlib import Path
from urllib.parse import quote

import nibabel as nib
import numpy as np
import pytest
import torch
from support.report_case import volume_explanation

from camlime.errors import OutputError, RequestError
from camlime.report import niivue, write_report
from camlime.report.charts import charts_of
from camlime.report.content import percent
from camlime.report.reduction import MOST_BYTES, box_of, packed, reduced_grid
from camlime.report.volumes import page_volumes
from camlime.report.writing import render
from camlime.scan import Scan

MODULE = (
    "const a=1;" * 30000 + "export{a as Niivue,b as NVImage,SLICE_TYPE,c as DRAG_MODE,SHOW_RENDER,MULTIPLANAR_TYPE}"
)


@pytest.mark.parametrize("quotes", ['"', "`"])
def test_the_viewer_is_found_in_its_bundle(quotes: str) -> None:
    bundle = f"var x=1;var esm={quotes}{quote(MODULE, safe='-_.!~*()')}{quotes};export{{y}}"
    script = niivue.module_from_bundle(bundle)
    assert script is not None and script.endswith(
        "globalThis.niivue=Object.freeze({Niivue:a,NVImage:b,SLICE_TYPE:SLICE_TYPE,DRAG_MODE:c,"
        "SHOW_RENDER:SHOW_RENDER,MULTIPLANAR_TYPE:MULTIPLANAR_TYPE});"
    )
    assert "export" not in script


@pytest.mark.parametrize(
    "module", [MODULE.replace("Niivue", "Other"), MODULE.replace("const a=1;", "'</script>';", 1), "short"]
)
def test_a_bundle_that_will_not_do_is_no_viewer(module: str) -> None:
    assert niivue.module_from_bundle(f'var esm="{quote(module)}"') is None


def test_without_the_package_the_page_says_so_and_has_no_script() -> None:
    text = html.unescape(render(volume_explanation(), scan=None, identified=False, viewer=None))
    assert "camlime[report]" in text and "<script" not in text and "script-src 'none'" in text
    assert 'src="data:image/png;base64,' in text and "<button" not in text


def test_averaging_keeps_each_voxel_where_it_was() -> None:
    rng = np.random.default_rng(0)
    volume = rng.normal(size=(13, 12, 5)).astype(np.float32)
    affine = np.array([[0.5, 0.1, 0, 3], [-0.1, 0.6, 0, -7], [0, 0, 3.0, 2], [0, 0, 0, 1.0]])
    grid = reduced_grid(affine, (slice(2, 13), slice(0, 12), slice(1, 5)), 120)
    small = grid.averaged(volume)
    assert small.size <= 120 and grid.factors[2] == 1
    for index in np.ndindex(*small.shape):
        voxels = [
            [2 + index[0] * grid.factors[0] + i, index[1] * grid.factors[1] + j, 1 + index[2]]
            for i in range(grid.factors[0])
            for j in range(grid.factors[1])
        ]
        centre = np.mean([affine[:3] @ [*voxel, 1] for voxel in voxels], axis=0)
        np.testing.assert_allclose(grid.affine[:3] @ [*index, 1], centre)
        inside = [volume[tuple(v)] for v in voxels if v[0] < 13 and v[1] < 12]
        assert small[index] == pytest.approx(np.mean(inside), abs=1e-5)


def test_packed_volumes_come_back(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(5, 4, 3)).astype(np.float32)
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    for kind, tolerance in (("map", 1e-4), ("grey", 0.02)):
        image = nib.Nifti1Image.from_bytes(gzip.decompress(packed(values, affine, kind=kind)))
        np.testing.assert_allclose(image.get_fdata(), values, atol=tolerance)
        np.testing.assert_array_equal(image.affine, affine)
    assert packed(values, affine, kind="map") == packed(values, affine, kind="map")


def test_the_page_is_bounded_and_says_what_was_done() -> None:
    explanation = volume_explanation(shape=(160, 150, 140))
    volumes = page_volumes(explanation, None)
    sizes = [
        len(gzip.decompress(base64.b64decode(one.data))) for one in (volumes.scan, volumes.regions, *volumes.overlays)
    ]
    assert sum(sizes) <= 1.05 * MOST_BYTES
    assert any("averaged over blocks" in said for said in volumes.said)
    assert any("256 levels" in said for said in volumes.said)


def test_padding_is_cut_off() -> None:
    explanation = volume_explanation()
    valid = torch.ones(explanation.input.valid.shape, dtype=torch.bool)
    valid[:3] = False
    volumes = page_volumes(
        dataclasses.replace(explanation, input=dataclasses.replace(explanation.input, valid=valid)), None
    )
    image = nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(volumes.overlays[0].data)))
    assert image.shape == (17, 16, 10)
    np.testing.assert_allclose(image.affine[:3, 3], explanation.input.affine[:3] @ [3, 0, 0, 1])
    assert box_of(valid.numpy()) == (slice(3, 20), slice(0, 16), slice(0, 10))


def test_the_scan_around_the_view_is_shown_in_place() -> None:
    explanation = volume_explanation(scan="array")
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:3, 3] = (60.0, 80.0, -90.0)
    values = np.random.default_rng(2).normal(size=(1, 100, 100, 90)).astype(np.float32)
    scan = Scan.from_array(values, affine, series_uid="1.2.840.99")
    volumes = page_volumes(explanation, scan)
    image = nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(volumes.scan.data)))
    centre = explanation.input.affine @ [9.5, 7.5, 4.5, 1.0]
    index = np.rint(np.linalg.inv(image.affine) @ centre)[:3].astype(int)
    own = np.rint(np.linalg.inv(affine) @ image.affine @ [*index, 1.0])[:3].astype(int)
    clipped = np.clip(values[(0, *own)], volumes.scan.low, volumes.scan.high)
    assert image.get_fdata()[tuple(index)] == pytest.approx(clipped, abs=0.03)
    assert all(50 <= n <= 58 for n in image.shape)  # three times the largest edge, 18 mm
    assert any("cropped to a cube of about 54 mm" in said for said in volumes.said)


def test_another_scan_is_refused() -> None:
    scan = Scan.from_array(np.random.default_rng(0).random((1, 9, 9, 9)), np.eye(4), series_uid="9.9")
    with pytest.raises(RequestError, match="another DICOM series"):
        page_volumes(volume_explanation(), scan)


def test_no_map_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no map"):
        write_report(dataclasses.replace(volume_explanation(), attributions={}), tmp_path / "out" / "report.html")
    assert not (tmp_path / "out").exists()
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        write_report(volume_explanation(), tmp_path / "report.html")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_charts_lie_inside_their_frame_and_say_what_they_show() -> None:
    [one, other] = charts_of(volume_explanation().evidence["fused"])
    assert (one.baseline, other.baseline) == ("mean", "blur")
    for chart in one.charts:
        for line in chart.lines:
            points = np.array([point.split(",") for point in line.points.split()], dtype=float)
            assert (points >= [40, 24]).all() and (points <= [310, 154]).all()
        assert "most relevant first: from" in chart.described
    deletion = next(line for line in one.charts[0].lines if line.style == "for")
    heights = [float(point.split(",")[1]) for point in deletion.points.split()]
    assert heights == sorted(heights)  # log-odds fall, so the line goes down


def test_probabilities_are_never_rounded_to_certainty() -> None:
    assert [percent(p) for p in (1.0, 0.5, 0.0)] == ["> 99.9 %", "50.0 %", "< 0.1 %"]
