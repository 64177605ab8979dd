"""Fuzz where outputs go: whatever is asked for, nothing changes that the run did not make.

    .venv/bin/python benchmarks/fuzz_outputs.py --seed 1 --cases 10000

A folder as users have it: rasters with sidecars, a VRT of them, GeoPackages with one layer and with
several, a Shapefile, a workbook, a model, a COCO file, links of all sorts. Random jobs read some of
it, and their outputs are random spellings of what is there, or new. All files are hashed before and
after. A run may be refused, or change its outputs and what belongs to them: never an input, a file
of one, another layer, or anything else. At the end: how cases ended.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import tempfile
import time
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pyproj
import rasterio
import shapely
from affine import Affine

from deepseg_qgis import jobs
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.verbs import importannotations, polygonize, predict, statistics, tile
from deepseg_qgis.errors import DeepSegError
from deepseg_qgis.jobs import RasterSource, VectorSource

RUN = {
    "importannotations": importannotations.run,
    "polygonize": polygonize.run,
    "predict": predict.run,
    "statistics": statistics.run,
    "tile": tile.run,
}
SIZE = 32
WKT = pyproj.CRS.from_epsg(32633).to_wkt()
ENDINGS = ("gpkg", "geojson", "shp", "fgb", "parquet", "csv", "xlsx", "tif", "json", "html", "kml")
BESIDE = {
    "scene.tif": ("scene.tif.aux.xml", "scene.tif.ovr", "scene.tif.msk", "scene.tfw", "scene.qml"),
    "roads.shp": ("roads.shx", "roads.dbf", "roads.prj", "roads.cpg", "roads.qix", "roads.qml"),
    "parcels.gpkg": ("parcels.qml",),
    "mosaic.vrt": ("scene.tif", "größe.tif", "inner.vrt"),
}
"""What is lost with a file: its sidecars, or its sources."""
SHARED = ("project.gpkg", "book.xlsx", "waiting.gpkg")
"""What holds something else than a run would write into it, whatever it is called."""
PARTS = (".shx", ".dbf", ".prj", ".cpg")
OURS = ("parcels.gpkg", "roads.shp", "tiles.geojson", "scene.tif", "größe.tif", "table.csv")


@dataclass(frozen=True)
class Input:
    """A file that a job reads, and all that would be lost with it."""

    name: str

    def files(self) -> set[str]:
        """Return the names of all that a run may not touch because it reads this."""
        found, pending = set(), [self.name]
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending += BESIDE.get(name, ())
        return found


def make(folder: Path) -> None:
    """Fill a folder with what a user has."""
    place = {"transform": Affine(1, 0, 5e5, 0, -1, 5.5e6), "crs": "EPSG:32633"}
    shape = {"driver": "GTiff", "width": SIZE, "height": SIZE, "count": 1, "dtype": "uint8"}
    values = np.ones((1, SIZE, SIZE), np.uint8)
    for name in ("scene.tif", "größe.tif"):
        with rasterio.open(folder / name, "w", **shape, **place) as dataset:
            dataset.write(values)
    for name, source in (("inner.vrt", "scene.tif"), ("mosaic.vrt", "inner.vrt")):
        (folder / name).write_text(vrt(source, "größe.tif" if name == "mosaic.vrt" else source))
    boxes = [shapely.box(5e5 + 5 * i, 5.5e6 - 9, 5e5 + 5 * i + 4, 5.5e6 - 1) for i in range(5)]
    frame = geopandas.GeoDataFrame({"category": ["a"] * 5}, geometry=boxes, crs=32633)
    for name, layer in (("parcels", "parcels"), ("project", "project"), ("waiting", "waiting")):
        pyogrio.write_dataframe(frame, folder / f"{name}.gpkg", layer=layer)
    pyogrio.write_dataframe(frame, folder / "project.gpkg", layer="ann", append=True)
    pyogrio.write_dataframe(frame, folder / "roads.shp")
    pyogrio.write_dataframe(frame.to_crs(4326), folder / "tiles.geojson")
    pyogrio.write_dataframe(frame[["category"]], folder / "book.xlsx", layer="other")
    (folder / "waiting.gpkg-wal").write_bytes(b"frames")
    (folder / "table.csv").write_text("a\n1\n")
    (folder / "model.safetensors").write_text("a model")
    (folder / "notes.dbf").write_text("a table of its own")
    image = {"id": 1, "file_name": "scene.tif", "width": SIZE, "height": SIZE}
    square = [1.0, 1.0, 1.0, 9.0, 9.0, 9.0, 9.0, 1.0]
    shape_ = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [square], "iscrowd": 0}
    content = {"images": [image], "annotations": [shape_], "categories": [{"id": 1, "name": "a"}]}
    (folder / "ann.json").write_text(json.dumps(content))
    for name in {name for names in BESIDE.values() for name in names}:
        if not (folder / name).exists():
            (folder / name).write_text("<PAMDataset/>" if name.endswith(".xml") else "beside")
    (folder / "sub").mkdir()
    (folder / "sub" / "photo.jpg").write_text("a photo")
    link(folder)


def link(folder: Path) -> None:
    """Add links to files and folders."""
    (folder / "there").symlink_to(folder, target_is_directory=True)
    (folder / "link.tif").symlink_to("scene.tif")
    (folder / "link.gpkg").symlink_to("parcels.gpkg")
    (folder / "nowhere.gpkg").symlink_to("not_there.gpkg")
    for name, other in (("hard.tif", "scene.tif"), ("hard.gpkg", "project.gpkg")):
        (folder / name).unlink(missing_ok=True)
        os.link(folder / other, folder / name)


def vrt(*sources: str) -> str:
    """Return a VRT of one band over some rasters beside it."""
    parts = "".join(
        f'<SimpleSource><SourceFilename relativeToVRT="1">{source}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource>"
        for source in sources
    )
    return (
        f'<VRTDataset rasterXSize="{SIZE}" rasterYSize="{SIZE}"><SRS>EPSG:32633</SRS>'
        "<GeoTransform>500000,1,0,5500000,0,-1</GeoTransform>"
        f'<VRTRasterBand dataType="Byte" band="1">{parts}</VRTRasterBand></VRTDataset>'
    )


def state(folder: Path) -> dict[str, str]:
    """Return every file and link below a folder with a hash of what it holds."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_symlink():
            found[path.relative_to(folder).as_posix()] = f"-> {os.readlink(path)}"
        elif path.is_file():
            content = hashlib.blake2b(path.read_bytes()).hexdigest()
            found[path.relative_to(folder).as_posix()] = content
    return found


