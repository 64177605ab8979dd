"""Make an aerial-looking scene with exact annotations, a training area and a test area.

The scene streams: a strip of windows is painted and written at a time, and the annotations of each
row of blocks right after. Memory: a strip of pixels (three bytes each) and three rows of blocks.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from deepseg_qgis.demo_scene.scene import Scene
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.features import Features
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.files.raster_output import TILE_PX, RasterOutput
from deepseg_qgis.engine.files.vectors import crs_for, write_features
from deepseg_qgis.engine.geometry.areas import box
from deepseg_qgis.engine.geometry.polygon_arrays import as_geometries
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.errors import counted
from deepseg_qgis.jobs import DemoSceneJob

RASTER_BYTES_A_PX = 2.6
"""Three bytes, after compression of noisy pixels."""
ANNOTATION_BYTES_A_PX = 0.35
"""About one polygon to every 4,000 px."""
MOST_THREADS = 4

CATEGORY = {"category": pa.string()}
COLOURS = {
    "building": "#d55e00",
    "field": "#f0e442",
    "road": "#9a9a9a",
    "tree": "#009e73",
    "water": "#0072b2",
}
"""How the annotations are drawn: told apart by the colour-blind, and close to what they show."""
NAME = {"name": pa.string()}


def run(job: DemoSceneJob, control: Control) -> dict[str, object]:
    """Write the scene, its annotations and its two areas.

    Returns ``output``, ``annotations``, ``training_aoi`` and ``test_aoi`` (paths), ``count`` (the
    number of polygons) and ``categories`` with their colours.

    Raises:
        ParameterError: the size or the seed cannot be used.
        OutputError: a destination cannot be written.
        ResourceError: a disk has not enough room.
        Stopped: the user asked to stop.
    """
    scene = Scene(job.size_px, job.seed, job.touching)
    counts: Counter[str] = Counter()
    with Outputs(control, job) as outputs:
        output, annotations = outputs.path(job.output), outputs.path(job.annotations)
        training_aoi, test_aoi = outputs.path(job.training_aoi), outputs.path(job.test_aoi)
        _check_room(outputs, job)
        for path, name, area in zip(
            (training_aoi, test_aoi), ("training", "test"), scene.areas, strict=True
        ):
            _write_area(scene, path, name, area)
        with RasterOutput(output, scene.grid, bands=3, dtype="uint8") as raster:
            crs = crs_for(job.annotations, scene.grid.crs)
            batches = (
                Features(scene.grid.to_crs(batch.geometries, crs), batch.columns)
                for batch in _drawn(scene, raster, counts, control)
            )
            count = write_features(annotations, batches, CATEGORY, crs)
    _log_counts(counts, control)
    return {
        "output": job.output,
        "annotations": job.annotations,
        "training_aoi": job.training_aoi,
        "test_aoi": job.test_aoi,
        "count": count,
        "categories": [{"name": name, "colour": COLOURS[name]} for name in sorted(counts)],
    }


def _check_room(outputs: Outputs, job: DemoSceneJob) -> None:
    pixels = job.size_px**2
    outputs.check_room(job.output, int(pixels * (RASTER_BYTES_A_PX + ANNOTATION_BYTES_A_PX)))
    outputs.check_room(job.annotations, int(pixels * ANNOTATION_BYTES_A_PX))


def _drawn(
    scene: Scene, raster: RasterOutput, counts: Counter[str], control: Control
) -> Iterator[Features]:
    """Paint and write the scene from top to bottom; yield the annotations (px) along the way."""
    size = scene.grid.height
    next_row = scene.rows(scene.grid.window).start
    threads = min(MOST_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        for top in range(0, size, TILE_PX):
            strip = Window(top, 0, min(TILE_PX, size - top), size)
            scene.forget(scene.rows(strip).start)
            for row in range(next_row, scene.rows(strip).stop):
                geometries, categories = scene.annotations(row)
                counts.update(categories)
                yield Features(geometries, {"category": categories})
            next_row = scene.rows(strip).stop
            _paint(scene, raster, strip, pool, control)


def _paint(
    scene: Scene, raster: RasterOutput, strip: Window, pool: ThreadPoolExecutor, control: Control
) -> None:
    windows = [
        Window(strip.row, left, strip.height, min(TILE_PX, strip.width - left))
        for left in range(0, strip.width, TILE_PX)
    ]
    try:
        for window, pixels in zip(windows, pool.map(scene.pixels, windows), strict=True):
            control.check()
            raster.write(window, pixels)
            done = strip.row + strip.height * window.column_end / strip.width
            control.progress(done / scene.grid.height, "Painting the scene")
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise


def _write_area(scene: Scene, path: str, name: str, area: Window) -> None:
    crs = crs_for(path, scene.grid.crs)
    polygons = scene.grid.to_crs(as_geometries([box(area)]), crs)
    write_features(path, [Features(polygons, {"name": [name]})], NAME, crs)


def _log_counts(counts: Counter[str], control: Control) -> None:
    listed = ", ".join(f"{count:,} × {name}" for name, count in sorted(counts.items()))
    control.log(
        f"{counted(sum(counts.values()), 'polygon')}: {listed}. Roads and rivers come in stretches "
        "from crossing to crossing, each a polygon of its own."
    )
