"""Annotations of other programs end up where they belong on the map."""

import json
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from example_jobs import import_job
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as reference
from rasterio.features import rasterize

from deepseg_qgis import jobs
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.raster_matching import match_rasters
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.models import model_card
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.vectorising.colouring import coloured
from deepseg_qgis.engine.verbs import importannotations
from deepseg_qgis.errors import ParameterError, RasterError, Stopped, VectorError
from deepseg_qgis.events import Log

ROTATED = Affine.translation(500_000, 5_500_000) @ Affine.rotation(20) @ Affine.scale(0.5, -0.5)
SQUARE = [[10, 10, 20, 10, 20, 20, 10, 20]]


class Imported:
    """What came out of a run: the layer, the result and the log."""

    def __init__(self, job: jobs.ImportAnnotationsJob) -> None:
        self.said: list[str] = []

        def listen(event: object) -> None:
            if isinstance(event, Log):
                self.said.append(event.text)

        self.result = importannotations.run(job, Control(listen))
        self.frame = geopandas.read_file(job.output)

    @property
    def log(self) -> str:
        return " ".join(self.said)


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., Imported]:
    def run(form, annotations, rasters=(), **changes) -> Imported:
        output = tmp_path / "found.gpkg"
        return Imported(import_job(form, annotations, rasters, output, **changes))

    return run


@pytest.fixture
def scene(make_raster):
    """A raster of 40 rows and 60 columns, rotated."""
    return make_raster(np.zeros((3, 40, 60), np.uint8), transform=ROTATED, name="Scene 1.tif")


def on_ground(geometry, transform=ROTATED):
    a, b, c, d, e, f = transform[:6]
    return shapely.affinity.affine_transform(geometry, (a, b, d, e, c, f))


def coco(folder, annotations, images=None, categories=None):
    path = folder / "a.json"
    standard = [{"id": 1, "file_name": "train/scene 1.JPG", "width": 60, "height": 40}]
    rows = [
        {"id": i + 1, "image_id": 1, "category_id": 7, **each} for i, each in enumerate(annotations)
    ]
    content = {
        "annotations": rows,
        "images": standard if images is None else images,
        "categories": categories or [{"id": 7, "name": "house"}],
    }
    path.write_text(json.dumps(content))
    return path


def test_coco_polygons_masks_and_boxes_lie_on_the_raster(imported, scene, tmp_path):
    mask = np.zeros((40, 60), np.uint8, order="F")
    mask[5:9, 30:50] = 1
    mask[20:22, 3:5] = 1
    packed = reference.encode(mask)["counts"].decode()
    annotations = [
        {"segmentation": SQUARE},
        {"segmentation": {"size": [40, 60], "counts": packed}, "iscrowd": 1, "category_id": "8"},
        {"bbox": [50, 30, 20, 5]},
        {"segmentation": SQUARE, "image_id": 2},
        {"segmentation": "none"},
        "nonsense",
    ]
    path = tmp_path / "a.json"
    made = coco(tmp_path, annotations[:-1], categories=[{"id": 7, "name": "house"}, {"id": 8.0}])
    path.write_text(made.read_text().replace('"annotations": [', '"annotations": ["nonsense", '))
    found = imported("coco", path, [scene])
    frame = found.frame
    assert list(frame["category"]) == ["house", "8", "house"]
    assert list(frame["id"]) == [1, 2, 3]
    assert list(frame["iscrowd"]) == [0, 1, 0]
    assert set(frame["source"]) == {"Scene 1.tif"}
    assert frame.crs.to_epsg() == 32633
    expected = [
        shapely.box(10, 10, 20, 20),
        shapely.union(shapely.box(30, 5, 50, 9), shapely.box(3, 20, 5, 22)),
        shapely.box(50, 30, 60, 35),
    ]
    for geometry, shape in zip(frame.geometry, expected, strict=True):
        assert geometry.symmetric_difference(on_ground(shape)).area < 1e-6
    assert found.result["count"] == 3
    for remark in (
        "left out, that are no JSON objects: 1 (number 1)",
        "left out, without a shape: 1 (id 5)",
        "left out, of images that lie on no raster: 1 (id 4)",
        "that are boxes only: 1.",
        "of crowds (one outline for many objects), with 1 in the field 'iscrowd': 1.",
    ):
        assert f"Annotations {remark}" in found.log


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": [{"id": 1, "file_name": "other.jpg"}]}, r"None of .*\(1: other\.jpg\)"),
        (
            {"images": [{"id": 1, "file_name": "scene 1.jpg", "width": 61, "height": 40}]},
            r"None of .*scene 1\.jpg \(61 × 40 px",
        ),
        (
            {"images": [{"id": None, "file_name": "scene 1.jpg"}]},
            "holds 0 usable images and 1 annotation",
        ),
        ({"images": []}, "holds 0 usable images and 1 annotation"),
    ],
)
def test_coco_files_that_do_not_fit(imported, scene, tmp_path, changes, message):
    with pytest.raises(VectorError, match=message):
        imported("coco", coco(tmp_path, [{"segmentation": SQUARE}], **changes), [scene])
    assert not (tmp_path / "found.gpkg").exists()


