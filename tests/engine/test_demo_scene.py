"""The demonstration scene: its picture, its polygons, and that they are the same thing."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from deepseg_qgis.bounds import SCENE_SIZE_PX
from deepseg_qgis.demo_scene.layers import CATEGORIES
from deepseg_qgis.demo_scene.scene import Scene
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.verbs import demoscene
from deepseg_qgis.errors import OutputError, ParameterError, Stopped
from deepseg_qgis.events import Progress
from deepseg_qgis.jobs import DemoSceneJob, RasterSource

SIZE = 1024


def job_in(folder: Path, size=SIZE, seed=0, touching=True, extension="gpkg") -> DemoSceneJob:
    names = ("scene.tif", *(f"{name}.{extension}" for name in ("annotations", "train", "test")))
    return DemoSceneJob(size, seed, touching, *(str(folder / name) for name in names))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> DemoSceneJob:
    """Return the job of a scene that was made."""
    job = job_in(tmp_path_factory.mktemp("scene"))
    demoscene.run(job, Control())
    return job


@pytest.fixture(scope="module")
def picture(made) -> np.ndarray:
    with Raster(RasterSource(made.output, "", "scene")) as raster:
        return raster.read(raster.grid.window).values


@pytest.fixture(scope="module")
def annotations(made) -> geopandas.GeoDataFrame:
    return geopandas.read_file(made.annotations)


def drawn_categories(scene: Scene, step: int) -> np.ndarray:
    """Return the categories of all pixels, drawn window by window."""
    whole = np.zeros((scene.grid.height, scene.grid.width), dtype=np.uint8)
    for row in range(0, scene.grid.height, step):
        for column in range(0, scene.grid.width, step):
            window = Window(row, column, step, step).intersection(scene.grid.window)
            whole[window.slices] = scene.categories(window)
    return whole


def every_polygon(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Return all polygons (pixel coordinates) and their categories."""
    rows = [scene.annotations(row) for row in scene.rows(scene.grid.window)]
    return np.concatenate([row[0] for row in rows]), np.concatenate([row[1] for row in rows])


def shared_walls_px(polygons: np.ndarray) -> np.ndarray:
    """Return for each pair of polygons that touch the length of what they share."""
    first, second = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    pairs = first < second
    return shapely.length(shapely.intersection(polygons[first[pairs]], polygons[second[pairs]]))


def test_tells_what_it_made(made, annotations, tmp_path):
    events = []
    job = job_in(tmp_path, size=300)
    values = demoscene.run(job, Control(events.append))
    colours = {each["name"]: each["colour"] for each in values.pop("categories")}
    assert set(colours) <= set(demoscene.COLOURS)
    assert values == {
        "output": job.output,
        "annotations": job.annotations,
        "training_aoi": job.training_aoi,
        "test_aoi": job.test_aoi,
        "count": len(geopandas.read_file(job.annotations)),
    }
    assert [event for event in events if isinstance(event, Progress)][-1].fraction == 1.0


def test_raster_is_a_tiled_projected_picture(made):
    with rasterio.open(made.output) as dataset:
        assert (dataset.width, dataset.height, dataset.count) == (SIZE, SIZE, 3)
        assert dataset.dtypes == ("uint8",) * 3
        assert dataset.crs.to_epsg() == 32633
        assert dataset.res == (0.25, 0.25)
        assert dataset.profile["tiled"]
        assert dataset.compression.name == "deflate"


def test_same_seed_same_scene(made, picture, annotations, tmp_path):
    again = job_in(tmp_path)
    demoscene.run(again, Control())
    with rasterio.open(again.output) as dataset:
        np.testing.assert_array_equal(dataset.read(), picture)
    repeated = geopandas.read_file(again.annotations)
    assert list(repeated.category) == list(annotations.category)
    assert shapely.equals_exact(repeated.geometry.array, annotations.geometry.array).all()


def test_other_seed_other_scene(picture):
    window = Window(256, 256, 256, 256)
    other = Scene(SIZE, 1, touching=True).pixels(window)
    assert (other != picture[:, 256:512, 256:512]).mean() > 0.9


