"""What annotations of other programs become, and what is told about it."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyproj

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.samples import Sample
from deepseg_qgis.engine.files import vectors
from deepseg_qgis.engine.files.features import Features
from deepseg_qgis.engine.files.output_crs import output_crs
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.jobs import RasterSource

FIELDS = {
    "id": pa.int64(),
    "category": pa.string(),
    "source": pa.string(),
    "iscrowd": pa.int64(),
}
"""``id`` is that of COCO or of an object in a label raster, else as in predictions; ``iscrowd`` is
1 where one annotation stands for many objects, NULL where the format does not say."""

LONGEST_NAME = 200
COLOUR = re.compile(r"#[0-9a-f]{6}", re.ASCII)


@dataclass(frozen=True)
class Place:
    """A raster that annotations belong to: its path, its name as a source, and its grid."""

    path: str
    name: str
    grid: Grid

    @classmethod
    def of(cls, source: RasterSource) -> Place:
        """Return the place of a raster.

        Raises:
            RasterError: it cannot be read.
        """
        with Raster(source) as raster:
            return cls(source.path, source.name, raster.grid)


@dataclass
class Tally:
    """What was found: per category the number of polygons, and what is to be told."""

    categories: Counter[str] = field(default_factory=Counter)
    colours: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Sample] = field(default_factory=lambda: defaultdict(Sample))
    doubts: dict[str, Sample] = field(default_factory=lambda: defaultdict(Sample))
    left_out: dict[str, Sample] = field(default_factory=lambda: defaultdict(Sample))

    @property
    def count(self) -> int:
        """The number of polygons."""
        return sum(self.categories.values())

    def note(self, what: Iterable[str], title: str) -> None:
        """Count an annotation of which something is to be told."""
        for each in what:
            self.notes[each].add(title)

    def doubt(self, what: Iterable[str], title: str) -> None:
        """Count an annotation of which something was guessed."""
        for each in what:
            self.doubts[each].add(title)

    def leave_out(self, why: str, title: str) -> None:
        """Count an annotation that cannot be used."""
        self.left_out[why].add(title)

    def tell(self, control: Control) -> None:
        """Write what was noted into the log."""
        for what, sample in self.notes.items():
            control.log(f"Annotations {what}: {sample.count:,}.")
        for what, sample in self.doubts.items():
            control.warn(f"Annotations {what}: {sample.count:,} ({sample}).")
        for what, sample in self.left_out.items():
            control.warn(f"Annotations left out, {what}: {sample.count:,} ({sample}).")


@dataclass(frozen=True)
class Piece:
    """Polygons in the pixel coordinates of one place, with the columns of `FIELDS`."""

    place: Place
    geometries: Geometries
    ids: Sequence[int | None]
    categories: Sequence[str]
    iscrowd: Sequence[int | None]

    def renumbered(self, first_id: int, number: int | None) -> Piece:
        """Return the polygons with other ids: ``number``, or counted from ``first_id``."""
        if number is None and first_id == 0:
            return self
        ids = [number if i is None or number is not None else i + first_id for i in self.ids]
        return replace(self, ids=ids)

    def features(self, crs: pyproj.CRS | None) -> Features:
        """Return the polygons in ``crs``, or where their raster has none in its coordinates."""
        columns = {
            "id": self.ids,
            "category": self.categories,
            "source": [self.place.name] * len(self.geometries),
            "iscrowd": self.iscrowd,
        }
        return Features(self.place.grid.to_crs(self.geometries, crs), columns)


def write(
    path: str, pieces: Iterator[Piece], places: Sequence[Place], tally: Tally, control: Control
) -> None:
    """Write the pieces, which lie on some of ``places``; count them in ``tally``.

    Raises:
        OutputError: the format is unknown or the disk is full.
        RasterError: nobody knows how the places lie to each other.
    """
    crs = output_crs(path, [(place.name, place.grid) for place in places], control)

    def batches() -> Iterator[Features]:
        for piece in pieces:
            tally.categories.update(piece.categories)
            yield piece.features(crs)

    mixed = any(place.grid.crs != crs for place in places)
    vectors.write_features(path, batches(), FIELDS, crs, multipart=True, anywhere=mixed)


def clean_name(text: str) -> str:
    """Return a category's name in one line and one Unicode form, without control characters."""
    plain = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))
    return " ".join("".join(c if c.isprintable() else " " for c in plain).split())[:LONGEST_NAME]


def is_colour(value: object) -> bool:
    """Whether a value is a colour as ``#rrggbb``."""
    return isinstance(value, str) and COLOUR.fullmatch(value) is not None


def as_objects(shapes: Sequence[object]) -> Geometries:
    """Return shapes as an array, whatever numpy would make of them."""
    result = np.empty(len(shapes), dtype=object)
    result[:] = shapes
    return result
