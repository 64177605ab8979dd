"""The pipeline reads and runs no more than is wanted."""

import numpy as np
from random_model import whole

from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.inference import pipeline, windows


def test_the_pipeline_skips_cores_without_data(make_raster):
    values = np.zeros((1, 64, 256), dtype=np.uint8)
    values[:, :, :40] = 7
    started = []

    class Session:
        batch_size, in_flight = 1, 2

        def start(self, pixels):
            started.append(len(pixels))
            found = np.stack([each.values for each in pixels])
            return lambda: found

    with Raster(make_raster(values, nodata=0)) as raster:
        layout = windows.square(raster.grid.window, whole(raster), 64, 0)
        used = list(pipeline.run(Session(), raster, layout, lambda _t, _p, found: int(found.max())))
    assert [each for _, each in used] == [7, None, None, None]
    assert started == [1]
