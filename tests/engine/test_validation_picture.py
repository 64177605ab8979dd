"""The picture of an epoch: one place of the validation areas, what is found and what is there."""

import io

import numpy as np
import pytest
import shapely
from PIL import Image

from deepseg_qgis import events
from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.learning import record, validation_picture
from deepseg_qgis.engine.learning.validation_picture import ValidationPicture
from deepseg_qgis.engine.legend.legend import Category, InstanceRule

RED, BLUE = Category("house", "#ff0000"), Category("pool", "#0000ff")
GREY = 100
RIGHT_HALF = (Window(0, 200, 300, 200),)


def square(column, row, side=20):
    return shapely.box(column, row, column + side, row + side)


@pytest.fixture
def labelled(make_raster):
    """Return a factory: polygons over 400 × 300 px of grey, the right half of it validated."""
    opened = []

    def make(polygons, classes, validation=RIGHT_HALF):
        source = make_raster(np.full((3, 300, 400), GREY, np.uint8), name=f"{len(opened)}.tif")
        raster = Raster(source)
        opened.append(raster)
        shapes = np.array(polygons, dtype=object)
        annotated = AnnotatedArea(shapes, np.array(classes, dtype=np.uint8))
        area = Area.of_windows(validation)
        return LabelledRaster(raster, annotated, Area.of_windows([Window(0, 0, 300, 200)]), area)

    yield make
    for raster in reversed(opened):
        raster.close()


def decoded(png):
    return np.array(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def whole(picture, raster, planes):
    """Give the picture what a network says of the whole raster, in four cores."""
    for row, column in ((0, 0), (0, 200), (150, 0), (150, 200)):
        core = Window(row, column, 150, 200)
        picture.add(raster, core, planes[:, row : row + 150, column : column + 200])


def test_found_is_filled_and_annotated_is_outlined(labelled):
    one = labelled([square(250, 100), square(300, 200)], [1, 2])
    picture = ValidationPicture.of([one], [RED, BLUE])
    planes = np.zeros((2, 300, 400), np.uint8)
    planes[0, 100:120, 250:270] = 200
    whole(picture, one.raster, planes)
    seen = decoded(picture.png((0.5, 0.5), None))
    top, left = picture._window.row, picture._window.column
    found, outline = seen[110 - top, 260 - left], seen[100 - top, 255 - left]
    assert found.tolist() == pytest.approx([170, 55, 55], abs=3)
    assert outline.tolist() == pytest.approx([255, 0, 0], abs=3)
    missed, missed_outline = seen[210 - top, 310 - left], seen[200 - top, 310 - left]
    assert missed.tolist() == pytest.approx([GREY] * 3, abs=3)
    assert missed_outline.tolist() == pytest.approx([0, 0, 255], abs=3)
    if left < 200:
        assert seen[0, 0].tolist() == pytest.approx([195] * 3, abs=3), "pale: not validated"


def test_thresholds_decide_what_is_found(labelled):
    one = labelled([square(250, 100)], [1])
    picture = ValidationPicture.of([one], [RED])
    whole(picture, one.raster, np.full((1, 300, 400), 128, np.uint8))
    inside = (10, 200)
    assert decoded(picture.png((0.5,), None))[inside][0] > 150
    assert decoded(picture.png((0.6,), None))[inside][0] == pytest.approx(GREY, abs=3)


def test_touching_objects_have_a_line_between_them(labelled):
    one = labelled([square(250, 100)], [1])
    picture = ValidationPicture.of([one], [RED])
    columns = np.arange(400)
    heights = np.abs(((columns - 240) % 20) - 10) * 20  # two hills with a valley at column 260
    planes = np.zeros((3, 300, 400), np.uint8)
    planes[0, 140:180, 240:280] = 200
    planes[1] = np.clip(200 - heights, 0, 255)
    whole(picture, one.raster, planes)
    rule = InstanceRule((20,), (1,))
    row, left = 160 - picture._window.row, 240 - picture._window.column
    apart = decoded(picture.png((0.5,), rule))[row, left : left + 40, 0] - GREY
    together = decoded(picture.png((0.5,), None))[row, left : left + 40, 0] - GREY
    assert (together > 50).all()
    assert (apart > 50).sum() == 39


def test_the_place_is_where_most_categories_are(labelled):
    crowd = [square(210 + 25 * k, 10) for k in range(3)]
    mixed = [square(350, 260), square(375, 260)]
    tall = labelled([*crowd, *mixed], [1] * 3 + [1, 2])
    picture = ValidationPicture.of([tall], [RED, BLUE])
    window = picture._window
    assert window.row + window.height >= 270, "the pool is to be seen"
    again = ValidationPicture.of([tall], [RED, BLUE])
    assert again._window == window


def test_the_raster_with_validated_annotations_is_chosen(labelled):
    without = labelled([square(20, 20)], [1])
    good = labelled([square(250, 100)], [1])
    none = labelled([square(250, 100)], [1], ())
    assert ValidationPicture.of([none, without, good], [RED])._raster is good.raster
    assert ValidationPicture.of([none], [RED]) is None
    assert ValidationPicture.of([without], [RED])._raster is without.raster


def test_cores_of_other_rasters_are_not_taken(labelled):
    one, other = (labelled([square(250, 100)], [1]) for _ in range(2))
    picture = ValidationPicture.of([one], [RED])
    whole(picture, other.raster, np.full((1, 300, 400), 255, np.uint8))
    assert not picture._planes.any()


def test_large_objects_are_shown_with_their_surroundings(labelled, monkeypatch):
    monkeypatch.setattr(validation_picture, "SIDE_PX", 128)
    one = labelled([square(220, 20, 150)], [1])
    picture = ValidationPicture.of([one], [RED])
    assert (picture._window.height, picture._window.width) == (256, 216)
    assert decoded(picture.png((0.5,), None)).shape == (128, 108, 3)


def test_noise_still_makes_a_small_file():
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    png = validation_picture._png(noise)
    assert len(png) <= validation_picture.MOST_BYTES
    assert decoded(png).shape == (256, 256, 3)


def test_no_history_keeps_the_picture():
    epoch = events.Epoch(1, 2, 0.5, None, None, {}, {}, 1e-3, 1.0, True, picture="iVBOR")
    assert "picture" not in record.row(epoch)
    assert "picture" not in record._plain(epoch)
