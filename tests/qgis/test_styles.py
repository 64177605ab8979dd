"""Colours: each category one, told apart, and any name survives the style file."""

from __future__ import annotations

from pathlib import Path

import pytest
from deepseg_qgis.processing.styles import (
    PALETTE,
    by_category,
    categorised,
    palette_colour,
    save_style,
    with_palette,
)
from hypothesis import given
from hypothesis import strategies as st
from qgis.core import QgsVectorLayer

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
    colour = palette_colour(index)
    assert len(colour) == 7
    assert int(colour[1:], 16) >= 0


@pytest.mark.parametrize("name", ["a", "<b>&\"'", "Straße", "'); DROP", "%1 @x [y]"])
def test_any_name_survives_the_style_file(name: str, tmp_path: Path) -> None:
    save_style(str(tmp_path / "p.geojson"), categorised({name: "#123456"}))
    layer = QgsVectorLayer("Polygon?field=category:string", "p", "memory")
    layer.loadNamedStyle(str(tmp_path / "p.qml"))
    (category,) = layer.renderer().categories()
    assert (category.value(), category.symbol().color().name()) == (name, "#123456")


def test_without_categories_there_is_no_style() -> None:
    assert by_category({}) is None
    assert by_category({"categories": []}) is None
