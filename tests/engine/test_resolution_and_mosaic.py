"""Rasters at a model's resolution, and several as one picture."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.raster_inputs.bands import Band
from deepseg_qgis.engine.files.raster_inputs.pixels import Pixels
from deepseg_qgis.engine.files.raster_inputs.resampling import Resampled, north_up
from deepseg_qgis.engine.files.raster_sets import as_mosaic, at_model_resolution, open_rasters
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.errors import RasterError
from tests.engine.conftest import NORTH_UP, UTM

RNG = np.random.default_rng(11)


class Picture:
    """Arrays as a source of pixels."""

    def __init__(self, values, valid, grid) -> None:
        self.values, self.valid, self.grid = values, valid, grid
        self.bands, self.dtype = len(values), str(values.dtype)
        self.band_info, self.colours = (Band("grey"),) * len(values), {}

    def read(self, window):
        rows, columns = window.slices
        assert window.intersection(self.grid.window) == window
        return Pixels(self.values[:, rows, columns], self.valid[rows, columns])

    def thumbnail(self, window, shape):
        read = self.read(window)
        rows = (np.arange(shape[0]) + 0.5) * window.height // shape[0]
        columns = (np.arange(shape[1]) + 0.5) * window.width // shape[1]
        at = np.ix_(rows.astype(int), columns.astype(int))
        return Pixels(read.values[:, at[0], at[1]], read.valid[at])

    def check_read(self): ...

    def close(self): ...


def picture(height, width, transform=NORTH_UP, dtype=np.uint16, holes=0.2):
    values = RNG.integers(0, 60_000, (2, height, width)).astype(dtype)
    valid = RNG.random((height, width)) >= holes
    values[:, ~valid] = 7  # nobody may see it
    return Picture(values, valid, Grid(width, height, transform, UTM))


def overlap(ends: np.ndarray, length: int) -> np.ndarray:
    """Return (n, length) how much of each pixel lies between two neighbouring ends."""
    low, high = np.minimum(ends[:-1], ends[1:]), np.maximum(ends[:-1], ends[1:])
    at = np.arange(length)
    shared = np.minimum(high[:, None], at + 1) - np.maximum(low[:, None], at)
    return np.clip(shared, 0.0, None)


@given(
    factor=st.floats(1.51, 9.0),
    stretch=st.floats(0.7, 1.4),
    south_up=st.booleans(),
    size=st.tuples(st.integers(20, 90), st.integers(20, 90)),
)
def test_averages_are_those_over_each_pixels_rectangle(factor, stretch, south_up, size):
    sign = 1.0 if south_up else -1.0
    transform = Affine(0.5, 0.0, 500_000.0, 0.0, sign * 0.5 * stretch, 5_500_000.0)
    source = picture(*size, transform)
    grid = north_up(source.grid, 0.5 * factor)
    made = Resampled(source, grid).read(grid.window)
    to_source = ~source.grid.transform @ grid.transform
    rows = overlap(to_source.f + to_source.e * np.arange(grid.height + 1), size[0])
    columns = overlap(to_source.c + to_source.a * np.arange(grid.width + 1), size[1])
    weight = rows @ source.valid @ columns.T
    share = weight / abs(to_source.a * to_source.e)
    clear = np.abs(share - 0.5) > 1e-6
    assert np.array_equal(made.valid[clear], share[clear] >= 0.5)
    known = made.valid & (weight > 0)
    for band in range(2):
        mean = rows @ (source.values[band] * source.valid) @ columns.T
        off = made.values[band][known] - mean[known] / weight[known]
        assert np.abs(off).max(initial=0.0) <= 0.5 + 1e-6


@settings(max_examples=15)
@given(
    turn=st.sampled_from([0.0, 30.0, 90.0]),
    factor=st.sampled_from([0.4, 1.8]),
    corner=st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
def test_what_is_read_does_not_depend_on_windows(turn, factor, corner):
    transform = NORTH_UP @ Affine.rotation(turn)
    source = picture(70, 60, transform)
    grid = north_up(source.grid, 0.5 * factor)
    resampled = Resampled(source, grid)
    resampled._side = 48
    whole = resampled.read(grid.window)
    window = Window(*corner, 33, 21).intersection(grid.window)
    fresh = Resampled(source, grid)
    fresh._side = 48
    if window.height and window.width:
        part = fresh.read(window)
        assert np.array_equal(part.values, whole.values[:, window.slices[0], window.slices[1]])
        assert np.array_equal(part.valid, whole.valid[window.slices])
    assert whole.valid.any()


def test_a_plane_stays_a_plane_when_it_is_turned_and_enlarged():
    transform = NORTH_UP @ Affine.rotation(20.0)
    grid = Grid(50, 40, transform, UTM)
    columns, rows = np.meshgrid(np.arange(50) + 0.5, np.arange(40) + 0.5)
    x, y = transform @ (columns, rows)
    plane = ((x - 500_000.0) + 2.0 * (y - 5_500_000.0))[None]
    source = Picture(plane, np.ones((40, 50), dtype=bool), grid)
    finer = north_up(grid, 0.2)
    made = Resampled(source, finer).read(finer.window)
    columns, rows = np.meshgrid(np.arange(finer.width) + 0.5, np.arange(finer.height) + 0.5)
    x, y = finer.transform @ (columns, rows)
    expected = (x - 500_000.0) + 2.0 * (y - 5_500_000.0)
    inner = made.valid.copy()
    inside = ~transform @ (x, y)
    inner &= (inside[0] > 1) & (inside[0] < 49) & (inside[1] > 1) & (inside[1] < 39)
    assert inner.sum() > 8_000
    assert np.abs(made.values[0] - expected)[inner].max() < 1e-6
    area = made.valid.sum() * 0.04
    assert area == pytest.approx(50 * 40 * 0.25, rel=0.02)


@pytest.mark.parametrize("epsg", [3857, 4326, 32633])
def test_the_new_pixels_are_square_and_of_that_size_on_the_ground(make_raster, epsg):
    crs = pyproj.CRS(epsg)
    project = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform
    west, north = project(15.0, 60.0)
    east, south = project(15.02, 59.99)
    transform = Affine((east - west) / 600, 0.0, west, 0.0, (south - north) / 500, north)
    image = np.full((3, 500, 600), 90, dtype=np.uint8)
    with Raster(make_raster(image, transform, crs, nodata=0)) as raster:
        fitted = raster.at_resolution(8.0)
        assert fitted.grid.resolution_m == pytest.approx(8.0, rel=1e-3)
        a, _, c, _, e, f = fitted.grid.transform[:6]
        back = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform
        (x, right, _), (y, _, below) = back([c, c + 100 * a, c], [f, f, f + 100 * e])
        sides_m = pyproj.Geod(ellps="WGS84").inv([x, x], [y, y], [right, x], [y, below])[2]
        assert sides_m == pytest.approx([800.0, 800.0], rel=5e-3)
        pixels = fitted.read(fitted.grid.window)
        assert pixels.valid.mean() > 0.98
        assert (pixels.values[:, pixels.valid] == 90).all()
        assert fitted.overview(50).valid.mean() > 0.95
    (notice,) = fitted.notices
    assert "the model's are of 8 m" in notice


@pytest.mark.parametrize(("resolution", "factor"), [(1.03, 2), (4.1, 8), (0.247, 0.5), (1.25, 2.5)])
def test_sides_close_to_whole_pixels_are_made_so(make_raster, resolution, factor):
    image = RNG.integers(0, 255, (1, 80, 80)).astype(np.uint8)
    with Raster(make_raster(image)) as raster:
        fitted = raster.at_resolution(resolution * raster.grid.resolution_m / 0.5)
        assert fitted.grid.transform.a == pytest.approx(0.5 * factor)
        pixels = fitted.read(fitted.grid.window)
    if factor == 2:
        means = image[0].reshape(40, 2, 40, 2).mean(axis=(1, 3))
        assert np.array_equal(pixels.values[0], np.rint(means))


def test_pixels_too_coarse_for_the_model_are_refused(make_raster):
    source = make_raster(np.ones((3, 40, 40), np.uint8), Affine(10, 0, 5e5, 0, -10, 5.5e6))
    with Raster(source) as raster:
        assert raster.at_resolution(0.4).grid.width == 1000
        with pytest.raises(RasterError, match=r"pixels of 10 m, .* trained on 0\.25 m"):
            raster.at_resolution(0.25)


def test_within_a_factor_of_one_and_a_half_a_raster_stays_itself(make_raster):
    image = np.ones((1, 20, 20), dtype=np.uint8)
    with Raster(make_raster(image)) as raster:
        for resolution in (0.34, 0.5, 0.74, None):
            assert raster.at_resolution(resolution) is raster
        for resolution in (0.3, 0.8):
            assert raster.at_resolution(resolution) is not raster
        with pytest.raises(RasterError, match="Choose a raster that is closer"):
            raster.at_resolution(500.0)
    with Raster(make_raster(image, None, None)) as raster:
        assert raster.at_resolution(8.0) is raster


def moved(columns: float, rows: float) -> Affine:
    return NORTH_UP @ Affine.translation(columns, rows)


def test_a_mosaic_shows_the_first_raster_on_top(make_raster):
    images = RNG.integers(1, 255, (3, 2, 30, 40)).astype(np.uint8)
    images[0, :, 10:20, 10:20] = 0  # a hole, through which the next one is seen
    places = [(0, 0), (-10, 15), (100, 0)]
    sources = [
        make_raster(image, moved(x, y), nodata=0, name=f"{number}.tif")
        for number, (image, (x, y)) in enumerate(zip(images, places, strict=True))
    ]
    with open_rasters(sources) as rasters:
        mosaic = as_mosaic(rasters)
        assert (mosaic.grid.height, mosaic.grid.width) == (45, 150)
        pixels = mosaic.read(mosaic.grid.window)
        part = mosaic.read(Window(-3, 5, 40, 41))
        small = mosaic.overview(75)
        assert mosaic.name == "0.tif and 2 more"
    expected = np.zeros((2, 45, 150), dtype=np.uint8)
    for image, (x, y) in reversed(list(zip(images, places, strict=True))):
        there = expected[:, y : y + 30, x + 10 : x + 50]
        there[:] = np.where(image > 0, image, there)
    assert np.array_equal(pixels.valid, expected[0] > 0)
    assert np.array_equal(pixels.values, expected)
    assert np.array_equal(part.values[:, 3:], expected[:, :37, 5:46])
    assert not part.valid[:3].any()
    assert small.valid.mean() == pytest.approx(pixels.valid.mean(), abs=0.02)


def test_a_raster_between_the_pixels_is_moved_by_half_a_pixel_at_most(make_raster):
    image = RNG.integers(1, 255, (1, 20, 20)).astype(np.uint8)
    first = make_raster(image, name="first.tif")
    second = make_raster(image, moved(20.4, 0.0), name="second.tif")
    with open_rasters([first, second]) as rasters:
        mosaic = as_mosaic(rasters)
        read = mosaic.read(mosaic.grid.window)
    assert np.array_equal(read.values[0], np.hstack([image[0], image[0]]))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"crs": pyproj.CRS(32634)}, "is in the CRS"),
        ({"transform": NORTH_UP @ Affine.scale(1.2)}, "has pixels of 0.6"),
        ({"transform": NORTH_UP @ Affine.rotation(5.0)}, "turned otherwise"),
        ({"array": np.ones((2, 20, 20), dtype=np.uint8)}, "has 2 band"),
        ({"array": np.ones((1, 20, 20), dtype=np.uint16)}, "of type uint16"),
        ({"crs": None}, "without a CRS"),
        ({"transform": moved(1e13, 0.0)}, "too far apart"),
    ],
)
def test_what_is_no_mosaic(make_raster, options, why):
    image = np.ones((1, 20, 20), dtype=np.uint8)
    first = make_raster(image, name="first.tif")
    second = make_raster(**{"array": image, "name": "second.tif"} | options)
    with open_rasters([first, second]) as rasters, pytest.raises(RasterError, match=why):
        as_mosaic(rasters)


def test_a_mosaic_at_a_models_resolution_has_no_seam(make_raster):
    columns = np.arange(120) * 2.0
    image = np.broadcast_to(columns, (1, 40, 120)).astype(np.float32)
    halves = [
        make_raster(image[..., :61], name="west.tif"),
        make_raster(image[..., 61:], moved(61, 0), name="east.tif"),
    ]
    texts = []
    control = Control(lambda event: texts.append(event.text))
    with open_rasters(halves) as rasters:
        (fitted,) = at_model_resolution(rasters, 2.0, True, control)
        pixels = fitted.read(fitted.grid.window)
    assert len(texts) == 1
    assert pixels.valid.all()
    assert np.ptp(np.diff(pixels.values[0], axis=1)) < 1e-2
