"""COCO files become polygons, whatever their writers took for COCO."""

import json

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as reference
from rasterio.features import rasterize

from deepseg_qgis.engine.exchange.coco import masks as coco_masks
from deepseg_qgis.engine.exchange.coco.shapes import shape_of
from deepseg_qgis.engine.exchange.coco.values import UnusableShape
from deepseg_qgis.engine.files import json_stream
from deepseg_qgis.errors import VectorError

SQUARE = [1, 1, 7, 1, 7, 7, 1, 7]
HOLE = [3, 3, 3, 5, 5, 5, 5, 3]
ISLAND = [3.5, 3.5, 4.5, 3.5, 4.5, 4.5, 3.5, 4.5]


def masks():
    """Return a strategy for small masks with at least one pixel."""
    sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
    return sizes.flatmap(
        lambda size: (
            st.lists(st.booleans(), min_size=size[0] * size[1], max_size=size[0] * size[1])
            .filter(any)
            .map(lambda flat: np.array(flat, dtype=np.uint8).reshape(size))
        )
    )


@given(masks(), st.integers(1, 200), st.booleans())
def test_a_mask_becomes_its_exact_outline(mask, strip_px, packed):
    height, width = mask.shape
    text = reference.encode(np.asfortranarray(mask))["counts"].decode()
    counts = text if packed else coco_masks.decode_counts(text).tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coco_masks, "STRIP_PX", strip_px)
        shape = shape_of(
            {"segmentation": {"size": [height, width], "counts": counts}}, height, width
        )
    assert shape.geometry.is_valid
    assert shape.geometry.area == mask.sum()
    assert np.array_equal(rasterize([(shape.geometry, 1)], out_shape=mask.shape), mask)


def test_long_runs_in_text_form():
    mask = np.zeros((5000, 300), dtype=np.uint8, order="F")
    mask[10:4000, 100:250] = 1
    text = reference.encode(mask)["counts"].decode()
    shape = shape_of({"segmentation": {"size": [5000, 300], "counts": text}}, 5000, 300)
    assert shape.geometry.equals(shapely.box(100, 10, 250, 4000))


def shape(segmentation=None, **more):
    return shape_of({"segmentation": segmentation, **more}, 10, 8)


def test_parts_are_united_and_parts_inside_others_are_holes():
    assert shape([SQUARE]).geometry.area == 36
    assert shape(SQUARE).geometry.area == 36, "some writers forget the outer list"
    beside = [1, 8, 3, 8, 3, 10, 1, 10]
    assert shape([SQUARE, beside]).geometry.area == 40
    crossing = [6, 6, 8, 6, 8, 8, 6, 8]
    assert shape([SQUARE, crossing]).geometry.area == 39
    found = shape([HOLE, SQUARE])
    assert found.geometry.area == 32
    assert "taken for holes" in found.notes[0]
    assert shape([ISLAND, SQUARE, HOLE]).geometry.area == 33
    assert shape([SQUARE, SQUARE]).geometry.area == 36


def test_boxes_and_what_sticks_out():
    found = shape(None, bbox=[2, 3, 4, 2.5])
    assert found.geometry.equals(shapely.box(2, 3, 6, 5.5))
    assert found.notes == ("that are boxes only",)
    found = shape(None, bbox=[-2, -2, 4, 4])
    assert found.geometry.equals(shapely.box(0, 0, 2, 2))
    assert "cut at the border" in found.notes[-1]


