"""Masks as COCO's run lengths: equal to pycocotools' own, pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_masks

from deepseg_qgis.engine.geometry.areas import burnt
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.vectorising import run_lengths
from deepseg_qgis.engine.vectorising.objects import PolygonOptions
from deepseg_qgis.engine.vectorising.run_lengths import masks
from deepseg_qgis.engine.vectorising.vectoriser import Vectoriser, components

maps = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.integers(0, 2)
)


def found_in(classes, options):
    region = Window(0, 0, *classes.shape)
    with Vectoriser(region, options) as vectoriser:
        return vectoriser.add(region, classes, np.where(classes, 200, 0).astype(np.uint8))


@pytest.fixture(autouse=True, scope="module")
def compiled():
    found = found_in(
        np.array([[1, 0], [1, 2]], dtype=np.uint8), PolygonOptions(1.0, keep_exact=True)
    )
    masks(found.exact, 2, 2)


@settings(deadline=None, max_examples=300)
@given(maps, st.sampled_from([0.0, 1.0, 2.0]), st.sampled_from([0.0, 3.0]), st.integers(1, 40))
def test_masks_are_those_of_pycocotools(classes, simplify_px, min_area, most):
    height, width = classes.shape
    found = found_in(classes, PolygonOptions(simplify_px, min_area, keep_exact=True))
    whole = Window(0, 0, height, width)
    usual, run_lengths.MOST_CROSSINGS = run_lengths.MOST_CROSSINGS, most
    try:
        made = masks(found.exact, height, width)
    finally:
        run_lengths.MOST_CROSSINGS = usual
    assert np.array_equal(made.sizes_px, found.sizes_px)
    for i, shape in enumerate(found.exact.geometries()):
        pixels = burnt(np.array([shape]), np.ones(1, np.uint8), whole)
        right = coco_masks.encode(np.asfortranarray(pixels))["counts"]
        assert made.text[made.offsets[i] : made.offsets[i + 1]] == right


def test_exact_outlines_are_kept_beside_simplified_ones():
    classes = np.tril(np.ones((12, 12), dtype=np.uint8))
    plain = components(classes, classes, Window(0, 0, 12, 12))
    found = found_in(classes, PolygonOptions(1.0, keep_exact=True))
    assert found.exact.geometries()[0].equals_exact(plain.geometries[0])
    assert len(found.polygons.coordinates) < len(found.exact.coordinates)
    again = found.chosen(np.array([True]))
    assert again.exact.geometries()[0].wkb == found.exact.geometries()[0].wkb
    assert found_in(classes, PolygonOptions(1.0)).exact is None


def test_large_images_do_not_overflow():
    classes = np.ones((3, 2), dtype=np.uint8)
    region = Window(90_000, 100_000, 3, 2)
    with Vectoriser(region, PolygonOptions(keep_exact=True)) as vectoriser:
        found = vectoriser.add(region, classes, classes)
    made = masks(found.exact, 120_000, 110_000)
    assert made.sizes_px.tolist() == [6]
    from deepseg_qgis.engine.exchange.coco.masks import decode_counts

    first = 100_000 * 120_000 + 90_000
    lengths = [first, 3, 120_000 - 3, 3]
    assert decode_counts(made.text.decode()).tolist() == [
        *lengths,
        120_000 * 110_000 - sum(lengths),
    ]
