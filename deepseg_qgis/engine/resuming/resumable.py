"""Predictions that may be stopped, killed and continued.

What was decided is kept in a journal; a later run of the same prediction takes it from there and
goes on. Outlines and files are made anew from it, which is fast, so that the result is that of a
run without interruption, byte for byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
from collections.abc import Generator, Sequence

import shapely

from deepseg_qgis import __version__
from deepseg_qgis.engine.backends import network_cache
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.inference import windows
from deepseg_qgis.engine.inference.predicted_cores import PredictedCore, run_windows
from deepseg_qgis.engine.inference.predictor import Predictor, PreparedWindows
from deepseg_qgis.engine.legend.decisions import as_levels
from deepseg_qgis.engine.resuming.coverage import Coverage
from deepseg_qgis.engine.resuming.file_states import FileStates
from deepseg_qgis.engine.resuming.journal import HEAD, Journal
from deepseg_qgis.engine.resuming.journal_folder import JournalFolder
from deepseg_qgis.errors import Stopped, counted

LEAST_WINDOWS = 10
"""Fewer are predicted again faster than anybody would look for a journal."""
ARRAYS = 4
"""So many bytes a pixel a decided core has at most: class, probability, height, known or not."""
ENGINES = ("openvino", "torch")


class ResumablePrediction:
    """The prediction of several rasters with one predictor; see the module.

    Args:
        predictor: what is predicted with.
        rasters: all that were opened; what is predicted may be made of several of them.
        journals: where journals are kept, None for a run that is not to be continued.
        control: says when to stop.
    """

    def __init__(
        self,
        predictor: Predictor,
        rasters: Sequence[Raster],
        journals: JournalFolder | None,
        control: Control,
    ) -> None:
        self._predictor, self._journals, self._control = predictor, journals, control
        self.legend = predictor.legend
        self._files = {raster.source: FileStates.of(raster.files) for raster in rasters}
        self._all_files = FileStates.of([path for raster in rasters for path in raster.files])
        self._meanings = [each.meaning_hash for each in rasters]
        self.coverages: list[Coverage] = []

    @property
    def complete(self) -> bool:
        """Whether nothing of what was asked for is missing."""
        return all(coverage.complete for coverage in self.coverages)

    @property
    def text(self) -> str:
        """What is covered, raster by raster, in words."""
        return "; ".join(coverage.text for coverage in self.coverages) + "."

    def predicted_cores(
        self, raster: Raster, area: Area, control: Control, *, with_planes: bool = False
    ) -> Generator[PredictedCore, None, None]:
        """Yield the cores of an area, as the function does; what Stop left out has no arrays.

        Raises:
            RasterError: a block is broken, or a file was changed meanwhile.
            ResourceError: another process is at this very prediction.
            Stopped: the user stopped, and nothing at all is covered.
        """
        coverage = Coverage(raster.name, raster.grid, area)
        self.coverages.append(coverage)
        if self._control.stopped and len(self.coverages) > 1:
            layout = windows.fitted(raster.grid.window, area, windows.LARGEST_SIDE_PX**2)
            coverage.tiles = layout.tiles  # nothing is made ready for what will not be run
        else:
            running = self._covered(raster, coverage, control, with_planes)
            with contextlib.closing(running) as cores:
                for core in cores:
                    coverage.done += 1
                    text = f"{raster.name}: tile {coverage.done} of {len(coverage.tiles)}"
                    control.progress(coverage.done / len(coverage.tiles), text)
                    yield core
        if self._control.stopped and not any(each.done for each in self.coverages):
            raise Stopped("Stopped before anything was predicted. Nothing was written.")
        for tile in coverage.tiles[coverage.done :]:
            yield PredictedCore(tile.core, None, None, None)

    def _covered(
        self, raster: Raster, coverage: Coverage, control: Control, with_planes: bool
    ) -> Generator[PredictedCore, None, None]:
        """Yield the cores from the journal, and run the others until the user stops."""
        area = coverage.area
        prepared = self._predictor.prepare(raster, area)
        coverage.tiles = prepared.layout.tiles
        files = self._files.get(raster.source, self._all_files)
        journal = self._open_journal(raster, area, prepared, files, with_planes)
        if journal:
            control.log(
                f"{raster.name}: continuing a run that was interrupted: {len(journal):,} of "
                f"{counted(len(coverage.tiles), 'tile')} done."
            )
            yield from journal.replay([tile.core for tile in coverage.tiles])
        if self._control.stopped or coverage.complete:
            return
        rest = prepared.after(coverage.done)
        running = run_windows(rest, self.legend, raster, area, with_planes=with_planes)
        with contextlib.closing(running) as cores:
            for core in cores:
                files.check()
                journal = self._record(core, journal, raster.name)
                yield core
                if self._control.stopped:
                    return

    def _record(self, core: PredictedCore, journal: Journal | None, name: str) -> Journal | None:
        """Append to the journal; return it if it can take more."""
        if journal is not None:
            try:
                journal.add(core)
            except OSError as error:
                self._control.log(
                    f"{name}: the journal ends here ({error.strerror}). Should this run be "
                    "interrupted, it will continue from here."
                )
                return None
        return journal

    def _open_journal(
        self,
        raster: Raster,
        area: Area,
        prepared: PreparedWindows,
        files: FileStates,
        with_planes: bool,
    ) -> Journal | None:
        """Return the journal of an area of a raster, None if there is to be none."""
        layout = prepared.layout
        if self._journals is None or layout.wanted.sum() < LEAST_WINDOWS:
            return None
        if not files.states:
            self._control.log(
                f"{raster.name} is no plain file: a change of it would not be noticed. Should this "
                "run be interrupted, it will have to start again."
            )
            return None
        grid = raster.grid
        name = network_cache.key(
            journal=HEAD.decode(),
            version=__version__,
            engine=prepared.description,
            libraries=" ".join(importlib.metadata.version(name) for name in ENGINES),
            model=self._predictor.fingerprint,
            every=with_planes,
            levels=as_levels(self.legend.thresholds).tobytes().hex(),
            files=repr(files.states),
            meaning=repr(self._meanings),
            grid=repr((raster.source, tuple(grid.transform), grid.width, grid.height)),
            crs=grid.crs.to_wkt() if grid.crs is not None else "",
            area=hashlib.sha256(shapely.to_wkb(area.geometry)).hexdigest(),
            layout=hashlib.sha256(repr(layout.tiles).encode()).hexdigest(),
        )
        pixels = sum(tile.core.height * tile.core.width for tile in layout.tiles)
        arrays = ARRAYS + (len(self.legend.planes) if with_planes else 0)
        return self._journals.open(name, raster.name, arrays * pixels)
