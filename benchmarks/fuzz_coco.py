"""Fuzz the reader of COCO files: whatever the bytes, polygons or one of DeepSeg's own errors.

    .venv/bin/python benchmarks/fuzz_coco.py --seed 1 --seconds 600

Files are made from a few good ones, by damaging bytes and by putting odd values at odd places of
the JSON. Each must end in valid polygons inside their image, or in a message; anything else is
kept in --failures, like the slowest. At the end: cases, how they ended, and the peak of memory.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import resource
import tempfile
import time
import traceback
from collections import Counter

import numpy as np
import pyproj
import shapely
from affine import Affine
from pycocotools import mask as reference

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.coco.annotations import read_annotations
from deepseg_qgis.engine.exchange.coco.index import read_index
from deepseg_qgis.engine.exchange.import_summary import ImportSummary
from deepseg_qgis.engine.exchange.imported_polygons import TargetRaster
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.errors import DeepSegError

WIDTH, HEIGHT = 60, 40
GRID = Grid(WIDTH, HEIGHT, Affine(0.5, 0, 5e5, 0, -0.5, 5.5e6), pyproj.CRS.from_epsg(32633))
TARGET = TargetRaster("/scenes/scene.tif", "scene.tif", GRID)
ODD = [
    None, True, False, 0, -1, 1, 7, 0.5, -0.0, 1e308, 1e-308, 2**31, 2**63, -(2**63), 2**64, 10**40,
    float("nan"), float("inf"), "", "0", "1", "\x00", "\ud800", "ü" * 50, "P" * 30, "0" * 9, [], {},
    [[]], [[[]]], [0] * 50, [[0, 0, 1, 1]], {"size": [HEIGHT, WIDTH], "counts": [1]},
    {"size": [2**31, 2**31], "counts": [2**62]}, [1e300] * 6, "a/../../scene.tif", "SCENE.PNG",
    {"counts": "ooooooo0", "size": [HEIGHT, WIDTH]}, [float("nan")] * 8,
]  # fmt: skip
TOKENS = [
    b"[", b"]", b"{", b"}", b",", b":", b'"', b"null", b"NaN", b"-Infinity", b"1e999", b"\\u0000",
    b"\\ud800", b"\xff", b"\xef\xbb\xbf", b"9" * 5000, b"[" * 3000, b'"id":', b"0", b"-",
]  # fmt: skip


def good_files(rng: random.Random) -> list[dict]:
    """Return COCO contents of every kind that is read."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[5:20, 3:30], mask[8:10, 7:9], mask[30:, 50:] = 1, 0, 1
    packed = reference.encode(mask)["counts"].decode()
    plain = np.diff(np.flatnonzero(np.diff(mask.ravel("F"), prepend=2)), append=mask.size).tolist()
    star = [rng.uniform(0, 50) for _ in range(40)]
    shapes = [
        {"segmentation": [[1, 1, 20, 1, 20, 20, 1, 20], [5, 5, 9, 5, 9, 9], [6, 6, 7, 6, 7, 7]]},
        {"segmentation": [star]},
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": packed}, "iscrowd": 1},
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": plain}},
        {"bbox": [3, 4, 5.5, 6.5]},
        {"segmentation": [[[1, 1], [20, 1], [20, 20]], [[3, 3]], {"x": 1}], "bbox": [1, 1, 9, 9]},
        {"segmentation": [{"size": [HEIGHT, WIDTH], "counts": packed}, [0, 0, 5, 0, 5, 5]]},
        {"segmentation": {"size": [WIDTH, HEIGHT], "counts": packed}, "bbox": [3, 5, 57, 35]},
        {"segmentation": {"size": [HEIGHT // 2, WIDTH // 2], "counts": [0, HEIGHT * WIDTH // 4]}},
        {"segmentation": [[0.1, 0.1, 0.5, 0.1, 0.5, 0.5]], "bbox": [0.1, 0.1, 0.4, 0.4]},
        {"segmentation": str([[1, 1, 20, 1, 20, 20]]), "area": 180.5},
        {"bbox": [20, 20, 9, 5, 0.7]},
        {"bbox": [20, 20, 9, -5], "attributes": {"rotation": 30}},
        {"bbox": [1, 1, 9, 1, 9, 9, 1, 9], "category_id": None},
    ]
    side = rng.choice([1, 1, 2, 0.5])
    size = {"width": int(WIDTH * side), "height": int(HEIGHT * side)}
    name = rng.choice(["scene.png", "cb0618f6-scene.tif", "x%20scene.png", "a-scene_mask.tif.png"])
    image = {"id": 1, "file_name": name, **size}
    rows = [{"id": i, "image_id": 1, "category_id": 2, **each} for i, each in enumerate(shapes)]
    names = [{"id": 2, "name": "house", "color": [1, 2, 3]}]
    whole = {"info": {"x": [1]}, "images": [image], "annotations": rows, "categories": names}
    return [whole, *({**whole, "annotations": [row]} for row in rows)]


def damaged_tree(content: dict, rng: random.Random) -> dict:
    """Return the content with odd values, doubled entries or swapped ones in some places."""
    content = copy.deepcopy(content)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        candidates = list(places(content))
        if not candidates:
            break
        holder, key = rng.choice(candidates)
        action = rng.random()
        if action < 0.6:
            holder[key] = copy.deepcopy(rng.choice(ODD))
        elif action < 0.75 and isinstance(holder[key], (int, float)):
            holder[key] = holder[key] * rng.choice([-1, 0, 2, 1000, 1 + 1e-9]) + rng.choice([0, 1])
        elif action < 0.85 and isinstance(holder, list):
            holder.extend([copy.deepcopy(holder[key])] * rng.choice([1, 2, 50]))
        elif isinstance(holder, list):
            holder.pop(key)
        else:
            del holder[key]
    return content


def places(node: object):
    """Yield (holder, key) of everything below a node."""
    if isinstance(node, (dict, list)):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            yield node, key
            yield from places(node[key])


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    """Return the bytes with some of them changed, taken away, doubled, or tokens put in."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 2, 4, 16])):
        at = rng.randrange(len(data) + 1)
        action = rng.randrange(5)
        if action == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif action == 1:
            del data[at : at + rng.choice([1, 5, 100])]
        elif action == 2:
            data[at:at] = data[at : at + rng.choice([1, 10, 200])]
        elif action == 3:
            data[at:at] = rng.choice(TOKENS)
        elif rng.random() < 0.2:
            del data[at:]
    return bytes(data)


def made(rng: random.Random) -> bytes:
    """Return the bytes of a new case."""
    content = rng.choice(good_files(rng))
    if rng.random() < 0.7:
        content = damaged_tree(content, rng) if rng.random() < 0.9 else content
        return json.dumps(content).encode()
    return damaged_bytes(json.dumps(content).encode(), rng)


def read(path: str, seen: Counter) -> None:
    """Read a file as the verb does; raise AssertionError if what comes out is not right."""
    summary = ImportSummary()
    index = read_index(path, [TARGET], Control())
    around = shapely.box(0, 0, WIDTH, HEIGHT)
    for batch in read_annotations(path, index, summary, Control()):
        assert shapely.is_valid(batch.geometries).all()
        assert (shapely.area(batch.geometries) > 0).all()
        assert shapely.covers(around, batch.geometries).all()
        assert all(name and name.encode() for name in batch.categories)
        features = batch.features(GRID.crs)
        assert len(features.geometries) == len(batch.geometries)
        seen["polygons"] += len(batch.geometries)
    seen["annotations left out"] += sum(examples.count for examples in summary.left_out.values())


def main() -> None:
    """Run for the time asked for and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--failures", default=os.path.join(tempfile.gettempdir(), "fuzz_coco"))
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    seen: Counter = Counter()
    slowest, slow_case = 0.0, b""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ends = time.monotonic() + arguments.seconds
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "case.json")
        while time.monotonic() < ends:
            case = made(rng)
            with open(path, "wb") as file:
                file.write(case)
            started = time.monotonic()
            seen["cases"] += 1
            try:
                read(path, seen)
                seen["read"] += 1
            except DeepSegError:
                seen["refused with a message"] += 1
            except Exception:  # noqa: BLE001 - that is what is looked for
                seen["FAILURES"] += 1
                os.makedirs(arguments.failures, exist_ok=True)
                kept = os.path.join(arguments.failures, f"{arguments.seed}-{seen['cases']}.json")
                with open(kept, "wb") as file:
                    file.write(case)
                print(kept, traceback.format_exc(limit=-2), flush=True)
            if time.monotonic() - started > slowest:
                slowest, slow_case = time.monotonic() - started, case
    os.makedirs(arguments.failures, exist_ok=True)
    with open(os.path.join(arguments.failures, "slowest.json"), "wb") as file:
        file.write(slow_case)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"seed {arguments.seed}, {arguments.seconds:g} s:", dict(seen))
    print(
        f"slowest case {slowest:.3f} s, peak memory {peak / 1e3:.0f} MB (start {before / 1e3:.0f})"
    )


if __name__ == "__main__":
    main()
