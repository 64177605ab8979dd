"""A data set of chips: what other programs read from it is what was annotated."""

import contextlib
import io
import itertools
import json
import os
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from example_jobs import tile_job
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as reference
from pycocotools.coco import COCO

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange import dataset, dataset_split
from deepseg_qgis.engine.exchange.coco.chips import segmentation
from deepseg_qgis.engine.exchange.dataset_chips import plain_stem
from deepseg_qgis.engine.geometry.tiling import Tile, Window, side_by_side
from deepseg_qgis.engine.verbs import tile
from deepseg_qgis.errors import OutputError, ParameterError, Stopped, VectorError
from deepseg_qgis.events import Log
from tests.engine.conftest import NORTH_UP

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")
"""pycocotools' own, under numpy 2."""

PARTS = ("train", "validation", "test")


def on_ground(shape):
    a, _, c, _, e, f = NORTH_UP[:6]
    return shapely.affinity.affine_transform(shape, (a, 0, 0, e, c, f))


@pytest.fixture
def job(make_raster, make_layer, tmp_path):
    """A job over 200 × 330 px with houses, rings and a field with an overlap."""
    rng = np.random.default_rng(5)
    image = rng.integers(1, 65535, (4, 200, 330)).astype(np.uint16)
    shapes, names = [], []
    for row, column in itertools.product(range(10, 200, 20), range(10, 330, 20)):
        disc = shapely.Point(column, row).buffer(rng.uniform(3, 11))
        ring = (row + column) % 3 == 0
        shapes.append(disc.difference(disc.centroid.buffer(2.5)) if ring else disc)
        names.append("ring" if ring else "Häus<b>")
    shapes.append(shapely.box(30, 30, 120, 90))
    names.append("field")
    valid = np.full((200, 330), 255, np.uint8)
    valid[:20, :50] = 0
    raster = make_raster(image, name="Größe 1.tif", mask=valid)
    layer = make_layer([on_ground(shape) for shape in shapes], names)
    aoi = make_layer([on_ground(shapely.box(4, 4, 300, 180))], name="aoi")
    folder = str(tmp_path / "out" / "set")
    changes = {"annotations": layer, "aoi": aoi, "output_folder": folder}
    return tile_job(raster, tmp_path / "tiles.gpkg", tile_size_px=32, **changes)


def read(path):
    with rasterio.open(path) as file:
        return file.read(), file.transform


def loaded(folder, part):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(folder / part / "annotations.json"))


def test_pycocotools_reads_what_was_annotated(job, tmp_path):
    said = []
    result = tile.run(
        job, Control(lambda event: said.append(event) if isinstance(event, Log) else 0)
    )
    folder = Path(job.output_folder)
    whole, transform = read(job.raster.path)
    chips_seen, holes, objects = 0, 0, 0
    for part in PARTS:
        coco = loaded(folder, part)
        assert [each["name"] for each in coco.loadCats(coco.getCatIds())] == [
            "Häus<b>", "field", "ring"
        ]  # fmt: skip
        for image in coco.loadImgs(coco.getImgIds()):
            chips_seen += 1
            path = folder / part / image["file_name"]
            (mask,), place = read(folder / part / "masks" / path.name)
            pixels, same = read(path)
            assert place == same
            assert pixels.dtype == np.uint16
            column, row = (round(x) for x in ~transform @ (place.c, place.f))
            inside = whole[:, row : row + 32, column : column + 32]
            shown = pixels[:, : inside.shape[1], : inside.shape[2]]
            assert np.array_equal(shown[:, shown.any(axis=0)], inside[:, shown.any(axis=0)])
            assert (mask[~pixels.any(axis=0)] == 255).all()
            annotations = coco.loadAnns(coco.getAnnIds([image["id"]]))
            objects += len(annotations)
            painted = np.where(mask == 255, np.uint8(255), np.uint8(0))
            for each in annotations:  # the largest come first
                own = coco.annToMask(each).astype(bool)
                assert own.sum() == each["area"]
                box = reference.toBbox(reference.encode(np.asfortranarray(own.astype(np.uint8))))
                assert box.tolist() == each["bbox"]
                assert each["iscrowd"] == 0
                painted[own] = each["category_id"]
                holes += isinstance(each["segmentation"], dict)
            assert np.array_equal(painted, mask)
    assert chips_seen > 40
    assert holes > 10
    frame = geopandas.read_file(job.output)
    assert result["tiles"] == len(frame) == 6 * 10
    assert frame["part"].notna().sum() == chips_seen
    description = json.loads((folder / dataset.MARKER).read_text())
    assert sum(entry["objects"] for entry in description["parts"].values()) == objects
    assert any("Data set: " in event.text for event in said)


