"""COCO files as annotation programs, converters and merging scripts really write them."""

from __future__ import annotations

import gzip
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from example_jobs import import_job
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as reference

from deepseg_qgis import jobs
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.raster_matching import match_rasters
from deepseg_qgis.engine.files.json_stream import elements
from deepseg_qgis.engine.verbs import importannotations
from deepseg_qgis.errors import VectorError
from deepseg_qgis.events import Log

HEIGHT, WIDTH = 200, 300
RING = [10, 10, 30, 10, 30, 30, 10, 30]
PIXELS = Affine(1, 0, 0, 0, -1, 0)
IMAGE = {"id": 1, "file_name": "scene.tif", "width": WIDTH, "height": HEIGHT}
HOUSE = {"id": 1, "name": "house"}


class Run:
    """What an import gave: polygons in pixels, and the lines of the log."""

    def __init__(self, job: jobs.ImportAnnotationsJob) -> None:
        self.lines: list[Log] = []
        control = Control(
            lambda event: self.lines.append(event) if isinstance(event, Log) else None
        )
        self.result = importannotations.run(job, control)
        self.frame = geopandas.read_file(job.output)
        self.frame["shape"] = [
            shapely.affinity.scale(g, 1, -1, origin=(0, 0)) for g in self.frame.geometry
        ]

    @property
    def log(self) -> str:
        return " ".join(line.text for line in self.lines)

    @property
    def warnings(self) -> str:
        return " ".join(line.text for line in self.lines if line.level == "warning")

    def boxes(self) -> list[list[float]]:
        """The bounds of each polygon in pixels: x and y from, x and y to."""
        return [list(shape.bounds) for shape in self.frame["shape"]]


@pytest.fixture
def coco(make_raster: Any, tmp_path: Path) -> Callable[..., Run]:
    """Import COCO content for rasters of these names."""

    def run(annotations: Any, images: Any = None, categories: Any = None, **more: Any) -> Run:
        names = more.pop("rasters", ["scene.tif"])
        size = more.pop("size", (HEIGHT, WIDTH))
        blank = np.zeros((1, *size), np.uint8)
        sources = tuple(make_raster(blank, transform=PIXELS, name=name) for name in names)
        rows = [
            {"id": i + 1, "image_id": 1, "category_id": 1, **a} for i, a in enumerate(annotations)
        ]
        content = {
            "images": images or [IMAGE],
            "annotations": rows,
            "categories": [HOUSE] if categories is None else categories,
        }
        path = tmp_path / "a.json"
        path.write_bytes(
            more.pop("encode", lambda text: text.encode())(json.dumps(content, ensure_ascii=False))
        )
        return Run(import_job("coco", path, sources, tmp_path / "found.gpkg"))

    return run


@pytest.mark.parametrize(
    "file_name",
    [
        "..\\..\\label-studio\\label-studio\\media\\upload\\4\\cb0618f6-Straße 1.tif",
        "/data/local-files/?d=maps%2FStra%C3%9Fe%201.tif",
        "Stra-e-1_tif.rf.3f1a9c0d2b7e4a5f8c6d1e0b9a7f3c2d.jpg",
        "images/Stra%C3%9Fe%201.tif",
        "Straße_1.jpg",
        "STRASSE 1.TIF",
        "StraÃŸe 1.tif",
        "Stra#U00dfe 1.tif",
        "https://bucket.example/maps/Stra%C3%9Fe%201.tif?X-Amz-Expires=60&x=a.b",
        "8d7c1f2e-5b0a-4c7e-9f00-0123456789ab_Straße 1.png",
        "Straße 1.tif.png",
        "mask_Straße 1_label.png",
        "1699999999123_Straße 1.tif",
        "3f1a9c0d2b7e-Straße 1.tif",
        "Straße 1.3f1a9c0d2b.tif",
    ],
)
def test_a_name_that_a_program_changed_is_known_again(coco: Any, file_name: str) -> None:
    images = [
        {"id": 1, "file_name": file_name, "extra": {"name": "Straße 1.tif"}},
        {"id": 2, "file_name": "other.png"},
    ]
    run = coco([{"segmentation": [RING]}], images, rasters=["Straße 1.tif", "Straße 2.tif"])
    assert set(run.frame["source"]) == {"Straße 1.tif"}
    assert "other.png" in run.log


