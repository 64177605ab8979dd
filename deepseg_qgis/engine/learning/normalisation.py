"""Mean and standard deviation of each band over training pixels. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.errors import RasterError


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each band over training pixels, in the raster's units."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    @classmethod
    def of(cls, pieces: Iterable[NDArray[np.float64]]) -> Normalisation:
        """Return that of pixels that come in pieces, (bands, pixels) float64 each.

        Raises:
            RasterError: there is none.
        """
        moments = RunningMoments()
        for piece in pieces:
            moments.add(piece)
        if moments.count == 0:
            raise RasterError(
                "The labelled area holds no data in the raster (all of it is masked or no-data). "
                "Check the raster's no-data value, or draw the AOI where the raster has data."
            )
        smallest = np.maximum(np.abs(moments.mean) * 1e-6, 1e-6)
        return cls(
            moments.mean.astype(np.float32), np.maximum(moments.std, smallest).astype(np.float32)
        )


class RunningMoments:
    """Mean and standard deviation of each band, over pixels that come in pieces.

    Source: Chan, Golub, LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances, COMPSTAT 1982.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: NDArray[np.float64] = np.zeros(1)
        self._squares: NDArray[np.float64] = np.zeros(1)

    @property
    def std(self) -> NDArray[np.float64]:
        """The standard deviation."""
        deviation: NDArray[np.float64] = np.sqrt(self._squares / self.count)
        return deviation

    def add(self, values: NDArray[np.float64]) -> None:
        """Take (bands, pixels) float64."""
        count = values.shape[1]
        if count == 0:
            return
        mean = values.mean(axis=1)
        difference, total = mean - self.mean, self.count + count
        self._squares = self._squares + np.square(values - mean[:, None]).sum(axis=1)
        self._squares += difference**2 * (self.count * count / total)
        self.mean = self.mean + difference * (count / total)
        self.count = total
