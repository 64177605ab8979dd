"""Planes of any source, decided by a legend: ready to run on rasters."""

from __future__ import annotations

from dataclasses import dataclass, replace

from deepseg_qgis.engine.backends.backend import Backend, CompilationError, PlaneSource, Session
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.inference import windows
from deepseg_qgis.engine.inference.windows import Layout
from deepseg_qgis.engine.legend.legend import Legend
from deepseg_qgis.errors import counted


@dataclass(frozen=True)
class PreparedWindows:
    """Windows over an area of a raster and what runs them; ``description`` is of the backend."""

    layout: Layout
    session: Session
    description: str

    def after(self, done: int) -> PreparedWindows:
        """Return what is left of them after the first tiles."""
        return replace(self, layout=self.layout.after(done))


class Predictor:
    """What is predicted with; `predicted_cores` runs it over an area.

    ``fingerprint`` tells the source from all others.

    Args:
        legend: what the source's planes mean.
        source: makes planes of windows.
        control: how an area is run goes into its log.
        tile_size_px: side of the windows, None for what suits source and area.
        overlap_px: how much neighbours share at least, None for what suits the windows.
    """

    def __init__(
        self,
        legend: Legend,
        source: PlaneSource,
        control: Control,
        *,
        tile_size_px: int | None = None,
        overlap_px: int | None = None,
    ) -> None:
        self.legend, self.fingerprint = legend, source.fingerprint
        self._source, self._control = source, control
        self._tile_size_px, self._overlap_px = tile_size_px, overlap_px

    def prepare(self, raster: Raster, area: Area) -> PreparedWindows:
        """Lay windows over an area of a raster, and make ready what runs them."""
        try:
            prepared = self._prepare(self._source.backend(raster, area), raster, area)
        except CompilationError as error:  # the window size is known, and compiled for, only now
            prepared = self._prepare(self._source.fallback(error), raster, area)
        layout, batch_size = prepared.layout, prepared.session.batch_size
        self._control.log(
            f"{raster.name}: {prepared.description}, "
            f"{counted(int(layout.wanted.sum()), 'window')} of {layout.height} × {layout.width} "
            f"px, {batch_size} at a time."
        )
        return prepared

    def _prepare(self, backend: Backend, raster: Raster, area: Area) -> PreparedWindows:
        layout = self._layout(backend, raster.grid.window, area)
        session = backend.session(layout.height, layout.width)
        return PreparedWindows(layout, session, backend.description)

    def _layout(self, backend: Backend, raster: Window, area: Area) -> Layout:
        tile_size_px, overlap_px = self._tile_size_px, self._overlap_px
        if tile_size_px is None and backend.sees_whole_window:
            tile_size_px = windows.default_tile_size(self._source.tile_size_px)
        if tile_size_px is not None:
            return windows.square(raster, area, tile_size_px, overlap_px)
        if overlap_px is None:
            return windows.fitted(raster, area, backend.most_window_px)
        return windows.fitted(raster, area, backend.most_window_px, overlap_px)
