"""All that a training needs to go on after an epoch as if it had never stopped, and its file.

A state is a safetensors file with the numbers as JSON in its metadata. Nothing in it is executed,
and nothing believed: numbers are read by their types, tensors are checked where they are put back.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import safetensors.torch
import torch

from deepseg_qgis import jobs
from deepseg_qgis.engine.learning.checkpoint import SavedModel
from deepseg_qgis.engine.learning.schedule import Schedule
from deepseg_qgis.engine.learning.trainer_state import AVERAGE, TrainerState, named
from deepseg_qgis.engine.learning.validation import Validation
from deepseg_qgis.errors import ContractError
from deepseg_qgis.events import Epoch

METADATA_KEY = "deepseg training"
KEPT = "kept."
"""Prefix of the names of tensors that the model has, where the network has moved on since."""


@dataclass(frozen=True)
class KeptNetwork:
    """The weights that the model has so far, on the CPU, and their validation."""

    weights: dict[str, torch.Tensor]
    validation: Validation


@dataclass(frozen=True)
class TrainingState:
    """A training after its last finished epoch; ``history`` has all of them.

    ``model`` is where the model so far was saved.
    """

    trainer: TrainerState
    history: tuple[Epoch, ...] = ()
    kept: KeptNetwork | None = None
    model: SavedModel | None = None


@dataclass(frozen=True)
class _Numbers:
    """What of a state are no tensors."""

    step: int
    schedule: Schedule
    rate_share: float
    parts: int
    history: tuple[Epoch, ...]
    validation: Validation | None
    model: SavedModel | None


def write(path: str, state: TrainingState) -> None:
    """Write a state's file.

    Raises:
        OSError: it cannot be written.
    """
    trainer = state.trainer
    tensors = dict(trainer.tensors)
    if state.kept is not None and not state.history[-1].kept:
        tensors |= {KEPT + name: each for name, each in state.kept.weights.items()}
    numbers = _Numbers(
        trainer.step,
        trainer.schedule,
        trainer.rate_share,
        trainer.parts,
        state.history,
        state.kept.validation if state.kept else None,
        state.model,
    )
    text = json.dumps(asdict(numbers), allow_nan=False)
    whole = {name: each.contiguous() for name, each in tensors.items()}
    try:
        safetensors.torch.save_file(whole, path, {METADATA_KEY: text})
    except safetensors.SafetensorError as error:  # a full disk comes as one
        raise OSError(str(error)) from error


def read(path: str) -> TrainingState:
    """Return the state in a file; its tensors are checked when they are put back.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no state, or damaged.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            text = (file.metadata() or {})[METADATA_KEY]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        numbers = jobs.typed(_Numbers, json.loads(text), "state")
    except (safetensors.SafetensorError, KeyError, TypeError, ContractError) as error:
        raise ValueError(f"{path} is no state of a training: {error}") from error
    trainer = TrainerState(
        {name: each for name, each in tensors.items() if not name.startswith(KEPT)},
        numbers.step,
        numbers.schedule,
        numbers.rate_share,
        numbers.parts,
    )
    return TrainingState(trainer, numbers.history, _kept(tensors, numbers), numbers.model)


def _kept(tensors: dict[str, torch.Tensor], numbers: _Numbers) -> KeptNetwork | None:
    if numbers.validation is None:
        return None
    prefix = AVERAGE if numbers.history[-1].kept else KEPT
    return KeptNetwork(named(tensors, prefix), numbers.validation)
