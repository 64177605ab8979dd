"""Values of label rasters and masks as other programs write them: void, grey, and names kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio.shutil
import shapely
from example_jobs import import_job, tile_job
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deepseg_qgis import jobs
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.label_rasters.void_values import void_codes
from deepseg_qgis.engine.verbs import importannotations, tile
from deepseg_qgis.events import Log

DRIVERS = {".tif": "GTiff", ".webp": "WEBP", ".jp2": "JP2OpenJPEG", ".jpg": "JPEG"}
NAMES = ["Wald, Wiese", "a/b\\c", "Ba\u0308ume", "3", "<b>&amp;", "=1+1", "日本"]
COLOURS = [f"#{i:02x}{255 - i:02x}10" for i in range(len(NAMES))]


class Imported:
    """What came out of a run: the layer, the result and the log."""

    def __init__(self, job: jobs.ImportAnnotationsJob) -> None:
        self.lines: list[Log] = []

        def listen(event: object) -> None:
            if isinstance(event, Log):
                self.lines.append(event)

        self.result = importannotations.run(job, Control(listen))
        self.frame = geopandas.read_file(job.output)

    @property
    def warnings(self) -> str:
        return " ".join(line.text for line in self.lines if line.level == "warning")

    def areas_px(self) -> dict[str, float]:
        """The ground of each category, in pixels of half a metre."""
        areas = self.frame.geometry.area.groupby(self.frame["category"]).sum() / 0.25
        return {str(name): float(area) for name, area in areas.items()}


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., Imported]:
    def run(form: str, path: Any, rasters: Any = (), values: str = "auto") -> Imported:
        output = tmp_path / "found.gpkg"
        return Imported(import_job(form, path, rasters, output, values=values))

    return run


def striped(values: list[float], dtype: str) -> np.ndarray[Any, Any]:
    """Return one band with ten pixels of each value."""
    return np.repeat(np.array(values, dtype=dtype), 10).reshape(1, -1, 10)


@pytest.mark.parametrize(
    ("values", "dtype", "categories", "void"),
    [
        ([0, 1, 2, 255], "uint8", ["1", "2"], "255"),
        ([0, 1, 255], "uint8", ["labels"], "255"),
        ([10, 30, 50, 255], "uint8", ["10", "30", "50"], "255"),
        ([-1, 1, 2], "int16", ["1", "2"], "-1"),
        ([-1, 0, 1, 255], "float32", ["1"], "-1"),
        ([-128, 1, 2], "int8", ["1", "2"], "-128"),
        ([-9999, 4, 5], "float64", ["4", "5"], "-9999"),
        ([1, 2, 3, 65535], "uint16", ["1", "2", "3"], "65535"),
        ([1, 2, 2**63 - 1], "int64", ["1", "2"], "9223372036854775807"),
        ([0, 255], "uint8", ["labels"], ""),
        ([0, 85, 170, 255], "uint8", ["170", "255", "85"], ""),
        ([0, 128, 255], "uint8", ["128", "255"], ""),
        ([0, 3, 250, 255], "uint8", ["250", "255", "3"], ""),
        ([*range(1, 20), 255], "uint8", [str(i) for i in range(1, 20)], "255"),
        ([0.0, 3.0, 7.0], "float32", ["3", "7"], ""),
    ],
)
def test_void_is_no_category(
    imported: Any, make_raster: Any, values: Any, dtype: str, categories: Any, void: str
) -> None:
    found = imported("label_raster", make_raster(striped(values, dtype), name="labels.tif").path)
    areas = found.areas_px()
    if categories != ["labels"] and "1" in categories and len(categories) == 1:
        categories = ["labels"]
    assert sorted(areas) == sorted(categories)
    assert set(areas.values()) == {10.0}
    assert (f"The value {void} (10 pixels) is taken for void" in found.warnings) == bool(void)


def test_a_label_raster_of_background_is_an_empty_layer(imported: Any, make_raster: Any) -> None:
    found = imported("label_raster", make_raster(striped([0, 0], "uint8")).path)
    assert found.result["count"] == 0
    assert list(found.frame.columns) == ["id", "category", "source", "iscrowd", "geometry"]
    assert "the layer is empty" in found.warnings


def test_a_category_of_value_0_is_told(imported: Any, make_raster: Any) -> None:
    raster = make_raster(striped([0, 1], "uint8"))
    for name, told in (("water", True), ("Background", False), ("_background_", False)):
        Path(f"{raster.path}.aux.xml").write_text(
            '<PAMDataset><PAMRasterBand band="1"><CategoryNames>'
            f"<Category>{name}</Category><Category>tree</Category>"
            "</CategoryNames></PAMRasterBand></PAMDataset>"
        )
        found = imported("label_raster", raster.path)
        assert set(found.areas_px()) == {"tree"}
        assert ("The value 0 is called 'water'" in found.warnings) == told


def test_void_that_has_a_name_is_a_category(imported: Any, make_raster: Any) -> None:
    path = make_raster(striped([-1, 1, 255], "int16"), name="labels.tif").path
    rows = "".join(
        f"<Row><F>{value}</F><F>{name}</F></Row>"
        for value, name in ((-1, "water"), (1, "roof"), (255, "road"))
    )
    Path(f"{path}.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><GDALRasterAttributeTable>'
        "<FieldDefn><Usage>5</Usage></FieldDefn><FieldDefn><Usage>2</Usage></FieldDefn>"
        f"{rows}</GDALRasterAttributeTable></PAMRasterBand></PAMDataset>"
    )
    assert sorted(imported("label_raster", path).areas_px()) == ["road", "roof", "water"]


def test_void_between_objects_and_in_binary_masks(imported: Any, make_raster: Any) -> None:
    labels = striped([1, 2, 3, -1, 4], "int32")
    source = make_raster(labels, name="labels.tif")
    found = imported("label_raster", source.path, values="objects")
    assert sorted(found.frame["id"]) == [1, 2, 3, 4]
    assert imported("label_raster", source.path, values="binary").areas_px() == {"labels": 40.0}
    lone = make_raster(striped([0, -1], "int16"), name="lone.tif")
    assert imported("label_raster", lone.path, values="binary").areas_px() == {"lone": 10.0}
    found = imported("label_raster", lone.path)
    assert len(found.frame) == found.result["count"] == 0
    assert "taken for void" in found.warnings


@given(st.sets(st.integers(1, 254), min_size=1), st.booleans())
def test_void_is_never_one_of_the_small_values(others: set[int], with_void: bool) -> None:
    codes = np.array(sorted(others | ({255} if with_void else set())), dtype=np.int64)
    assert set(void_codes(codes, [], binary=False)) <= {255}
    assert void_codes(codes, [255], binary=False) == []
    if with_void and max(others) == len(others) < 64:
        assert void_codes(codes, [], binary=False) == [255]


def test_grey_masks_in_three_bands_are_values(
    imported: Any, make_raster: Any, tmp_path: Path
) -> None:
    scene = make_raster(np.zeros((1, 20, 10), np.uint8), name="scene.tif")
    folder = tmp_path / "masks"
    folder.mkdir()
    grey = np.repeat(striped([1, 2], "uint8")[0][:, :, None], 3, axis=2)
    Image.fromarray(np.ascontiguousarray(grey)).resize((10, 20), 0).save(folder / "scene_gt.png")
    assert sorted(imported("mask_folder", folder, [scene]).areas_px()) == ["1", "2"]
    clear = np.full((20, 10, 4), 255, np.uint8)
    clear[:10] = 0
    Image.fromarray(clear).save(folder / "scene_gt.png")
    assert imported("mask_folder", folder, [scene]).areas_px() == {"masks": 100.0}
    with Image.new("1", (10, 20)) as bits:
        bits.paste(1, (0, 0, 10, 5))
        bits.save(folder / "scene_gt.png")
    assert imported("mask_folder", folder, [scene]).areas_px() == {"masks": 50.0}


@pytest.mark.parametrize(
    "name",
    ["scene_mask.png", "gt_scene.png", "scene.tif.png", "scene.png.png", "scene_seg.png", "x.png"],
)
def test_masks_are_matched_by_what_their_name_was(
    imported: Any, make_raster: Any, tmp_path: Path, name: str
) -> None:
    scene = make_raster(np.zeros((1, 20, 10), np.uint8), name="scene.tif")
    folder = tmp_path / "masks"
    folder.mkdir()
    Image.fromarray(np.ones((40, 20), np.uint8)).save(folder / name)
    found = imported("mask_folder", folder, [scene])
    assert found.areas_px() == {"masks": 200.0}
    assert "scaled" in found.warnings


def test_masks_whose_names_disagree_keep_their_own(
    imported: Any, make_raster: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    rasters = []
    for name, first in (("a", "roof"), ("b", "lawn")):
        rasters.append(make_raster(np.zeros((1, 20, 10), np.uint8), name=f"{name}.tif"))
        path = folder / f"{name}.png"
        Image.fromarray(striped([1, 2], "uint8")[0]).resize((10, 20), 0).save(path)
        Path(f"{path}.aux.xml").write_text(
            '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category/>'
            f"<Category>{first}</Category><Category>tree</Category></CategoryNames>"
            "</PAMRasterBand></PAMDataset>"
        )
    found = imported("mask_folder", folder, rasters)
    assert found.areas_px() == {"roof": 100.0, "lawn": 100.0, "tree": 200.0}


@pytest.mark.parametrize(
    ("file_name", "text", "palette"),
    [
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\nbackground:0,0,0::\nDach:255,0,0::\n",
            0,
        ),
        ("labelmap.txt", "Dach:255,0,0::\n", 1),
        ("../class_dict.csv", "name,r,g,b\nDach,255,0,0\n", 0),
        ("_classes.csv", "Pixel Value, Class\n0, background\n1, Dach\n2, lawn\n", 1),
    ],
)
def test_lists_beside_the_masks_name_their_values(
    imported: Any, make_raster: Any, tmp_path: Path, file_name: str, text: str, palette: int
) -> None:
    scene = make_raster(np.zeros((1, 20, 20), np.uint8), name="scene.tif")
    folder = tmp_path / "masks"
    folder.mkdir()
    values = np.zeros((20, 20), np.uint8)
    values[:5], values[10:] = 1, 2
    mask = Image.fromarray(values)
    mask.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    (mask if palette else mask.convert("RGB")).save(folder / "scene.png")
    (folder / file_name).write_text(text)
    found = imported("mask_folder", folder, [scene])
    assert found.areas_px()["Dach"] == 100.0
    assert len(found.areas_px()) == 2
    assert {"name": "Dach", "colour": "#ff0000"} in found.result["categories"]


@pytest.mark.parametrize("name", ["a.tif", "a.webp", "a.jp2", "a.jpg"])
def test_what_compression_has_changed_is_on_or_off(
    imported: Any, make_raster: Any, tmp_path: Path, name: str
) -> None:
    scene = make_raster(np.zeros((1, 64, 64), np.uint8), name="scene.tif")
    mask = np.zeros((64, 64, 3), np.uint8)
    mask[13:43, 5:45, 0] = 255
    Image.fromarray(mask).save(tmp_path / "plain.png")
    path = tmp_path / name
    options = {"compress": "jpeg"} if name == "a.tif" else {"quality": 40}
    rasterio.shutil.copy(tmp_path / "plain.png", path, DRIVERS[path.suffix], **options)
    found = imported("label_raster", path, [scene])
    assert set(found.areas_px()) == {"a"}
    assert found.areas_px()["a"] == pytest.approx(1200.0, rel=0.1)
    assert "lossy" in found.warnings


def write_masks(folder: Path, squares: dict[str, tuple[int, int]], value: int = 255) -> Path:
    """Write a mask of 30 × 40 px for each name, set in 5 px from a row and a column on."""
    folder.mkdir()
    for name, (row, column) in squares.items():
        mask = np.zeros((30, 40), np.uint8)
        mask[row : row + 5, column : column + 5] = value
        Image.fromarray(mask).save(folder / name)
    return folder


def test_a_mask_for_each_category_of_a_raster(
    imported: Any, make_raster: Any, tmp_path: Path
) -> None:
    rasters = [make_raster(np.zeros((1, 30, 40), np.uint8), name=f"Scene_{n}.tif") for n in (1, 2)]
    squares = {
        "scene-1_Flat Roof.png": (0, 0),
        "scene-1_road_mask.png": (0, 0),
        "road_scene-2.png": (9, 9),
    }
    found = imported("mask_folder", write_masks(tmp_path / "masks", squares), rasters)
    rows = zip(found.frame["source"], found.frame["category"], strict=True)
    assert sorted(rows) == [
        ("Scene_1.tif", "Flat Roof"),
        ("Scene_1.tif", "road"),
        ("Scene_2.tif", "road"),
    ]
    assert found.frame.groupby("source")["id"].agg(lambda ids: ids.is_unique).all()
    assert "3 masks" in found.warnings


def test_a_mask_for_each_object_of_a_raster(
    imported: Any, make_raster: Any, tmp_path: Path
) -> None:
    rasters = [make_raster(np.zeros((1, 30, 40), np.uint8), name="scene.tif")]
    squares = {f"scene_mask_{i}.png": (3 * i, 3 * i) for i in range(4)}
    folder = write_masks(tmp_path / "masks", squares)
    found = imported("mask_folder", folder, rasters)
    assert sorted(found.frame["id"]) == [0, 1, 2, 3]
    assert set(found.frame["category"]) == {"masks"}
    Image.fromarray(np.full((30, 40), 255, np.uint8)).save(folder / "scene.png")
    found = imported("mask_folder", folder, rasters)
    assert found.areas_px() == {"masks": 1200.0}, "a mask of the raster's own name is the mask"


@pytest.mark.parametrize("form", ["coco", "mask_folder"])
def test_a_data_set_comes_back_with_names_colours_and_ground(
    imported: Any, make_raster: Any, make_layer: Any, tmp_path: Path, form: str
) -> None:
    expected = [name.replace("a\u0308", "\u00e4") for name in NAMES]
    raster = make_raster(np.ones((3, 64, 96), np.uint8), name="Größe 1.tif")
    a, _, c, _, e, f = (0.5, 0, 500_000.0, 0, -0.5, 5_500_000.0)
    squares = [shapely.box(3 + 12 * i, 5, 11 + 12 * i, 50) for i in range(len(NAMES))]
    ground = [shapely.affinity.affine_transform(s, (a, 0, 0, e, c, f)) for s in squares]
    layer = make_layer(ground, NAMES, colours=dict(zip(expected, COLOURS, strict=True)))
    changes = {"annotations": layer, "output_folder": str(tmp_path / "set")}
    tile.run(tile_job(raster, tmp_path / "tiles.gpkg", tile_size_px=32, **changes), Control())
    areas: dict[str, float] = {}
    known: dict[str, str] = {}
    for part in ("train", "validation", "test"):
        folder = tmp_path / "set" / part
        chips = sorted((folder / "images").glob("*.tif"))
        sources = [jobs.RasterSource(str(path), "", path.name) for path in chips]
        if not sources:
            continue
        given = folder / ("annotations.json" if form == "coco" else "masks")
        found = imported(form, given, sources)
        assert not found.warnings
        known |= {each["name"]: each["colour"] for each in found.result["categories"]}
        for name, area in found.areas_px().items():
            areas[name] = areas.get(name, 0.0) + area
    assert known == dict(zip(expected, COLOURS, strict=True))
    assert areas == dict.fromkeys(expected, 8 * 45.0)
