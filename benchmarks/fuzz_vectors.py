"""Layers of annotations and areas as nobody should draw them; run by fuzz_files.py.

GeoPackages are written row by row through SQLite, since no library would write such geometries;
what the features hold, the bytes of the file and the layer's CRS are all damaged.
"""

from __future__ import annotations

import json
import math
import random
import sqlite3
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pyproj
import rasterio
import shapely
from affine import Affine
from fuzz_coco import TOKENS, damaged_bytes, damaged_tree

from deepseg_qgis.engine.annotations import annotation_layer, labelled_raster
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import AnnotatedArea
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.verbs import statistics
from deepseg_qgis.jobs import RasterSource, StatisticsJob, VectorSource

WIDTH, HEIGHT = 90, 70
GROUND = {
    "utm": (32633, Affine(0.5, 0, 5e5, 0, -0.5, 5.5e6)),
    "sheared": (32633, Affine(0.4, 0.3, 5e5, 0.2, -0.5, 5.5e6)),
    "antimeridian": (4326, Affine(1e-3, 0, 179.95, 0, -1e-3, 0.03)),
    "world": (4326, Affine(4, 0, -180, 0, -2.5, 90)),
    "pole": (3031, Affine(50, 0, -2000, 0, -50, 2000)),
    "web": (3857, Affine(0.6, 0, 9.5e6, 0, -0.6, 3.2e6)),
    "nowhere": (None, Affine(1, 0, 0, 0, -1, 0)),
}
"""Rasters to lay the layers over: EPSG code and transform."""
CODES = [32633, 4326, 3857, 3031, 32660, 2193, 2056, 5041, 4979, 4978, 5703, 7405, 27700, 9518]
"""Of layers: projected, geographic, polar, in 3D, geocentric, vertical, compound."""
WKT = [
    "",
    "nonsense",
    'LOCAL_CS["paper",UNIT["metre",1]]',
    'ENGCRS["site",EDATUM["d"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["m",1]]',
    pyproj.CRS("+proj=ob_tran +o_proj=longlat +o_lat_p=30 +o_lon_p=0 +lon_0=10").to_wkt(),
    pyproj.CRS("+proj=longlat +a=1737400 +b=1737400 +no_defs").to_wkt(),
    pyproj.CRS("+proj=tmerc +lat_0=90 +k=1e-300 +ellps=GRS80").to_wkt(),
    pyproj.CRS("+proj=longlat +pm=paris +datum=WGS84").to_wkt(),
    pyproj.CRS.from_epsg(32633).to_wkt("WKT1_ESRI"),
]
NUMBERS = [
    math.nan, math.inf, -math.inf, 1e308, -1e308, 1e200, 1e20, -1e9, 2.0**31, 5e-324, -0.0, 0.0,
    90.0, -90.0, 180.0, -180.0, 180.0 + 1e-12, 359.0, 540.0, 20037508.342789244,
]  # fmt: skip
CATEGORIES = [
    None, "a", "b", "a", "b", "", " ", "\x00", "ü" * 300, "\ud800", "1e999", "=1+1", "../a", "NaN",
    1, 2.5, math.inf, b"\xff\xfe", b"", 2**62, "<b>&amp;", "\u202eba", "a\nb", "x" * 100_000,
]  # fmt: skip
POINT, LINE, POLYGON, MULTIPOLYGON, COLLECTION = 1, 2, 3, 6, 7
NESTED = [4, 5, MULTIPOLYGON, COLLECTION, COLLECTION, 11, 12, 15, 16]
RINGED = [POLYGON] * 12 + [10, 17]
"""Curve polygons and triangles too, whose rings are written as those of polygons are."""
GEOJSON = {1: "Point", 2: "LineString", 3: "Polygon", 4: "MultiPoint", 5: "MultiLineString"}
GEOJSON |= {6: "MultiPolygon", 7: "GeometryCollection"}

Ring = list[tuple[float, float]]


