"""Annotations as they come from people: repaired, counted, and laid over rasters."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files import layers
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.antimeridian import near_grid
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area, box
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.projections import Geometries, World
from deepseg_qgis.errors import VectorError
from deepseg_qgis.jobs import VectorSource

MOST_CATEGORIES = 254
"""Classes are stored in a byte, and 0 is background."""

PLAIN_COLOUR = "#808080"

FARTHEST = 1e15
"""What lies beyond, in metres, degrees or pixels, is nowhere, and GEOS cuts it wrongly."""
PLAIN_VERTICES = 300
"""Polygons of so few vertices are repaired at once, however tangled."""
MOST_CROSSINGS = 100_000
"""Beyond, repairing takes many seconds and gigabytes: 2,000 random vertices cross 460,000 times."""
REPAIRS = 3
"""Crossings are rounded, which may make new ones: benchmarks/fuzz_coco.py met some."""
PAIRS_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Category:
    """A category and the colour (``#rrggbb``) it is drawn in."""

    name: str
    colour: str


@dataclass(frozen=True)
class Annotations:
    """Valid polygons in the CRS of their layer, each with the name of its category."""

    layer: VectorSource
    geometries: Geometries
    names: NDArray[np.object_]
    crs: pyproj.CRS | None
    _placed: dict[Grid, tuple[Geometries, NDArray[np.object_]]] = field(
        default_factory=dict, compare=False, repr=False
    )

    @property
    def categories(self) -> tuple[Category, ...]:
        """The categories that occur, in alphabetical order."""
        colours = self.layer.colours
        return tuple(
            Category(name, colours.get(name, PLAIN_COLOUR)) for name in sorted(set(self.names))
        )

    def on(self, raster: Raster) -> tuple[Geometries, NDArray[np.object_]]:
        """Return polygons (pixel coordinates) and names of those that touch the raster.

        They are projected once for each raster, and kept.
        """
        if raster.grid not in self._placed:
            geometries = placed(self.geometries, self.crs, raster.grid)
            touching = shapely.intersects(geometries, box(raster.grid.window))
            self._placed[raster.grid] = geometries[touching], self.names[touching]
        return self._placed[raster.grid]

    def over(self, raster: Raster, categories: tuple[Category, ...]) -> AnnotatedArea:
        """Return the annotations of ``categories`` over a raster; classes count from 1."""
        numbers = {category.name: i + 1 for i, category in enumerate(categories)}
        geometries, names = self.on(raster)
        classes = np.array([numbers.get(name, 0) for name in names], dtype=np.uint8)
        return AnnotatedArea(geometries[classes > 0], classes[classes > 0])


def load(source: VectorSource, control: Control, *, may_be_empty: bool = False) -> Annotations:
    """Return the usable annotations of a layer; what had to be repaired or left out is logged.

    ``may_be_empty`` says that a layer without features means something: there is nothing.

    Raises:
        VectorError: none is usable, or there are more categories than a byte can count.
    """
    features = layers.read_features(source)
    geometries, usable, repaired = repair(features.geometries)
    if source.category_field is None:
        names = np.full(len(geometries), source.name, dtype=object)
    else:
        names = np.array(features.columns["category"], dtype=object)
    named = np.array([name is not None for name in names], dtype=bool)
    _tell(source, control, repaired, int((~usable).sum()), int((usable & ~named).sum()))
    keep = usable & named
    if not len(keep) and not may_be_empty:
        raise VectorError(
            f"The annotation layer '{source.name}' is empty. Draw polygons, or choose another "
            "layer."
        )
    if len(keep) and not keep.any():
        raise VectorError(
            f"The annotation layer '{source.name}' has {len(geometries)} features, but none of "
            "them is a polygon with a category. Draw polygons, fill in their category, or choose "
            "another category field."
        )
    count = len(set(names[keep]))
    if count > MOST_CATEGORIES:
        raise VectorError(
            f"Expected at most {MOST_CATEGORIES} categories, found {count} in the field "
            f"'{source.category_field}' of '{source.name}'. Choose the field that holds the "
            "category, not an identifier."
        )
    return Annotations(source, geometries[keep], names[keep], layers.crs_of(source))


def load_area(source: VectorSource, raster: Raster, control: Control) -> Area:
    """Return a layer of areas (AOI) over a raster; empty where it does not reach the raster.

    Raises:
        VectorError: the layer holds no polygon.
    """
    geometries, usable, repaired = repair(layers.read_features(source).geometries)
    _tell(source, control, repaired, int((~usable).sum()), 0)
    if not usable.any():
        raise VectorError(
            f"The layer '{source.name}' is to give an area of interest, but has no polygon. Draw "
            "one, or leave the area empty."
        )
    placed_areas = placed(geometries[usable], layers.crs_of(source), raster.grid)
    return Area.of(placed_areas).within(Area(box(raster.grid.window)))


def repair(
    geometries: Geometries,
) -> tuple[Geometries, NDArray[np.bool_], int]:
    """Return polygons made valid, which of them are usable, and how many were repaired.

    Parts that overlap are united, and a line that crosses itself keeps what it goes around; points
    and lines of a collection are dropped. Not usable: NULL, empty, without area, with coordinates
    that are not numbers or lie nowhere (`FARTHEST`), or such a tangle that repairing it would take
    minutes and gigabytes.
    """
    finite = _finite(geometries)
    result: Geometries = geometries.copy()
    result[~finite] = None
    mixed = finite & (shapely.get_type_id(result) == shapely.GeometryType.GEOMETRYCOLLECTION)
    result[mixed] = [_polygons(each) for each in result[mixed]]
    broken = finite & ~shapely.is_valid(result)
    for i in np.flatnonzero(broken):
        result[i] = _repaired(result[i])
    areas = shapely.area(result)
    usable = finite & (areas > 0.0) & np.isfinite(areas)
    return result, usable, int((broken & usable).sum())


def placed(geometries: Geometries, crs: pyproj.CRS | None, grid: Grid) -> Geometries:
    """Return valid polygons in pixel coordinates; those the projection cannot take are empty."""
    world = None if grid.crs is None else World.of(grid.crs)
    if world is not None:
        moved = near_grid(geometries, crs, grid, world)
    else:
        moved = grid.from_crs(geometries, crs)
    result, usable, _ = repair(moved)
    return np.where(usable, result, shapely.Polygon())


def require_touching(annotations: Annotations, rasters: list[Raster]) -> None:
    """Check that annotations and rasters meet.

    Raises:
        VectorError: no annotation touches any raster.
    """
    if any(len(annotations.on(raster)[1]) for raster in rasters):
        return
    raster = rasters[0]
    there = shapely.total_bounds(placed(annotations.geometries, annotations.crs, raster.grid))
    raise VectorError(
        f"No polygon of '{annotations.layer.name}' lies on {raster.name}: counted in the raster's "
        f"pixels the polygons span columns {there[0]:.0f} to {there[2]:.0f} and rows "
        f"{there[1]:.0f} to {there[3]:.0f}, the raster 0 to {raster.grid.width} and 0 to "
        f"{raster.grid.height}. Check that both layers have the right CRS and lie over each other."
    )


def _finite(geometries: Geometries) -> NDArray[np.bool_]:
    """Return which geometries have coordinates, all of them numbers of some place."""
    xy, owners = shapely.get_coordinates(geometries, return_index=True)
    finite = np.zeros(len(geometries), dtype=bool)
    finite[owners] = True
    finite[owners[~(np.abs(xy) <= FARTHEST).all(axis=1)]] = False
    return finite


def _repaired(geometry: shapely.Geometry) -> shapely.Geometry | None:
    """Return a valid polygon or multipolygon; None where there is none, or only at great cost."""
    if _is_tangled(geometry):
        return None
    made = geometry
    try:
        for _ in range(REPAIRS):
            # GEOS's other method takes a hundred times as long, and leaves out where parts overlap
            made = _polygons(shapely.make_valid(made, method="structure", keep_collapsed=False))
            if made.is_valid:
                return made
    except shapely.errors.GEOSException:
        pass
    return None


def _is_tangled(geometry: shapely.Geometry) -> bool:
    """Whether edges cross so often that to repair the geometry would take minutes.

    Memory: about 300 bytes for each vertex.
    """
    xy = shapely.get_coordinates(geometry)
    if len(xy) <= PLAIN_VERTICES:
        return False
    edges = shapely.linestrings(np.stack([xy[:-1], xy[1:]], axis=1))
    tree = shapely.STRtree(edges)
    most = 2 * MOST_CROSSINGS + 3 * len(edges)  # every edge meets itself and its neighbours
    step = int(np.clip(PAIRS_AT_ONCE // len(edges), 2, 5000))
    pairs = 0
    for first in range(0, len(edges), step):
        pairs += len(tree.query(edges[first : first + step], predicate="intersects")[0])
        if pairs > most:
            return True
    return False


def _polygons(geometry: shapely.Geometry) -> shapely.Geometry:
    """Return the polygons among the parts of a geometry as one, whatever else is there."""
    parts = np.atleast_1d(np.asarray(geometry, dtype=object))
    while len(parts) and (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():
        parts = shapely.get_parts(parts)
    areal = parts[shapely.get_dimensions(parts) == 2]
    if len(areal) == 1:
        return areal[0]
    if geometry.geom_type == "GeometryCollection":  # its parts may overlap
        return shapely.union_all([_repaired(each) for each in areal])
    return shapely.MultiPolygon(list(areal))


def _tell(
    source: VectorSource, control: Control, repaired: int, skipped: int, unnamed: int
) -> None:
    counts = Counter(
        {
            "with an invalid geometry repaired": repaired,
            "without a usable geometry left out": skipped,
            f"without a value in '{source.category_field}' left out; in the area of interest their "
            "ground counts as background": unnamed,
        }
    )
    for what, count in counts.items():
        if count:
            control.warn(f"Layer '{source.name}': {count} feature(s) {what}.")
