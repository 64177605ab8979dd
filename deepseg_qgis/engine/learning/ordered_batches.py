"""The batches of a training as another process asks for them."""

from __future__ import annotations

from collections.abc import Callable, Generator

from deepseg_qgis.engine.learning.training_sample import TrainingBatch


class OrderedBatches:
    """Batches by epoch and number: one after the other, the last one again, or an epoch anew.

    ``read`` returns the batches of an epoch.
    """

    def __init__(self, read: Callable[[int], Generator[TrainingBatch, None, None]]) -> None:
        self._read = read
        self._batches: Generator[TrainingBatch, None, None] | None = None
        self._last: tuple[tuple[int, int], TrainingBatch] | None = None

    def get(self, epoch: int, number: int) -> TrainingBatch:
        """Return a batch."""
        if self._last is not None and self._last[0] == (epoch, number):
            return self._last[1]
        if number == 0:
            self.close()
            self._batches = self._read(epoch)
        assert self._batches is not None  # an epoch begins with its first batch
        self._last = (epoch, number), next(self._batches)
        return self._last[1]

    def close(self) -> None:
        """Read no more of the epoch."""
        if self._batches is not None:
            self._batches.close()
