"""A page with maps, a legend and scale bars, painted with Qt. Needs a Python that sees QGIS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsDistanceArea,
    QgsMapLayer,
    QgsMapRendererCustomPainterJob,
    QgsMapSettings,
    QgsPointXY,
    QgsProject,
    QgsRectangle,
    QgsUnitTypes,
)
from qgis.PyQt.QtCore import QPoint, QRect, QRectF, QSize, Qt
from qgis.PyQt.QtGui import QColor, QFont, QImage, QPainter, QPen

MARGIN = 44
LARGEST = QSize(1800, 1180)
INK, QUIET, PAPER, NO_DATA = map(QColor, ("#1d2733", "#5c6875", "#ffffff", "#e9ecef"))
FILL_ALPHA = 105
DPI = 110
ROW = 40
COUNT_COLUMN = 210
"""How far from the right end of the legend the counts end, in px."""


@dataclass(frozen=True)
class Category:
    """A category with its colour, and how many polygons of what ground area there are."""

    name: str
    colour: QColor
    count: int
    area_m2: float


@dataclass(frozen=True)
class MapFrame:
    """A map on the page: its place in px, and the ground it shows."""

    box: QRect
    extent: QgsRectangle
    crs: QgsCoordinateReferenceSystem


class Page:
    """White paper to draw on; it is cut to what was drawn in the end."""

    def __init__(self) -> None:
        self._image = QImage(LARGEST, QImage.Format.Format_ARGB32)
        self._image.fill(PAPER)
        self._painter = QPainter(self._image)
        hints = QPainter.RenderHint
        self._painter.setRenderHints(hints.Antialiasing | hints.TextAntialiasing)
        self._used = QRect(0, 0, 1, 1)

    def finished(self) -> QImage:
        """Return the picture; nothing can be drawn after this."""
        self._painter.end()
        size = QSize(self._used.right() + MARGIN, self._used.bottom() + MARGIN)
        return self._image.copy(QRect(QPoint(0, 0), size.boundedTo(LARGEST)))

    def heading(self, title: str, subtitle: str) -> None:
        """Write the page's title and what it is about."""
        self._text(MARGIN, 62, title, 30, bold=True)
        self._text(MARGIN, 94, subtitle, 17, colour=QUIET)

    def map(self, frame: MapFrame, layers: Sequence[QgsMapLayer]) -> None:
        """Render layers, the topmost first, with a scale bar."""
        settings = QgsMapSettings()
        settings.setLayers(layers)
        settings.setDestinationCrs(frame.crs)
        settings.setOutputSize(frame.box.size())
        settings.setOutputDpi(DPI)
        settings.setExtent(frame.extent)
        image = QImage(frame.box.size(), QImage.Format.Format_ARGB32_Premultiplied)
        image.fill(NO_DATA)
        painter = QPainter(image)
        QgsMapRendererCustomPainterJob(settings, painter).renderSynchronously()
        painter.end()
        self._painter.drawImage(frame.box.topLeft(), image)
        self._scale_bar(frame)
        self._used = self._used.united(frame.box)

    def outline(self, whole: MapFrame, detail: QgsRectangle) -> None:
        """Draw where on a map the ground of another one lies."""
        scale = whole.box.width() / whole.extent.width()
        place = QRectF(
            whole.box.left() + (detail.xMinimum() - whole.extent.xMinimum()) * scale,
            whole.box.top() + (whole.extent.yMaximum() - detail.yMaximum()) * scale,
            detail.width() * scale,
            detail.height() * scale,
        )
        self._painter.setBrush(Qt.BrushStyle.NoBrush)
        for colour, width in ((INK, 5.0), (PAPER, 2.5)):
            self._painter.setPen(QPen(colour, width))
            self._painter.drawRect(place)

    def legend(self, place: QRect, categories: Sequence[Category], area: str) -> None:
        """Write what the colours mean; ``area`` says what the dashed outline is, '' if none."""
        left, right = place.left(), place.right()
        self._text(right - COUNT_COLUMN, place.top(), "polygons", 15, QUIET, to_right=True)
        self._text(right, place.top(), "area", 15, QUIET, to_right=True)
        y = place.top() + 14
        rows = max(1, (place.bottom() - y) // ROW - bool(area))
        for category in categories[:rows]:
            fill = QColor(category.colour)
            fill.setAlpha(FILL_ALPHA + 40)
            self._swatch(left, y, fill, QPen(category.colour, 3))
            self._text(left + 58, y + 22, category.name[:28], 20)
            self._text(right - COUNT_COLUMN, y + 22, f"{category.count:,}", 20, to_right=True)
            self._text(right, y + 22, ground_area(category.area_m2), 20, to_right=True)
            y += ROW
        if area:
            self._swatch(left, y, QColor("#8a949e"), QPen(PAPER, 3, Qt.PenStyle.DashLine))
            self._text(left + 58, y + 22, area, 20)
            y += ROW
        self._used = self._used.united(QRect(left, y - ROW, right - left, ROW))

    def _swatch(self, x: int, y: int, fill: QColor, pen: QPen) -> None:
        self._painter.fillRect(QRectF(x, y + 1.5, 43, 27), fill)
        self._painter.setBrush(Qt.BrushStyle.NoBrush)
        self._painter.setPen(pen)
        self._painter.drawRect(QRectF(x + 1.5, y + 3, 40, 24))

    def _scale_bar(self, frame: MapFrame) -> None:
        width, unit = _ground_width(frame)
        length = round_length(width / 4)
        pixels = length / width * frame.box.width()
        shown = f"{length / 1000:g} km" if unit == "m" and length >= 1000 else f"{length:g} {unit}"
        plate = QRectF(frame.box.left() + 14, frame.box.bottom() - 58, max(pixels, 60) + 28, 46)
        self._painter.setPen(Qt.PenStyle.NoPen)
        self._painter.setBrush(QColor(255, 255, 255, 215))
        self._painter.drawRoundedRect(plate, 5, 5)
        left, bottom = round(plate.left()) + 14, round(plate.bottom()) - 11
        self._painter.fillRect(QRectF(left, bottom - 4, pixels, 5), INK)
        self._text(left, bottom - 12, shown, 16)

    def _text(
        self,
        x: int,
        baseline: int,
        text: str,
        size: int,
        colour: QColor = INK,
        bold: bool = False,
        to_right: bool = False,
    ) -> None:
        font = QFont("DejaVu Sans")
        font.setPixelSize(size)
        font.setBold(bold)
        self._painter.setFont(font)
        self._painter.setPen(colour)
        shift = self._painter.fontMetrics().horizontalAdvance(text) if to_right else 0
        self._painter.drawText(x - shift, baseline, text)


def _ground_width(frame: MapFrame) -> tuple[float, str]:
    """Return a map's width along its middle, on the ellipsoid in m, or in px without a CRS."""
    if not frame.crs.isValid():
        return frame.extent.width(), "px"
    measure = QgsDistanceArea()
    measure.setSourceCrs(frame.crs, QgsProject.instance().transformContext())
    measure.setEllipsoid(frame.crs.ellipsoidAcronym())
    y = frame.extent.center().y()
    length = measure.measureLine(
        QgsPointXY(frame.extent.xMinimum(), y), QgsPointXY(frame.extent.xMaximum(), y)
    )
    metres = QgsUnitTypes.DistanceUnit.DistanceMeters
    return measure.convertLengthMeasurement(length, metres), "m"


def round_length(longest: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not longer than a length."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(step * power for step in (1, 2, 5) if step * power <= longest)


def ground_area(area_m2: float) -> str:
    """Return an area for reading; '' where it is not known."""
    if area_m2 <= 0.0:
        return ""
    return f"{area_m2 / 10_000:,.1f} ha" if area_m2 >= 100_000 else f"{area_m2:,.0f} m²"
