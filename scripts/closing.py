"""What the demo says at its end: the table, the scores, the files. Standard library only."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from screen import Screen

COLUMNS = {
    "category": "category",
    "count": "polygons",
    "area_m2": "area m²",
    "smallest_m2": "smallest m²",
    "mean_m2": "mean m²",
    "largest_m2": "largest m²",
    "perimeter_m": "perimeter m",
}
SUMMED = ("count", "area_m2", "perimeter_m")
SCORES = {
    "MEAN_IOU": "mean IoU (pixels)",
    "F1": "F1 (objects)",
    "PRECISION": "precision (objects)",
    "RECALL": "recall (objects)",
    "AP50": "AP50",
    "MAP": "AP50:95",
}
FILES = {
    "map.png": "the map",
    "{polygons}": "the polygons; drag the file into QGIS",
    "statistics.csv": "the table above",
    "evaluation.html": "how good the model is, and where it errs",
    "training.html": "how the training went",
    "model.safetensors": "the model, for deepseg:predict on other rasters",
    "log.txt": "all that QGIS said",
}


class Closing:
    """The end of a demo whose files are in one folder."""

    def __init__(self, folder: Path, screen: Screen) -> None:
        self._folder = folder
        self._screen = screen

    def tell(self, scores: Mapping[str, str], tested: bool, polygons: str) -> None:
        """Show the statistics, the scores from 0 to 1, and where everything lies.

        ``polygons`` is the name of the file with the polygons.
        """
        self._screen.heading("What the model found")
        rows = table(self._folder / "statistics.csv")
        for line in aligned(rows) if rows else ["No polygons. Train for more EPOCHS."]:
            self._screen.line(line)
        where = "the test area, which it never saw" if tested else "its validation areas"
        self._screen.heading(f"How good it is on {where} (1 is perfect)")
        for name, title in SCORES.items():
            if scores.get(name):
                self._screen.line(f"{title:<20} {number(scores[name], 3)}")
        self._screen.heading("Where everything is")
        paths = {self._folder / name.format(polygons=polygons): FILES[name] for name in FILES}
        shown = {short(path): meaning for path, meaning in paths.items() if path.exists()}
        for path, meaning in shown.items():
            self._screen.line(f"{path.ljust(max(map(len, shown)))}  {meaning}")
        self._screen.line("")


def table(path: Path) -> list[list[str]]:
    """Return the statistics as rows of text: a head, one row a category, and the sum.

    Columns without any value (sizes, where the raster has no georeference) are left out; of no
    polygons there are no rows.
    """
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return []
    names = [name for name in COLUMNS if any(row.get(name) for row in rows)]
    shown = [[number(row[name]) for name in names] for row in rows]
    total = ["all", *(_sum(rows, name) for name in names[1:])]
    return [[COLUMNS[name] for name in names], *shown, *([total] if len(rows) > 1 else [])]


def _sum(rows: Sequence[Mapping[str, str]], name: str) -> str:
    if name not in SUMMED or not all(row[name] for row in rows):
        return ""
    return number(str(sum(float(row[name]) for row in rows)))


def number(text: str, decimals: int | None = None) -> str:
    """Return a number for reading: rounded, with commas; other text as it is."""
    try:
        value = float(text)
    except ValueError:
        return text
    if decimals is None:
        decimals = 0 if abs(value) >= 10.0 or value == round(value) else 2
    return f"{value:,.{decimals}f}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines of equal columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]


def short(path: Path) -> str:
    """Return a path as one would type it from the current folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
