"""Where a model was trained and validated, for its card: exact if short, else a little larger.

`evaluate` tells from it which share of an area was trained on, so nothing that was trained on may
be missing; and a model file's header has its bounds. No I/O.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import shapely

from deepseg_qgis.engine.annotations.footprint_area import Footprint, entry_shape
from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import box
from deepseg_qgis.engine.models.model_card import json_bytes

MOST_BYTES = 200_000
MOST_VALIDATION_BYTES = 50_000
FEWEST_VERTICES = 16
"""Of one entry, however many there are."""
VERTEX_BYTES = 50
FINEST = 2.0**-14
"""Of an area's longest side: the tolerance that is tried first."""

Entry = Mapping[str, Any]


def footprint(
    labelled_rasters: Sequence[LabelledRaster], earlier: Footprint = ()
) -> tuple[Entry, ...]:
    """Return the training areas as a card lists them, see `ModelCard`, in at most `MOST_BYTES`.

    ``earlier`` ones stay. Where the exact areas are longer, those in one CRS become one entry, and
    outlines are simplified outwards. Of more entries than fit the largest areas stay.
    """
    exact = [_entry(labelled.raster, labelled.training.geometry) for labelled in labelled_rasters]
    found = tuple(_merged([*earlier, *exact]))
    if json_bytes(found) <= MOST_BYTES:
        return found
    groups = _by_crs(labelled_rasters)
    vertices = max(MOST_BYTES // 2 // VERTEX_BYTES // len(groups), FEWEST_VERTICES)
    return _bounded([*earlier, *(_united(group, vertices) for group in groups)], MOST_BYTES)


def validation_footprint(
    labelled_rasters: Sequence[LabelledRaster], earlier: Footprint = ()
) -> tuple[Entry, ...]:
    """Return the validation areas likewise, in at most `MOST_VALIDATION_BYTES`."""
    exact = [
        _entry(labelled.raster, labelled.validation.geometry)
        for labelled in labelled_rasters
        if labelled.validation.size_px
    ]
    return _bounded([*earlier, *exact], MOST_VALIDATION_BYTES)


def _merged(entries: Footprint) -> Iterator[Entry]:
    """Yield the entries; those of one raster become one, and what is no area is left out."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        if entry_shape(entry) is not None:
            groups.setdefault((str(entry.get("raster")), str(entry.get("crs"))), []).append(entry)
    for group in groups.values():
        yield group[0] if len(group) == 1 else _joined(group)


def _bounded(entries: Footprint, most_bytes: int) -> tuple[Entry, ...]:
    """Return the entries in at most so many bytes, rougher where there is need."""
    merged = tuple(_merged(entries))
    if json_bytes(merged) <= most_bytes:
        return merged
    groups: dict[str, list[Entry]] = {}
    for entry in merged:
        groups.setdefault(str(entry.get("crs") or entry.get("raster")), []).append(entry)
    vertices = max(most_bytes // 2 // VERTEX_BYTES // len(groups), FEWEST_VERTICES)
    rough = [_joined(group, vertices) for group in groups.values()]
    return tuple(_largest(rough, most_bytes))


def _joined(group: Footprint, vertices: int | None = None) -> Entry:
    """Return one entry for several in one CRS, of at most so many vertices if these are given."""
    names = {str(entry.get("raster")) for entry in group}
    area = shapely.union_all([entry_shape(entry) for entry in group])
    if vertices is not None:
        area = _outward(area, vertices)
    name = names.pop() if len(names) == 1 else f"{len(names)} rasters"
    return {**group[0], "raster": name, "area": json.loads(shapely.to_geojson(area))}


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


def _largest(entries: Sequence[Entry], most_bytes: int) -> Iterator[Entry]:
    """Yield the entries of the largest areas, as many as fit."""
    areas = [shapely.area(shapely.from_geojson(json.dumps(each["area"]))) for each in entries]
    room = most_bytes
    for number in np.argsort(areas)[::-1].tolist():
        room -= json_bytes(entries[number])
        if room >= 0:
            yield entries[number]
