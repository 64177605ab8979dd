"""The learning curves that `train` wrote as CSV, for the times of epochs, which no card keeps."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deepseg_qgis.engine.experiments.evaluation_files import finite

LARGEST_BYTES = 5_000_000
TOLD_BY = ("epoch", "train_loss", "validation_score")

Curve = tuple[tuple[float | None, ...], ...]
"""What tells a training from all others: number, loss and score of each epoch."""


def read_epoch_logs(paths: Sequence[str]) -> dict[Curve, tuple[float, ...]]:
    """Return the seconds of each epoch, by curve, of those files that are learning curves."""
    logs = (_read(path) for path in paths)
    return {curve_of(rows): tuple(row["seconds"] for row in rows) for rows in logs if rows}


def curve_of(epochs: Iterable[Mapping[str, Any]]) -> Curve:
    """Return the curve of epochs as a log or a card has them."""
    return tuple(tuple(finite(epoch.get(name)) for name in TOLD_BY) for epoch in epochs)


def _read(path: str) -> list[dict[str, float]]:
    """Return the rows of a learning curve, none if the file is something else."""
    names = (*TOLD_BY, "seconds")
    try:
        if os.path.getsize(path) > LARGEST_BYTES:
            return []
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if not set(names) <= set(reader.fieldnames or ()):
                return []
            return [{name: float(row[name] or "nan") for name in names} for row in reader]
    except (OSError, ValueError, TypeError, csv.Error):
        return []
