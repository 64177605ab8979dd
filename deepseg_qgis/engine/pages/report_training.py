"""The report of a training run: curves, the score of each category, and what the model sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.inference.class_maps import class_map
from deepseg_qgis.engine.inference.inference import Inference, Settings
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.models.model_file import ModelFile
from deepseg_qgis.engine.pages import pictures, report
from deepseg_qgis.engine.pages.report import Page
from deepseg_qgis.engine.truth.ground_truth import GroundTruth

MOST_PICTURES = 3
MEASURES = {
    False: "Mean IoU, the overlap of found and annotated ground,",
    True: "Panoptic quality, the F1 of the objects times the overlap of those that were found,",
}
"""What the score is, without and with objects that are told apart."""


def write(path: str, model_path: str, model: ModelFile, truths: Sequence[GroundTruth]) -> None:
    """Write the report; the pictures show the validation areas, predicted anew.

    Raises:
        OutputError: it cannot be written.
    """
    card = model.card
    page = Page("Training", f"Model {Path(model_path).name}")
    page.headlines(
        [
            (
                "Validation score",
                card.validation_score,
                f"{MEASURES[card.objects]} on the areas kept from training, from 0 (none) to 1 "
                "(perfect). The epoch that was kept and the thresholds were chosen on them, so "
                "test on a third area for a figure to quote.",
            )
        ]
    )
    _curves(page, card)
    page.heading("Categories")
    page.table(
        ["Category", "IoU", "Threshold"],
        [
            [
                report.Markup(f"{report.swatch(each.colour)}{report.escaped(each.name)}"),
                report.bar(iou),
                threshold,
            ]
            for each, iou, threshold in zip(
                card.categories, card.validation_iou, card.thresholds, strict=True
            )
        ],
    )
    page.heading("The validation areas")
    page.error_legend()
    inference = Inference(model, Settings(), Control())
    for truth in [each for each in truths if each.validation.size_px][:MOST_PICTURES]:
        page.picture(_picture(inference, truth), truth.raster.name)
    page.heading("How it was trained")
    page.facts(
        {
            "Network": f"{card.architecture} with encoder {card.encoder}",
            "Bands": ", ".join(card.band_names),
            "Pixel on the ground": f"{card.resolution_m:.3g} m" if card.resolution_m else None,
            "Tile size": f"{card.tile_size_px} px",
            **{str(name).replace("_", " "): value for name, value in card.training.items()},
        }
    )
    page.write(path)


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
            each.name: [epoch["category_iou"].get(each.name) for epoch in history]
            for each in card.categories
        }
    page.picture(
        report.line_chart(epochs, lines, ("epoch", "IoU"), (0.0, 1.0), mark),
        "IoU on the validation areas",
    )
    losses = {
        "training": [each["train_loss"] for each in history],
        "validation (cross entropy alone)": [each["validation_loss"] for each in history],
    }
    page.picture(report.line_chart(epochs, losses, ("epoch", "loss")), "Loss")


def _picture(inference: Inference, truth: GroundTruth) -> report.Rgb:
    found = class_map(inference, truth.raster, truth.validation, Control())
    rgb = pictures.picture(truth.raster, found.region)
    shape = rgb.shape[:2]
    return report.overlay(
        rgb,
        pictures.shrunk(truth.annotated.mask(found.region), shape),
        pictures.shrunk(found.classes, shape),
        np.asarray(pictures.shrunk(found.known, shape), dtype=bool),
    )
