"""Getting the engine ready on this computer: what is compiled at first use, compiled now.

Called by `deepseg_qgis.launch` with ``--prepare``, when the engine is set up; without it the first
prediction takes up to a minute longer. What numba compiles stays beside the code, or in the
user's cache folder.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from deepseg_qgis.choices import OUTLINES
from deepseg_qgis.engine.files import geojson_text
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.instances.splitter import Splitter
from deepseg_qgis.engine.instances.watershed import instances_of
from deepseg_qgis.engine.learning.edge_distances import contacts_of, edge_distances
from deepseg_qgis.engine.legend.decisions import as_levels, decide_known
from deepseg_qgis.engine.vectorising.objects import PolygonOptions
from deepseg_qgis.engine.vectorising.run_lengths import masks
from deepseg_qgis.engine.vectorising.vectoriser import Limits, Vectoriser


def prepare() -> None:
    """Do on a few pixels all that a prediction does after inference."""
    probabilities = np.full((2, 8, 8), 200, dtype=np.uint8)
    known = np.ones((8, 8), dtype=np.bool_)
    known[3:5, 2:6] = False  # a hole
    classes, chosen = decide_known(probabilities, as_levels((0.5, 0.5)), known)
    for limits in (Limits(), Limits(cell_px=4), Limits(cell_px=4, most_vertices=0)):
        options = PolygonOptions(1.0, 2.0, keep_exact=True)
        with Vectoriser(Window(0, 0, 8, 16), options, limits) as vectoriser:
            for column in (0, 8):
                found = vectoriser.add(Window(0, column, 8, 8), classes, chosen)
    heights = (np.arange(64, dtype=np.uint8) * 37).reshape(8, 8)  # rugged: all steps are taken
    with Splitter(Window(0, 0, 8, 16), (90, 90)) as splitter:
        for column in (0, 8):
            list(splitter.add(Window(0, column, 8, 8), classes, chosen, heights))
    instances_of(classes, heights, (90, 90))
    area = Area.of_windows([Window(0, 0, 8, 8)])
    area.mask(Window(2, 2, 8, 8))
    area.row_counts(Window(0, 0, 8, 8))
    AnnotatedArea(np.array([area.geometry]), np.ones(1, dtype=np.uint8)).objects(Window(0, 0, 8, 8))
    edge_distances(classes.astype(np.int32))
    contacts_of(classes.astype(np.int32), 1)
    for style in OUTLINES:
        with Vectoriser(Window(0, 0, 8, 8), PolygonOptions(1.0, outlines=style)) as vectoriser:
            vectoriser.add(Window(0, 0, 8, 8), classes, chosen)
    geojson_text.features(found.polygons, {"id": pa.array(found.first_rows)})
    if found.exact is not None:
        masks(found.exact, 8, 16)