def test_names_from_a_file_are_one_clean_line(imported, scene, tmp_path):
    nasty = [{"id": 7, "name": "  <b>\n\x00\ud800house" + "e" * 500}]
    found = imported("coco", coco(tmp_path, [{"segmentation": SQUARE}], categories=nasty), [scene])
    (name,) = found.frame["category"]
    assert name.startswith("<b> ?housee")
    assert len(name) == 200


def write_png(path, array, colours=None):
    image = Image.fromarray(array)
    if colours:
        image = image.convert("P") if image.mode != "P" else image
        image.putpalette(colours)
    image.save(path)
    return path


def test_a_label_raster_of_categories(imported, make_raster, tmp_path):
    labels = np.zeros((1, 50, 70), np.uint8)
    labels[0, 5:20, 5:20], labels[0, 10:12, 10:12] = 3, 0
    labels[0, 20:30, 5:20] = 4
    labels[0, 40:, 60:] = 3
    labels[0, 0, 0] = 9
    source = make_raster(labels, transform=ROTATED, name="labels.tif", nodata=9)
    beside = tmp_path / "labels.tif.aux.xml"
    beside.write_text(
        '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category/><Category/><Category/>'
        "<Category>roof</Category></CategoryNames></PAMRasterBand></PAMDataset>"
    )
    with rasterio.open(source.path, "r+") as dataset:
        dataset.write_colormap(1, {3: (255, 0, 16, 255), 4: (0, 9, 0, 255)})
    found = imported("label_raster", source.path)
    frame = found.frame
    assert sorted(frame["category"]) == ["4", "roof", "roof"]
    burnt = rasterize(
        [
            (g, 4 if name == "4" else 3)
            for g, name in zip(frame.geometry, frame["category"], strict=True)
        ],
        out_shape=(50, 70),
        transform=ROTATED,
    )
    assert np.array_equal(burnt, np.where(labels[0] == 9, 0, labels[0]))
    assert {"name": "roof", "colour": "#ff0010"} in found.result["categories"]
    assert "read as categories" in found.log


def test_predicted_classes_come_back_with_their_names(imported, make_raster):
    card = ModelCard(
        architecture="unet",
        encoder="resnet18",
        task="semantic",
        categories=(Category("Häuser", "#d55e00"), Category("lawn", "#00ff00")),
        band_names=("red",),
        dtype="uint8",
        resolution_m=0.25,
        mean=(100.0,),
        std=(50.0,),
        tile_size_px=64,
        thresholds=(0.5, 0.5),
    )
    classes = np.zeros((1, 9, 9), np.uint8)
    classes[0, 2:5, 2:5], classes[0, 7:, 7:] = 1, 255
    source = make_raster(classes, nodata=255)
    with rasterio.open(source.path, "r+") as dataset:
        dataset.update_tags(ns="DEEPSEG", CARD=model_card.to_json(card))
    found = imported("label_raster", source.path)
    assert found.frame["category"].tolist() == ["Häuser"]
    assert found.result["categories"] == [{"name": "Häuser", "colour": "#d55e00"}]
    with rasterio.open(source.path, "r+") as dataset:
        dataset.update_tags(ns="DEEPSEG", CARD="{}")
    assert imported("label_raster", source.path).frame["category"].tolist() == ["raster"]


