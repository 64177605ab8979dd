"""Runs as a table: settings and results, a column each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from deepseg_qgis.engine.experiments.evaluation_files import SCORES, finite
from deepseg_qgis.engine.experiments.runs import Run
from deepseg_qgis.engine.models.model_card import ModelCard

MOST_CATEGORIES = 24
"""With more of them, tables do without a column for the IoU of each."""
MOST_SETTINGS = 100
LONGEST_TEXT = 300
SETTING_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
RESERVED = ("fid", "geom", "ogc_fid")
"""What formats of tables call columns of their own."""

Value = str | int | float | None


@dataclass(frozen=True)
class Column:
    """One value for each run; all are of ``kind`` (``str``, ``int`` or ``float``) or None.

    ``name`` is what tables call it, ``label`` what people read; ``setting`` says whether it was
    given before the training, instead of what became of it.
    """

    name: str
    label: str
    values: list[Value]
    kind: type
    setting: bool = False

    @property
    def differs(self) -> bool:
        """Whether not all values are the same."""
        return len(set(self.values)) > 1


def run_table(runs: Sequence[Run]) -> list[Column]:
    """Return the columns of all runs, no two with names that differ only in their case."""
    columns = [
        _texts("model", "Model", [run.name for run in runs]),
        _texts("date", "Date", [run.date for run in runs]),
        _texts("problem", "Problem", [run.problem for run in runs]),
        *_settings(runs),
        *_results(runs),
        *_scores(runs),
        *_category_iou(runs),
    ]
    taken = set(RESERVED)
    return [each for each in columns if not _is_taken(each.name.casefold(), taken)]


def _settings(runs: Sequence[Run]) -> Iterator[Column]:
    """Yield what the cards say was given: what all have, then whatever a training noted."""

    def of(name: str, label: str, value: Callable[[ModelCard], Any]) -> Column:
        values = [None if run.card is None else value(run.card) for run in runs]
        return _column(name, label, values, setting=True)

    yield of("task", "Task", lambda card: card.task)
    yield of("categories", "Categories", lambda card: [each.name for each in card.categories])
    yield of("bands", "Bands", lambda card: card.band_names)
    yield of("resolution_m", "Resolution (m)", lambda card: card.resolution_m)
    yield of("architecture", "Architecture", lambda card: card.architecture)
    yield of("encoder", "Encoder", lambda card: card.encoder)
    yield of("decoder_channels", "Decoder channels", lambda card: card.decoder_channels)
    yield of("magnification", "Magnification", lambda card: card.magnification)
    yield of("tile_size_px", "Tile size (px)", lambda card: card.tile_size_px)
    noted = dict.fromkeys(name for run in runs if run.card for name in run.card.training)
    named = [name for name in noted if SETTING_NAME.fullmatch(name)][:MOST_SETTINGS]
    for name in named:
        label = name.replace("_", " ").capitalize()
        yield of(name, label, lambda card, name=name: card.training.get(name))  # type: ignore[misc]


def _results(runs: Sequence[Run]) -> Iterator[Column]:
    epochs = [int(run.epochs[-1]["epoch"]) if run.epochs else None for run in runs]
    minutes = [run.minutes[-1] if run.minutes else None for run in runs]
    scores = [None if run.card is None else run.card.validation_score for run in runs]
    yield Column("epochs_run", "Epochs run", [*epochs], int)
    yield Column("minutes", "Minutes", [*minutes], float)
    yield Column("validation_score", "Validation score", [*scores], float)


def _scores(runs: Sequence[Run]) -> Iterator[Column]:
    """Yield the scores on ground of their own, where any run has some."""
    found = [run.evaluation for run in runs]
    if not any(found):
        return
    yield _texts("evaluation", "Evaluation", [each.name if each else None for each in found])
    yield _texts("test_area", "Test area", [each.area if each else None for each in found])
    for name in SCORES:
        label = f"Test {name.replace('_', ' ')}"
        values = [each.scores[name] if each else None for each in found]
        yield Column(f"test_{name}", label, [*values], float)


def _category_iou(runs: Sequence[Run]) -> Iterator[Column]:
    """Yield the validation IoU of each category, unless there are many."""
    known = [_iou(run.card) for run in runs]
    names = dict.fromkeys(name for each in known for name in each)
    for name in names if len(names) <= MOST_CATEGORIES else ():
        values = [each.get(name) for each in known]
        yield Column(_text(f"iou {name}") or "", f"IoU {name}", [*values], float)


def _iou(card: ModelCard | None) -> dict[str, float | None]:
    if card is None:
        return {}
    return dict(zip((each.name for each in card.categories), card.validation_iou, strict=False))


def _texts(name: str, label: str, values: Sequence[str | None]) -> Column:
    return Column(name, label, [_text(value) for value in values], str)


def _column(name: str, label: str, values: Sequence[Any], *, setting: bool) -> Column:
    """Return a column of the narrowest kind that holds all values; None stands for nothing."""
    known = [value for value in values if value is not None]
    numbers = [finite(value) for value in known]
    if known and None not in numbers:
        kind = int if all(isinstance(value, int) for value in known) else float
        return Column(name, label, [None if v is None else kind(v) for v in values], kind, setting)
    return Column(name, label, [_text(value) for value in values], str, setting)


def _text(value: Any) -> str | None:
    if value is None or value in ("", (), []):
        return None
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, (list, tuple)):
        text = ", ".join(str(each) for each in value)
    else:
        text = str(value)
    text = text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
    # file names and JSON may hold what is no text in any encoding
    return text.encode("utf-8", "replace").decode("utf-8")


def _is_taken(name: str, taken: set[str]) -> bool:
    """Return whether a name is taken; it is from now on."""
    if name in taken:
        return True
    taken.add(name)
    return False