class Case:
    """A random job in a folder; ``reads`` and ``writes`` are what it is about."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self._folder, self._rng = Path(os.path.realpath(folder)), rng
        self.reads: set[str] = set()
        self.writes: list[str] = []
        self.job = getattr(
            self, rng.choice(["_tile", "_tile", "_statistics", "_import", "_predict"])
        )()

    def _raster(self) -> RasterSource:
        name = self._rng.choice(["scene.tif", "größe.tif", "mosaic.vrt", "link.tif", "hard.tif"])
        origin = {"link.tif": "scene.tif", "hard.tif": "scene.tif"}.get(name, name)
        self.reads |= Input(origin).files() | {name}
        return RasterSource(self._spelt(name, reading=True), "", name)

    def _layer(self) -> VectorSource:
        name, layer = self._rng.choice(
            [("parcels.gpkg", "parcels"), ("project.gpkg", "ann"), ("roads.shp", "roads")]
        )
        self.reads |= Input(name).files()
        path = self._spelt(name, reading=True)
        return VectorSource(path, layer, layer, WKT, "category", {}, (path,))

    def _output(self) -> str:
        """Return where an output goes: over something, beside it, or somewhere new."""
        names = [name for name in os.listdir(self._folder) if not name.startswith(".")]
        name = self._rng.choice(sorted(self.reads) if self._rng.random() < 0.4 else names)
        if self._rng.random() < 0.3:
            name = f"{Path(name).stem}.{self._rng.choice(ENDINGS)}"
        elif self._rng.random() < 0.3:
            name = f"new{self._rng.randrange(3)}.{self._rng.choice(ENDINGS[:6])}"
        path = self._spelt(name, reading=False)
        self.writes.append(path)
        return path

    def _spelt(self, name: str, *, reading: bool) -> str:
        folder = self._folder
        spellings = [
            f"{folder}/{name}",
            f"{folder}/there/{name}",
            f"{folder}/sub/../{name}",
            f"{folder}//./{name}",
            f"{folder}/there/there/sub/.././{name}",
        ]
        if not reading:
            spellings += [
                f"{folder}/{name.swapcase()}",
                f"{folder}/{unicodedata.normalize('NFD', name)}",
                f"{folder}/{Path(name).stem}{Path(name).suffix.upper()}",
                os.path.relpath(f"{folder}/{name}"),
            ]
        return self._rng.choice(spellings)

    def _tile(self) -> jobs.Job:
        raster = self._raster()
        layer = self._layer() if self._rng.random() < 0.5 else None
        into = None
        if layer is not None and self._rng.random() < 0.3:
            into = self._rng.choice(
                [str(self._folder), f"{self._folder}/sub", f"{self._folder}/set"]
            )
            self.writes += [into]
        return jobs.TileJob(raster, 1, 2, 64, 0, layer, layer, self._output(), into)

    def _statistics(self) -> jobs.Job:
        layer = self._layer()
        html = self._output() if self._rng.random() < 0.5 else None
        return jobs.StatisticsJob(layer, None, self._output(), html)

    def _import(self) -> jobs.Job:
        self.reads |= {"ann.json"}
        path = self._spelt("ann.json", reading=True)
        rasters = (self._raster(),)
        rasters = (replace(rasters[0], name="scene.tif"),)
        return jobs.ImportAnnotationsJob(rasters, "coco", path, "auto", None, self._output())

    def _predict(self) -> jobs.Job:
        self.reads |= {"model.safetensors"}
        raster = self._raster()
        names = ("classes", "probabilities", "coco", "statistics")
        more = {f"output_{name}": self._optional() for name in names}
        values = {"aoi": None, "extent": None, "mosaic": False, "threshold": None}
        values |= {"tile_size_px": None, "overlap_px": None, "min_area": 0.0, "simplify_px": 0.0}
        values |= {"outlines": "plain", "precision": "auto", "batch_size": None, "device": "cpu"}
        model = self._spelt("model.safetensors", reading=True)
        return jobs.PredictJob(
            rasters=(raster,), model=model, resume=False, output=self._output(), **values, **more
        )

    def _optional(self) -> str | None:
        return self._output() if self._rng.random() < 0.5 else None

    def may_change(self) -> set[str]:
        """Return the names of files that the run may make, replace or take away."""
        found = set()
        for path in self.writes:
            folder = os.path.relpath(os.path.realpath(os.path.dirname(path)), self._folder)
            name = os.path.normpath(os.path.join(folder, os.path.basename(path)))
            stem, ending = os.path.splitext(name)
            found.add(name)
            if ending.lower() == ".shp":
                sidecars = [*PARTS, ".qix", ".sbn", ".sbx", ".shp.xml"]
                found |= {stem + each for each in sidecars}
            if ending.lower() == ".csv":
                found.add(f"{stem}.csvt")
            found |= {name + each for each in (".aux.xml", ".ovr", ".msk", "-wal", "-shm")}
        return found - self.reads - set(SHARED)


def check(folder: Path, seed: str) -> str:
    """Run a case; return how it ended. Raises AssertionError where something else changed."""
    case = Case(folder, random.Random(seed))
    before = state(folder)
    try:
        RUN[case.job.verb](case.job, Control())
        ended = "done"
    except DeepSegError as error:
        ended = type(error).__name__
    after = state(folder)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    allowed = case.may_change() if ended == "done" else set()
    lost = {name for name in changed - allowed if not (allowed and name.startswith("set/"))}
    assert not lost, f"{sorted(lost)} changed by {case.job}, which was {ended}"
    if ended == "done":
        assert changed or not case.writes, "nothing was written"
    return f"{case.job.verb}: {ended}" if not changed else f"{case.job.verb}: {ended}, changed"


def run(seed: int, cases: int) -> Iterator[str]:
    """Yield how cases ended; the folder is made anew after each that changed something."""
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        template, folder = Path(name) / "template", Path(name) / "user"
        template.mkdir()
        make(template)
        for number in range(cases):
            if not folder.exists():
                copy(template, folder)
            ended = check(folder, f"{seed} {number}")
            if ended.endswith("changed"):
                shutil.rmtree(folder)
            yield ended


def copy(template: Path, folder: Path) -> None:
    """Copy a folder with its links."""
    shutil.copytree(template, folder, symlinks=True)
    (folder / "there").unlink()
    for name in ("link.tif", "link.gpkg", "nowhere.gpkg"):
        (folder / name).unlink()
    link(folder)


def main() -> None:
    """Run and sum up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=10_000)
    given = parser.parse_args()
    started = time.monotonic()
    ended = Counter(run(given.seed, given.cases))
    for how, count in sorted(ended.items()):
        print(f"{count:6,}  {how}")
    print(f"{ended.total():,} cases in {time.monotonic() - started:.0f} s: nothing else changed")


if __name__ == "__main__":
    main()
