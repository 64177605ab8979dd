"""Draw predicted polygons over their raster as a PNG: the whole, a detail, and a legend.

``map_picture.py RASTER POLYGONS MODEL PNG [AREA]``: the colours come from the model's card, and the
detail lies in AREA (the test area, say) where one is given, else where most polygons are. Runs in
any Python that sees QGIS, with QT_QPA_PLATFORM=offscreen where there is no display.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

from map_page import FILL_ALPHA, MARGIN, Category, MapFrame, Page
from qgis.core import (
    QgsApplication,
    QgsCategorizedSymbolRenderer,
    QgsCoordinateTransform,
    QgsFillSymbol,
    QgsMapLayer,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsRendererCategory,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QRect, QSize
from qgis.PyQt.QtGui import QColor, QImage

TOP = 116
WHOLE = QSize(1020, 1020)
DETAIL = QSize(648, 560)
DETAIL_SHARE = 0.3
"""The detail's width as a share of the raster's shorter side."""
PLACES = 5
"""So many places along each side are tried for the detail."""
VISIBLE_SHARE = 0.04
"""A polygon counts there if it is at least this share of the detail's size."""
CARD_KEY = "deepseg"
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""For categories that the model does not know; Okabe and Ito's, safe for the colour-blind."""


def main(arguments: Sequence[str]) -> int:
    """Draw the picture that the command line asks for; return the exit code."""
    application = QgsApplication([], True)
    application.initQgis()
    try:
        image = map_picture(*arguments[:3], *arguments[4:])
        if not image.save(arguments[3]):
            raise SystemExit(f"{arguments[3]} could not be written.")
    finally:
        application.exitQgis()
    return 0


def map_picture(
    raster_path: str, polygons_path: str, model_path: str, area_path: str | None = None
) -> QImage:
    """Return the page; all layers are gone when it is (they must not outlive QGIS)."""
    raster = _checked(QgsRasterLayer(raster_path, "raster"), raster_path)
    polygons = _checked(QgsVectorLayer(polygons_path, "polygons", "ogr"), polygons_path)
    area = _checked(QgsVectorLayer(area_path, "area", "ogr"), area_path) if area_path else None
    categories = found(polygons, card_colours(model_path))
    polygons.setRenderer(renderer(categories))

    page = Page()
    page.heading(*_titles(raster, categories))
    whole = MapFrame(QRect(MARGIN, TOP, *_fitted(raster)), raster.extent(), raster.crs())
    box = QRect(whole.box.right() + MARGIN, TOP, DETAIL.width(), DETAIL.height())
    detail = MapFrame(box, detail_extent(raster, polygons, area), raster.crs())
    page.map(whole, [*_outlined(area), polygons, raster])
    page.map(detail, [polygons, raster])
    page.outline(whole, detail.extent)
    below = QRect(box.left(), box.bottom() + MARGIN, box.width(), WHOLE.height() - box.height())
    page.legend(below, categories, "test area: kept from the training" if area else "")
    return page.finished()


def _checked(layer: QgsMapLayer, path: str | None) -> QgsMapLayer:
    if not layer.isValid():
        raise SystemExit(f"{path} could not be opened by QGIS.")
    return layer


def card_colours(model_path: str) -> dict[str, str]:
    """Return the categories' colours from a model file's card, in its order."""
    with open(model_path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    card = json.loads(header["__metadata__"][CARD_KEY])
    return {category["name"]: category["colour"] for category in card["categories"]}


def found(polygons: QgsVectorLayer, colours: Mapping[str, str]) -> list[Category]:
    """Return the categories that occur among the polygons, the model's first."""
    counts: Counter[str] = Counter()
    areas: dict[str, float] = {}
    for feature in polygons.getFeatures():
        name, size = str(feature["category"]), feature["area_m2"]
        counts[name] += 1
        areas[name] = areas.get(name, 0.0) + (size if isinstance(size, float) else 0.0)
    names = [name for name in colours if name in counts]
    names += sorted(name for name in counts if name not in colours)
    spare = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    return [
        Category(name, QColor(colours.get(name, spare[name])), counts[name], areas[name])
        for name in names
    ]


def renderer(categories: Sequence[Category]) -> QgsCategorizedSymbolRenderer:
    """Return a style that lets the image through: translucent with clear outlines."""
    entries = []
    for category in categories:
        red, green, blue, _ = category.colour.getRgb()
        symbol = QgsFillSymbol.createSimple(
            {
                "color": f"{red},{green},{blue},{FILL_ALPHA}",
                "outline_color": category.colour.name(),
                "outline_width": "0.35",
            }
        )
        entries.append(QgsRendererCategory(category.name, symbol, category.name))
    return QgsCategorizedSymbolRenderer("category", entries)


def detail_extent(
    raster: QgsRasterLayer, polygons: QgsVectorLayer, area: QgsVectorLayer | None
) -> QgsRectangle:
    """Return the piece of the raster that holds most polygons, within the area if there is one."""
    aspect = DETAIL.width() / DETAIL.height()
    within = raster.extent()
    if area is not None:
        within = _to_crs_of(raster, area).transformBoundingBox(area.extent()).intersect(within)
    width = DETAIL_SHARE * min(raster.extent().width(), raster.extent().height() * aspect)
    width = min(width, within.width(), within.height() * aspect)
    height = width / aspect
    to_polygons = _to_crs_of(polygons, raster)

    def piece(i: int, j: int) -> QgsRectangle:
        x = within.xMinimum() + (within.width() - width) * i / (PLACES - 1)
        y = within.yMinimum() + (within.height() - height) * j / (PLACES - 1)
        return QgsRectangle(x, y, x + width, y + height)

    def polygons_in(extent: QgsRectangle) -> int:
        asked = to_polygons.transformBoundingBox(extent)
        least = VISIBLE_SHARE * (asked.width() + asked.height())
        boxes = (feature.geometry().boundingBox() for feature in polygons.getFeatures(asked))
        return sum(box.width() + box.height() >= least for box in boxes)

    pieces = [piece(i, j) for i in range(PLACES) for j in range(PLACES)]
    return max(pieces, key=polygons_in)


def _to_crs_of(target: QgsMapLayer, source: QgsMapLayer) -> QgsCoordinateTransform:
    return QgsCoordinateTransform(source.crs(), target.crs(), QgsProject.instance())


def _outlined(area: QgsVectorLayer | None) -> list[QgsVectorLayer]:
    """Return the area's layer with a dashed outline, if there is one."""
    if area is None:
        return []
    style = {"style": "no", "outline_color": "#ffffff", "outline_width": "0.7"}
    area.renderer().setSymbol(QgsFillSymbol.createSimple({**style, "outline_style": "dash"}))
    return [area]


def _fitted(raster: QgsRasterLayer) -> tuple[int, int]:
    """Return the largest width and height in px that have the raster's proportions."""
    width, height = raster.extent().width(), raster.extent().height()
    scale = min(WHOLE.width() / width, WHOLE.height() / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _titles(raster: QgsRasterLayer, categories: Sequence[Category]) -> tuple[str, str]:
    count = sum(category.count for category in categories)
    name = os.path.basename(raster.source().split("|")[0])
    crs = raster.crs().userFriendlyIdentifier() if raster.crs().isValid() else "no georeference"
    size = f"{name}, {raster.width():,} × {raster.height():,} px, {crs}"
    return f"{count:,} polygons, predicted by DeepSeg", size


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