@dataclass(frozen=True)
class Node:
    """A geometry: its type as WKB numbers them, and rings, points or other nodes."""

    kind: int
    rings: tuple[Ring, ...] = ()
    parts: tuple[Node, ...] = ()

    def wkb(self, dimensions: int) -> bytes:
        """Return well-known binary; ``dimensions`` 0 is xy, 1 with z, 2 with m, 3 with both."""
        more = (0, 1, 1, 2)[dimensions]
        points = [
            b"".join(struct.pack(f"<{2 + more}d", *xy, *[7.0] * more) for xy in ring)
            for ring in self.rings
        ]
        content = b"".join(
            points if self.kind == POINT else self._counted(points, map(len, self.rings))
        )
        if self.kind >= 4 and self.kind not in (8, 10, 17):
            content = struct.pack("<I", len(self.parts))
            content += b"".join(part.wkb(dimensions) for part in self.parts)
        elif self.kind not in (POINT, LINE, 8):
            content = struct.pack("<I", len(self.rings)) + content
        return struct.pack("<BI", 1, self.kind + 1000 * dimensions) + content

    def _counted(self, points: list[bytes], counts: map[int]) -> list[bytes]:
        return [struct.pack("<I", count) + each for count, each in zip(counts, points, strict=True)]

    def geojson(self) -> dict:
        """Return a GeoJSON geometry, if only in name."""
        name = GEOJSON.get(self.kind, "Polygon")
        if self.kind == COLLECTION:
            return {"type": name, "geometries": [part.geojson() for part in self.parts]}
        if self.parts:
            return {
                "type": name,
                "coordinates": [part.geojson().get("coordinates") for part in self.parts],
            }
        rings: list = [list(map(list, ring)) for ring in self.rings]
        if self.kind in (POINT, LINE):
            rings = rings[0][0] if self.kind == POINT else rings[0]
        return {"type": name, "coordinates": rings}


def ring_of(rng: random.Random, centre: tuple[float, float], size: float) -> Ring:
    """Return an outline around a place, of one of many sorts."""
    x, y = centre
    count = rng.choice([3, 4, 5, 8, 30, 30, 400, 5000] if rng.random() < 0.3 else [3, 4, 5, 8])
    turns = np.linspace(0, 2 * np.pi * rng.choice([1, 1, 2]), count, endpoint=False)
    sort = rng.randrange(6)
    if sort == 0:  # any order: crossings; as many as are drawn by hand, or a tangle
        some = [(x + rng.uniform(-size, size), y + rng.uniform(-size, size)) for _ in turns]
    elif sort == 1:
        some = [
            (x - size, y - size),
            (x + size, y + size),
            (x + size, y - size),
            (x - size, y + size),
        ]
    elif sort == 2:
        around = [(-180, -90), (180, -90), (180, 90), (-180, 90)]
        some = [(a * rng.choice([1, 1, 2]), b) for a, b in around]
    elif sort == 3:
        some = [(x + size * math.cos(t), y + size * math.sin(t)) for t in turns]
    elif sort == 4:
        latitude = rng.choice([-89.9, -70, 85, 90, -90])
        some = [(math.degrees(t) - 180, latitude) for t in turns]
    else:
        some = [
            (x - size, y - size),
            (x + size, y - size),
            (x + size, y + size),
            (x - size, y + size),
        ]
    if rng.random() < 0.15:
        for _ in range(rng.choice([1, 1, 3])):
            at, odd = rng.randrange(len(some)), rng.choice(NUMBERS)
            a, b = some[at]
            some[at] = rng.choice([(odd, b), (a, odd), (odd, odd)])
    if rng.random() < 0.1:
        some = some[: rng.randrange(len(some) + 1)]
    if rng.random() < 0.1:
        some = [each for each in some for _ in range(rng.choice([1, 3]))]
    return some + some[:1] if rng.random() < 0.95 else some


def geometry(rng: random.Random, centre: tuple[float, float], size: float, depth: int = 0) -> Node:
    """Return a geometry around a place, of any type."""
    if rng.random() < 0.2 and depth < 6:
        kind = rng.choice(NESTED)
        count = rng.choice([0, 1, 2, 3]) if depth else rng.choice([0, 1, 2, 3, 40])
        return Node(kind, (), tuple(geometry(rng, centre, size, depth + 1) for _ in range(count)))
    if rng.random() < 0.1:
        kind = rng.choice([POINT, LINE, 8])
        line = ring_of(rng, centre, size) or [centre]
        return Node(kind, (line[:1] if kind == POINT else line,))
    rings = []
    for _ in range(rng.choice([0, 1, 1, 1, 1, 2, 3])):
        apart = [c + rng.uniform(-size, size) * rng.choice([0, 0.2, 3]) for c in centre]
        rings.append(ring_of(rng, (apart[0], apart[1]), size * rng.choice([1, 0.3, 2])))
    return Node(rng.choice(RINGED), tuple(rings))


