"""The colours of categories: those that a layer is drawn in, and a palette for all others."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping

from deepseg_qgis.processing.layers.attribute_texts import category_text
from qgis.core import QgsCategorizedSymbolRenderer, QgsVectorLayer

PALETTE = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#f0e442")
"""M. Okabe and K. Ito's colours, which people with any kind of colour vision tell apart."""

GOLDEN_RATIO = 0.618034
"""Steps of it around the circle of hues never meet."""


def with_palette(names: Iterable[str], colours: Mapping[str, str]) -> dict[str, str]:
    """Return a colour (``#rrggbb``) for each name: its own from ``colours``, or a free one."""
    wanted = list(names)
    taken = {colours[name] for name in wanted if name in colours}
    candidates = map(palette_colour, range(len(PALETTE) + len(taken) + len(wanted)))
    free = (colour for colour in candidates if colour not in taken)
    return {name: colours.get(name) or next(free) for name in wanted}


def palette_colour(index: int) -> str:
    """Return the colour of a number: the palette first, then hues in golden steps."""
    if index < len(PALETTE):
        return PALETTE[index]
    channels = colorsys.hsv_to_rgb(index * GOLDEN_RATIO % 1.0, 0.7, 0.6 + 0.3 * (index % 2))
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)


def renderer_colours(layer: QgsVectorLayer, field: str) -> dict[str, str]:
    """Return the colours of a layer's categories, if it is drawn by the categories of ``field``."""
    renderer = layer.renderer()
    if not isinstance(renderer, QgsCategorizedSymbolRenderer):
        return {}
    if renderer.classAttribute().strip('"') != field:
        return {}
    colours = {}
    for category in renderer.categories():
        values = category.value() if isinstance(category.value(), list) else [category.value()]
        for text in map(category_text, values):
            if text is not None and category.symbol() is not None:
                colours[text] = category.symbol().color().name()
    return colours
