"""Annotations as they come from people: repaired, counted, and laid over rasters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from unicodedata import normalize

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
from deepseg_qgis.engine.geometry.local_crs import are_one_plane
from deepseg_qgis.engine.geometry.neighbourhood import near
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.engine.geometry.repair import hulls, repair
from deepseg_qgis.engine.geometry.world import World
from deepseg_qgis.engine.legend.legend import MOST_CATEGORIES, PLAIN_COLOUR, Category
from deepseg_qgis.errors import VectorError, counted, listed
from deepseg_qgis.jobs import VectorSource

REPAIRED = "with an invalid geometry repaired"
LEFT_OUT = "without a usable geometry left out"
UNUSABLE = (
    f"{LEFT_OUT}; the ground around counts as unknown, neither annotated nor background. Draw "
    "the polygons again"
)
"""What became of features, for the log."""


@dataclass(frozen=True)
class Annotations:
    """Valid polygons in the CRS of their layer, each with the name of its category.

    ``unknown`` is around what had to be left out: annotated ground, but nobody can say where.
    """

    layer: VectorSource
    geometries: Geometries
    names: NDArray[np.object_]
    crs: pyproj.CRS | None
    unknown: Geometries
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

    def spelt_as(self, categories: Sequence[Category]) -> Annotations:
        """Return the same, with the names of ``categories`` as these write them.

        In Unicode a letter with an accent has two forms, and a model may have been taught either.
        """
        known = {normalize("NFC", each.name): each.name for each in categories}
        written = {name: known.get(normalize("NFC", name), name) for name in set(self.names)}
        names = np.array([written[name] for name in self.names], dtype=object)
        return replace(self, names=names, _placed={})

    def named_as(self, categories: Sequence[Category], control: Control) -> Annotations:
        """Return the same in the names of a model's ``categories``, see `spelt_as`.

        Annotations without a category field are of the one category there is, if there is one.
        """
        spelt = self.spelt_as(categories)
        if self.layer.category_field is not None or len(categories) != 1:
            return spelt
        name = categories[0].name
        if self.layer.name != name:
            control.log(f"Without a category field, all annotations count as '{name}'.")
        names = spelt.names.copy()
        names[:] = name
        return replace(spelt, names=names)

    def on(self, raster: Raster) -> tuple[Geometries, NDArray[np.object_]]:
        """Return polygons (pixel coordinates) and names of those that touch the raster.

        They are projected once for each raster, and kept.
        """
        if raster.grid not in self._placed:
            geometries = placed(self.geometries, self.crs, raster.grid)
            touching = shapely.intersects(geometries, box(raster.grid.window))
            self._placed[raster.grid] = geometries[touching], self.names[touching]
        return self._placed[raster.grid]

    def unknown_on(self, raster: Raster) -> Area:
        """Return the ground of a raster that is neither annotated nor background."""
        if not len(self.unknown):
            return Area.of_windows([])
        shapes = placed(self.unknown, self.crs, raster.grid)
        return Area.of(shapes).within(Area(box(raster.grid.window)))

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
    skipped, unnamed = int((~usable).sum()), int((usable & ~named).sum())
    _tell(source, control, {REPAIRED: repaired, UNUSABLE: skipped, _unnamed(source): unnamed})
    keep = usable & named
    if len(keep) or not may_be_empty:
        _check_some_usable(source, keep)
    count = len(set(names[keep]))
    if count > MOST_CATEGORIES:
        raise VectorError(
            f"Expected at most {MOST_CATEGORIES} categories, found {count} in the field "
            f"'{source.category_field}' of '{source.name}'. Choose the field that holds the "
            "category, not an identifier."
        )
    unknown = hulls(features.geometries[~usable])
    found = Annotations(source, geometries[keep], names[keep], layers.crs_of(source), unknown)
    _warn_of_case(found.categories, control)
    return found


def _check_some_usable(source: VectorSource, usable: NDArray[np.bool_]) -> None:
    """Check that a layer has annotations that are of use."""
    if not len(usable):
        raise VectorError(
            f"The annotation layer '{source.name}' is empty. Draw polygons, or choose another "
            "layer."
        )
    if not usable.any():
        raise VectorError(
            f"The annotation layer '{source.name}' has {counted(len(usable), 'feature')}, but "
            "none of them is a polygon with a category. Draw polygons, fill in their category, "
            "or choose another category field."
        )


def load_area(source: VectorSource, raster: Raster, control: Control) -> Area:
    """Return a layer of areas (AOI) over a raster; empty where it does not reach the raster.

    Raises:
        VectorError: the layer holds no polygon.
    """
    geometries, usable, repaired = repair(layers.read_features(source).geometries)
    _tell(source, control, {REPAIRED: repaired, LEFT_OUT: int((~usable).sum())})
    if not usable.any():
        raise no_area(source)
    placed_areas = placed(geometries[usable], layers.crs_of(source), raster.grid)
    return Area.of(placed_areas).within(Area(box(raster.grid.window)))


def no_area(source: VectorSource) -> VectorError:
    """Return the error of a layer of areas that holds no polygon."""
    return VectorError(
        f"The area of interest '{source.name}' has no polygon. Draw one, or choose no area."
    )


def placed(geometries: Geometries, crs: pyproj.CRS | None, grid: Grid) -> Geometries:
    """Return valid polygons in pixel coordinates, without what lies continents away.

    Those that the projection cannot take are empty.
    """
    if crs is None or grid.crs is None or are_one_plane(crs, grid.crs) or World.of(grid.crs):
        return _in_pixels(geometries, crs, grid)
    square = np.array([box(grid.window)], dtype=object)
    place = shapely.total_bounds(grid.to_crs(square, grid.crs))
    return _in_pixels(near(geometries, crs, place, grid.crs), crs, grid)


def _in_pixels(geometries: Geometries, crs: pyproj.CRS | None, grid: Grid) -> Geometries:
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
    there = shapely.total_bounds(_in_pixels(annotations.geometries, annotations.crs, raster.grid))
    raise VectorError(
        f"No polygon of '{annotations.layer.name}' lies on {raster.name}: counted in the raster's "
        f"pixels the polygons span columns {there[0]:.0f} to {there[2]:.0f} and rows "
        f"{there[1]:.0f} to {there[3]:.0f}, the raster 0 to {raster.grid.width} and 0 to "
        f"{raster.grid.height}. Check that both layers have the right CRS and lie over each other."
    )


def _tell(source: VectorSource, control: Control, counts: Mapping[str, int]) -> None:
    for what, count in counts.items():
        if count:
            control.warn(f"Layer '{source.name}': {counted(count, 'feature')} {what}.")


def _unnamed(source: VectorSource) -> str:
    return (
        f"without a value in '{source.category_field}' left out; in the area of interest their "
        "ground counts as background"
    )


def _warn_of_case(categories: Sequence[Category], control: Control) -> None:
    """Warn of categories whose names differ in nothing but case: probably they are one."""
    alike: dict[str, list[str]] = {}
    for category in categories:
        alike.setdefault(category.name.casefold(), []).append(category.name)
    for names in alike.values():
        if len(names) > 1:
            control.warn(
                f"{listed(names)} differ in upper and lower case alone, and count as "
                f"{len(names)} categories. If they are one, give them one name."
            )