@pytest.mark.parametrize("overlap", [0, 8])
def test_parts_share_no_pixel_and_hold_every_category(job, overlap):
    tile.run(replace(job, overlap_px=overlap), Control())
    frame = geopandas.read_file(job.output).dropna(subset="part")
    grounds = {part: frame[frame["part"] == part].union_all() for part in PARTS}
    for one, other in itertools.combinations(PARTS, 2):
        assert grounds[one].intersection(grounds[other]).area == 0
    folder = Path(job.output_folder)
    pixels = json.loads((folder / dataset.MARKER).read_text())["parts"]
    counts = np.array([pixels[part]["pixels"] for part in PARTS])
    assert (counts > 0).all()
    if overlap == 0:
        shares = counts[:, [1, 3]] / counts[:, [1, 3]].sum(axis=0)
        assert np.abs(shares - [[0.7], [0.15], [0.15]]).max() < 0.1


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 30), st.integers(0, 15))
def test_tiles_side_by_side_share_the_overlap_and_cover_all(height, width, size, overlap):
    overlap = min(overlap, size // 2)
    region = Window(3, 5, height, width)
    laid = {(each.row, each.column): each for each in side_by_side(region, size, overlap)}
    seen = np.zeros((height, width), dtype=int)
    for (row, column), each in laid.items():
        seen[each.core.within(region)] += 1
        right = laid.get((row, column + 1))
        assert right is None or right.window.column == each.window.column_end - overlap
        assert each.core.height > 0
        assert each.core.width > 0
    assert seen.min() >= 1
    assert overlap or seen.max() == 1


@given(
    st.tuples(st.integers(1, 10), st.integers(1, 10)).flatmap(
        lambda size: (
            st.lists(st.booleans(), min_size=size[0] * size[1], max_size=size[0] * size[1])
            .filter(any)
            .map(lambda flat: np.array(flat).reshape(size))
        )
    )
)
def test_a_segmentation_means_exactly_its_pixels(pixels):
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    around = Window(int(rows[0]), int(columns[0]), int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1)
    found = json.loads(json.dumps(segmentation(pixels, around)))
    if isinstance(found, list):
        found = reference.merge(reference.frPyObjects(found, *pixels.shape))
    assert np.array_equal(reference.decode(found).astype(bool), pixels)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 2)])
def test_few_tiles_are_all_for_training(rows, columns):
    tiles = [
        Tile(i, j, Window(i, j, 1, 1), Window(i, j, 1, 1))
        for i in range(rows)
        for j in range(columns)
    ]
    said = []
    parts = dataset_split.split(tiles, [np.array([1, 1])] * len(tiles), Control(said.append))
    assert set(parts.part_of.values()) == {"train"}
    assert "too few tiles" in said[0].text


def test_rows_and_columns_make_a_data_set_too(job):
    result = tile.run(replace(job, rows=5, columns=7), Control())
    assert result["tiles"] == 35
    assert len(list(Path(job.output_folder).glob("*/images/*.tif"))) == 35


