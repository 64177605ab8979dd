"""A town of touching houses, kept apart block by block: speed, and peak memory by size.

    .venv/bin/python benchmarks/splitting.py speed
    .venv/bin/python benchmarks/splitting.py memory --megapixels 100 400 1600

`speed` splits a town that is at hand, alone and together with vectorising, without writing; it
prints Mpx/s by processor time, the best of some rounds. `memory` makes the town block by block,
splits and vectorises it, in a process of its own for each size, and prints its peak RSS; with
``--width`` the raster has that width, whatever the size, else it is square.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from class_fields import town

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deepseg_qgis.engine.geometry.tiling import Window  # noqa: E402
from deepseg_qgis.engine.instances.splitter import Splitter  # noqa: E402
from deepseg_qgis.engine.instances.watershed import Watershed  # noqa: E402
from deepseg_qgis.engine.vectorising.objects import PolygonOptions  # noqa: E402
from deepseg_qgis.engine.vectorising.vectoriser import Vectoriser  # noqa: E402

CORE_PX = 1920
DEPTHS = (60,)
Core = tuple[Window, np.ndarray, np.ndarray, np.ndarray]


def cores(region: Window) -> Iterator[Core]:
    """Yield the cores of a raster, row by row, with classes, probabilities and heights."""
    for row in range(0, region.height, CORE_PX):
        for column in range(0, region.width, CORE_PX):
            height, width = min(CORE_PX, region.height - row), min(CORE_PX, region.width - column)
            window = Window(row, column, height, width)
            yield window, *town(window)


def split(region: Window, given: Iterable[Core]) -> int:
    """Split cores; return how many cores came out."""
    count = 0
    with Splitter(region, DEPTHS) as splitter:
        for core in given:
            count += sum(1 for _ in splitter.add(*core))
        splitter.check_complete()
    return count


def split_and_vectorised(region: Window, given: Iterable[Core]) -> dict[str, int]:
    """Split and vectorise cores; return the number of objects, and what was spilled."""
    count = 0
    with (
        Splitter(region, DEPTHS) as splitter,
        Vectoriser(region, PolygonOptions()) as vectoriser,
    ):
        for core in given:
            for each in splitter.add(*core):
                count += len(vectoriser.add(each.core, each.classes, each.probabilities))
        splitter.check_complete()
        vectoriser.check_complete()
        slots = int((splitter.categories > 0).sum())
        return {"objects": count, "spilled_bytes": splitter.spilled_bytes, "slots": slots}


def best(way, rounds: int) -> float:
    """Return the least processor time of some rounds, in seconds."""
    way()  # compiles
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        way()
        seconds.append(time.process_time() - start)
    return min(seconds)


def speed(side: int, rounds: int) -> None:
    """Print Mpx/s of splitting, with and without vectorising, and of a whole class map."""
    region = Window(0, 0, side, side)
    given = list(cores(region))
    millions = side * side / 1e6
    cover = sum(int((classes > 0).sum()) for _, classes, _, _ in given) / millions / 1e6
    found = split_and_vectorised(region, given)
    print(
        f"{millions:.0f} Mpx, {found['objects'] / millions:.0f} houses a Mpx, {cover:.0%} cover, "
        f"{found['slots']} slots"
    )
    alone = best(lambda: split(region, given), rounds)
    both = best(lambda: split_and_vectorised(region, given), rounds)
    classes, _, heights = town(Window(0, 0, 2048, 2048))
    basins = Watershed(classes, heights, (True,))
    whole = best(lambda: Watershed(classes, heights, (True,)), rounds)
    again = best(lambda: basins.instances(DEPTHS), rounds)
    print(
        f"splitting {millions / alone:.1f} Mpx/s, with vectorising {millions / both:.1f} Mpx/s; "
        f"whole: basins {classes.size / 1e6 / whole:.1f} Mpx/s, each depth "
        f"{classes.size / 1e6 / again:.1f} Mpx/s"
    )


def run(height: int, width: int) -> None:
    """Split and vectorise a town that is made on the way; print a line of JSON."""
    region = Window(0, 0, height, width)
    start = time.process_time()
    found = split_and_vectorised(region, cores(region))
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({**found, "seconds": seconds, "peak_bytes": peak}))


def memory(megapixels: list[int], given_width: int | None) -> None:
    """Print the peak RSS for each size, each in a process of its own."""
    for size in megapixels:
        width = given_width or round((size * 1e6) ** 0.5)
        height = round(size * 1e6 / width)
        command = [sys.executable, __file__, "run", str(height), str(width)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        result = json.loads(done.stdout)
        print(
            f"{size} Mpx, {width:,} px wide: {result['objects']:,} houses, "
            f"{result['peak_bytes'] / 1e6:.0f} MB peak, "
            f"{result['spilled_bytes'] / 1e6:.0f} MB spilled in all, "
            f"{size / result['seconds']:.1f} Mpx/s with making the town",
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
    part.add_argument("--width", type=int)
    part = parts.add_parser("run")
    part.add_argument("height", type=int)
    part.add_argument("width", type=int)
    given = parser.parse_args()
    if given.what == "speed":
        speed(given.side, given.rounds)
    elif given.what == "memory":
        memory(given.megapixels, given.width)
    else:
        run(given.height, given.width)


if __name__ == "__main__":
    main()
