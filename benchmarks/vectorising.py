"""Known class fields to polygon files: speed beside rasterio and shapely, and peak memory by size.

    .venv/bin/python benchmarks/vectorising.py speed
    .venv/bin/python benchmarks/vectorising.py memory --megapixels 100 400 1600

`speed` vectorises a field block by block (exact, and simplified in each style of OUTLINES), without
writing, and the same field at once by `rasterio.features.shapes` with shapely polygons, in turns;
it prints Mpx/s on one core and their ratio. `memory` runs what `deepseg:predict` does after
inference (outlines, projection, measures, writing), in a process of its own for each field and
size, and prints its peak RSS.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pyproj
import shapely
from affine import Affine
from class_fields import KINDS, field
from rasterio.features import shapes

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deepseg_qgis.choices import OUTLINES  # noqa: E402
from deepseg_qgis.engine.control import Control  # noqa: E402
from deepseg_qgis.engine.files import vectors  # noqa: E402
from deepseg_qgis.engine.geometry.georeference import Grid  # noqa: E402
from deepseg_qgis.engine.geometry.tiling import Window  # noqa: E402
from deepseg_qgis.engine.inference.predicted_cores import PredictedCore  # noqa: E402
from deepseg_qgis.engine.legend.legend import Category, Legend  # noqa: E402
from deepseg_qgis.engine.prediction.polygon_stream import FIELDS, PolygonRequest, polygons  # noqa: E402
from deepseg_qgis.engine.vectorising.objects import PolygonOptions  # noqa: E402
from deepseg_qgis.engine.vectorising.vectoriser import Vectoriser  # noqa: E402

CORE_PX = 1920
CATEGORIES = tuple(Category(f"category {i}", "#808080") for i in range(1, 10))
LEGEND = Legend(CATEGORIES, (0.5,) * len(CATEGORIES))


def windows(side: int) -> Generator[Window, None, None]:
    """Yield the cores of a square raster, row by row."""
    for row in range(0, side, CORE_PX):
        for column in range(0, side, CORE_PX):
            yield Window(row, column, min(CORE_PX, side - row), min(CORE_PX, side - column))


def ours(
    cores: list[tuple[Window, np.ndarray, np.ndarray]], side: int, options: PolygonOptions
) -> int:
    """Vectorise cores that are at hand; return the number of objects."""
    count = 0
    with Vectoriser(Window(0, 0, side, side), options) as vectoriser:
        for core, classes, probabilities in cores:
            count += len(vectoriser.add(core, classes, probabilities))
        vectoriser.check_complete()
    return count


def peer(whole: np.ndarray) -> int:
    """Vectorise a class map at once by rasterio and shapely; return the number of objects."""
    found = [shapely.geometry.shape(each) for each, _ in shapes(whole, mask=whole > 0)]
    return len(found)


def speed(side: int, rounds: int) -> None:
    """Print Mpx/s of each way, the best of some rounds in turns."""
    for kind in KINDS:
        made = field(kind, side, side)
        cores = [(window, *made(window)) for window in windows(side)]
        whole, _ = made(Window(0, 0, side, side))
        ways = {
            "exact": lambda cores=cores: ours(cores, side, PolygonOptions()),
            **{
                style: lambda cores=cores, style=style: ours(
                    cores, side, PolygonOptions(1.0, outlines=style)
                )
                for style in OUTLINES
            },
            "rasterio": lambda whole=whole: peer(whole),
        }
        best = dict.fromkeys(ways, np.inf)
        for _ in range(rounds):
            for name, way in ways.items():
                start = time.perf_counter()
                count = way()
                best[name] = min(best[name], time.perf_counter() - start)
        rates = {name: side * side / 1e6 / seconds for name, seconds in best.items()}
        print(
            f"{kind}: {count:,} objects on {side * side / 1e6:.0f} Mpx; "
            + ", ".join(f"{name} {rate:.1f} Mpx/s" for name, rate in rates.items())
            + f"; exact / rasterio {rates['exact'] / rates['rasterio']:.1f}"
        )


def write(kind: str, side: int, path: Path) -> None:
    """Do after inference what predict does; print a line of JSON."""
    made = field(kind, side, side)

    def cores() -> Generator[PredictedCore, None, None]:
        for window in windows(side):
            classes, probabilities = made(window)
            yield PredictedCore(window, classes, probabilities, classes > 0)

    grid = Grid(side, side, Affine(0.2, 0, 352_000, 0, -0.2, 5_804_000), pyproj.CRS(32633))
    crs = vectors.crs_for(str(path), grid.crs)
    request = PolygonRequest("field", grid, crs, LEGEND, 1.0, 0.0)
    start = time.perf_counter()
    region = Window(0, 0, side, side)
    features = polygons(cores(), region, request, Control())
    count = vectors.write_features(str(path), features, FIELDS, crs)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"polygons": count, "seconds": seconds, "peak_bytes": peak}))


def memory(kinds: list[str], megapixels: list[int], extension: str) -> None:
    """Print the peak RSS for each field and size, each in a process of its own."""
    for kind in kinds:
        for size in megapixels:
            side = round((size * 1e6) ** 0.5)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"polygons.{extension}"
                command = [sys.executable, __file__, "write", kind, str(side), str(path)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                result = json.loads(done.stdout)
                written = path.stat().st_size
            print(
                f"{kind}, {size} Mpx: {result['polygons']:,} polygons, "
                f"{result['peak_bytes'] / 1e6:.0f} MB peak, {size / result['seconds']:.1f} Mpx/s "
                f"with writing, {written / 1e6:.0f} MB of {extension}",
                flush=True,
            )


def main() -> None:
    """Run one of the two, or what `memory` starts for itself."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(dest="what", required=True)
    part = parts.add_parser("speed")
    part.add_argument("--side", type=int, default=5760)
    part.add_argument("--rounds", type=int, default=3)
    part = parts.add_parser("memory")
    part.add_argument("--megapixels", type=int, nargs="+", default=[100, 400, 1600])
    part.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    part.add_argument("--extension", default="geojson")
    part = parts.add_parser("write")
    part.add_argument("kind", choices=KINDS)
    part.add_argument("side", type=int)
    part.add_argument("path", type=Path)
    given = parser.parse_args()
    if given.what == "speed":
        speed(given.side, given.rounds)
    elif given.what == "memory":
        memory(given.kinds, given.megapixels, given.extension)
    else:
        write(given.kind, given.side, given.path)


if __name__ == "__main__":
    main()