NAN, INFINITE = float("nan"), float("inf")
SIZE = [10, 8]


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({}, "without a shape"),
        ({"segmentation": []}, "without a shape"),
        ({"segmentation": [[]]}, "no list of x and y"),
        ({"segmentation": [[1, 1, 2, 2]]}, "no list of x and y"),
        ({"segmentation": [[1, 1, 2, 2, 3, 1, 4]]}, "no list of x and y"),
        ({"segmentation": [[1, 1, 2, 2, 3, "one"]]}, "no numbers"),
        ({"segmentation": [[1, 1, 2, 2, 3, True]]}, "no numbers"),
        ({"segmentation": [[1, 1, 2, 2, 3, [1]]]}, "no list of x and y"),
        ({"segmentation": [[1, 1, 2, 2, 3, 10**400]]}, "no numbers"),
        ({"segmentation": [[1, 1, 2, 2, 3, NAN]]}, "not finite"),
        ({"segmentation": [[1, 1, 2, 2, 3, INFINITE]]}, "not finite"),
        ({"segmentation": [[1, 1, 2, 2, 3, 1e300]]}, "not finite, or far"),
        ({"segmentation": [[1, 1, 2, 2, 3, 3]]}, "encloses nothing"),
        ({"segmentation": [[20, 20, 30, 20, 30, 30]]}, "outside"),
        ({"bbox": [1, 1, 0, 3]}, "no size"),
        ({"bbox": [1, 1, 3, -0.0]}, "no size"),
        ({"bbox": [1, 1, 1e-308, 3]}, "encloses nothing"),
        ({"bbox": "1 1 2 3"}, "no numbers"),
        ({"segmentation": {"size": [8, 10], "counts": [0, 80]}}, "another size"),
        ({"segmentation": {"size": ["ten", "8"], "counts": [0, 80]}}, "another size"),
        ({"segmentation": {"counts": [0, 80]}}, "another size"),
        ({"segmentation": {"size": SIZE, "counts": [80]}}, "empty mask"),
        ({"segmentation": {"size": SIZE, "counts": [0, 79]}}, "add up"),
        ({"segmentation": {"size": SIZE, "counts": [0, 81]}}, "add up"),
        ({"segmentation": {"size": SIZE, "counts": [90, -10]}}, "add up"),
        ({"segmentation": {"size": SIZE, "counts": [2**62, 2**62, 2**62, 2**62, 80]}}, "add up"),
        ({"segmentation": {"size": SIZE, "counts": [10**30]}}, "no whole numbers"),
        ({"segmentation": {"size": SIZE, "counts": [0.5, 79.5]}}, "no whole numbers"),
        ({"segmentation": {"size": SIZE, "counts": {}}}, "no whole numbers"),
        ({"segmentation": {"size": SIZE, "counts": ""}}, "damaged"),
        ({"segmentation": {"size": SIZE, "counts": "P" * 9}}, "damaged"),
        ({"segmentation": {"size": SIZE, "counts": "ü0"}}, "damaged"),
        ({"segmentation": {"size": SIZE, "counts": "0\x00"}}, "damaged"),
        ({"segmentation": {"size": SIZE, "counts": "00000"}}, "add up"),
    ],
)
def test_shapes_that_are_none(annotation, reason):
    with pytest.raises(UnusableShape, match=reason):
        shape_of(annotation, 10, 8)


@given(
    st.dictionaries(
        st.sampled_from(["images", "annotations", "info", "x"]),
        st.recursive(
            st.none() | st.integers() | st.floats(allow_nan=False) | st.text() | st.booleans(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=15,
        ),
    ),
    st.integers(1, 40),
    st.sampled_from([None, 2]),
)
def test_the_stream_finds_what_json_finds(tmp_path_factory, content, chunk, indent):
    path = tmp_path_factory.getbasetemp() / "stream.json"
    path.write_text(json.dumps(content, indent=indent, ensure_ascii=False), encoding="utf-8")
    expected = [
        (key, element)
        for key, value in content.items()
        if key in ("images", "annotations") and isinstance(value, (list, dict))
        for element in (value if isinstance(value, list) else [value])
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "CHUNK_BYTES", chunk)
        stream = json_stream.elements(str(path), ("images", "annotations"))
        if content.keys() & {"images", "annotations"}:
            assert list(stream) == expected
        else:
            with pytest.raises(VectorError, match="expected the members"):
                list(stream)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found the end"),
        ("[]", "expected an object"),
        ("hello", "expected an object"),
        ('{"images": [1, 2', "a comma or the end of the array"),
        ('{"images": [1, 2]', "a comma or the end of the object"),
        ('{"images" [1]}', "a colon"),
        ('{"images": [nought]}', "JSON, found something else"),
        ('{"images": [' + "[" * 100_000 + "]", "levels deep"),
        ('{"images": [' + "9" * 10_000 + "]}", "too many digits"),
        ("{1: [1]}", "name of a member"),
    ],
)
def test_what_is_no_json(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(VectorError, match=message):
        list(json_stream.elements(str(path), ("images",)))


def test_an_element_without_end_is_refused_in_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, "MOST_CHARACTERS", 100_000)
    path = tmp_path / "a.json"
    path.write_text('{"images": ["' + "x" * 1_000_000)
    with pytest.raises(VectorError, match="100,000 characters, found a longer one"):
        list(json_stream.elements(str(path), ("images",)))
