"""A slide's map on disk: all files or none, in place of an earlier one."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from camlime.earlier import check_inputs_stay, check_unclaimed
from camlime.errors import OutputError
from camlime.record import plain
from camlime.slides.explaining import place_of
from camlime.slides.grid import Grid, Tile
from camlime.slides.mapping import SlideMap
from camlime.slides.picture import draw_map
from camlime.staging import staged

FORMAT = "camlime-slide/1"
SLIDE_JSON = "slide.json"
MAP = "map.ome.tif"
TABLE = "tiles.csv"
PICTURE = "overview.png"
TILES = "tiles"
"""Sub-folder with an explanation for each explained tile."""

_FILES = (SLIDE_JSON, PICTURE, MAP, TABLE)
_TILE_NAME = re.compile(r"x\d+_y\d+")
_TILE_FILES = ("*.nii.gz", "explanation.json", "overview.png")


def save_map(
    made: SlideMap,
    folder: Path,
    *,
    shown: str,
    tiles: Sequence[Tile] = (),
    provenance: Mapping[str, Any] | None = None,
    warnings: Sequence[str] = (),
) -> list[Path]:
    """Write the map, the table of tiles, the picture and ``slide.json``, which names the explained tiles.

    Explanations of an earlier run that the earlier ``slide.json`` names are removed.

    Args:
        made: the map.
        folder: where to; made if it is not there.
        shown: the class that the picture shows.
        tiles: to be marked in the picture, in order.
        provenance: versions, hashes, settings.
        warnings: what the user should know, in sentences.

    Returns:
        The files.

    Raises:
        OutputError: it cannot be written, or not without replacing a file that no earlier map names; nothing new is
            left behind.
    """
    check_folder(folder)
    with staged(folder, instead_of=_earlier_tiles) as stage:
        _write_map(made, stage / MAP)
        _write_table(made, stage / TABLE)
        draw_map(made, stage / PICTURE, shown=shown, tiles=tiles)
        record = record_of(made, shown=shown, provenance=provenance or {}, warnings=warnings)
        _write_json(record, stage / SLIDE_JSON)
    return [folder / name for name in _FILES]


def tile_folder(folder: Path, tile: Tile) -> Path:
    """Where the explanation of a tile goes."""
    return folder / TILES / tile.name


def name_explained(folder: Path, tiles: Sequence[Tile], grid: Grid, *, complete: bool) -> None:
    """Write into ``slide.json`` which tiles have been explained so far.

    Raises:
        OutputError: it cannot be written.
    """
    with staged(folder) as stage:
        record = json.loads((folder / SLIDE_JSON).read_text(encoding="utf-8"))
        record["explained"] = [{"folder": f"{TILES}/{tile.name}", **place_of(tile, grid)} for tile in tiles]
        record["complete"] = bool(record["complete"] and complete)
        _write_json(record, stage / SLIDE_JSON)


def record_of(made: SlideMap, *, shown: str, provenance: Mapping[str, Any], warnings: Sequence[str]) -> dict[str, Any]:
    """What ``slide.json`` holds."""
    grid = made.grid
    rows, columns = grid.wanted.shape
    return {
        "format": FORMAT,
        "complete": made.complete,
        "slide": {
            "name": made.source.name,
            "width": made.slide_size[0],
            "height": made.slide_size[1],
            "microns_per_pixel": grid.slide_microns,
        },
        "grid": {
            "rows": rows,
            "columns": columns,
            "tile_pixels": list(grid.size),
            "downsample": grid.downsample,
            "tile_microns_per_pixel": grid.tile_microns,
        },
        "tissue": {
            "saturation_above": made.tissue.threshold,
            "tiles": int(grid.wanted.sum()),
            "tiles_classified": made.classified,
        },
        "classes": list(made.class_names),
        "domain": None if made.scores is None else {"score_above": made.threshold, "tiles": int(made.flagged.sum())},
        "presumes": made.presumes,
        "tiles_by_most_probable_class": made.counts(),
        "shown_class": shown,
        "map_file": MAP,
        "table_file": TABLE,
        "picture_file": PICTURE,
        "explained": [],
        "warnings": list(warnings),
        "provenance": dict(provenance),
    }


def _write_json(record: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(plain(record), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _write_map(made: SlideMap, path: Path) -> None:
    metadata: dict[str, Any] = {"axes": "CYX", "Name": "probabilities", "Channel": {"Name": list(made.class_names)}}
    if made.grid.tile_microns is not None:
        for axis, pixels in zip("XY", made.grid.size, strict=True):
            metadata[f"PhysicalSize{axis}"] = pixels * made.grid.tile_microns
            metadata[f"PhysicalSize{axis}Unit"] = "µm"
    tifffile.imwrite(
        path, made.probabilities, ome=True, photometric="minisblack", compression="zlib", metadata=metadata
    )


def _write_table(made: SlideMap, path: Path) -> None:
    known = np.isfinite(made.probabilities[0])
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        domain = [] if made.scores is None else ["score", "flagged"]
        table.writerow(["row", "column", "x", "y", "width", "height", "tissue", *domain, *made.class_names])
        for tile in made.grid.tiles():
            if known[tile.row, tile.column]:
                place = [f"{value:.10g}" for value in (tile.x, tile.y, tile.width, tile.height)]
                share = f"{made.grid.share[tile.row, tile.column]:.3f}"
                answers = [f"{p:.6f}" for p in made.probabilities[:, tile.row, tile.column]]
                table.writerow([tile.row, tile.column, *place, share, *_judged(made, tile), *answers])


def _judged(made: SlideMap, tile: Tile) -> list[str]:
    """Score and flag of a tile; empty where the bundle cannot tell."""
    if made.scores is None:
        return []
    place = tile.row, tile.column
    return [f"{made.scores[place]:.2f}", str(int(made.flagged[place]))]


def _earlier_tiles(folder: Path) -> list[Path]:
    """Files of the explanations that an earlier ``slide.json`` names, relative to its folder."""
    try:
        record = json.loads((folder / SLIDE_JSON).read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            return []
        names = [str(entry["folder"]).removeprefix(f"{TILES}/") for entry in record["explained"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    folders = [folder / TILES / name for name in names if _TILE_NAME.fullmatch(name)]
    return [path.relative_to(folder) for one in folders for files in _TILE_FILES for path in sorted(one.glob(files))]


def check_folder(folder: Path, slide: Path | None = None) -> None:
    """Find out before the long work whether something stands where the map and the explanations go.

    Args:
        folder: where they go.
        slide: that they are made from.

    Raises:
        OutputError: the slide would be lost, or a file that no earlier map names; or a file has the folder's name.
    """
    place = folder / TILES
    if place.exists() and not place.is_dir():
        raise OutputError(
            f"{place} is a file, but results belong into a folder of that name",
            hint="move the file away, or give --output another folder",
        )
    if slide is not None:
        check_inputs_stay(folder, _FILES, [slide])
    if not _is_ours(folder):
        check_unclaimed(folder, _FILES)


def _is_ours(folder: Path) -> bool:
    """Whether an earlier map, of whatever version, lies in the folder, and so names its files."""
    try:
        return str(json.loads((folder / SLIDE_JSON).read_text(encoding="utf-8"))["format"]).startswith("camlime-slide/")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
