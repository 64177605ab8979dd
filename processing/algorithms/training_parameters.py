"""What training takes, in the dialogs of all algorithms that train."""

from __future__ import annotations

from typing import Any

from deepseg_qgis.processing.algorithms.parameters import (
    Parameters,
    advanced,
    area_of_interest,
    category_field,
    choice,
    device,
    number,
    polygons,
    rasters,
    text,
    whole_number,
)
from deepseg_qgis.processing.layers.inputs import Inputs

from deepseg_qgis import bounds
from deepseg_qgis.catalogue import ARCHITECTURES, ENCODERS
from deepseg_qgis.choices import AUTO, CLASS_WEIGHTINGS, MODEL_SIZES, TASKS
from deepseg_qgis.formats import WEIGHTS


def annotated_ground() -> Parameters:
    """Return what to learn from."""
    return [
        rasters(),
        polygons("ANNOTATIONS", "Annotations"),
        category_field("ANNOTATIONS"),
        area_of_interest("annotated completely (empty: around the annotations)"),
    ]


def learning() -> Parameters:
    """Return how to learn from it."""
    return [
        advanced(polygons("VALIDATION_AOI", "Validation area", optional=True)),
        advanced(
            number(
                "VALIDATION_FRACTION",
                "Share of the labelled area kept for validation (if no area is given)",
                0.2,
                bounds.VALIDATION_FRACTION,
            )
        ),
        choice("TASK", "Task (auto: by how the annotations lie)", TASKS, "auto"),
        text("STUFF_CATEGORIES", "Categories that nobody counts, like water (by commas)"),
        advanced(choice("CLASS_WEIGHTING", "Weight of rare categories", CLASS_WEIGHTINGS, "none")),
        choice("MODEL_SIZE", "Model size", MODEL_SIZES, "medium"),
        advanced(
            choice("ARCHITECTURE", "Architecture (empty = by model size)", ARCHITECTURES, None)
        ),
        advanced(choice("ENCODER", "Encoder (empty = by model size)", ENCODERS, None)),
        advanced(
            text(
                "ENCODER_WEIGHTS",
                "Pretrained encoder weights: auto, none, a name or a file",
                AUTO,
            )
        ),
        *_optimisation(),
    ]


def training_values(inputs: Inputs) -> dict[str, Any]:
    """Return the values of both, by the fields of `TrainingJob`."""
    return {
        "rasters": inputs.rasters(),
        "annotations": inputs.polygons("ANNOTATIONS"),
        "aoi": inputs.optional_polygons("AOI"),
        "validation_aoi": inputs.optional_polygons("VALIDATION_AOI"),
        "validation_fraction": inputs.number("VALIDATION_FRACTION"),
        "task": inputs.choice("TASK"),
        "stuff_categories": inputs.texts("STUFF_CATEGORIES"),
        "class_weighting": inputs.choice("CLASS_WEIGHTING"),
        "model_size": inputs.choice("MODEL_SIZE"),
        "architecture": inputs.optional_choice("ARCHITECTURE"),
        "encoder": inputs.optional_choice("ENCODER"),
        "encoder_weights": inputs.word_or_file("ENCODER_WEIGHTS", WEIGHTS) or AUTO,
        "epochs": inputs.whole("EPOCHS"),
        "max_minutes": inputs.optional_number("MAX_MINUTES"),
        "tile_size_px": inputs.whole("TILE_SIZE"),
        "batch_size": inputs.whole("BATCH_SIZE"),
        "learning_rate": inputs.number("LEARNING_RATE"),
        "patience": inputs.optional_whole("PATIENCE"),
        "seed": inputs.whole("SEED"),
        "device": inputs.choice("DEVICE"),
    }


def _optimisation() -> Parameters:
    """Return how the network learns."""
    tile_size = "Tile size (px, a multiple of 32)"
    patience = "Stop after so many epochs without gain (empty: never)"
    return [
        whole_number("EPOCHS", "Epochs", 20, bounds.EPOCHS),
        number(
            "MAX_MINUTES",
            "Maximum training time (minutes, empty = no limit)",
            None,
            bounds.MINUTES,
        ),
        whole_number("TILE_SIZE", tile_size, 256, bounds.TILE_SIZE_PX),
        advanced(whole_number("BATCH_SIZE", "Batch size (tiles)", 8, bounds.TRAINING_BATCH_SIZE)),
        advanced(number("LEARNING_RATE", "Highest learning rate", 0.001, bounds.LEARNING_RATE)),
        advanced(whole_number("PATIENCE", patience, None, bounds.PATIENCE)),
        advanced(whole_number("SEED", "Seed of the random numbers", 1, bounds.SEED)),
        device(),
    ]
