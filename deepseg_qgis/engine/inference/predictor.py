"""A model that is ready to run on rasters."""

from __future__ import annotations

from dataclasses import dataclass

from deepseg_qgis.bounds import BATCH_SIZE
from deepseg_qgis.engine.backends.backend import Backend, CompilationError, Session
from deepseg_qgis.engine.backends.selection import Choice
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.inference import windows
from deepseg_qgis.engine.inference.windows import Layout
from deepseg_qgis.engine.legend.legend import check_threshold
from deepseg_qgis.engine.models.model_file import ModelFile
from deepseg_qgis.errors import ParameterError, counted


@dataclass(frozen=True)
class PredictionSettings:
    """How to predict; None stands for the default, ``threshold`` for the model's own."""

    device: str = "auto"
    precision: str = "auto"
    tile_size_px: int | None = None
    overlap_px: int | None = None
    batch_size: int | None = None
    threshold: float | None = None


class Predictor:
    """A model that is ready to run; `decided.predicted_cores` runs it over an area.

    Raises:
        ParameterError: a setting is out of bounds, or device and precision do not go together.
        ResourceError: the device is not there.
        ModelError: the file is damaged.
    """

    def __init__(self, model: ModelFile, settings: PredictionSettings, control: Control) -> None:
        _check(settings)
        self.card, self.fingerprint = model.card, model.fingerprint
        self.description = ""  # of the backend that `prepared` gave last
        self.legend = model.card.legend.with_threshold(settings.threshold)
        self._settings, self._control = settings, control
        self._choice = Choice(
            model, settings.device, settings.precision, settings.batch_size, control
        )
        self._plain = self._choice.backend()

    def prepared(self, raster: Raster, area: Area) -> tuple[Layout, Session]:
        """Return the windows over an area of a raster and what runs them; told in the log."""
        backend = self._plain
        if self._choice.needs_raster and area.size_px:
            backend = self._choice.int8_backend(raster, area, backend)
        layout = self._layout(backend, raster, area)
        try:
            session = backend.session(layout.height, layout.width)
        except CompilationError as error:  # OpenVINO compiles a network only now
            backend = self._plain = self._choice.fallen_back(error)
            layout = self._layout(backend, raster, area)
            session = backend.session(layout.height, layout.width)
        self.description = backend.description
        count = int(layout.wanted.sum())
        self._control.log(
            f"{raster.name}: {backend.description}, {counted(count, 'window')} of "
            f"{layout.height} × {layout.width} px, {session.batch_size} at a time."
        )
        return layout, session

    def _layout(self, backend: Backend, raster: Raster, area: Area) -> Layout:
        given, overlap = self._settings.tile_size_px, self._settings.overlap_px
        whole = raster.grid.window
        if given is None and backend.sees_whole_window:
            given = windows.default_tile_size(self.card.tile_size_px)
        if given is not None:
            return windows.square(whole, area, given, overlap)
        if overlap is None:
            return windows.fitted(whole, area, backend.most_window_px)
        return windows.fitted(whole, area, backend.most_window_px, overlap)


def _check(settings: PredictionSettings) -> None:
    """Check what can be checked before anything is loaded."""
    if settings.tile_size_px is not None:
        windows.check_tile_size(settings.tile_size_px)
    overlap = settings.overlap_px
    if overlap is not None:
        windows.check_overlap(settings.tile_size_px or windows.LARGEST_SIDE_PX, overlap)
    if settings.batch_size is not None and settings.batch_size not in BATCH_SIZE:
        raise ParameterError(f"The batch size must be at least 1, got {settings.batch_size}.")
    check_threshold(settings.threshold)
