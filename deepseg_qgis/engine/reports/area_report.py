"""The page of areas with their intervals: what to publish, and how it was found."""

from __future__ import annotations

from collections.abc import Sequence

from deepseg_qgis.engine.reports.markup import Cell, shown
from deepseg_qgis.engine.reports.page import Page
from deepseg_qgis.engine.scoring.area_estimates import M2_PER_HA, AreaEstimates, CategoryEstimate
from deepseg_qgis.engine.scoring.stratified_estimation import Estimate
from deepseg_qgis.jobs import EstimateAreaJob

PAPER = (
    "P. Olofsson, G. M. Foody, M. Herold, S. V. Stehman, C. E. Woodcock, M. A. Wulder: Good "
    "practices for estimating area and assessing accuracy of land change. Remote Sensing of "
    "Environment 148 (2014), 42–57."
)
TERMS = {
    "Estimated area": "What the sample says about the ground, map errors corrected: publish this, "
    "not the area of the map.",
    "95 % interval": "Of 100 such samples, about 95 have intervals that hold the truth.",
    "± 1.96 SE": "The interval of the paper: the estimate ± 1.96 standard errors. Where errors are "
    "rare it is too narrow, and the 95 % interval is the one to trust.",
    "Overall accuracy": "The share of the ground where the map is right.",
    "User's accuracy": "Of what the map calls a category, the share that is of it.",
    "Producer's accuracy": "Of the ground of a category, the share that the map calls so.",
}


def write(path: str, estimates: AreaEstimates, job: EstimateAreaJob) -> None:
    """Write the page.

    Raises:
        OutputError: it cannot be written.
    """
    source = job.map_raster or job.map_polygons
    page = Page("Areas with confidence", f"Sample '{job.sample.name}'")
    page.facts(
        {
            "Points": len(job.sample.points),
            "Map": source.name if source else "as kept in the sample",
            "Area of interest": job.aoi.name if job.aoi else None,
            "Ground of the map": _size(estimates.total_m2),
        }
    )
    page.notes(estimates.notes())
    overall = estimates.sample.overall_accuracy
    page.headlines(
        [("Overall accuracy (%)", 100.0 * overall.value, f"95 % interval: {_interval(overall)}.")]
    )
    _areas(page, estimates)
    _accuracies(page, estimates.categories)
    _matrix(page, estimates)
    page.heading("What the words mean")
    page.glossary(TERMS)
    page.text(
        f"Stratified estimation: {PAPER} Intervals: Jeffreys' for each proportion, combined after "
        "Zou, Huang and Zhang (2009).",
        quiet=True,
    )
    page.write(path)


def _areas(page: Page, estimates: AreaEstimates) -> None:
    page.heading("Areas")
    total, unit = estimates.total_m2, "ha"
    factor = 100.0 if total is None else total / M2_PER_HA
    if total is None:
        unit = "% of the map"
        page.text("The size of the map on the ground is not known: areas are shares of it.")
    rows: list[list[Cell]] = []
    for each in estimates.categories:
        share = each.share
        interval = f"{shown(factor * share.low)} to {shown(factor * share.high)}"
        rows.append(
            [
                each.category.name,
                factor * each.mapped_share,
                factor * share.value,
                interval,
                factor * share.standard_error,
                f"± {shown(factor * share.half_width)}",
            ]
        )
    names = ["On the map", "Estimated area", "95 % interval", "Standard error", "± 1.96 SE"]
    page.table(["Category", *(f"{name} ({unit})" for name in names)], rows)


def _accuracies(page: Page, categories: Sequence[CategoryEstimate]) -> None:
    page.heading("Accuracies")
    names = ["User's accuracy", "Producer's accuracy"]
    head = ["Category", "Points"]
    for name in names:
        head += [f"{name} (%)", "95 % interval", "± 1.96 SE"]
    rows: list[list[Cell]] = [
        [
            each.category.name,
            each.points,
            *_accuracy(each.users),
            *_accuracy(each.producers),
        ]
        for each in categories
    ]
    page.table(head, rows)


def _accuracy(estimate: Estimate | None) -> list[Cell]:
    if estimate is None:
        return [None, None, None]
    half = f"± {100.0 * estimate.half_width:.1f}"
    return [100.0 * estimate.value, _interval(estimate), half]


def _matrix(page: Page, estimates: AreaEstimates) -> None:
    page.heading("Error matrix")
    page.text(
        "Rows are the map, columns the reference: the percentage of the ground, with the number of "
        "points in brackets. The diagonal is right.",
        quiet=True,
    )
    names = [each.category.name for each in estimates.categories]
    shares, counts = estimates.sample.error_matrix, estimates.sample.counts
    rows: list[list[Cell]] = [
        [
            name,
            *(
                f"{100.0 * share:.2f} ({count:,})"
                for share, count in zip(shares[row].tolist(), counts[row].tolist(), strict=True)
            ),
            100.0 * estimates.categories[row].mapped_share,
            int(counts[row].sum()),
        ]
        for row, name in enumerate(names)
    ]
    totals: list[Cell] = [f"{100.0 * share:.2f}" for share in shares.sum(axis=0).tolist()]
    page.table(
        ["Map", *names, "Share of the map (%)", "Points"],
        rows,
        ["All", *totals, 100.0, int(counts.sum())],
    )


def _interval(estimate: Estimate) -> str:
    return f"{100.0 * estimate.low:.1f} to {100.0 * estimate.high:.1f}"


def _size(area_m2: float | None) -> str | None:
    return None if area_m2 is None else f"{area_m2 / M2_PER_HA:,.2f} ha"