def write_geopackage(path: Path, template: bytes, rows: list, rng: random.Random) -> None:
    """Write rows of (geometry or None, category, source) into a copy of an empty GeoPackage."""
    path.write_bytes(template)
    with sqlite3.connect(path) as file:
        for shape, category, source in rows:
            blob = None
            if shape is not None:
                well = shape.wkb(rng.choice([0, 0, 0, 1, 2, 3]))
                well = damaged_bytes(well, rng) if rng.random() < 0.05 else well
                flags = rng.choice([1, 1, 1, 1, 17, 33, 0, 3, rng.randrange(256)])
                blob = b"GP\x00" + struct.pack("<Bi", flags, rng.choice([0, 4326, -1])) + well
            values = [_storable(category), _storable(source), blob]
            file.execute("insert into features (category, source, geom) values (?, ?, ?)", values)
        if rng.random() < 0.05:
            column = rng.choice(["category", "source"])
            file.execute(f"alter table features rename column {column} to {rng.choice('xgK')}")
    file.close()


def _storable(value: object) -> object:
    return value.encode("utf-8", "surrogatepass") if value == "\ud800" else value  # type: ignore[attr-defined]


def write_geojson(path: Path, rows: list, rng: random.Random) -> None:
    """Write the rows as a GeoJSON, with odd values at odd places of it."""
    features = [
        {
            "type": "Feature",
            "properties": {"category": repr(c) if isinstance(c, bytes) else c, "source": s},
            "geometry": shape and shape.geojson(),
        }
        for shape, c, s in rows
    ]
    content: dict = {"type": "FeatureCollection", "features": features}
    if rng.random() < 0.5:
        content = damaged_tree(content, rng)
    path.write_text(json.dumps(content, default=repr), encoding="utf-8", errors="replace")


def crs_wkt(rng: random.Random, own: int | None) -> str:
    """Return the WKT of the CRS that a layer claims to have: mostly a usable one."""
    if rng.random() < 0.6 and own:
        return pyproj.CRS.from_epsg(own).to_wkt()
    if rng.random() < 0.3:
        return rng.choice(WKT)
    wkt = pyproj.CRS.from_epsg(rng.choice(CODES)).to_wkt()
    if rng.random() < 0.2:
        at = rng.randrange(len(wkt))
        wkt = wkt[:at] + rng.choice([*TOKENS, b"1e400", b"0"]).decode("latin1")[:20] + wkt[at + 3 :]
    return wkt


def centre_of(raster: Raster, wkt: str) -> tuple[float, float]:
    """Return the raster's centre in the layer's CRS, or some place where there is none."""
    x, y = raster.grid.transform * (WIDTH / 2, HEIGHT / 2)
    try:
        if raster.grid.crs is not None and wkt:
            crs = pyproj.CRS.from_wkt(wkt)
            to = pyproj.Transformer.from_crs(raster.grid.crs, crs, always_xy=True)
            x, y = to.transform(x, y)
    except pyproj.exceptions.ProjError:
        pass
    return (x, y) if math.isfinite(x) and math.isfinite(y) else (0.0, 0.0)


def check_mask(annotated: AnnotatedArea, most: int, window: Window, rng: random.Random) -> None:
    """Compare a window's mask with what lies over the centres of some of its pixels."""
    mask = annotated.mask(window)
    assert mask.shape == (window.height, window.width)
    assert mask.dtype == np.uint8
    assert mask.max(initial=0) <= most
    for _ in range(10):
        row, column = rng.randrange(window.height), rng.randrange(window.width)
        centre = shapely.Point(window.column + column + 0.5, window.row + row + 0.5)
        if (shapely.distance(shapely.boundary(annotated.geometries), centre) < 1e-6).any():
            continue
        over = np.flatnonzero(shapely.contains(annotated.geometries, centre))
        expected = annotated.classes[over[-1]] if len(over) else 0
        assert mask[row, column] == expected, (row, column, mask[row, column], expected)