CHANGES: list[Callable[[str], str]] = [
    lambda name: f"cb0618f6-{name}",
    lambda name: f"{'0a' * 16}_{name}",
    lambda name: f"images/{quote(name)}",
    lambda name: f"{name.replace('.', '_')}.rf.{'3f' * 16}.jpg",
    lambda name: unicodedata.normalize("NFD", name),
    lambda name: name.upper(),
    lambda name: f"{name}.png",
    lambda name: f"{name.rpartition('.')[0]}_mask.png",
    lambda name: f"C:\\maps\\{name}",
    lambda name: name.replace(" ", "_"),
]


@given(
    st.sampled_from(["scene.tif", "Straße 1.tif", "Bäume (2).png", "a-b_c.jp2", "2024-05-01.tif"]),
    st.lists(st.sampled_from(CHANGES), max_size=3, unique=True),
)
def test_a_changed_name_is_never_taken_for_another(name: str, changes: list[Any]) -> None:
    rasters = ["/x/Straße 1.tif", "/x/scene.tif", "/x/Bäume (2).png", "/x/a-b_c.jp2", "/x/s.tif"]
    changed = name
    for change in changes:
        changed = change(changed)
    found = [rasters[i] for i in match_rasters([(0, changed)], rasters).raster_of.values()]
    expected = [f"/x/{name}"] if f"/x/{name}" in rasters else []
    assert found in ([], expected)
    assert found == expected or len(changes) > 2


@pytest.mark.parametrize(
    "file_name",
    ["Malaga_1.jpg", "M&aacute;laga 1.tif", "M&#225;laga 1.tif", "malaga-1_png.rf.%s.jpg"],
)
def test_letters_that_lost_their_accent_or_became_entities(coco: Any, file_name: str) -> None:
    images = [{"id": 1, "file_name": file_name.replace("%s", "0a1b2c3d" * 4)}]
    run = coco([{"segmentation": [RING]}], images, rasters=["Málaga 1.tif", "Málaga 2.tif"])
    assert set(run.frame["source"]) == {"Málaga 1.tif"}


def test_a_raster_may_have_the_changed_name(coco: Any) -> None:
    names = ["my%20scene.tif", "cb0618f6-town.tif"]
    images = [{"id": i, "file_name": f"{name}.png"} for i, name in enumerate(["my scene", "town"])]
    run = coco([{"segmentation": [RING], "image_id": i} for i in range(2)], images, rasters=names)
    assert run.frame["source"].tolist() == names


def test_names_in_another_unicode_form_are_the_same(coco: Any) -> None:
    run = coco(
        [{"segmentation": [RING]}, {"segmentation": [RING], "category_id": 2}],
        [{"id": 1, "file_name": "Mu\u0308hle.png"}, {"id": 2, "file_name": "other.png"}],
        [{"id": 1, "name": "B\u00e4ume"}, {"id": 2, "name": " Ba\u0308ume\n"}],
        rasters=["M\u00fchle.tif"],
    )
    assert set(run.frame["category"]) == {"B\u00e4ume"}


@pytest.mark.parametrize(
    "file_name",
    [
        "20240101-scene.tif",
        "scene_00000012.tif",
        "scenery.tif",
        "1234567_scene.png",
        "scene_20240101.png",
    ],
)
def test_another_picture_is_not_taken_for_the_raster(coco: Any, file_name: str) -> None:
    images = [{"id": 1, "file_name": file_name}, {"id": 2, "file_name": "x.png"}]
    with pytest.raises(VectorError, match=f"{file_name}, x.png"):
        coco([{"segmentation": [RING]}], images)


def test_augmented_copies_are_not_guessed(coco: Any) -> None:
    images = [
        {"id": 1, "file_name": f"scene_tif.rf.{'a1' * 16}.jpg"},
        {"id": 2, "file_name": f"scene_tif.rf.{'b2' * 16}.jpg"},
    ]
    with pytest.raises(VectorError, match=r"scene_tif\.rf\.a1a1"):
        coco([{"segmentation": [RING]}], images)


