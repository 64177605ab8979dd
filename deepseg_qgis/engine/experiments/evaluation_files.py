"""The JSON files that `evaluate` wrote, as far as runs are compared by them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LARGEST_BYTES = 20_000_000
"""Of the scores of 254 categories; what is larger is something else."""
SCORES = ("f1", "precision", "recall", "count_error", "map", "ap50", "mean_iou", "pq")


@dataclass(frozen=True)
class EvaluationFile:
    """Scores of a model on an area: ``scores`` has those of `SCORES`, None for what is not there.

    ``model`` is the name of the model's file and ``validation_score`` what its card said: together
    they tell it from later models of that name. ``area`` tells apart where it was evaluated.
    """

    name: str
    modified: float
    model: str
    validation_score: float | None
    area: str
    scores: Mapping[str, float | None]


def read_evaluations(paths: Sequence[str], folder: str) -> list[EvaluationFile]:
    """Return those of the JSON files that are evaluations; ``name`` is a path within the folder."""
    found = (_read(path, folder) for path in paths)
    return [each for each in found if each is not None]


def finite(value: object) -> float | None:
    """Return a number as JSON may hold it, None for all else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # whole numbers of JSON have no end
    return float(value) if abs(value) < 1e15 else None


def _read(path: str, folder: str) -> EvaluationFile | None:
    try:
        if os.path.getsize(path) > LARGEST_BYTES:
            return None
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        modified = os.path.getmtime(path)
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or not isinstance(content.get("model"), str):
        return None
    if not {"confusion", "rasters", "aoi_px", *SCORES} <= set(content):
        return None
    return EvaluationFile(
        name=os.path.relpath(path, folder),
        modified=modified,
        model=content["model"],
        validation_score=finite(content.get("validation_score")),
        area=_area(content),
        scores={name: finite(content[name]) for name in SCORES},
    )


def _area(content: Mapping[str, Any]) -> str:
    rasters = content["rasters"] if isinstance(content["rasters"], list) else []
    named = ", ".join(str(each) for each in rasters[:3])
    more = f" and {len(rasters) - 3} more" if len(rasters) > 3 else ""
    return f"{named}{more}, {finite(content['aoi_px']) or 0.0:,.0f} px"[:200]
