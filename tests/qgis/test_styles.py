"""Colours: each category one, told apart, and any name survives the style file."""

from __future__ import annotations

import re
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from deepseg_qgis.processing.layers.colours import PALETTE, palette_colour, with_palette
from deepseg_qgis.processing.layers.styles import (
    AnnotationStyle,
    category_renderer,
    category_style,
    class_colours,
    save_style,
)
from hypothesis import given
from hypothesis import strategies as st
from qgis.core import QgsRasterLayer, QgsVectorLayer
from shapely import box

NAMES = st.lists(st.text(max_size=5), unique=True, max_size=40)


@given(NAMES, st.sets(st.sampled_from(PALETTE)))
def test_every_name_gets_a_colour_of_its_own(names: list[str], taken: set[str]) -> None:
    own = dict(zip(names, sorted(taken), strict=False))
    colours = with_palette(names, own)
    assert list(colours) == names
    assert len(set(colours.values())) == len(names)
    assert all(colours[name] == own[name] for name in own)


@pytest.mark.parametrize("index", [0, 6, 7, 100, 10_000])
def test_colours_are_written_as_html_does(index: int) -> None:
    assert re.fullmatch("#[0-9a-f]{6}", palette_colour(index))


@pytest.mark.parametrize("name", ["a", "<b>&\"'", "Straße", "'); DROP", "%1 @x [y]"])
def test_any_name_survives_the_style_file(name: str, tmp_path: Path) -> None:
    save_style(str(tmp_path / "p.geojson"), category_renderer({name: "#123456"}))
    layer = QgsVectorLayer("Polygon?field=category:string", "p", "memory")
    layer.loadNamedStyle(str(tmp_path / "p.qml"))
    (category,) = layer.renderer().categories()
    assert (category.value(), category.symbol().color().name()) == (name, "#123456")


def test_without_categories_there_is_no_style() -> None:
    assert category_style({}) is None
    assert category_style({"categories": []}) is None


def test_a_raster_of_classes_has_a_legend_of_its_classes_alone(tmp_path: Path) -> None:
    path = tmp_path / "classes.tif"
    profile = {"driver": "GTiff", "width": 2, "height": 2, "count": 1, "dtype": "uint8"}
    with rasterio.open(
        path, "w", crs="EPSG:32633", transform=Affine(1, 0, 0, 0, -1, 2), **profile
    ) as dataset:
        dataset.write(np.array([[[0, 1], [2, 0]]], np.uint8))
        dataset.write_colormap(1, {0: (0, 0, 0, 0), 1: (170, 0, 0), 2: (0, 170, 0)})
    names = [{"name": "<b>", "colour": "#aa0000"}, {"name": "road", "colour": "#00aa00"}]
    style = class_colours({"categories": names})
    save_style(str(path), style)
    for layer in (QgsRasterLayer(str(path), "saved"), QgsRasterLayer(str(path), "painted")):
        if layer.name() == "painted":
            style.apply_to(layer)
        found = [(each.value, each.label, each.color.name()) for each in layer.renderer().classes()]
        assert found == [(1, "<b>", "#aa0000"), (2, "road", "#00aa00")]
    assert class_colours({}) is None


def test_the_form_goes_into_the_geopackage_where_the_users_style_stands_beside_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.qml").write_text("the user's")
    path = tmp_path / "a.gpkg"
    geopandas.GeoDataFrame({"category": ["x"]}, geometry=[box(0, 0, 1, 1)], crs=32633).to_file(path)
    save_style(str(path), AnnotationStyle({"x": "#123456", "y": "#654321"}))
    assert (tmp_path / "a.qml").read_text() == "the user's"
    (tmp_path / "a.qml").unlink()
    layer = QgsVectorLayer(str(path), "a", "ogr")
    assert [each.value() for each in layer.renderer().categories()] == ["x", "y"]
    index = layer.fields().lookupField("category")
    assert layer.editorWidgetSetup(index).config()["map"] == [{"x": "x"}, {"y": "y"}]
    assert layer.editorWidgetSetup(layer.fields().lookupField("fid")).type() == "Hidden"
    assert layer.featureCount() == 1