def test_the_only_image_is_matched_by_its_size(coco: Any) -> None:
    image = {**IMAGE, "file_name": "0001.png"}
    run = coco([{"segmentation": [RING]}, {"segmentation": [RING], "image_id": None}], [image])
    assert len(run.frame) == 2
    assert "0001.png (300 × 200 px), is taken for scene.tif" in run.warnings
    with pytest.raises(VectorError, match=r"0001\.png"):
        coco([{"segmentation": [RING]}], [{**image, "width": 301}])


def test_a_size_tells_rasters_of_one_name_apart(make_raster: Any, tmp_path: Path) -> None:
    sources = []
    for folder, side in (("a", 40), ("b", 50)):
        (tmp_path / folder).mkdir()
        blank = np.zeros((1, side, side), np.uint8)
        sources.append(make_raster(blank, transform=PIXELS, name=f"{folder}/1.tif"))
    path = tmp_path / "a.json"
    content = {
        "images": [{"id": 1, "file_name": "1.png", "width": 50, "height": 50}],
        "annotations": [{"image_id": 1, "category_id": 1, "segmentation": [RING]}],
    }
    path.write_text(json.dumps(content))
    job = import_job("coco", path, sources, tmp_path / "o.gpkg")
    assert set(Run(job).frame["source"]) == {sources[1].name}


