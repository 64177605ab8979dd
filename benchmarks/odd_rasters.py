"""What DeepSeg makes of odd rasters, beside GDAL's own reading of them.

    python benchmarks/odd_rasters.py FOLDER

For each file: what is read, and whether values, mask and georeference are those that GDAL gives
(through rasterio, without any of DeepSeg's code), or why they are not.
"""

from __future__ import annotations

import argparse
import math
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
import rasterio.errors
from affine import Affine

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.raster_sets import open_rasters
from deepseg_qgis.engine.files.rasters import Pixels
from deepseg_qgis.errors import DeepSegError
from deepseg_qgis.events import Log
from deepseg_qgis.jobs import RasterSource

SIDECARS = (".msk", ".xml", ".ovr", ".qml")
AS_QGIS_DRAWS = Affine(1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


@dataclass
class Row:
    """One file: what DeepSeg read, what it said, and where GDAL's reading differs."""

    name: str
    read: str = ""
    valid: float = math.nan
    georeference: str = ""
    differs: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def rows(folder: Path) -> list[Row]:
    """Return a row for each raster below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [row_of(path) for path in files if path.suffix not in SIDECARS]


def row_of(path: Path) -> Row:
    """Return what happens to one file."""
    row = Row(path.name)
    said = row.said.append
    control = Control(lambda event: said(event.text) if isinstance(event, Log) else None)
    try:
        source = RasterSource(str(path), "", path.name)
        with open_rasters((source,), control, stored=True) as (raster,):
            pixels = raster.read(raster.grid.window)
            grid = raster.grid
            row.read = f"{raster.bands} × {grid.height} × {grid.width} {raster.dtype}"
            row.valid = float(pixels.valid.mean())
            crs = (grid.crs.to_authority() or (grid.crs.name,)) if grid.crs else ("no CRS",)
            row.georeference = ":".join(crs)
            row.georeference += "" if grid.resolution_m is None else f", {grid.resolution_m:.4g} m"
            compare(path, raster.bands, pixels, grid.transform, row)
    except DeepSegError as error:
        row.said.append(f"error: {error}")
        try:
            with rasterio.open(path) as dataset:
                dataset.read()
            row.differs.append("GDAL reads it")
        except rasterio.errors.RasterioIOError:
            pass
    return row


def compare(path: Path, bands: int, pixels: Pixels, transform: Affine, row: Row) -> None:
    """Note where the pixels differ from GDAL's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = rasterio.open(path)
    with dataset:
        has_alpha = rasterio.enums.ColorInterp.alpha in dataset.colorinterp
        try:
            values, mask = dataset.read(), dataset.dataset_mask() > 0
        except rasterio.errors.RasterioIOError:
            row.differs.append("GDAL gives up at a broken block")
            values, mask = by_block(dataset)
        mask &= np.isfinite(values).all(axis=0) if values.dtype.kind == "f" else True
        there = pixels.valid & mask
        if not np.array_equal(values[:bands, there], pixels.values[:, there]):
            row.differs.append("values")
        if bands == dataset.count and has_alpha:
            row.differs.append("GDAL takes the last band for alpha, though it varies as data does")
        elif not np.array_equal(mask, pixels.valid):
            row.differs.append(f"mask ({int((mask ^ pixels.valid).sum())} px)")
        own = dataset.transform
        if dataset.gcps[0]:
            own = rasterio.transform.from_gcps(dataset.gcps[0])
        elif own.is_identity:
            own = AS_QGIS_DRAWS
        if not own.almost_equals(transform, precision=1e-12):
            row.differs.append("georeference")


def by_block(dataset: rasterio.DatasetReader) -> tuple[np.ndarray, np.ndarray]:
    """Return values and mask, without the blocks that GDAL cannot read."""
    values = np.zeros((dataset.count, *dataset.shape), dtype=dataset.dtypes[0])
    mask = np.zeros(dataset.shape, dtype=bool)
    for _, window in dataset.block_windows(1):
        rows, columns = window.toslices()
        try:
            read = dataset.read(window=window)
            mask[rows, columns] = dataset.dataset_mask(window=window) > 0
            values[:, rows, columns] = read
        except rasterio.errors.RasterioIOError:
            mask[rows, columns] = False
    return values, mask


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    print("| file | read | valid | georeference | against GDAL | said |\n|---|---|---|---|---|---|")
    for row in rows(parser.parse_args().folder):
        against = ", ".join(row.differs) or "equal"
        valid = "" if math.isnan(row.valid) else f"{row.valid:.2%}"
        said = " ".join(row.said).replace("|", "/")
        print(f"| {row.name} | {row.read} | {valid} | {row.georeference} | {against} | {said} |")


if __name__ == "__main__":
    main()
