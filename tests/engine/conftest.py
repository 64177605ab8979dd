"""Factories for small rasters and layers, written the way users and the QGIS side write them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine

from deepseg_qgis.engine.annotations import annotation_layer
from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area, box
from deepseg_qgis.engine.learning import saved_training, training_dataset
from deepseg_qgis.engine.resuming import journal_folder
from deepseg_qgis.jobs import RasterSource, VectorSource

UTM = pyproj.CRS.from_epsg(32633)
NORTH_UP = Affine(0.5, 0.0, 500_000.0, 0.0, -0.5, 5_500_000.0)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this test's interrupted runs, not there yet; converted networks stay shared."""
    folder = tmp_path / "interrupted"
    for module in (journal_folder, saved_training):
        monkeypatch.setattr(module, "default_folder", lambda: str(folder))
    return folder


@pytest.fixture
def short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make epochs of 16 windows, where a test needs a training and not what it learns."""
    monkeypatch.setattr(training_dataset, "FEWEST_WINDOWS", 16)
    monkeypatch.setattr(training_dataset, "TIMES_SHOWN", 1)


@pytest.fixture
def make_raster(tmp_path: Path) -> Callable[..., RasterSource]:
    """Return a factory: array (bands, rows, columns) → the source of a GeoTIFF."""

    def make(array, transform=NORTH_UP, crs=UTM, name="raster.tif", **options) -> RasterSource:
        path = tmp_path / name
        mask = options.pop("mask", None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            write(path, array, transform, crs, mask, options)
        return RasterSource(str(path), "", name)

    def write(path, array, transform, crs, mask, options) -> None:
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=array.shape[0],
            height=array.shape[1],
            width=array.shape[2],
            dtype=array.dtype,
            transform=transform,
            crs=crs,
            **options,
        ) as dataset:
            dataset.write(array)
            if mask is not None:
                dataset.write_mask(mask)

    return make


@pytest.fixture
def make_layer(tmp_path: Path) -> Callable[..., VectorSource]:
    """Return a factory: polygons and categories → the source that the QGIS side would stream."""

    def make(polygons, categories=None, crs=UTM, name="layer", colours=None) -> VectorSource:
        path = tmp_path / f"{name}.gpkg"
        frame = geopandas.GeoDataFrame(
            {
                "category": np.array(categories or [None] * len(polygons), dtype=object),
                "source": np.array([None] * len(polygons), dtype=object),
            },
            geometry=list(polygons),
            crs=crs,
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided")
            frame.to_file(path, layer="features", driver="GPKG")
        field = "category" if categories else None
        wkt = crs.to_wkt() if crs else ""
        return VectorSource(str(path), "features", name, wkt, field, colours or {})

    return make


@pytest.fixture
def discs(make_raster, make_layer):
    """Return (raster source, annotation source): 160 × 160 px of bright discs on dark ground."""
    rng = np.random.default_rng(7)
    image = rng.normal(60, 12, (3, 160, 160))
    rows, columns = np.mgrid[:160, :160] + 0.5
    polygons = []
    for row in range(20, 160, 40):
        for column in range(20, 160, 40):
            image[:, (rows - row) ** 2 + (columns - column) ** 2 < 12**2] += 100
            polygons.append(shapely.Point(column, row).buffer(12, quad_segs=32))
    a, _, c, _, e, f = NORTH_UP[:6]
    ground = [shapely.affinity.affine_transform(p, (a, 0, 0, e, c, f)) for p in polygons]
    source = make_raster(image.clip(0, 255).astype(np.uint8), name="discs.tif")
    return source, make_layer(ground, ["disc"] * len(ground), name="discs")


@pytest.fixture
def labelled_discs(discs):
    """Return (labelled raster, categories): the discs, all of their ground for training."""
    raster_source, layer = discs
    loaded = annotation_layer.load(layer, Control())
    with Raster(raster_source) as raster:
        over = loaded.over(raster, loaded.categories)
        whole = Area(box(raster.grid.window))
        yield LabelledRaster(raster, over, whole, Area.of_windows([])), loaded.categories
