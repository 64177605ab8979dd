"""Reports stand for themselves, escape what strangers wrote, and show what is there."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
from html_reader import HOSTILE, Reader
from matplotlib.image import imread

from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.reports import evaluation_report
from deepseg_qgis.engine.reports.charts import PALETTE, line_chart
from deepseg_qgis.engine.reports.error_overlay import ERROR_COLOURS, error_overlay
from deepseg_qgis.engine.reports.markup import change, shown
from deepseg_qgis.engine.reports.page import Page, png
from deepseg_qgis.engine.reports.training_report import pictured_area
from deepseg_qgis.engine.scoring.confusion import ConfusionMatrix
from deepseg_qgis.engine.scoring.matching import match
from deepseg_qgis.engine.scoring.objects import Objects
from deepseg_qgis.engine.scoring.scores import evaluation
from deepseg_qgis.errors import OutputError


def nothing() -> Objects:
    return Objects(
        np.array([], dtype=object), np.array([], dtype=int), np.array([]), np.zeros(0, bool)
    )


def scores(matrix, names=("house", "tree"), colours=("#d55e00", "#009e73"), countable=True) -> dict:
    confusion = ConfusionMatrix(len(names))
    confusion.matrix += np.array(matrix)
    categories = [Category(name, colour) for name, colour in zip(names, colours, strict=True)]
    return evaluation(
        categories,
        [0.5] * len(names),
        np.broadcast_to(countable, len(names)).tolist(),
        [confusion],
        match(nothing(), nothing(), len(names)),
    )


def written(tmp_path, evaluated, pictures=(), notes=(), about=None) -> Reader:
    path = tmp_path / "report.html"
    evaluation_report.write(str(path), evaluated, pictures, notes, about or {})
    return Reader(path.read_text(encoding="utf-8"))


def test_the_page_shows_names_numbers_and_notes(tmp_path):
    evaluated = {**scores([[900, 10, 0], [20, 70, 10], [0, 0, 0]]), "precision": 0.834, "map": None}
    page = written(
        tmp_path,
        {**evaluated, "trained_share": 0.125},
        notes=["Draw a test AOI."],
        about={"Model": "houses.safetensors"},
    )
    assert "Model houses.safetensors" in page.text
    assert "12.5 %" in page.text
    assert "Draw a test AOI." in page.text
    assert "0.83 Precision of objects Of every 100 predicted objects, about 83" in page.text
    assert "– mAP" in page.text
    # the row of the house: 20, 70 and 10 of 100 pixels
    assert "house 20 70 10 100" in page.text
    assert [tip for cell in page.of("td") if (tip := cell.get("title"))][2:] == [
        "house taken for background: 20 px",
        "house taken for house: 70 px",
        "house taken for tree: 10 px",
    ]


def test_counts_come_first_and_every_category_has_its_panoptic_quality(tmp_path):
    evaluated = scores([[900, 10, 0], [20, 70, 10], [0, 0, 0]], countable=False)
    counts = {"reference_count": 537, "predicted_count": 502, "count_error": (502 - 537) / 537}
    page = written(tmp_path, {**evaluated, **counts, "pq_things": 0.25})
    headline = "−6.5 % Count error 537 objects in the reference, 502 predicted."
    assert page.text.index(headline) < page.text.index("Precision of objects")
    # 70 of 110 pixels are right, so the region is found; the tree was only predicted
    assert "house one area a raster 0.64 0.64 1.00 tree one area a raster 0.00 – 0.00" in page.text
    assert "compared as objects is 0.25, that of the others 0.32." in page.text
    assert "Small (up to 32 × 32 px) Medium Large" in page.text


def test_what_nobody_counts_is_not_among_the_objects(tmp_path):
    matrix = [[900, 10, 0], [20, 70, 10], [0, 0, 50]]
    page = written(tmp_path, scores(matrix, countable=(True, False)))
    objects, areas = page.text.split("Objects, by category")[1].split("Areas, by category")
    assert "since the model does not count them: 'tree'." in objects
    assert objects.count("house") == 2, "by category, and by size"
    assert objects.count("tree") == 1, "only where it is said to be left out"
    assert "tree" in areas


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "–"), (-0.0652, "−6.5 %"), (0.5, "+50.0 %"), (-0.0001, "0.0 %"), (12.0, "+1,200.0 %")],
)
def test_a_change_has_a_sign_unless_it_is_none(share, text):
    assert re.sub("<[^>]*>", "", change(share)) == text


def test_text_of_strangers_stays_text(tmp_path):
    evaluated = scores(
        [[5, 1, 0], [0, 3, 0], [1, 0, 0]],
        (HOSTILE, "b"),
        ("red;background:url(http://x)", "#123456"),
    )
    page = written(
        tmp_path,
        evaluated,
        [(HOSTILE, np.zeros((2, 2, 3), dtype=np.uint8))],
        [HOSTILE],
        {HOSTILE: HOSTILE},
    )
    assert page.of("script") == []
    assert page.text.count("<script>alert(1)</script>") >= 6
    assert "url(" not in str([attributes.get("style") for _, attributes in page.tags])


def test_nothing_comes_from_elsewhere(tmp_path):
    evaluated = scores([[5, 1, 0], [0, 3, 0], [1, 0, 0]])
    picture = np.zeros((4, 5, 3), dtype=np.uint8)
    page = written(tmp_path, evaluated, [("array", picture), ("bytes", png(picture))])
    sources = [image["src"] for image in page.of("img")]
    assert len(sources) == 2
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in sources)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|url\(|@import|<link|<script|javascript:", text)


def test_an_evaluation_of_nothing_can_be_read(tmp_path):
    page = written(tmp_path, scores(np.zeros((3, 3), dtype=int)))
    assert "Nothing was predicted here that is counted." in page.text
    assert "No pixel was compared." in page.text
    assert not re.search(r"\b(nan|inf)\b", page.text.partition("The words")[0], re.IGNORECASE)


def test_many_categories_have_numbers_above_their_columns(tmp_path):
    names = [f"kind {i}" for i in range(12)]
    page = written(tmp_path, scores(np.eye(13, dtype=int), names, ["#112233"] * 12))
    assert "0 1 2 3 4 5 6 7 8 9 10 11 12 px" in page.text
    assert "12 · kind 11" in page.text


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(OutputError, match="could not be written"):
        Page("Title").write(str(tmp_path / "missing" / "report.html"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.126, "0.13"),
        (12.34, "12.3"),
        (43210.9, "43,211"),
        (1234567, "1,234,567"),
        (0, "0"),
        ("a<b", "a&lt;b"),
    ],
)
def test_values_are_shown_with_the_digits_that_matter(value, text):
    assert shown(value) == text


def test_an_error_picture_tells_the_five_cases_apart():
    ground = np.full((1, 6, 3), 100, dtype=np.uint8)
    reference = np.uint8([[0, 1, 0, 1, 1, 1]])
    predicted = np.uint8([[0, 1, 1, 0, 2, 2]])
    known = np.array([[True] * 5 + [False]])
    picture = error_overlay(ground, reference, predicted, known)
    assert picture.dtype == np.uint8
    assert picture[0, 0].tolist() == [100, 100, 100]
    for pixel, colour in zip(picture[0, 1:5], ERROR_COLOURS.values(), strict=True):
        np.testing.assert_allclose(pixel, 0.4 * 100 + 0.6 * np.array(colour), atol=0.51)
    assert len(set(picture[0, 5].tolist())) == 1  # where nothing is known there is no colour
    assert (ground == 100).all()


def test_a_chart_draws_its_lines_and_leaves_gaps():
    names = {"loss": [None, 0.5, 0.4], "_hidden $x^{": [0.9, None, float("nan")], "村": [1.0] * 3}
    chart = imread(io.BytesIO(line_chart([1, 2, 3], names, ("Epoch", "Loss $"))))
    empty = imread(io.BytesIO(line_chart([1, 2, 3], {}, ("Epoch", "Loss"))))
    for colour in PALETTE[:3]:
        assert has(chart, colour)
        assert not has(empty, colour)


def has(picture: np.ndarray, colour: str) -> bool:
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return bool((np.abs(picture[..., :3] - wanted).max(axis=2) < 0.01).any())


def test_a_validation_area_scattered_over_a_huge_raster_is_shown_in_part():
    whole = Window(0, 0, 200_000, 200_000)
    raster = SimpleNamespace(grid=SimpleNamespace(window=whole))
    far = Area.of_windows([Window(5, 5, 60, 50), Window(190_000, 190_000, 50, 50)])
    part = pictured_area(SimpleNamespace(raster=raster, validation=far))
    assert 2_500 <= part.size_px <= 3_000
    near = Area.of_windows([Window(5, 5, 60, 50), Window(900, 900, 50, 50)])
    assert pictured_area(SimpleNamespace(raster=raster, validation=near)).size_px == near.size_px
