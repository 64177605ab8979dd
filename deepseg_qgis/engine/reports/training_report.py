"""The report of a training run: curves, the score of each category, and what the model sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.geometry.areas import Area, box
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.inference.class_maps import class_map
from deepseg_qgis.engine.inference.model_predictor import PredictionSettings, model_predictor
from deepseg_qgis.engine.inference.predictor import Predictor
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.models.model_file import ModelFile
from deepseg_qgis.engine.reports import pictures
from deepseg_qgis.engine.reports.charts import line_chart
from deepseg_qgis.engine.reports.error_overlay import ERROR_LEGEND
from deepseg_qgis.engine.reports.markup import bar, category_label
from deepseg_qgis.engine.reports.page import Page, Rgb
from deepseg_qgis.events import Event, Progress

MOST_PICTURES = 3
MOST_PICTURE_SIDE_PX = 10_000
"""A validation area in a larger box is shown in part: it may be scattered over a huge raster."""
IOU = "IoU, the overlap of found and annotated ground"
QUALITY = "panoptic quality, the F1 of the objects times the overlap of those that were found"


def write(
    path: str, model: ModelFile, labelled_rasters: Sequence[LabelledRaster], control: Control
) -> None:
    """Write the report; the pictures show the validation areas, predicted anew.

    ``control`` hears of each tile; the wish to stop does not keep the report from being written.

    Raises:
        OutputError: it cannot be written.
    """
    card = model.card
    page = Page("Training", f"Model {Path(model.path).name}")
    _headline(page, card)
    _curves(page, card)
    page.heading("Categories")
    _categories(page, card)
    page.heading("The validation areas")
    page.legend(ERROR_LEGEND)
    _validation_areas(page, model, labelled_rasters, _unstopped(control))
    page.heading("How it was trained")
    _settings(page, card)
    page.write(path)


def _headline(page: Page, card: ModelCard) -> None:
    meaning = (
        f"{_measure(card)}, on the areas kept from training, from 0 (none) to 1 (perfect). The "
        "epoch that was kept and the thresholds were chosen on them, so test on a third area for a "
        "figure to quote."
    )
    page.headlines([("Validation score", card.validation_score, meaning)])


def _validation_areas(
    page: Page, model: ModelFile, labelled_rasters: Sequence[LabelledRaster], control: Control
) -> None:
    """Append pictures of what is right and wrong in some of them."""
    control.progress(0.0)
    predictor = model_predictor(model, PredictionSettings(), control)
    validated = [each for each in labelled_rasters if each.validation.size_px]
    for labelled in validated[:MOST_PICTURES]:
        page.picture(_picture(predictor, labelled, control), labelled.raster.name)


def _settings(page: Page, card: ModelCard) -> None:
    training = {name: _exact(value) for name, value in card.training.items()}
    page.facts(
        {
            "Network": str(card.design),
            "Bands": ", ".join(card.band_names),
            "Pixel on the ground": f"{card.resolution_m:.3g} m" if card.resolution_m else None,
            "Tile size": f"{card.tile_size_px} px",
            **{str(name).replace("_", " ").capitalize(): value for name, value in training.items()},
        }
    )


def _measure(card: ModelCard) -> str:
    if not any(card.countable):
        return f"Mean {IOU}"
    if all(card.countable):
        return f"{QUALITY[0].upper()}{QUALITY[1:]}"
    return (
        f"The mean over the categories: of those whose objects are told apart {QUALITY}; of the "
        f"others {IOU}"
    )


def _exact(value: Any) -> Any:
    """Return a setting as it was given: 0.001 is not 0.00."""
    return f"{value:g}" if isinstance(value, float) else value


def _categories(page: Page, card: ModelCard) -> None:
    """Append what each category adds to the score, with its IoU where that is something else."""
    scores = _kept(card).get("category_score", {}) if any(card.countable) else {}
    extra = ["Panoptic quality"] if scores else []
    rows: list[list[Any]] = []
    for number, category in enumerate(card.categories):
        name = category_label(category.name, category.colour)
        counted = bool(scores) and card.countable[number]
        quality = [bar(scores.get(category.name) if counted else None)] if scores else []
        rows.append([name, *quality, bar(card.validation_iou[number]), card.thresholds[number]])
    page.table(["Category", *extra, "IoU", "Threshold"], rows)


def _kept(card: ModelCard) -> Mapping[str, Any]:
    """Return the epoch that was kept, nothing if there is none."""
    return next((each for each in reversed(card.history) if each.get("kept")), {})


def _curves(page: Page, card: ModelCard) -> None:
    """Append the score and the losses over the epochs."""
    history = card.history
    epochs = [float(each["epoch"]) for each in history]
    kept = max((each["epoch"] for each in history if each["kept"]), default=None)
    mark = (float(kept), "epoch that was kept") if kept else None
    page.heading("Score per epoch")
    lines = {"validation score": [each["validation_score"] for each in history]}
    if len(card.categories) > 1:
        lines |= {
            each.name: [epoch["category_score"].get(each.name) for epoch in history]
            for each in card.categories
        }
    page.picture(
        line_chart(epochs, lines, ("epoch", "score"), (0.0, 1.0), mark),
        f"{_measure(card)}, on the validation areas",
    )
    losses = {
        "training": [each["train_loss"] for each in history],
        "validation (cross entropy alone)": [each["validation_loss"] for each in history],
    }
    page.picture(line_chart(epochs, losses, ("epoch", "loss")), "Loss")


def _unstopped(control: Control) -> Control:
    """Return a control that is never stopped and says no more than that the report is written."""

    def tell(event: Event) -> None:
        if isinstance(event, Progress):
            control.progress(1.0, f"Writing the report. {event.text}".strip())

    return Control(tell)


def pictured_area(labelled: LabelledRaster) -> Area:
    """Return the validation area, or what of it lies near one place where it reaches far."""
    whole = labelled.raster.grid.window
    around = labelled.validation.window(whole)
    if around.height * around.width <= MOST_PICTURE_SIDE_PX**2:
        return labelled.validation
    point = labelled.validation.geometry.representative_point()
    row, column = (int(each) - MOST_PICTURE_SIDE_PX // 2 for each in (point.y, point.x))
    near = Window(row, column, MOST_PICTURE_SIDE_PX, MOST_PICTURE_SIDE_PX)
    return labelled.validation.within(Area(box(near)))


def _picture(predictor: Predictor, labelled: LabelledRaster, control: Control) -> Rgb:
    found = class_map(predictor, labelled.raster, pictured_area(labelled), control)
    annotated = labelled.annotated.mask(found.region)
    return pictures.error_picture(
        labelled.raster, found.region, annotated, found.classes, found.known
    )
