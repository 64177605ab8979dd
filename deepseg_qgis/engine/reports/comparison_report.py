"""The page that compares trainings: what differs between them, their scores and their curves."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from deepseg_qgis.engine.experiments.evaluation_files import finite
from deepseg_qgis.engine.experiments.ranking import (
    BestRun,
    best_run,
    ranked,
    score_on_test_area,
    validation_score,
)
from deepseg_qgis.engine.experiments.run_table import Column, Value, run_table
from deepseg_qgis.engine.experiments.runs import MODEL_ENDING, Run
from deepseg_qgis.engine.reports.charts import Curve, curve_chart
from deepseg_qgis.engine.reports.markup import Cell, Markup, bar, escaped, highlighted, joined, link
from deepseg_qgis.engine.reports.page import Page
from deepseg_qgis.errors import counted

MOST_CURVES = 10
"""More lines in one chart look alike."""
FEW_CATEGORIES = 12
"""With more of them, the page does without the table of IoU by category."""
BEST = "★ "


def write(path: str, runs: Sequence[Run], folder: str, destination: str) -> None:
    """Write the page; links in it are relative to its ``destination``.

    Raises:
        OutputError: it cannot be written.
    """
    best = best_run(runs)
    usable = ranked([run for run in runs if run.card is not None], best)
    page = Page("Models compared", f"{counted(len(usable), 'model')} in {folder}")
    page.notes(_notes(runs, best))
    if best is not None:
        page.headlines([(f"{best.run.title} ({best.measure})", best.score, best.reason)])
    if usable:
        columns = run_table(usable)
        _models(page, usable, columns, best, _Reports(destination))
        _shared_settings(page, columns)
        _curves(page, usable)
        _categories(page, usable, columns)
    _broken(page, [run for run in runs if run.card is None])
    page.write(path)


def _notes(runs: Sequence[Run], best: BestRun | None) -> list[str]:
    """Return what the reader must know before comparing."""
    notes = []
    broken = sum(run.card is None for run in runs)
    if broken:
        notes.append(f"{counted(broken, 'file')} cannot be used as a model: see the end.")
    if best is not None and len({run.ground for run in runs if run.card}) > 1:
        notes.append(
            "Not all models were validated on the same ground for the same categories. Their "
            "validation scores cannot be compared: run 'Evaluate a model' for each of them on one "
            "test area, save OUTPUT_JSON beside the model, and compare again."
        )
    return notes


def _models(
    page: Page,
    runs: Sequence[Run],
    columns: Sequence[Column],
    best: BestRun | None,
    reports: _Reports,
) -> None:
    """Append a row for each run: scores first, then the settings that are not all the same."""
    settings = [column for column in columns if column.setting and column.differs]
    results = [column for column in columns if column.name in ("epochs_run", "minutes")]
    tested = any(map(score_on_test_area, runs))
    reference = runs.index(best.run) if best else 0
    rows: list[list[Cell]] = []
    for number, run in enumerate(runs):
        mark = BEST if best and run is best.run else ""
        score = score_on_test_area(run)
        rows.append(
            [
                f"{mark}{run.title}",
                *[bar(score[1] if score else None)] * tested,
                bar(validation_score(run)),
                *(column.values[number] for column in results),
                *(_setting(column, number, reference) for column in settings),
                run.date,
                joined(reports.links(run)),
            ]
        )
    page.heading("Models")
    if settings:
        page.text(
            "Of the settings, only those that are not the same in all models have a column. Tinted "
            "is what differs from the best model. It comes first, then those that can be compared "
            "with it.",
            quiet=True,
        )
    page.table(
        [
            "Model",
            *["Test score (F1 or IoU)"] * tested,
            "Validation score",
            *(column.label for column in (*results, *settings)),
            "Date",
            "Reports",
        ],
        rows,
    )


def _setting(column: Column, number: int, reference: int) -> Cell:
    value = column.values[number]
    shown = _exact(value)
    return shown if value == column.values[reference] else highlighted(shown)


def _shared_settings(page: Page, columns: Sequence[Column]) -> None:
    shared = [column for column in columns if column.setting and not column.differs]
    if len(columns[0].values) > 1 and shared:
        page.heading("The same in all models")
    elif shared:
        page.heading("Settings")
    known = [column for column in shared if column.values[0] is not None]
    page.facts({column.label: _exact(column.values[0]) for column in known})


def _exact(value: Value) -> Value:
    """Return a setting nearly as it was given: 0.001 is not 0.00."""
    return f"{value:.4g}" if isinstance(value, float) else value


def _curves(page: Page, runs: Sequence[Run]) -> None:
    """Append the validation scores over epochs and over minutes, and the losses of training."""
    chosen = [run for run in runs if run.epochs][:MOST_CURVES]
    if not chosen:
        return
    page.heading("Curves")
    if len(chosen) < len(runs):
        page.text(f"The first {len(chosen)} of the table above that have a history.", quiet=True)

    def chart(x: Callable[[Run], Sequence[float] | None], name: str) -> dict[str, Curve]:
        along = [(run, x(run)) for run in chosen]
        return {run.title: (values, _history(run, name)) for run, values in along if values}

    by_epoch, by_minute, losses = (
        chart(_epochs, "validation_score"),
        chart(lambda run: run.minutes, "validation_score"),
        chart(_epochs, "train_loss"),
    )
    limits = (0.0, 1.0)
    page.picture(curve_chart(by_epoch, ("epoch", "score"), limits), "Validation score by epoch")
    if by_minute:
        page.picture(
            curve_chart(by_minute, ("minutes", "score"), limits),
            "Validation score by minutes of training",
        )
    page.picture(curve_chart(losses, ("epoch", "loss")), "Training loss by epoch")


def _epochs(run: Run) -> list[float]:
    return [float(epoch["epoch"]) for epoch in run.epochs]


def _history(run: Run, name: str) -> list[float | None]:
    return [finite(epoch.get(name)) for epoch in run.epochs]


def _categories(page: Page, runs: Sequence[Run], columns: Sequence[Column]) -> None:
    known = [column for column in columns if column.name.startswith("iou ")]
    if not 1 < len(known) <= FEW_CATEGORIES:
        return
    page.heading("IoU of each category on the validation areas")
    rows = [
        [run.title, *(bar(finite(column.values[number])) for column in known)]
        for number, run in enumerate(runs)
    ]
    page.table(["Model", *(column.label.removeprefix("IoU ") for column in known)], rows)


def _broken(page: Page, runs: Sequence[Run]) -> None:
    if runs:
        page.heading("No models")
        page.table(["File", "Why it cannot be used"], [[run.name, run.problem] for run in runs])


class _Reports:
    """The pages that lie beside models, as links from another page."""

    def __init__(self, destination: str) -> None:
        self._page = os.path.abspath(destination)
        self._names: dict[str, list[str]] = {}

    def links(self, run: Run) -> list[Markup]:
        """Return a link to each page that is called like the run's model, or longer."""
        folder, name = os.path.split(os.path.abspath(run.path))
        if folder not in self._names:
            self._names[folder] = sorted(os.listdir(folder))
        stems = [_stem(each) for each in self._names[folder] if each.endswith(MODEL_ENDING)]
        pages = [each for each in self._names[folder] if each.lower().endswith(".html")]
        mine = [each for each in pages if _longest(stems, each) == _stem(name)]
        places = [os.path.join(folder, each) for each in mine]
        return [self._link(place) for place in places if place != self._page]

    def _link(self, place: str) -> Markup:
        try:
            path = os.path.relpath(place, os.path.dirname(self._page))
        except ValueError:  # on another drive
            return escaped(os.path.basename(place))
        return link(path, os.path.basename(place))


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def _longest(stems: Sequence[str], name: str) -> str:
    """Return which of the stems a name starts with, the longest."""
    return max((stem for stem in stems if name.startswith(stem)), key=len, default="")
