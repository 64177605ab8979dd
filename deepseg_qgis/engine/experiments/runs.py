"""The runs in a folder: model files, read by their cards alone, and the scores beside them.

A folder may hold anybody's files, so nothing in them is believed, and one that cannot be used is a
run with a problem.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.experiments.epoch_logs import curve_of, read_epoch_logs
from deepseg_qgis.engine.experiments.evaluation_files import (
    EvaluationFile,
    finite,
    read_evaluations,
)
from deepseg_qgis.engine.models import model_file
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.errors import ModelError, ParameterError

MODEL_ENDING = ".safetensors"


@dataclass(frozen=True)
class Run:
    """One training, as far as its model file tells.

    ``name`` is the file's path within the folder, ``date`` when it was written, in local time.
    ``card`` is None where ``problem`` says why the file is no model. ``evaluation`` has the newest
    scores of this model on ground of its own, ``seconds`` the times of its epochs by its log.
    """

    path: str
    name: str
    date: str
    card: ModelCard | None
    problem: str = ""
    evaluation: EvaluationFile | None = None
    seconds: tuple[float, ...] = ()

    @property
    def title(self) -> str:
        """Its name without the ending that all have."""
        return os.path.splitext(self.name)[0]

    @property
    def ground(self) -> str:
        """What runs share whose validation scores can be compared: ground and categories."""
        if self.card is None:
            return ""
        card = self.card
        # cards from before validation areas were kept in them tell by their training areas
        ground = card.validation_footprint or (card.data, card.footprint)
        same = (ground, [each.name for each in card.categories], card.countable)
        return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()

    @property
    def epochs(self) -> list[Mapping[str, Any]]:
        """The epochs of its history that have a number, the first one first."""
        history = self.card.history if self.card else ()
        known = [each for each in history if finite(each.get("epoch")) is not None]
        return sorted(known, key=lambda each: float(each["epoch"]))

    @property
    def minutes(self) -> list[float] | None:
        """How long it had been trained at the end of each of `epochs`; None if not known."""
        known = [finite(epoch.get("seconds")) for epoch in self.epochs]
        seconds = self.seconds or tuple(each for each in known if each is not None)
        whole = [epoch["epoch"] for epoch in self.epochs] == list(range(1, len(seconds) + 1))
        if not seconds or not whole:  # of long histories some epochs were left out
            return None
        return [total / 60.0 for total in itertools.accumulate(seconds)]


def read_runs(folder: str, control: Control) -> list[Run]:
    """Return the runs of all model files in a folder and its subfolders, by name.

    Weights are not read. Hidden folders are passed over.

    Raises:
        ParameterError: there is no such folder, or no model file in it.
        Stopped: the user asked to.
    """
    if not os.path.isdir(folder):
        raise ParameterError(f"The folder {folder} is not there. Choose the folder of your models.")
    files = sorted(_files(folder, control))
    models = [path for path in files if path.lower().endswith(MODEL_ENDING)]
    if not models:
        raise ParameterError(
            f"The folder {folder} holds no model ({MODEL_ENDING}). Choose the folder that your "
            "models were saved in."
        )
    runs = []
    for done, path in enumerate(models):
        control.check()
        control.progress(0.8 * done / len(models), f"Reading model {done + 1} of {len(models)}")
        runs.append(_read(path, folder))
    evaluations = read_evaluations([each for each in files if each.endswith(".json")], folder)
    logs = read_epoch_logs([each for each in files if each.endswith(".csv")])
    return [
        replace(
            run,
            evaluation=_newest(evaluations, run),
            seconds=logs.get(curve_of(run.epochs), ()),
        )
        for run in runs
    ]


def _files(folder: str, control: Control) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        control.check()
        folders[:] = [each for each in folders if not each.startswith(".")]
        yield from (os.path.join(place, name) for name in names if not name.startswith("."))


def _read(path: str, folder: str) -> Run:
    name = os.path.relpath(path, folder)
    try:
        date = datetime.fromtimestamp(os.path.getmtime(path)).strftime("%Y-%m-%d %H:%M:%S")
        return Run(path, name, date, model_file.read_card(path))
    except ModelError as error:
        return Run(path, name, date, None, str(error))
    except (OSError, ValueError, OverflowError) as error:
        return Run(path, name, "", None, f"It cannot be read ({error}).")


def _newest(evaluations: Sequence[EvaluationFile], run: Run) -> EvaluationFile | None:
    """Return the newest scores of a run's model; those of an older model of its name are others."""
    if run.card is None:
        return None
    mine = [
        each
        for each in evaluations
        if each.model == os.path.basename(run.path)
        and each.validation_score == run.card.validation_score
    ]
    return max(mine, key=lambda each: each.modified, default=None)