def test_a_data_set_replaces_one_and_nothing_else(job, tmp_path):
    folder = Path(job.output_folder)
    folder.mkdir(parents=True)
    tile.run(job, Control())
    before = sorted(path.name for path in folder.rglob("*"))
    chip = next((folder / "train" / "images").iterdir())
    old = chip.with_name(f"{chip.name.rpartition('_r')[0]}_r99_c99.tif")
    old.write_text("old")
    os.utime(old, (0, 0))
    chip.with_name(f"{chip.name}.aux.xml").write_text("statistics that QGIS kept")
    tile.run(job, Control())
    assert sorted(path.name for path in folder.rglob("*")) == before
    assert [path.name for path in folder.parent.iterdir()] == ["set"]
    with pytest.raises(OutputError, match="is a file"):
        tile.run(replace(job, output_folder=str(folder / dataset.MARKER)), Control())


@pytest.mark.parametrize(
    "name", ["mine.txt", "train/notes.txt", "train/images/my.tif", "test/masks/sub/a.tif", "new/"]
)
def test_a_strangers_file_anywhere_in_a_data_set_survives(job, name):
    folder = Path(job.output_folder)
    folder.mkdir(parents=True)
    tile.run(job, Control())
    mine = folder / name
    (mine if name.endswith("/") else mine.parent).mkdir(exist_ok=True)
    if not name.endswith("/"):
        mine.write_text("mine")
    with pytest.raises(OutputError, match=name.rstrip("/")):
        tile.run(job, Control())
    assert mine.exists()


@pytest.mark.parametrize("pattern", ["train/masks/*.tif", "train/annotations.json"])
def test_what_was_corrected_by_hand_in_a_data_set_survives(job, pattern):
    tile.run(job, Control())
    mine = next(Path(job.output_folder).glob(pattern))
    mine.write_text("corrected")
    later = mine.stat().st_mtime + 60
    os.utime(mine, (later, later))
    with pytest.raises(OutputError, match=mine.name):
        tile.run(job, Control())
    assert mine.read_text() == "corrected"


def test_what_qgis_keeps_beside_a_chip_is_no_correction(job):
    tile.run(job, Control())
    chip = next(Path(job.output_folder).glob("train/images/*.tif"))
    beside = Path(f"{chip}.aux.xml")
    beside.write_text("<PAMDataset/>")
    later = chip.stat().st_mtime + 60
    os.utime(beside, (later, later))
    tile.run(job, Control())
    assert not beside.exists()


def test_a_foreign_folder_is_left_alone(job, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "holiday.jpg").write_text("sun")
    with pytest.raises(OutputError, match=r"holiday\.jpg.*Choose an empty folder"):
        tile.run(replace(job, output_folder=str(folder)), Control())
    assert [path.name for path in folder.iterdir()] == ["holiday.jpg"]
    assert not Path(job.output).exists()


def test_stop_and_errors_leave_nothing(job, make_layer, tmp_path):
    before = sorted(path.name for path in tmp_path.iterdir())

    class Stopping(Control):
        def progress(self, fraction, text="", seconds_left=None):
            if text == "Writing chips" and fraction > 0.3:
                self.stop()

        def part(self, start, end):
            return self

    with pytest.raises(Stopped):
        tile.run(job, Stopping())
    far = make_layer([on_ground(shapely.box(9000, 0, 9010, 10))], ["a"], name="far")
    with pytest.raises(VectorError, match="Check that both layers"):
        tile.run(replace(job, annotations=far), Control())
    with pytest.raises(ParameterError, match="needs annotations"):
        tile.run(replace(job, annotations=None), Control())
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left in (sorted([*before, "far.gpkg"]), sorted([*before, "far.gpkg", "out"]))
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Größe 1.tif", "Gr_e_1"),
        ("../../etc/passwd", "passwd"),
        ("=cmd|x.tif", "cmd_x"),
        ("ü.tif", "raster"),
        ("a/b.tif", "b"),
        ("x" * 300 + ".tif", "x" * 60),
    ],
)
def test_file_names_are_plain(name, stem):
    assert plain_stem(name) == stem
