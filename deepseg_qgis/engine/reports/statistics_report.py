"""The report of statistics: the table, and bars that compare the categories."""

from __future__ import annotations

from deepseg_qgis.engine.reports.markup import Cell, bar
from deepseg_qgis.engine.reports.page import Page
from deepseg_qgis.engine.scoring.category_statistics import StatisticsTable
from deepseg_qgis.jobs import VectorSource

HEADS = {
    "source": "Source",
    "category": "Category",
    "count": "Count",
    "area_m2": "Area (m²)",
    "perimeter_m": "Perimeter (m)",
    "smallest_m2": "Smallest (m²)",
    "mean_m2": "Mean (m²)",
    "largest_m2": "Largest (m²)",
    "share_of_aoi": "Share of the AOI",
}


def write(path: str, table: StatisticsTable, layer: VectorSource, aoi: VectorSource | None) -> None:
    """Write the report.

    Raises:
        OutputError: it cannot be written.
    """
    page = Page("Statistics", f"Polygons of '{layer.name}', measured on the ellipsoid")
    page.facts(
        {
            "Layer": layer.name,
            "Category field": layer.category_field,
            "Area of interest": aoi.name if aoi else None,
        }
    )
    names = [name for name in HEADS if any(value not in (None, "") for value in table[name])]
    columns = {name: table[name] for name in names}
    rows = [[_shown(name, columns[name][i]) for name in names] for i in range(len(table["count"]))]
    if rows:
        page.table([HEADS[name] for name in names], rows)
    else:
        page.text("There are no polygons to count.")
    page.text(
        "Areas and perimeters are true sizes on the ground, whatever the projection. Perimeters "
        "include holes. With an area of interest polygons are cut at its border.",
        quiet=True,
    )
    page.write(path)


def _shown(name: str, value: object) -> Cell:
    if name == "share_of_aoi" and isinstance(value, float):
        return bar(value)
    return value if isinstance(value, (str, int, float)) else None
