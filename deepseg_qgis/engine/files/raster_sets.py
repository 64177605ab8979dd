"""The rasters of one run: opened together, and brought to the bands and resolution of a model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.raster_inputs import safety
from deepseg_qgis.engine.files.raster_inputs.band_selection import select_bands
from deepseg_qgis.engine.files.raster_inputs.bands import RasterKind
from deepseg_qgis.engine.files.raster_inputs.mosaic import mosaic_name
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.jobs import RasterSource


@contextlib.contextmanager
def open_rasters(
    sources: Sequence[RasterSource], control: Control | None = None, *, stored: bool = False
) -> Iterator[list[Raster]]:
    """Open several rasters at once; what the user should know about them is told in the log.

    ``stored`` asks for the stored numbers, see `Raster`.

    Raises:
        RasterError: one of them cannot be read, or most of what was read of one was broken.
    """
    control = control or Control()
    network = any(safety.is_remote(source.path) for source in sources)
    with contextlib.ExitStack() as stack:
        rasters = [
            stack.enter_context(Raster(source, control, network=network, stored=stored))
            for source in sources
        ]
        log_notices(rasters, control)
        yield rasters
        for raster in rasters:
            raster.check_read()


def as_mosaic(rasters: Sequence[Raster]) -> Raster:
    """Return several rasters as one picture (`Raster.mosaic`), named after all of them.

    Raises:
        RasterError: they differ in CRS, resolution or bands.
    """
    return Raster.mosaic(rasters, mosaic_name([raster.name for raster in rasters]))


def with_expected_bands(
    rasters: Sequence[Raster], kind: RasterKind, owner: str, control: Control
) -> list[Raster]:
    """Return the rasters as ``owner`` expects them; what changes is told in the log.

    Raises:
        RasterError: one has other bands, another data type or another unit.
    """
    selections = [select_bands(kind, raster.kind, owner, raster.name) for raster in rasters]
    for each in selections:
        for notice in each.notices:
            control.warn(notice)
    return [
        raster.with_bands(each.chosen, kind.dtype)
        for raster, each in zip(rasters, selections, strict=True)
    ]


def model_raster(rasters: Sequence[Raster]) -> Raster:
    """Return the raster whose bands a model of all of them takes.

    It is the first; where there are others, not one whose palette happens to hold greys alone.
    """
    return next((raster for raster in rasters if not raster.kind.bands[0].palette), rasters[0])


def at_model_resolution(
    rasters: Sequence[Raster], resolution_m: float | None, mosaic: bool, control: Control
) -> list[Raster]:
    """Return what a model of that resolution is to be run on; what changes is told in the log.

    With ``mosaic`` that is one picture of all rasters.

    Raises:
        RasterError: the rasters cannot be one mosaic, or their resolution makes no sense.
    """
    pictures = [as_mosaic(rasters)] if mosaic and len(rasters) > 1 else rasters
    fitted = [raster.at_resolution(resolution_m) for raster in pictures]
    log_notices([new for new, old in zip(fitted, pictures, strict=True) if new is not old], control)
    return fitted


def log_notices(rasters: Sequence[Raster], control: Control) -> None:
    """Write what the user should know about the rasters into the log."""
    for raster in rasters:
        for notice in raster.notices:
            control.warn(notice)
