"""The model on the disk while training goes on: no kill, crash or error takes it away."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.learning.record import Record
from deepseg_qgis.engine.learning.trained_network import TrainedNetwork
from deepseg_qgis.engine.models import model_file, weights
from deepseg_qgis.errors import ModelError, OutputError
from deepseg_qgis.events import Epoch

LONGEST_STEM = 50
"""Of the model's name so much stands in the checkpoint's: file names have their limits."""


@dataclass(frozen=True)
class SavedModel:
    """Where the model so far was saved, and after how many epochs."""

    path: str
    epochs: int


class Checkpoint:
    """The complete model after each epoch that was kept, at ``path``.

    That is the destination, or, where an older model stands, a file beside it: the older one is
    replaced by a finished training alone.

    Raises:
        OutputError: the model cannot be written there, found before any work is done.
    """

    def __init__(
        self, outputs: Outputs, destination: str, record: Record, control: Control
    ) -> None:
        self._outputs, self._destination = outputs, destination
        self._record, self._control = record, control
        self.path = _free_name(Path(destination)) if os.path.exists(destination) else destination
        self.saved: SavedModel | None = None
        outputs.path(self.path)

    def check_can_save(self, trained: TrainedNetwork) -> None:
        """Find out before the first epoch whether the model can be saved.

        Raises:
            ModelError: no algorithm could open it.
            OSError: it cannot be written.
        """
        place = self._outputs.path(self.path)
        weights.save(place, trained.weights, self._record.card(trained))
        os.remove(place)
        self._control.log(f"After each epoch the model so far is saved as {self.path}.")

    def take_over(self, saved: SavedModel | None, history: Sequence[Epoch]) -> None:
        """Save to where the interrupted training did, if what lies there still is its model.

        ``history`` is that of the interrupted training's last state.
        """
        if saved is None or not self._is_ours(saved, history):
            return
        self.path, self.saved = saved.path, saved
        self._outputs.path(self.path)

    def save(self, trained: TrainedNetwork) -> None:
        """Put the model so far on the disk; where that fails, the last one stays, and a warning."""
        try:
            self.saved = self._write(self.path, trained, finished=False)
        except (OSError, ModelError, OutputError) as error:
            self._control.warn(f"The model so far could not be saved ({error}). Training goes on.")

    def finish(self, trained: TrainedNetwork) -> None:
        """Put the model at its destination, where it stays.

        Raises:
            OutputError: it cannot be put there; the message says where it is.
        """
        self._write(self._destination, trained, finished=True)
        if self.path != self._destination:
            Path(self.path).unlink(missing_ok=True)  # no epoch may have been kept since
            self.path = self._destination

    def warn_of_error(self) -> None:
        """Say where the model is, after an error that ended the training."""
        if self.saved is not None:
            self._control.warn(
                f"The model as it was after epoch {self.saved.epochs} is kept: {self.path}"
            )

    def _write(self, path: str, trained: TrainedNetwork, *, finished: bool) -> SavedModel:
        place, card = self._outputs.path(path), self._record.card(trained)
        weights.save(place, trained.weights, card)
        self._outputs.place(path, finished=finished)
        return SavedModel(path, len(trained.history))

    def _is_ours(self, saved: SavedModel, history: Sequence[Epoch]) -> bool:
        """Whether a model's losses are this training's.

        It may be an epoch further: a run may be killed when the model is saved and its state not.
        """
        path, final = Path(saved.path), Path(self._destination)
        if path.parent != final.parent or not path.name.startswith((final.name, _stem(final))):
            return False
        try:
            entries = model_file.read(saved.path).card.history
        except ModelError:
            return False
        losses = {each.epoch: each.train_loss for each in history}
        found = {each["epoch"]: each["train_loss"] for each in entries}
        known = losses.keys() & found.keys()
        return (
            bool(known)
            and max(found) <= max(losses) + 1
            and all(losses[each] == found[each] for each in known)
        )


def _free_name(final: Path) -> str:
    """Return a name beside a file that says what it is, and that no other file has."""
    stem = _stem(final)
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    places = (final.with_name(f"{name}{final.suffix}") for name in names)
    return str(next(place for place in places if not place.exists()))


def _stem(final: Path) -> str:
    return f"{final.stem[:LONGEST_STEM]}.unfinished"