def test_polygons_are_exactly_what_was_drawn(made, annotations):
    """Burnt again from the file, by pixel centres, they give every pixel that was drawn."""
    with rasterio.open(made.output) as dataset:
        numbers = [CATEGORIES.index(name) + 1 for name in annotations.category]
        burnt = rasterize(
            zip(annotations.geometry, numbers, strict=True),
            out_shape=dataset.shape,
            transform=dataset.transform,
            dtype="uint8",
        )
    drawn = drawn_categories(Scene(SIZE, 0, touching=True), step=300)
    np.testing.assert_array_equal(burnt, drawn)


def test_picture_shows_the_polygons_in_place(made, picture):
    """Edges of the picture lie on edges of the polygons, and not a pixel beside them."""
    drawn = drawn_categories(Scene(SIZE, 0, touching=True), step=512).astype(int)
    grey = picture.mean(axis=0)
    for axis in (0, 1):
        border = np.moveaxis(np.diff(drawn, axis=axis) != 0, axis, 0)
        step = np.moveaxis(np.abs(np.diff(grey, axis=axis)), axis, 0)
        contrast = {
            shift: step[4 + shift : len(step) - 4 + shift][border[4:-4]].mean()
            for shift in range(-3, 4)
        }
        assert max(contrast, key=lambda shift: contrast[shift]) == 0
        assert contrast[0] > 1.5 * contrast[3]


@settings(max_examples=8)
@given(st.integers(0, 2**40), st.booleans(), st.integers(SCENE_SIZE_PX.least, 700))
def test_polygons_are_valid_and_share_no_ground(seed, touching, size):
    scene = Scene(size, seed, touching)
    polygons, categories = every_polygon(scene)
    assert set(categories) == set(CATEGORIES)
    assert shapely.is_valid(polygons).all()
    assert (shapely.get_type_id(polygons) == shapely.GeometryType.POLYGON).all()
    assert shapely.within(polygons, shapely.box(0, 0, size, size).buffer(1e-9)).all()
    first, second = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    pairs = first < second
    shared = shapely.intersection(polygons[first[pairs]], polygons[second[pairs]])
    assert shapely.area(shared).sum() < 1e-6


@pytest.mark.parametrize("size", [512, SIZE])
def test_houses_share_walls_only_when_asked(size):
    walls = {}
    for touching in (True, False):
        polygons, categories = every_polygon(Scene(size, 7, touching))
        walls[touching] = shared_walls_px(polygons[categories == "building"])
    assert (walls[True] > 30.0).sum() >= 4
    assert len(walls[False]) == 0


def shares_of(drawn: np.ndarray) -> np.ndarray:
    """Return which share of the ground is open, and which each category covers."""
    return np.bincount(drawn.ravel(), minlength=len(CATEGORIES) + 1) / drawn.size


@pytest.mark.parametrize("seed", range(3))
def test_every_category_covers_enough_ground(seed):
    scene = Scene(SIZE, seed, touching=True)
    drawn = drawn_categories(scene, step=512)
    assert shares_of(drawn).min() > 0.04
    assert shares_of(drawn[scene.areas[1].slices]).min() > 0.015  # the test area


@pytest.mark.parametrize("size", [SCENE_SIZE_PX.least, 511])
def test_small_scenes_show_every_category(size):
    for seed in range(4):
        drawn = drawn_categories(Scene(size, seed, touching=True), step=512)
        assert set(np.unique(drawn)) == set(range(len(CATEGORIES) + 1))