def test_a_resized_export_is_scaled(coco: Any) -> None:
    image = {**IMAGE, "width": WIDTH // 2, "height": HEIGHT // 2}
    mask = np.zeros((HEIGHT // 2, WIDTH // 2), np.uint8, order="F")
    mask[5:15, 5:15] = 1
    packed = {"size": list(mask.shape), "counts": reference.encode(mask)["counts"].decode()}
    run = coco(
        [{"segmentation": [RING]}, {"bbox": [5, 5, 10, 10]}, {"segmentation": packed}], [image]
    )
    assert run.boxes() == [[20, 20, 60, 60], [10, 10, 30, 30], [10, 10, 30, 30]]
    assert "scene.tif (150 × 100 px) on 300 × 200 px" in run.warnings


def test_bad_parts_are_dropped_and_boxes_serve(coco: Any) -> None:
    box = {"bbox": [100, 10, 20, 20]}
    good = [10, 10, 30, 10, 30, 30, 10, 30]
    run = coco(
        [
            {"segmentation": [good, [50, 50, 51, 51]]},
            {"segmentation": [good, [], "x", None]},
            {"segmentation": [[]], **box},
            {"segmentation": [[1, 1, 2, 2]], **box},
            {"segmentation": [[1, 1, 2, 1, 2, 2, 1]], **box},
            {"segmentation": {}, **box},
            {"segmentation": None, **box, "keypoints": [1, 2, 2]},
            {"segmentation": {"size": [HEIGHT, WIDTH], "counts": "broken!"}, **box},
            {"segmentation": [[1, 1, 5, 5, 9, 9]], **box},
            {"segmentation": [[1, float("nan"), 5, 5, 9, 5]], **box},
            {"segmentation": [[]]},
        ]
    )
    assert run.boxes() == [[10, 10, 30, 30]] * 2 + [[100, 10, 120, 30]] * 8
    assert "parts that are no outline are dropped: 2 (id 1, id 2)" in run.warnings
    assert "of which the box is taken: 3 (id 3, id 4, id 5)" in run.warnings
    assert "left out, with an outline that is no list of x and y: 1 (id 11)" in run.warnings


@pytest.mark.parametrize(
    "segmentation",
    [
        [[[10, 10], [30, 10], [30, 30], [10, 30]]],
        [[10, 10], [30, 10], [30, 30], [10, 30]],
        [[[[10, 10], [30, 10], [30, 30], [10, 30]]]],
        [{"x": 10, "y": 10}, {"x": 30, "y": 10}, {"x": 30, "y": 30}, {"x": 10, "y": 30}],
        [{"all_points_x": [10, 30, 30, 10], "all_points_y": [10, 10, 30, 30]}],
        [[str(number) for number in RING]],
        "[[10, 10, 30, 10, 30, 30, 10, 30]]",
        RING,
    ],
)
def test_lists_of_points_in_other_nestings(coco: Any, segmentation: Any) -> None:
    run = coco([{"segmentation": segmentation}, {"segmentation": [[200, 0, 290, 0, 290, 9]]}])
    assert run.boxes()[0] == [10, 10, 30, 30]
    assert run.frame["shape"][0].area == 400


def mask_of(rows: slice, columns: slice, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> Any:
    mask = np.zeros(shape, np.uint8, order="F")
    mask[rows, columns] = 1
    return mask


def test_masks_as_writers_really_pack_them(coco: Any) -> None:
    mask = mask_of(slice(10, 50), slice(20, 80))
    text = reference.encode(mask)["counts"].decode()
    runs = np.diff(np.flatnonzero(np.diff(mask.ravel("F"), prepend=2)), append=mask.size)
    size = [HEIGHT, WIDTH]
    on_its_side = reference.encode(np.asfortranarray(mask.T))["counts"].decode()
    box = {"bbox": [20, 10, 60, 40]}
    run = coco(
        [
            {"segmentation": {"size": size, "counts": runs.astype(float).tolist()}},
            {"segmentation": {"size": [str(s) for s in size], "counts": [str(r) for r in runs]}},
            {"segmentation": {"size": size, "counts": str(text.encode())}},
            {"segmentation": [{"size": size, "counts": text}]},
            {"segmentation": {"size": size[::-1], "counts": text}, **box},
            {"segmentation": {"size": size[::-1], "counts": on_its_side}, **box},
            {"segmentation": {"size": size[::-1], "counts": on_its_side}},
        ]
    )
    assert run.boxes() == [[20, 10, 80, 50]] * 6
    assert "left out, with a mask of another size than their image: 1 (id 7)" in run.warnings


def test_masks_counted_along_the_rows_lie_in_their_box(coco: Any) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[20:40, 50:120] = 1
    changes = np.flatnonzero(np.diff(mask.ravel(), prepend=0, append=0))
    counts = np.diff(changes, prepend=0, append=mask.size).tolist()
    mask_of = {"segmentation": {"size": [HEIGHT, WIDTH], "counts": counts}}
    run = coco([{**mask_of, "bbox": [50, 20, 70, 20]}])
    assert run.boxes() == [[50, 20, 120, 40]]
    assert "counted along its rows" in run.log
    run = coco([{**mask_of, "bbox": [0, 0, 9, 9]}, mask_of])
    assert run.boxes() == [[30, 0, 60, 200]] * 2, "as COCO counts, where no box tells"
    assert "box do not fit, of which the outline is taken: 1 (id 1)" in run.warnings


def test_the_log_names_an_outline_far_from_its_box(coco: Any) -> None:
    near = {"segmentation": [RING], "bbox": [8, 11, 22, 21]}
    run = coco([near, {"segmentation": [RING]}, {"segmentation": [RING], "bbox": [0, 0, 0, 0]}])
    assert not run.warnings
    with_height = [10, 10, 2, 30, 10, 2, 30, 30, 2, 10, 30, 2]
    run = coco([near, {"segmentation": [with_height], "bbox": [10, 10, 20, 20]}])
    assert "box do not fit, of which the outline is taken: 1 (id 2)" in run.warnings


def test_boxes_of_every_kind(coco: Any) -> None:
    run = coco(
        [
            {"bbox": ["100", "50", "40", "20"]},
            {"bbox": [140, 70, -40, -20]},
            {"bbox": [100, 50, 40, 20], "attributes": {"rotation": 90.0}},
            {"bbox": [120, 60, 40, 20, 45]},
            {"bbox": [100, 50, 140, 50, 140, 70, 100, 70]},
            {"bbox": [100, 50, 40, 20], "attributes": {"rotation": 0.0}},
            {"bbox": [100, 50, 40, 20], "attributes": {"rotation": 30.0}},
        ]
    )
    plain = [100, 50, 140, 70]
    assert [run.boxes()[i] for i in (0, 1, 4, 5)] == [plain] * 4
    assert run.boxes()[2] == pytest.approx([110, 40, 130, 80])
    assert run.frame["shape"][3].area == pytest.approx(800)
    assert run.frame["shape"][3].centroid.coords[0] == pytest.approx((120, 60))
    right_end = shapely.Point(120 + 19 * np.cos(np.radians(45)), 60 - 19 * np.sin(np.radians(45)))
    assert run.frame["shape"][3].contains(right_end), "counter-clockwise to the eye"
    lower_right = shapely.Point(120 + 19 * np.cos(np.radians(30)), 60 + 19 * np.sin(np.radians(30)))
    assert run.frame["shape"][6].contains(lower_right), "clockwise to the eye"
    for warning in ("five numbers", "rotation", "negative size"):
        assert warning in run.warnings


def test_small_angles_of_a_file_are_radians(coco: Any) -> None:
    turned = [np.pi / 2, -0.1, float("nan"), float("inf"), None]
    run = coco([{"bbox": [120, 60, 40, 20, angle]} for angle in turned])
    assert len(run.frame) == 2
    assert run.boxes()[0] == pytest.approx([110, 40, 130, 80])
    assert "in radians" in run.warnings


def test_shares_of_the_image_are_told_from_pixels(coco: Any) -> None:
    shares = [value / side for value, side in zip(RING, [WIDTH, HEIGHT] * 4, strict=True)]
    box = [0.5, 0.25, 0.1, 0.1]
    run = coco([{"segmentation": [shares], "bbox": box}, {"bbox": box}])
    assert run.boxes()[0] == pytest.approx([10, 10, 30, 30])
    assert run.boxes()[1] == pytest.approx([150, 50, 180, 70])
    assert "0 to 1" in run.warnings
    run = coco([{"segmentation": [shares], "bbox": [10, 10, 20, 20]}, {"bbox": [100, 50, 9, 9]}])
    assert run.boxes()[1] == [100, 50, 109, 59], "boxes may be pixels nevertheless"


def test_per_cent_is_told_by_the_areas_only(coco: Any) -> None:
    ring = [10, 10, 20, 10, 20, 20, 10, 20]
    run = coco([{"segmentation": [ring], "area": 100 * 3 * 2}])
    assert run.boxes()[0] == pytest.approx([30, 20, 60, 40])
    assert "per cent" in run.warnings
    run = coco([{"segmentation": [ring], "area": 100}])
    assert run.boxes()[0] == [10, 10, 20, 20]


def test_boxes_of_two_corners_are_told_by_the_areas(coco: Any) -> None:
    corners = [{"bbox": [100, 50, 140, 70], "area": 800}, {"bbox": [10, 10, 30, 40], "area": 600}]
    run = coco(corners)
    assert run.boxes() == [[100, 50, 140, 70], [10, 10, 30, 40]]
    assert "two corners" in run.warnings
    run = coco([{**each, "area": each["bbox"][2] * each["bbox"][3]} for each in corners])
    assert run.boxes()[1] == [10, 10, 40, 50]


def test_ids_of_merged_files(coco: Any) -> None:
    images = [
        IMAGE,
        {**IMAGE, "id": 2, "file_name": "b.tif"},
        {**IMAGE, "id": 2, "file_name": "c.tif"},
    ]
    rows = [
        {"segmentation": [RING], "id": 5},
        {"segmentation": [RING], "id": 5},
        {"bbox": [50, 50, 10, 10], "id": 5},
        {"bbox": [60, 60, 10, 10], "id": "5"},
        {"bbox": [70, 70, 10, 10], "id": "uuid"},
        {"bbox": [80, 80, 10, 10], "id": 6, "image_id": "2"},
        {"bbox": [90, 90, 10, 10], "id": 7, "image_id": "1", "category_id": "2"},
    ]
    named = [HOUSE, {"id": 2, "name": "tree"}, {"id": "2", "name": "lawn"}, HOUSE]
    run = coco(rows, images, named, rasters=["scene.tif", "b.tif", "c.tif"])
    assert run.frame["id"].is_unique
    assert run.frame["id"].tolist()[0] == 5
    assert len(run.frame) == 5
    assert set(run.frame["source"]) == {"scene.tif"}
    assert run.frame["category"].tolist() == ["house"] * 4 + ["tree or lawn"]
    assert "left out, that the file holds twice: 1 (id 5)" in run.warnings
    assert "2: b.tif and c.tif" in run.warnings
    assert "several names (tree, lawn)" in run.warnings


def test_one_picture_under_two_ids_keeps_all_its_annotations(coco: Any) -> None:
    images = [IMAGE, {**IMAGE, "id": 2}]
    run = coco([{"bbox": [1, 1, 9, 9]}, {"bbox": [50, 1, 9, 9], "image_id": 2}], images)
    assert len(run.frame) == 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [(3, "3"), (3.0, "3"), (2.5, "2.5"), (True, "true"), (None, "1"), ("", "1"), ([], "1")],
)
def test_names_that_are_no_text(coco: Any, name: Any, expected: str) -> None:
    run = coco([{"segmentation": [RING]}], categories=[{"id": 1, "name": name}])
    assert run.frame["category"].tolist() == [expected]


def test_names_read_in_a_wrong_encoding_are_mended(coco: Any) -> None:
    broken = "Gebäude – alt".encode().decode("cp1252")
    run = coco([{"segmentation": [RING]}], categories=[{"id": 1, "name": broken}])
    assert run.frame["category"].tolist() == ["Gebäude – alt"]
    assert "wrong encoding" in run.warnings


def test_annotations_without_a_category_are_kept(coco: Any) -> None:
    rows = [
        {"segmentation": [RING], "category_id": None},
        {"bbox": [50, 50, 9, 9], "category_id": None, "category_name": "shed"},
        {"bbox": [90, 50, 9, 9], "category_id": "barn"},
    ]
    run = coco(rows, categories=[])
    assert run.frame["category"].tolist() == ["a", "shed", "barn"]
    assert "without a category, called 'a': 1 (id 1)" in run.warnings


def test_annotations_may_carry_the_name_of_their_category(coco: Any) -> None:
    rows = [{"segmentation": [RING], "category_id": i, "category_name": "Dach"} for i in (1, 7)]
    run = coco(rows)
    assert run.frame["category"].tolist() == ["house", "Dach"], "the file's categories count first"


def test_annotations_may_name_their_image_by_its_file(coco: Any) -> None:
    images = [IMAGE, {**IMAGE, "id": 2, "file_name": "b.png"}]
    rows = [
        {"bbox": [1, 1, 9, 9], "image_id": "scene.tif"},
        {"bbox": [21, 1, 9, 9], "image_id": "B"},
        {"bbox": [41, 1, 9, 9], "image_id": None, "file_name": "b.png"},
        {"bbox": [61, 1, 9, 9], "image_id": "c.png"},
    ]
    run = coco(rows, images, rasters=["scene.tif", "b.tif"])
    assert run.frame["source"].tolist() == ["scene.tif", "b.tif", "b.tif"]
    assert "of images that lie on no raster: 1 (id 4)" in run.warnings


def test_a_file_of_one_image_as_segment_anything_writes_it(
    make_raster: Any, tmp_path: Path
) -> None:
    scene = make_raster(np.zeros((1, HEIGHT, WIDTH), np.uint8), transform=PIXELS, name="sa_1.tif")
    path = tmp_path / "sa_1.json"
    image = {"image_id": 1, "file_name": "sa_1.jpg", "width": WIDTH, "height": HEIGHT}
    content = {"image": image, "annotations": [{"id": 9, "bbox": [10, 10, 20, 20]}]}
    path.write_text(json.dumps(content))
    job = import_job("coco", path, [scene], tmp_path / "o.gpkg", category="segment")
    run = Run(job)
    assert run.boxes() == [[10, 10, 30, 30]]
    assert run.frame["category"].tolist() == ["segment"]


@pytest.mark.parametrize(
    ("encode", "warning"),
    [
        (lambda text: text.encode("utf-8-sig"), ""),
        (lambda text: text.encode("utf-16"), ""),
        (lambda text: text.encode("utf-16-be"), ""),
        (lambda text: text.encode("utf-32"), ""),
        (lambda text: text.encode("cp1252"), "Windows-1252"),
        (lambda text: gzip.compress(text.encode()), ""),
    ],
)
def test_encodings(coco: Any, encode: Callable[[str], bytes], warning: str) -> None:
    images = [{"id": 1, "file_name": "Straße.png"}, {"id": 2, "file_name": "b.png"}]
    categories = [{"id": 1, "name": "Gebäude – alt"}]
    run = coco(
        [{"segmentation": [RING]}], images, categories, rasters=["Straße.tif"], encode=encode
    )
    assert run.frame["category"].tolist() == ["Gebäude – alt"]
    assert warning in run.warnings
    assert bool(warning) == bool(run.warnings)


def test_damaged_utf_8_is_said(coco: Any) -> None:
    categories = [{"id": 1, "name": "Gebäude – alt"}]

    def damaged(text: str) -> bytes:
        return text.encode().replace("–".encode(), b"\xff")

    run = coco([{"segmentation": [RING]}], categories=categories, encode=damaged)
    assert run.frame["category"].tolist() == ["Gebäude � alt"]
    assert "damaged" in run.warnings


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04zip", "ZIP archive.*Unpack"),
        (
            b'{"version": "5", "shapes": [], "imagePath": "a.png"}',
            "'version', 'shapes', 'imagePath'",
        ),
        (b'{"images": [1]}\n{"images": [2]}', "JSON Lines"),
        (gzip.compress(b'{"images": []}')[:-9], "could not be read"),
    ],
)
def test_other_files_are_called_by_what_they_are(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(VectorError, match=message):
        list(elements(str(path), ("images", "annotations")))


def test_colours_of_categories_are_kept(coco: Any) -> None:
    categories = [
        {"id": 1, "name": "a", "color": [255, 0, 16]},
        {"id": 2, "name": "b", "color": "#00FF00"},
    ]
    run = coco(
        [{"segmentation": [RING]}, {"bbox": [50, 50, 9, 9], "category_id": 2}], None, categories
    )
    assert run.result["categories"] == [
        {"name": "a", "colour": "#ff0010"},
        {"name": "b", "colour": "#00ff00"},
    ]


@pytest.mark.parametrize("rows", [[], [{"segmentation": [RING], "image_id": 2}]])
def test_rasters_without_annotations_are_an_empty_layer(coco: Any, rows: Any) -> None:
    run = coco(rows, [IMAGE, {**IMAGE, "id": 2, "file_name": "other.tif"}])
    assert run.result["count"] == len(run.frame) == 0
    assert {"id", "category", "source", "iscrowd"} <= set(run.frame.columns)
    assert "the layer is empty" in run.warnings
    with pytest.raises(VectorError, match="No polygon was found"):
        coco([*rows, {"segmentation": [[]]}])


def test_words_around_a_name_are_a_guess_that_the_size_must_confirm(coco: Any) -> None:
    images = [{**IMAGE, "id": i, "file_name": f"my-project-{n}.png"} for i, n in enumerate("abc")]
    rows = [{"bbox": [1 + 20 * i, 1, 9, 9], "image_id": i} for i in range(3)]
    run = coco(rows, images, rasters=["a.tif", "b.tif"])
    assert sorted(run.frame["source"]) == ["a.tif", "b.tif"]
    assert "my-project-a.png = a.tif" in run.warnings
    with pytest.raises(VectorError, match="my-project-a"):
        coco(rows, [{**each, "width": 299} for each in images], rasters=["a.tif"])
    siblings = [{**IMAGE, "id": i, "file_name": f"{n}_scene.png"} for i, n in enumerate("xy")]
    with pytest.raises(VectorError, match=r"x_scene\.png"):
        coco(rows, siblings)
    years = [{**IMAGE, "id": i, "file_name": f"{n}_scene.png"} for i, n in ((0, 2023), (1, "x9"))]
    with pytest.raises(VectorError, match=r"2023_scene\.png"):
        coco(rows, years)
