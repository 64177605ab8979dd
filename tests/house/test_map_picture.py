"""The demo's map, drawn by QGIS."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import rasterio
from affine import Affine

Ran = subprocess.CompletedProcess[str]

LEFT, TOP, SIDE = 500_000.0, 5_600_000.0, 100
SQUARE = [[20, 20], [20, 80], [80, 80], [80, 20], [20, 20]]
"""In pixels from the lower left corner; a pixel is a metre."""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, str]:
    """A grey raster, a square polygon of a red category on it, and a model that says red."""
    raster, polygons, model = (str(tmp_path / name) for name in ("r.tif", "p.geojson", "m.st"))
    profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8"}
    place = Affine(1.0, 0.0, LEFT, 0.0, -1.0, TOP)
    with rasterio.open(raster, "w", **profile, crs="EPSG:32632", transform=place) as dataset:
        dataset.write(np.full((3, SIDE, SIDE), 128, dtype=np.uint8))
    ring = [[LEFT + x, TOP - SIDE + y] for x, y in SQUARE]
    feature = {
        "type": "Feature",
        "properties": {"category": "roof", "area_m2": 3600.0},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
    collection = {"type": "FeatureCollection", "crs": crs, "features": [feature]}
    Path(polygons).write_text(json.dumps(collection))
    card = json.dumps({"categories": [{"name": "roof", "colour": "#ff0000"}]})
    header = json.dumps({"__metadata__": {"deepseg": card}}).encode()
    Path(model).write_bytes(struct.pack("<Q", len(header)) + header)
    return raster, polygons, model


def test_polygons_are_drawn_in_the_models_colours(
    files: tuple[str, str, str],
    tmp_path: Path,
    ran: Callable[..., Ran],
    qgis_program: Callable[[str], str],
) -> None:
    picture = tmp_path / "map.png"
    python = qgis_program("find_qgis_python")
    command = [python, "scripts/map_picture.py", *files, str(picture)]
    drawn = ran(command, QT_QPA_PLATFORM="offscreen", QGIS_CUSTOM_CONFIG_PATH=str(tmp_path))
    assert drawn.returncode == 0, drawn.stderr
    page = matplotlib.image.imread(picture)  # (rows, columns, RGBA) from 0 to 1
    reddish = page[:, :, 0] - page[:, :, 1] > 0.25
    whole = reddish[116 : 116 + 1020, 44 : 44 + 1020]
    assert 0.3 < whole.mean() < 0.42, "a square of 60 % of both sides is 36 % of the map"
    assert reddish[510, 554]
    assert not reddish[130, 60]


def test_a_layer_that_does_not_open_is_told(
    files: tuple[str, str, str],
    tmp_path: Path,
    ran: Callable[..., Ran],
    qgis_program: Callable[[str], str],
) -> None:
    python = qgis_program("find_qgis_python")
    command = [python, "scripts/map_picture.py", "/nowhere.tif", *files[1:], str(tmp_path / "m")]
    failed = ran(command, QT_QPA_PLATFORM="offscreen", QGIS_CUSTOM_CONFIG_PATH=str(tmp_path))
    assert failed.returncode == 1
    assert "/nowhere.tif could not be opened" in failed.stderr