def test_colour_alone_does_not_tell_categories(picture):
    """Even a table of the scene's own colours, the best there can be, is far from a map."""
    drawn = drawn_categories(Scene(SIZE, 0, touching=True), step=512).ravel()
    red, green, blue = (picture // 16).reshape(3, -1).astype(int)
    colour = (red * 16 + green) * 16 + blue
    table = np.zeros((len(CATEGORIES) + 1, 16**3))
    np.add.at(table, (drawn, colour), 1)
    guess = table.argmax(axis=0)[colour]
    ious = [
        ((guess == i) & (drawn == i)).sum() / ((guess == i) | (drawn == i)).sum()
        for i in range(1, len(CATEGORIES) + 1)
    ]
    assert np.mean(ious) < 0.65


def test_areas_are_disjoint_with_a_gap(made):
    train, test = (geopandas.read_file(path) for path in (made.training_aoi, made.test_aoi))
    assert len(train) == len(test) == 1
    west, east = train.geometry[0], test.geometry[0]
    assert west.distance(east) == pytest.approx(32 * 0.25)
    assert west.bounds[0] < east.bounds[0]
    side = SIZE * 0.25
    assert west.area / side**2 == pytest.approx(0.75, abs=0.02)
    assert east.area / side**2 == pytest.approx(0.25, abs=0.02)
    with rasterio.open(made.output) as dataset:
        scene = shapely.box(*dataset.bounds)
    assert west.union(east).envelope.equals(scene)


def test_geojson_is_in_degrees_and_in_place(made, annotations, tmp_path):
    job = job_in(tmp_path, size=300, extension="geojson")
    demoscene.run(job, Control())
    for path in (job.annotations, job.training_aoi, job.test_aoi):
        assert geopandas.read_file(path).crs.to_epsg() == 4326
    frame = geopandas.read_file(job.annotations).to_crs(32633)
    with rasterio.open(job.output) as dataset:
        assert shapely.within(frame.geometry.array, shapely.box(*dataset.bounds).buffer(1e-3)).all()
    polygons, _ = every_polygon(Scene(300, 0, touching=True))
    expected = shapely.area(polygons) * 0.25**2
    np.testing.assert_allclose(frame.geometry.area, expected, atol=0.01)


def test_pixels_depend_on_their_place_alone():
    """Neither on the window that they are drawn in, nor on the scene's size."""
    small, large = Scene(700, 3, touching=True), Scene(2000, 3, touching=True)
    whole = small.pixels(Window(100, 80, 500, 500)).astype(int)
    part = small.pixels(Window(230, 300, 123, 57)).astype(int)
    assert np.abs(whole[:, 130:253, 220:277] - part).max() <= 1  # float32 sums round differently
    np.testing.assert_array_equal(large.pixels(Window(100, 80, 500, 500)), whole)


def test_memory_does_not_grow_with_rows():
    scene = Scene(2100, 0, touching=True)
    held = []
    tracemalloc.start()
    for row in scene.rows(scene.grid.window):
        scene.forget(row - 2)
        scene.annotations(row)
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert max(held[3:]) < 1.25 * held[2]


@pytest.mark.parametrize("size", [SCENE_SIZE_PX.least - 1, SCENE_SIZE_PX.most + 1, -5])
def test_impossible_sizes(size, tmp_path):
    with pytest.raises(ParameterError, match=r"from 256 to 100,000 px"):
        demoscene.run(job_in(tmp_path, size=size), Control())
    assert not list(tmp_path.iterdir())


def test_negative_seed(tmp_path):
    with pytest.raises(ParameterError, match="seed must be 0 or more"):
        demoscene.run(job_in(tmp_path, seed=-1), Control())


def test_stop_leaves_nothing(tmp_path):
    control = Control()
    control.stop()
    with pytest.raises(Stopped):
        demoscene.run(job_in(tmp_path, size=600), control)
    assert not list(tmp_path.iterdir())


def test_unknown_format_of_annotations(tmp_path):
    job = job_in(tmp_path, size=300, extension="docx")
    with pytest.raises(OutputError, match="format"):
        demoscene.run(job, Control())
    assert not list(tmp_path.iterdir())


def test_largest_scene_has_its_far_corner():
    scene = Scene(SCENE_SIZE_PX.most, 5, touching=False)
    window = Window(SCENE_SIZE_PX.most - 300, SCENE_SIZE_PX.most - 300, 300, 300)
    assert scene.pixels(window).std() > 5.0
    assert scene.categories(window).max() > 0
