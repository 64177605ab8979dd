"""What a training leaves on record fits into a model file, however much there was."""

import contextlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
import shapely

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.evaluating.trained_ground import trained_share
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.learning import footprint as footprints
from deepseg_qgis.engine.learning import record
from deepseg_qgis.engine.learning.footprint import footprint, simplified
from deepseg_qgis.engine.models.model_card import json_bytes

SIDE = 400
NOTHING = AnnotatedArea(np.array([], dtype=object), np.array([], dtype=np.uint8))


def coast(vertices, seed=0, side=SIDE):
    """Return a ragged polygon inside a raster of SIDE px, like a municipality's boundary."""
    angles = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    steps = np.random.default_rng(seed).normal(size=vertices)
    rough = sum(np.roll(steps, k) for k in range(9)) * 0.3
    radius = side * (0.3 + 0.08 * np.sin(5 * angles)) + rough
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius[:, None] + side / 2
    return shapely.Polygon(points).buffer(0)


@pytest.fixture
def labelled(make_raster):
    """Return a factory of the ground truth of a raster, a corner of its area kept from training."""
    image, cells = np.ones((1, SIDE, SIDE), np.uint8), Area.of_windows([Window(150, 150, 64, 250)])
    stack = contextlib.ExitStack()

    def make(shape, name="a.tif", **options):
        raster = stack.enter_context(Raster(make_raster(image, name=name, **options)))
        area = Area(shape)
        return LabelledRaster(raster, NOTHING, area.without(cells), cells.within(area))

    with stack:
        yield make


def test_a_plain_footprint_is_the_training_area_itself(labelled):
    one = labelled(shapely.box(10.5, 20, 300, 390))
    (entry,) = footprint([one])
    there = one.raster.grid.to_crs(np.array([one.training.geometry]), one.raster.grid.crs)[0]
    assert shapely.from_geojson(json.dumps(entry["area"])).equals(there)


@pytest.mark.parametrize("vertices", [300, 5_000, 60_000])
def test_a_simplified_area_holds_the_training_area_and_hardly_more(labelled, vertices):
    one = labelled(coast(vertices))
    found = simplified(one, 200)
    assert shapely.get_num_coordinates(found) <= 200
    assert shapely.difference(one.training.geometry, found).area < 1e-6
    assert found.area < 1.2 * one.training.size_px
    assert found.intersection(one.validation.geometry).area < 0.25 * one.validation.size_px


def test_many_vertices_fit_and_evaluate_still_tells_training_ground(labelled):
    one = labelled(coast(60_000))
    entries = footprint([one])
    assert json_bytes(entries) <= footprints.MOST_BYTES
    assert trained_share(entries, one.raster, one.training) == pytest.approx(1.0)
    assert trained_share(entries, one.raster, one.validation) < 0.0005


def test_hundreds_of_rasters_fit_with_and_without_crs(labelled, monkeypatch):
    monkeypatch.setattr(footprints, "MOST_BYTES", 20_000)
    monkeypatch.setattr(record, "MOST_DATA_BYTES", 1_000)
    for crs in ({}, {"crs": None, "transform": None}):
        some = [labelled(coast(100, seed), f"{crs}{seed}.tif", **crs) for seed in range(40)]
        entries = footprint(some)
        assert json_bytes(entries) <= footprints.MOST_BYTES
        shares = [trained_share(entries, each.raster, each.training) for each in some]
        assert sum(share > 0.999 for share in shares) >= (40 if not crs else 20)
        (data,) = record._data([each.raster for each in some], Control())
        assert data["raster"] == "40 rasters"


@pytest.mark.parametrize(
    ("name", "known"), [("2024/a.tif", True), ("a.tif", True), ("ba.tif", False)]
)
def test_a_raster_without_crs_is_known_with_and_without_its_folder(name, known, labelled):
    then = labelled(coast(100), crs=None, transform=None)
    entries = [{**entry, "raster": "x/2024/a.tif"} for entry in footprint([then])]
    raster = SimpleNamespace(name=name, grid=then.raster.grid)
    share = trained_share(entries, raster, then.training)
    assert share == pytest.approx(1.0 if known else 0.0)


def epochs(count, categories, length=10):
    scores = {f"{number:0{length}}": 0.123456789 for number in range(categories)}
    return [
        {
            "epoch": number + 1,
            "train_loss": 0.123,
            "category_score": scores,
            "category_iou": scores,
            "kept": number == count // 3,
        }
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "categories", "length"), [(20, 3, 10), (10_000, 1, 5), (500, 254, 20), (40, 254, 999)]
)
def test_a_history_fits_and_has_the_kept_epoch_and_the_last(count, categories, length):
    given = epochs(count, categories, length)
    found = record.history(given, 200_000)
    assert json_bytes(found) <= 200_000
    numbers = [each["epoch"] for each in found]
    assert numbers == sorted(set(numbers))
    assert {count // 3 + 1, count} <= set(numbers)
    if count == 20:
        assert list(found) == given


def test_without_room_there_is_no_history():
    assert record.history(epochs(20, 3), 10) == ()
    assert record.history([], -5) == ()
