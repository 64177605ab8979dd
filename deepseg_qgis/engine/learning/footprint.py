"""Where a model was trained, for its card: exact where that is short, else a little larger.

`evaluate` tells from it which share of an area was trained on, so nothing that was trained on may
be missing; and a model file's header has its bounds. No I/O.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import shapely

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import box
from deepseg_qgis.engine.models.model_card import json_bytes

MOST_BYTES = 200_000
FEWEST_VERTICES = 16
"""Of one entry, however many there are."""
VERTEX_BYTES = 50
FINEST = 2.0**-14
"""Of an area's longest side: the tolerance that is tried first."""

Entry = Mapping[str, Any]


def footprint(labelled_rasters: Sequence[LabelledRaster]) -> tuple[Entry, ...]:
    """Return the training areas as a card lists them, see `ModelCard`, in at most `MOST_BYTES`.

    Where the exact areas are longer, those in one CRS become one entry, and outlines are simplified
    outwards. Of more entries than fit the largest areas stay.
    """
    exact = tuple(
        _entry(labelled.raster, labelled.training.geometry) for labelled in labelled_rasters
    )
    if json_bytes(exact) <= MOST_BYTES:
        return exact
    groups = _by_crs(labelled_rasters)
    vertices = max(MOST_BYTES // 2 // VERTEX_BYTES // len(groups), FEWEST_VERTICES)
    entries = [_united(group, vertices) for group in groups]
    return tuple(_largest(entries))


def _entry(raster: Raster, pixels: shapely.Geometry, name: str | None = None) -> Entry:
    """Return the entry of an area in the pixels of a raster."""
    grid = raster.grid
    shape = grid.to_crs(np.array([pixels], dtype=object), grid.crs)[0]
    return {
        "raster": name or raster.name,
        "crs": grid.crs.to_wkt() if grid.crs else "",
        "area": json.loads(shapely.to_geojson(shape)),
    }


def _by_crs(labelled_rasters: Sequence[LabelledRaster]) -> list[list[LabelledRaster]]:
    """Return the rasters by CRS; pixels without a CRS mean something in one raster alone."""
    groups: dict[object, list[LabelledRaster]] = {}
    for labelled in labelled_rasters:
        crs = labelled.raster.grid.crs
        groups.setdefault(crs.to_wkt() if crs else labelled.raster.name, []).append(labelled)
    return list(groups.values())


def _united(group: Sequence[LabelledRaster], vertices: int) -> Entry:
    """Return one entry for rasters of one CRS, of at most so many vertices."""
    share = max(vertices // len(group), FEWEST_VERTICES)
    parts = [_entry(labelled.raster, simplified(labelled, share)) for labelled in group]
    first = parts[0]
    if len(parts) == 1:
        return first
    areas = np.array([shapely.from_geojson(json.dumps(each["area"])) for each in parts])
    area = _outward(shapely.union_all(areas), vertices)
    name = f"{len(parts)} rasters"
    return {**first, "raster": name, "area": json.loads(shapely.to_geojson(area))}


def simplified(labelled: LabelledRaster, vertices: int) -> shapely.Geometry:
    """Return a polygon in pixels that holds the training area, of at most so many vertices.

    Nothing of the validation area lies in it where that can be had, else a narrow strip.
    """
    training, withheld = labelled.training.geometry, labelled.withheld.geometry
    if _count(training) <= vertices:
        return training
    whole = box(labelled.raster.grid.window)
    for tolerance, grown in _grown(training):
        for less in (withheld, _shrunk(withheld, tolerance)):
            found = shapely.difference(shapely.intersection(grown, whole), less)
            if _count(found) <= vertices:
                return found
    return shapely.box(*training.bounds)


def _outward(shape: shapely.Geometry, vertices: int) -> shapely.Geometry:
    """Return a shape that holds another one, of at most so many vertices."""
    if _count(shape) <= vertices:
        return shape
    for _, grown in _grown(shape):
        if _count(grown) <= vertices:
            return grown
    return shapely.box(*shape.bounds)


def _grown(shape: shapely.Geometry) -> Iterator[tuple[float, shapely.Geometry]]:
    """Yield tolerances, and shapes that hold another one and reach about so far beyond it."""
    xmin, ymin, xmax, ymax = shape.bounds
    longest = max(xmax - xmin, ymax - ymin)
    tolerance = FINEST * longest
    while tolerance < longest:
        rough = shapely.simplify(shape, tolerance)
        yield tolerance, shapely.buffer(rough, tolerance, join_style="mitre", mitre_limit=2.0)
        tolerance *= 2.0


def _shrunk(shape: shapely.Geometry, tolerance: float) -> shapely.Geometry:
    """Return a simpler shape that another one holds."""
    return shapely.buffer(shapely.simplify(shape, tolerance), -tolerance, join_style="mitre")


def _count(shape: shapely.Geometry) -> int:
    return int(shapely.get_num_coordinates(shape))


def _largest(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Yield the entries of the largest areas, as many as fit."""
    areas = [shapely.area(shapely.from_geojson(json.dumps(each["area"]))) for each in entries]
    room = MOST_BYTES
    for number in np.argsort(areas)[::-1].tolist():
        room -= json_bytes(entries[number])
        if room >= 0:
            yield entries[number]
