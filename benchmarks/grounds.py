"""The grounds that quality is measured on: what is trained on, and what is kept back.

Each is a folder of rasters and annotations beside the repository, of which a part is never trained
on. Fewer annotations than all are drawn as a person would draw them: an area that grows around a
place, annotated completely. Areas are nested: that of 100 polygons holds that of 25.
"""

from dataclasses import dataclass, field
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely

from deepseg_qgis.jobs import VectorSource

PLACES = ((0.5, 0.5), (0.25, 0.3), (0.75, 0.7))
"""Where the annotated area grows from, as shares of the training ground's width and height."""
LAST_TRAINING_PHOTO = 29
"""Of `fields_us`; photos with higher numbers are for testing."""
FEWEST_ON_A_PHOTO = 8
"""Fewer polygons than these are not worth another photo."""
SPLITS = {  # raster, annotations, share of the raster for training, along rows, category field
    "banepa": ("scene.tif", "buildings.gpkg", 0.75, False, None),
    "kampala": ("scene.tif", "buildings.gpkg", 2 / 3, False, None),
    "nuclei": ("train_image.tif", "train_nuclei.gpkg", 4 / 6, True, None),
    "denmark": ("RGB_small.tif", "fields_grouped.gpkg", 0.75, False, "group"),
}
NAMES = (*SPLITS, "fields_us", "demoscene")


@dataclass(frozen=True)
class Ground:
    """Rasters, annotations, and the areas to train and to test on, as paths.

    ``train_rasters`` and ``test_rasters`` may be the same; ``train_more`` are further parameters.
    """

    name: str
    train_rasters: tuple[Path, ...]
    test_rasters: tuple[Path, ...]
    annotations: Path
    category_field: str | None
    train: Path
    test: Path
    train_more: dict[str, object] = field(default_factory=dict)

    @property
    def layers(self) -> dict[str, object]:
        """The parameters that name the annotations."""
        return {"ANNOTATIONS": self.annotations, "CATEGORY_FIELD": self.category_field}


def ground(name: str, data: Path, folder: Path, polygons: int | None, place: int = 0) -> Ground:
    """Return a ground by its name, its areas written into a folder.

    ``data`` is the folder of its rasters and annotations; ``polygons`` how many of them are
    trained on (None: all), around the place of that number (see `PLACES`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    if name == "demoscene":
        return Ground(
            name,
            (data / "scene.tif",),
            (data / "scene.tif",),
            data / "annotations.gpkg",
            "category",
            data / "train.gpkg",
            data / "test.gpkg",
        )
    if name == "fields_us":
        return _photos(data, folder, polygons)
    return _scene(name, data, folder, polygons, place)


def streamed(path: Path, folder: Path) -> VectorSource:
    """Write a layer as the QGIS side hands it over to the engine, without categories."""
    frame = geopandas.read_file(path)[["geometry"]]
    empty = np.array([None] * len(frame), dtype=object)
    frame = frame.assign(category=empty, source=empty)
    place = folder / f"streamed_{path.name}"
    frame.to_file(place, layer="features", driver="GPKG")
    wkt = frame.crs.to_wkt() if frame.crs else ""
    return VectorSource(str(place), "features", path.stem, wkt, None, {})


def _scene(name: str, data: Path, folder: Path, polygons: int | None, place: int) -> Ground:
    raster, annotations, split, rows, category_field = SPLITS[name]
    with rasterio.open(data / raster) as dataset:
        left, bottom, right, top = dataset.bounds
        crs = dataset.crs
    edge = top - (top - bottom) * split if rows else left + (right - left) * split
    train = shapely.box(left, edge, right, top) if rows else shapely.box(left, bottom, edge, top)
    test = shapely.box(left, bottom, right, top).difference(train)
    if polygons is not None:
        layer = geopandas.read_file(data / annotations).to_crs(crs)
        train = grown(train, layer.geometry.representative_point(), polygons, PLACES[place])
    more = {"TASK": "panoptic", "STUFF_CATEGORIES": "grass,trees,other"}
    return Ground(
        name,
        (data / raster,),
        (data / raster,),
        data / annotations,
        category_field,
        _written(folder / f"{name}_{polygons or 'all'}_{place}.gpkg", [train], crs),
        _written(folder / f"{name}_test.gpkg", [test], crs),
        more if name == "denmark" else {},
    )


def grown(
    area: shapely.Polygon, points: geopandas.GeoSeries, wanted: int, place: tuple[float, float]
) -> shapely.Polygon:
    """Return the square around a place, cut by the area, that holds so many of the points."""
    left, bottom, right, top = area.bounds
    x, y = left + place[0] * (right - left), bottom + place[1] * (top - bottom)
    inside = points[points.intersects(area)]
    away = np.sort(np.maximum(np.abs(inside.x - x), np.abs(inside.y - y)))
    half = away[min(wanted, len(away)) - 1] + 1e-6 * (right - left)
    return shapely.box(x - half, y - half, x + half, y + half).intersection(area)


def _photos(data: Path, folder: Path, polygons: int | None) -> Ground:
    """Return the photos of `fields_us`: photo after photo, the last one as far down as needed."""
    fields = geopandas.read_file(data / "fields.gpkg")
    frames = geopandas.read_file(data / "photos.gpkg").geometry
    names = sorted(fields["source"].unique())
    by_name = {}
    for name in names:
        there = shapely.union_all(fields.geometry[fields["source"] == name])
        by_name[name] = frames[frames.intersects(there.representative_point())].iloc[0]
    training = [name for name in names if int(name[6:8]) <= LAST_TRAINING_PHOTO]
    testing = [name for name in names if name not in training]
    drawn, left = {}, polygons or len(fields)
    for name in _in_random_order(training):
        tops = np.sort(fields.geometry[fields["source"] == name].representative_point().y)[::-1]
        if len(tops) <= left:
            drawn[name] = by_name[name]
        elif left >= FEWEST_ON_A_PHOTO:
            xmin, _, xmax, ymax = by_name[name].bounds
            drawn[name] = shapely.box(xmin, tops[left - 1] - 1.0, xmax, ymax)
        else:
            continue
        left -= min(left, len(tops))
    train = _written(
        folder / f"fields_us_{polygons or 'all'}.gpkg", list(drawn.values()), fields.crs
    )
    test = _written(folder / "fields_us_test.gpkg", [by_name[n] for n in testing], fields.crs)
    return Ground(
        "fields_us",
        tuple(data / name for name in sorted(drawn)),
        tuple(data / name for name in testing),
        data / "fields.gpkg",
        None,
        train,
        test,
    )


def _in_random_order(names: list[str]) -> list[str]:
    """Return the names in an order that is always the same."""
    return [names[n] for n in np.random.default_rng(0).permutation(len(names))]


def _written(path: Path, shapes: list[shapely.Geometry], crs: object) -> Path:
    geopandas.GeoDataFrame(geometry=shapes, crs=crs).to_file(path)
    return path