def read_annotations(source: VectorSource, raster: Raster, rng: random.Random) -> None:
    """Read a layer as train does."""
    layer = annotation_layer.load(source, Control())
    areas = shapely.area(layer.geometries)
    assert shapely.is_valid(layer.geometries).all()
    assert (np.isfinite(areas) & (areas > 0)).all()
    categories = layer.categories
    annotated = layer.over(raster, categories)
    assert shapely.is_valid(annotated.geometries).all()
    for window in (raster.grid.window, Window(-5, 30, 64, 99), Window(60, 80, 33, 7)):
        check_mask(annotated, len(categories), window, rng)
    area = labelled_raster.labelled_area(layer, None, raster, Control())
    assert 0 <= area.size_px <= WIDTH * HEIGHT
    annotation_layer.require_touching(layer, [raster])


def read_area(source: VectorSource, raster: Raster, _rng: random.Random) -> None:
    """Read a layer as an area of interest."""
    area = annotation_layer.load_area(source, raster, Control())
    assert 0 <= area.size_px <= WIDTH * HEIGHT * (1 + 1e-9)
    mask = area.mask(raster.grid.window)
    assert mask.shape == (HEIGHT, WIDTH)
    # centres may lie at an edge anywhere, but their number is near the area
    assert abs(mask.sum() - area.size_px) <= area.geometry.length + 1
    inside = area.window(raster.grid.window)
    assert raster.grid.window.intersection(inside) == inside


def read_statistics(source: VectorSource, _raster: Raster, rng: random.Random) -> None:
    """Count and measure a layer, within itself or at all."""
    output = str(Path(source.path).with_name("statistics.csv"))
    aoi = source if rng.random() < 0.3 else None
    values = statistics.run(StatisticsJob(source, aoi, output, None), Control())
    assert values["count"] >= 0
    assert values["area_m2"] is None or 0 <= values["area_m2"] < math.inf


def made(folder: Path) -> Callable[[random.Random, Path], None]:
    """Return what makes, damages and reads small layers over several rasters."""
    rasters = []
    for name, (code, transform) in GROUND.items():
        profile = {"driver": "GTiff", "width": WIDTH, "height": HEIGHT, "count": 1}
        crs = code and f"EPSG:{code}"
        path = folder / f"{name}.tif"
        with rasterio.open(path, "w", dtype="uint8", transform=transform, crs=crs, **profile):
            pass
        rasters.append((Raster(RasterSource(str(path), "", name)), code))
    good = folder / "good.gpkg"
    columns: dict = {"category": ["a"], "source": ["b"]}
    frame = geopandas.GeoDataFrame(columns, geometry=[shapely.box(0, 0, 1, 1)], crs=32633)
    frame.to_file(good, layer="features", driver="GPKG", SPATIAL_INDEX="NO")
    with sqlite3.connect(good) as file:
        file.execute("delete from features")
    file.close()
    template = good.read_bytes()

    def case(rng: random.Random, path: Path) -> None:
        raster, code = rng.choice(rasters)
        wkt = crs_wkt(rng, code)
        centre = centre_of(raster, wkt)
        size = rng.choice([1e-4, 0.01, 1, 10, 30, 1e3, 1e6])
        rows = [
            (
                geometry(rng, centre, size) if rng.random() < 0.95 else None,
                rng.choice(CATEGORIES) if rng.random() < 0.2 else rng.choice("abc"),
                rng.choice([None, "scene"]),
            )
            for _ in range(rng.choice([0, 1, 2, 5, 20, 20]))
        ]
        path = path.with_suffix(rng.choice([".gpkg", ".gpkg", ".geojson"]))
        for old in path.parent.glob(f"{path.name}*"):  # SQLite's journals too
            old.unlink()
        if path.suffix == ".gpkg":
            write_geopackage(path, template, rows, rng)
        else:
            write_geojson(path, rows, rng)
        if rng.random() < 0.1:
            path.write_bytes(damaged_bytes(path.read_bytes(), rng))
        layer = "features" if path.suffix == ".gpkg" else path.stem
        field = "category" if rng.random() < 0.8 else None
        source = VectorSource(str(path), layer, "fuzz", wkt, field, {"a": "#aa0000"})
        rng.choice([read_annotations, read_annotations, read_area, read_statistics])(
            source, raster, rng
        )

    return case