def test_a_label_raster_of_objects(imported, make_raster, monkeypatch):
    monkeypatch.setattr("deepseg_qgis.engine.exchange.label_rasters.codes.STEP_PX", 16)
    rng = np.random.default_rng(3)
    labels = np.kron(rng.permutation(20 * 25).reshape(20, 25), np.ones((3, 4))).astype(np.uint16)
    labels[labels % 5 == 0] = 0
    labels[labels == 7] = 8  # one object in two places
    source = make_raster(labels[None], name="Objects.tif")
    frame = imported("label_raster", source.path).frame
    ids = np.unique(labels[labels > 0])
    assert sorted(frame["id"]) == ids.tolist()
    assert set(frame["category"]) == {"Objects"}
    burnt = rasterize(
        zip(frame.geometry, frame["id"], strict=True),
        out_shape=labels.shape,
        transform=rasterio.open(source.path).transform,
        dtype=np.int32,
    )
    assert np.array_equal(burnt, labels)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=200))
def test_neighbours_get_different_colours(pairs):
    edges = np.array([pair for pair in pairs if pair[0] != pair[1]], dtype=np.int64).reshape(-1, 2)
    colours = coloured(edges, 31)
    assert colours.min() >= 1
    assert (colours[edges[:, 0]] != colours[edges[:, 1]]).all()


def test_too_many_neighbours_are_said():
    everyone = np.array([(i, j) for i in range(300) for j in range(i)], dtype=np.int64)
    assert coloured(everyone, 300) is None


def test_a_folder_of_masks(imported, make_raster, tmp_path):
    rasters = [
        make_raster(np.zeros((1, 30, 40), np.uint8), name=f"{name}.tif") for name in ("a", "b", "c")
    ]
    folder = tmp_path / "roofs"
    folder.mkdir()
    masks = {name: np.zeros((30, 40), np.uint8) for name in ("A", "b_mask", "other")}
    masks["A"][2:5, 3:9] = 255
    masks["b_mask"][10:20, 30:] = 255
    for name, mask in masks.items():
        write_png(folder / f"{name}.png", mask)
    write_png(folder / "c.png", np.ones((31, 40), np.uint8))
    (folder / "notes.txt").write_text("nothing")
    found = imported("mask_folder", folder, rasters)
    frame = found.frame
    assert sorted(zip(frame["source"], frame["category"], strict=True)) == [
        ("a.tif", "roofs"),
        ("b.tif", "roofs"),
    ]
    assert sorted(frame.geometry.area) == [18 * 0.25, 100 * 0.25]
    assert "c.png has 40 × 31 px" in found.log
    assert "Files of the folder on none of the rasters: 1 (" in found.log
    frame = imported("mask_folder", folder, rasters, category="shed", values="binary").frame
    assert set(frame["category"]) == {"shed"}


def test_masks_in_colours_and_with_a_palette(imported, make_raster, tmp_path):
    rasters = [make_raster(np.zeros((1, 20, 20), np.uint8), name=f"{n}.tif") for n in "ab"]
    folder = tmp_path / "masks"
    folder.mkdir()
    colour = np.zeros((20, 20, 3), np.uint8)
    colour[:5], colour[10:] = (255, 0, 0), (0, 0, 255)
    write_png(folder / "a.png", colour)
    found = imported("mask_folder", folder, rasters)
    assert sorted(found.frame["category"]) == ["#0000ff", "#ff0000"]
    assert found.result["categories"][0] == {"name": "#0000ff", "colour": "#0000ff"}
    indexed = Image.fromarray(
        np.repeat([[0, 1, 2, 2]], 20, axis=0).repeat(5, axis=1).astype(np.uint8)
    )
    indexed.putpalette([0, 0, 0, 9, 9, 9, 200, 100, 0])
    indexed.save(folder / "a.png")
    found = imported("mask_folder", folder, rasters)
    assert {"name": "2", "colour": "#c86400"} in found.result["categories"]


