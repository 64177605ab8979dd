"""Predictions that may be stopped, killed and continued.

What was decided is kept in a journal; a later run of the same prediction takes it from there and
goes on. Outlines and files are made anew from it, which is fast, so that the result is that of a
run without interruption, byte for byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import shapely

from deepseg_qgis import __version__
from deepseg_qgis.engine.backends import network_cache
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.inference import windows
from deepseg_qgis.engine.inference.predicted_cores import PredictedCore, computed
from deepseg_qgis.engine.inference.predictor import Predictor
from deepseg_qgis.engine.inference.windows import Layout
from deepseg_qgis.engine.legend.decisions import as_levels
from deepseg_qgis.engine.resuming.coverage import Coverage
from deepseg_qgis.engine.resuming.journal import HEAD, Journal
from deepseg_qgis.engine.resuming.journal_folder import JournalFolder
from deepseg_qgis.errors import RasterError, Stopped, counted

LEAST_WINDOWS = 10
"""Fewer are predicted again faster than anybody would look for a journal."""
ARRAYS = 4
"""So many bytes a pixel a decided core has at most: class, probability, height, known or not."""
MOST_WATCHED = 64
"""So many files of a raster are looked at after each window (a VRT may have thousands)."""
ENGINES = ("openvino", "torch")


class ResumablePrediction:
    """The prediction of several rasters with one model; see the module.

    Args:
        inference: the model.
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
        self.card, self.legend = predictor.card, predictor.legend
        self._files = {raster.source: Files.of(raster.files) for raster in rasters}
        self._all_files = Files.of([path for raster in rasters for path in raster.files])
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
            with contextlib.closing(self._known(raster, coverage, control, with_planes)) as cores:
                for found in cores:
                    coverage.done += 1
                    text = f"{raster.name}: tile {coverage.done} of {len(coverage.tiles)}"
                    control.progress(coverage.done / len(coverage.tiles), text)
                    yield found
        if self._control.stopped and not any(each.done for each in self.coverages):
            raise Stopped("Stopped before anything was predicted. Nothing was written.")
        for tile in coverage.tiles[coverage.done :]:
            yield PredictedCore(tile.core, None, None, None)

    def _known(
        self, raster: Raster, coverage: Coverage, control: Control, with_planes: bool
    ) -> Generator[PredictedCore, None, None]:
        """Yield the cores from the journal, and run the others until the user stops."""
        area = coverage.area
        layout, session = self._predictor.prepared(raster, area)
        coverage.tiles = layout.tiles
        files = self._files.get(raster.source, self._all_files)
        journal = self._journal(raster, area, layout, files, with_planes)
        if journal:
            control.log(
                f"{raster.name}: continuing a run that was interrupted: {len(journal):,} of "
                f"{counted(len(layout.tiles), 'tile')} done."
            )
            yield from journal.replay([tile.core for tile in layout.tiles])
        if self._control.stopped or coverage.complete:
            return
        rest = layout.after(coverage.done), session
        found_now = computed(self._predictor, rest, raster, area, with_planes=with_planes)
        with contextlib.closing(found_now) as cores:
            for found in cores:
                files.check()
                journal = self._recorded(found, journal, raster.name)
                yield found
                if self._control.stopped:
                    return

    def _recorded(self, found: PredictedCore, journal: Journal | None, name: str) -> Journal | None:
        """Append to the journal; return it if it can take more."""
        if journal is not None:
            try:
                journal.add(found)
            except OSError as error:
                self._control.log(
                    f"{name}: the journal ends here ({error.strerror}). Should this run be "
                    "interrupted, it will continue from here."
                )
                return None
        return journal

    def _journal(
        self, raster: Raster, area: Area, layout: Layout, files: Files, with_planes: bool
    ) -> Journal | None:
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
            engine=self._predictor.description,
            libraries=" ".join(importlib.metadata.version(name) for name in ENGINES),
            model=self._predictor.fingerprint,
            every=with_planes,
            levels=as_levels(self._predictor.legend.thresholds).tobytes().hex(),
            files=repr(files.states),
            meaning=repr(self._meanings),
            grid=repr((raster.source, tuple(grid.transform), grid.width, grid.height)),
            crs=grid.crs.to_wkt() if grid.crs is not None else "",
            area=hashlib.sha256(shapely.to_wkb(area.geometry)).hexdigest(),
            layout=hashlib.sha256(repr(layout.tiles).encode()).hexdigest(),
        )
        pixels = sum(tile.core.height * tile.core.width for tile in layout.tiles)
        arrays = ARRAYS + (len(self._predictor.legend.planes) if with_planes else 0)
        return self._journals.open(name, raster.name, arrays * pixels)


@dataclass(frozen=True)
class Files:
    """The files that a raster is read from, each with its size and time of change in ns.

    ``states`` is empty where one of them is no file of this computer's.
    """

    states: tuple[tuple[str, int, int], ...]

    @classmethod
    def of(cls, paths: Sequence[str]) -> Files:
        """Return the files at these paths as they are now."""
        try:
            return cls(tuple(_state(path) for path in sorted(set(paths))))
        except OSError:
            return cls(())

    def check(self) -> None:
        """Check that they are what they were.

        Raises:
            RasterError: one is gone or was changed.
        """
        for state in self.states[:MOST_WATCHED]:
            try:
                what = "" if _state(state[0]) == state else "was changed while it was read"
            except FileNotFoundError:
                what = "is not there any more"
            except OSError:
                continue  # a drive that is busy; reading says if it is gone
            if what:
                raise RasterError(
                    f"{state[0]} {what}. Expected it to stay as it is until the work is done: "
                    "check the drive or the network, and run it again."
                )


def _state(path: str) -> tuple[str, int, int]:
    found = os.stat(path)
    return os.path.abspath(path), found.st_size, found.st_mtime_ns
