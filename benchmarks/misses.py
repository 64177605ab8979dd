"""Say how the objects that a prediction missed were missed: merged, cut, taken for ground.

POLYGONS are those of `predict` for one category, ANNOTATIONS what is there, AOI the ground that is
looked at. An object is right if a polygon has an IoU of 0.5 with it; every other one is counted
under the first of `KINDS` that fits.

    .venv/bin/python benchmarks/misses.py ANNOTATIONS POLYGONS AOI
"""

import argparse
from collections import Counter
from pathlib import Path

import geopandas
import numpy as np
import shapely

KINDS = (
    "right",
    "taken for ground: polygons cover less than a quarter of it",
    "merged: most of it lies in a polygon of which it is less than half",
    "cut: polygons cover it, but none of them most of it",
    "in part: polygons cover less than 60 %",
    "the outline",
)


def kind(there: shapely.Geometry, found: np.ndarray) -> int:
    """Return how an object fares with the polygons that meet it, as an index of `KINDS`."""
    if not len(found):
        return 1
    shared = shapely.area(shapely.intersection(found, there))
    sizes = shapely.area(found)
    if (shared / (there.area + sizes - shared)).max() >= 0.5:
        return 0
    main = int(shared.argmax())
    covered, largest = shared.sum() / there.area, shared[main] / there.area
    fits = (
        covered < 0.25,
        largest >= 0.5 and shared[main] < 0.5 * sizes[main],
        largest < 0.6 < covered,
        covered < 0.6,
        True,
    )
    return 1 + fits.index(True)


def main() -> None:
    """Count, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    for name in ("annotations", "polygons", "aoi"):
        parser.add_argument(name, type=Path)
    wanted = parser.parse_args()
    objects = geopandas.read_file(wanted.annotations)
    aoi = geopandas.read_file(wanted.aoi).to_crs(objects.crs).union_all()
    polygons = geopandas.read_file(wanted.polygons).to_crs(objects.crs).geometry.to_numpy()
    inside = objects.geometry.intersection(aoi)
    inside = inside[inside.area > 0.5 * objects.geometry.area].to_numpy()
    tree = shapely.STRtree(polygons)
    found = Counter(kind(each, polygons[tree.query(each, "intersects")]) for each in inside)
    for number, name in enumerate(KINDS):
        print(f"{found[number]:5d} of {len(inside)} {name}")


if __name__ == "__main__":
    main()