def test_a_lossy_mask_is_on_or_off(imported, make_raster, tmp_path):
    scene = make_raster(np.zeros((1, 64, 64), np.uint8), name="scene.tif")
    mask = np.zeros((64, 64), np.uint8)
    mask[16:40, 24:48] = 255
    Image.fromarray(mask).save(tmp_path / "scene.jpg", quality=70)
    found = imported("label_raster", tmp_path / "scene.jpg", [scene], category="roof")
    assert found.frame.geometry.area.tolist() == [24 * 24 * 0.25]
    assert "lossy (as JPEG's)" in found.log


def test_rasters_of_several_crs(imported, make_raster, tmp_path):
    import pyproj

    first = make_raster(np.zeros((1, 30, 40), np.uint8), name="a.tif")
    other = make_raster(np.zeros((1, 30, 40), np.uint8), name="b.tif", crs=pyproj.CRS(32634))
    images = [{"id": i, "file_name": f"{name}.png"} for i, name in enumerate("ab")]
    both = [{"segmentation": SQUARE, "image_id": i} for i in range(2)]
    frame = imported("coco", coco(tmp_path, both, images), [first, other]).frame
    assert frame.crs.to_epsg() == 4326
    assert frame.to_crs(32633).geometry.iloc[0].area == pytest.approx(25, abs=1e-3)
    assert frame.to_crs(32634).geometry.iloc[1].area == pytest.approx(25, abs=1e-3)


@pytest.mark.parametrize(
    ("array", "changes", "error", "message"),
    [
        (
            np.random.default_rng(0).random((1, 9, 9), np.float32),
            {},
            RasterError,
            "no whole numbers",
        ),
        (np.ones((2, 9, 9), np.uint8), {}, RasterError, "has 2 bands"),
        (
            np.arange(900, dtype=np.int32).reshape(1, 30, 30),
            {"values": "categories"},
            VectorError,
            "899 different",
        ),
        (np.ones((1, 9, 9), np.uint8), {"format": "nonsense"}, ParameterError, "Expected a format"),
        (np.ones((1, 9, 9), np.uint8), {"format": "mask_folder"}, ParameterError, "as a folder"),
        (np.ones((1, 9, 9), np.uint8), {"format": "coco"}, ParameterError, "Choose the rasters"),
    ],
)
def test_what_cannot_be_imported(imported, make_raster, tmp_path, array, changes, error, message):
    source = make_raster(array, name="labels.tif")
    with pytest.raises(error, match=message):
        imported("label_raster", source.path, **changes)
    assert not (tmp_path / "found.gpkg").exists()


def test_an_unplaced_label_raster_needs_its_raster(imported, make_raster, tmp_path):
    path = write_png(tmp_path / "x.png", np.ones((40, 60), np.uint8))
    with pytest.raises(ParameterError, match="does not say where"):
        imported("label_raster", path)
    small = make_raster(np.zeros((1, 9, 9), np.uint8), name="small.tif")
    with pytest.raises(RasterError, match="Expected the same size"):
        imported("label_raster", path, [small])


def test_whole_floats_are_labels(imported, make_raster):
    labels = np.full((1, 9, 9), np.nan, np.float32)
    labels[0, 2:4, 2:4], labels[0, 6:, 6:] = 2.0, 5.0
    frame = imported("label_raster", make_raster(labels).path).frame
    assert sorted(frame["category"]) == ["2", "5"]


@pytest.mark.parametrize(
    "text",
    [
        "not xml",
        '<!DOCTYPE x [<!ENTITY a "aaaa">]><PAMDataset>&a;</PAMDataset>',
        '<PAMDataset><PAMRasterBand band="1"><GDALRasterAttributeTable><FieldDefn/><Row><F>x</F>'
        "</Row></GDALRasterAttributeTable></PAMRasterBand></PAMDataset>",
        "<a>" * 50_000,
    ],
)
def test_damaged_names_beside_a_raster_are_passed_over(imported, make_raster, tmp_path, text):
    from deepseg_qgis.engine.exchange.label_rasters.value_names import ValueNames, names_beside

    path = tmp_path / "l.tif"
    Path(f"{path}.aux.xml").write_text(text)
    assert names_beside(str(path)) == ValueNames()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_names_with_entities_are_passed_over(tmp_path, encoding):
    from deepseg_qgis.engine.exchange.label_rasters.value_names import ValueNames, names_beside

    path = tmp_path / "l.tif"
    band = '<PAMRasterBand band="1"><CategoryNames><Category>{}</Category></CategoryNames>'
    band += "</PAMRasterBand>"
    plain = f"<PAMDataset>{band.format('aaaa')}</PAMDataset>"
    entity = f'<!DOCTYPE x [<!ENTITY a "aaaa">]><PAMDataset>{band.format("&a;")}</PAMDataset>'
    Path(f"{path}.aux.xml").write_bytes(("\ufeff" + plain).encode(encoding))
    assert names_beside(str(path)).names == {0: "aaaa"}
    Path(f"{path}.aux.xml").write_bytes(("\ufeff" + entity).encode(encoding))
    assert names_beside(str(path)) == ValueNames()


def test_an_attribute_table_gives_names_and_colours(tmp_path):
    from deepseg_qgis.engine.exchange.label_rasters.value_names import names_beside

    path = tmp_path / "l.tif"
    fields = "".join(
        f"<FieldDefn><Name>n</Name><Usage>{usage}</Usage></FieldDefn>" for usage in (5, 2, 6, 7, 8)
    )
    Path(f"{path}.aux.xml").write_text(
        f'<PAMDataset><PAMRasterBand band="1"><GDALRasterAttributeTable>{fields}<Row index="0">'
        "<F>111</F><F>Forêt &lt;1&gt;</F><F>0</F><F>128</F><F>255</F></Row>"
        "</GDALRasterAttributeTable></PAMRasterBand></PAMDataset>",
        encoding="utf-8",
    )
    value_names = names_beside(str(path))
    assert value_names.names == {111: "Forêt <1>"}
    assert value_names.colours == {111: "#0080ff"}


def test_names_are_matched_with_rasters():
    rasters = ["/d/a/1.tif", "/d/b/1.tif", "/d/2.tif", "/d/3.png", "/d/3.tif"]

    def pairs(*names):
        found = match_rasters(enumerate(names), rasters)
        return found.raster_of, found.unmatched.count, found.ambiguous.names

    assert pairs("A\\1.PNG", "b/1.png", "x/2.jpg", "4") == ({0: 0, 1: 1, 2: 2}, 1, [])
    assert pairs("1.png") == ({}, 0, ["1.png"])
    assert pairs("3.png", "2.png", "2.jpg") == ({0: 3}, 0, ["2.png", "2.jpg"])
    assert pairs("2.tif", "2.jpg") == ({0: 2}, 1, [])
    assert pairs("", "/", "..") == ({}, 3, [])


def test_real_instance_masks(imported, shared_data):
    folder = shared_data / "nuclei"
    frame = imported("label_raster", folder / "train_instances.tif").frame
    with rasterio.open(folder / "train_instances.tif") as dataset:
        labels, transform = dataset.read(1), dataset.transform
    burnt = rasterize(
        zip(frame.geometry, frame["id"], strict=True),
        out_shape=labels.shape,
        transform=transform,
        dtype=np.int32,
    )
    assert np.array_equal(burnt, labels)
    assert len(frame) == len(np.unique(labels)) - 1


def test_stop_leaves_nothing(make_raster, tmp_path):
    control = Control()
    control.stop()
    labels = make_raster(np.ones((1, 9, 9), np.uint8)).path
    job = import_job("label_raster", labels, [], tmp_path / "o.gpkg")
    with pytest.raises(Stopped):
        importannotations.run(job, control)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["raster.tif"]
