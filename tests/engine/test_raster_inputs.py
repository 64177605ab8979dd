"""Rasters as strangers send them: broken, stored in one piece, large, hostile, placed by points."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from example_vrts import vrt, vrt_band
from rasterio.control import GroundControlPoint

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.raster_inputs import decoding, unpacking
from deepseg_qgis.engine.files.raster_inputs.decoding import DecodedBlocks
from deepseg_qgis.engine.files.raster_sets import open_rasters
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.tiling import Window, tiles
from deepseg_qgis.errors import RasterError, ResourceError, Stopped
from deepseg_qgis.events import Log
from deepseg_qgis.jobs import RasterSource
from tests.engine.conftest import NORTH_UP, UTM

LOSSLESS = {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES"}
TILE_PART = b"\xff\x90\x00\x0a"
"""How each tile-part of a JPEG 2000 codestream begins (ISO/IEC 15444-1, A.4.2)."""

RNG = np.random.default_rng(4)


def source_of(path: Path) -> RasterSource:
    return RasterSource(str(path), "", path.name)


@pytest.fixture
def said():
    """A control, and the list of what was logged through it."""
    texts: list[str] = []
    control = Control(lambda event: texts.append(event.text) if isinstance(event, Log) else None)
    return control, texts


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A temporary folder of this test's own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def read_each(source: RasterSource, windows: list[Window]) -> None:
    with open_rasters((source,)) as (raster,):
        for window in windows:
            raster.read(window)


def with_broken_blocks(path: str, blocks: list[tuple[int, int]]) -> None:
    """Overwrite the middle of some blocks (row, column) of a GeoTIFF."""
    with rasterio.open(path) as dataset:
        places = [
            (
                int(dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=1)),
                int(dataset.get_tag_item(f"BLOCK_SIZE_{column}_{row}", "TIFF", bidx=1)),
            )
            for row, column in blocks
        ]
    with open(path, "r+b") as file:
        for offset, size in places:
            file.seek(offset)
            file.write(b"\xff" * size)


@pytest.fixture
def tiled(make_raster):
    image = RNG.integers(1, 255, (2, 64, 96)).astype(np.uint8)
    options = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}
    return make_raster(image, **options), image


def test_a_broken_block_is_no_data_and_told_once_with_its_extent(tiled, said):
    source, image = tiled
    with_broken_blocks(source.path, [(1, 2)])
    control, texts = said
    with open_rasters((source,), control) as (raster,):
        for _ in range(2):
            pixels = raster.read(Window(-4, 0, 72, 96))
        small = raster.overview(32)
    valid = np.ones((64, 96), dtype=bool)
    valid[16:32, 32:48] = False
    assert np.array_equal(pixels.valid[4:68], valid)
    assert np.array_equal(pixels.values[:, 4:68][:, valid], image[:, valid])
    assert small.valid.mean() == pytest.approx(valid.mean(), abs=0.02)
    (text,) = texts
    assert "rows 16 to 31, columns 32 to 47" in text
    assert "x 500016 to 500024" in text


def test_a_broken_block_under_an_alpha_band(make_raster):
    image = RNG.integers(1, 255, (4, 64, 64)).astype(np.uint8)
    image[3] = 255
    options = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}
    source = make_raster(image, photometric="RGB", alpha="YES", **options)
    with_broken_blocks(source.path, [(2, 2)])
    with open_rasters((source,)) as (raster,):
        assert raster.read(raster.grid.window).valid.sum() == 64 * 64 - 16 * 16
        assert raster.band_names == ("red", "green", "blue")


def test_mostly_broken_is_an_error(tiled):
    source, _ = tiled
    with_broken_blocks(source.path, [(row, column) for row in range(4) for column in range(2, 6)])
    with pytest.raises(RasterError, match=r"could not be read as a raster: .* blocks are broken"):
        read_each(source, [Window(0, 0, 64, 96)])


def test_few_windows_all_of_them_broken_are_an_error_at_the_end(tiled):
    source, _ = tiled
    with_broken_blocks(source.path, [(0, 0), (0, 1)])
    with pytest.raises(RasterError, match="2 of 3 blocks are broken"):
        read_each(source, [Window(0, 0, 16, 32), Window(0, 32, 16, 16)])


@pytest.mark.parametrize(("kept", "opens"), [(0.3, False), (0.8, True)])
def test_a_geotiff_that_was_cut_off(tiled, kept, opens):
    source, _ = tiled
    os.truncate(source.path, int(os.path.getsize(source.path) * kept))
    if not opens:
        with pytest.raises(RasterError, match="could not be read as a raster: it ends after"):
            Raster(source)
        return
    with open_rasters((source,)) as (raster,):
        valid = raster.read(raster.grid.window).valid
    assert 0.6 < valid.mean() < 0.9
    assert valid[:32].all()


def test_a_source_that_changes_in_the_middle(tiled):
    source, _ = tiled
    with Raster(source) as raster:
        raster.read(Window(0, 0, 1, 1))
        os.truncate(source.path, 1500)
        with pytest.raises(RasterError, match="was changed while it was read"):
            raster.read(Window(32, 32, 32, 64))


def write_jp2(path: Path, image: np.ndarray, **options: int) -> None:
    bands, height, width = image.shape
    profile = {"count": bands, "height": height, "width": width, "dtype": "uint8"}
    place = {"crs": UTM, "transform": NORTH_UP}
    with rasterio.open(path, "w", **profile, **place, **LOSSLESS, **options) as dataset:
        dataset.write(image)


def test_each_block_of_a_jp2_is_decoded_once(tmp_path, monkeypatch):
    path = tmp_path / "photo.jp2"
    image = RNG.integers(0, 255, (3, 300, 280)).astype(np.uint8)
    write_jp2(path, image, blockxsize=64, blockysize=64)
    decoded: list[Window] = []
    decode = DecodedBlocks._decode
    monkeypatch.setattr(
        DecodedBlocks, "_decode", lambda self, block: decoded.append(block) or decode(self, block)
    )
    monkeypatch.setattr(decoding, "WINDOW_PX", 100)
    monkeypatch.setattr(decoding, "FEWEST_BYTES", 0)
    with Raster(source_of(path)) as raster:
        for tile in tiles(raster.grid.window, 100, 30):
            pixels = raster.read(tile.window)
            inside = tile.window.intersection(raster.grid.window)
            rows, columns = inside.within(tile.window)
            there = inside.slices
            assert np.array_equal(pixels.values[:, rows, columns], image[:, there[0], there[1]])
    assert len(decoded) == len(set(decoded)) == 25


def test_a_broken_tile_of_a_jp2(tmp_path, said):
    path = tmp_path / "broken.jp2"
    image = RNG.integers(0, 255, (1, 256, 256)).astype(np.uint8)
    write_jp2(path, image, blockysize=64)
    content = bytearray(path.read_bytes())
    start, end = [at for at in range(len(content)) if content[at : at + 4] == TILE_PART][1:3]
    content[start + 14 : end] = b"\xff" * (end - start - 14)
    path.write_bytes(content)
    with open_rasters((source_of(path),), said[0]) as (raster,):
        pixels = raster.read(raster.grid.window)
    assert pixels.valid.mean() == 0.75
    assert np.array_equal(pixels.values[0][pixels.valid], image[0][pixels.valid])
    assert len(said[1]) == 1


SEQUENTIAL = {
    "png": {"driver": "PNG"},
    "webp": {"driver": "WEBP", "LOSSLESS": "YES"},
    "one_strip.tif": {"driver": "GTiff", "compress": "deflate", "blockysize": 2100},
    "one_strip_a_band.tif": {
        "driver": "GTiff",
        "compress": "lzw",
        "blockysize": 2100,
        "interleave": "band",
    },
}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("kind", SEQUENTIAL)
@pytest.mark.parametrize("bands", [3, 4])
def test_sequential_formats_are_unpacked_once(tmp_path, temporary, monkeypatch, said, kind, bands):
    monkeypatch.setattr(unpacking, "SMALL_BYTES", 1000)
    monkeypatch.setattr(unpacking, "STRIP_ROWS", 512)
    image = RNG.integers(0, 255, (bands, 2100, 150)).astype(np.uint8)
    path = tmp_path / f"photo.{kind}"
    profile = {"count": bands, "height": 2100, "width": 150, "dtype": "uint8"}
    alpha = {"photometric": "rgb", "alpha": "yes"} if bands == 4 and "tif" in kind else {}
    if bands == 4:
        image[3] = 255 * (image[3] > 60)
        image[:3, image[3] == 0] = 0  # WebP drops what cannot be seen
    with rasterio.open(path, "w", **profile, **SEQUENTIAL[kind], **alpha) as dataset:
        dataset.write(image)
    windows = [Window(0, 0, 90, 90), Window(2050, 100, 80, 120), Window(40, 10, 100, 50)]
    with open_rasters((source_of(path),), said[0]) as (raster,):
        assert (raster.bands, os.listdir(temporary)) == (3, [])  # not before it is needed
        for window in windows:
            pixels = raster.read(window)
            inside = window.intersection(raster.grid.window)
            there = inside.within(window)
            assert np.array_equal(
                pixels.values[:, there[0], there[1]], image[:3, inside.slices[0], inside.slices[1]]
            )
            expected = image[3][inside.slices] > 0 if bands == 4 else True
            assert (pixels.valid[there] == expected).all()
        assert len(os.listdir(temporary)) == (os.name == "nt")
        assert raster.overview(30).valid.mean() > 0.5
    assert os.listdir(temporary) == []
    assert sum("unpacked once" in text for text in said[1]) == 1


@pytest.fixture
def photo(tmp_path, monkeypatch, temporary):
    monkeypatch.setattr(unpacking, "SMALL_BYTES", 1000)
    monkeypatch.setattr(unpacking, "STRIP_ROWS", 64)
    path = tmp_path / "photo.png"
    path.write_bytes(png(200, 300))
    return source_of(path), temporary


def png(width: int, height: int, declared: int | None = None) -> bytes:
    """Return a grey PNG of noise; ``declared`` is another height to claim."""
    rows = RNG.integers(0, 255, (height, width + 1)).astype(np.uint8)
    rows[:, 0] = 0

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, declared or height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows.tobytes(), 1))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def test_no_room_to_unpack(photo, monkeypatch):
    source, temporary = photo
    usage = shutil.disk_usage(temporary)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=50_000))
    with Raster(source) as raster, pytest.raises(ResourceError, match="Make room"):
        raster.read(Window(0, 0, 9, 9))
    assert os.listdir(temporary) == []


def test_stopped_while_unpacking(photo):
    source, temporary = photo
    control = Control()
    with Raster(source, control) as raster:
        control.stop()
        with pytest.raises(Stopped):
            raster.read(Window(0, 0, 9, 9))
    assert os.listdir(temporary) == []


def test_abandoned_while_unpacked(photo):
    source, temporary = photo
    control = Control()
    with Raster(source, control) as raster:
        raster.read(Window(0, 0, 9, 9))
        control.abandon()
        assert os.listdir(temporary) == []


@pytest.mark.parametrize(("declared", "kept"), [(310, 256), (100_000, None)])
def test_a_png_that_ends_too_early(photo, said, declared, kept):
    source, temporary = photo
    Path(source.path).write_bytes(png(200, 300, declared))
    with Raster(source, said[0]) as raster:
        window = Window(0, 0, 310, 200)
        if kept is None:
            with pytest.raises(RasterError, match="could not be read as a raster"):
                raster.read(window)
        else:
            assert raster.read(window).valid.sum() == kept * 200
            assert "counts as no data" in said[1][-1]
    assert os.listdir(temporary) == []


def test_ground_control_points_place_a_raster(tmp_path, said):
    path = tmp_path / "points.tif"
    truth = Affine(2.0, 0.5, 1000.0, 0.4, -2.0, 5000.0)
    points = [
        GroundControlPoint(row=row, col=column, x=x, y=y)
        for row, column in [(0, 0), (0, 30), (20, 0), (20, 30)]
        for x, y in [truth @ (column, row)]
    ]
    profile = {"count": 1, "height": 20, "width": 30, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", gcps=points, crs=UTM, **profile) as dataset:
        dataset.write(np.ones((1, 20, 30), dtype=np.uint8))
    with open_rasters((source_of(path),), said[0]) as (raster,):
        assert raster.grid.transform.almost_equals(truth, precision=1e-6)
        assert raster.grid.crs == UTM
    assert "4 ground control points" in said[1][0]


PYTHON = """
    <PixelFunctionType>run</PixelFunctionType>
    <PixelFunctionLanguage>Python</PixelFunctionLanguage>
    <PixelFunctionCode><![CDATA[
import pathlib
def run(inputs, out, *rest): pathlib.Path({mark!r}).touch()
]]></PixelFunctionCode>"""


@pytest.mark.parametrize(
    "source",
    [
        "/vsicurl/http://127.0.0.1:1/a.tif",
        "/vsizip//vsis3/bucket/a.zip/a.tif",
        "https://127.0.0.1:1/a.tif",
        "WMS:http://127.0.0.1:1/?",
        "&lt;GDAL_WMS&gt;&lt;/GDAL_WMS&gt;",
        "service.wms",
        "nested.vrt",
    ],
)
def test_a_vrt_never_goes_to_the_network(tmp_path, source):
    nested = vrt(vrt_band("http://127.0.0.1:1/a.tif"), side=8)
    (tmp_path / "nested.vrt").write_text(nested)
    (tmp_path / "service.wms").write_text("<GDAL_WMS><Service name='TMS'/></GDAL_WMS>")
    path = tmp_path / "remote.vrt"
    path.write_text(vrt(vrt_band(source), side=8))
    with pytest.raises(RasterError, match=r"reads from the network|service on the network"):
        Raster(source_of(path))


@pytest.mark.parametrize("source", ["/vsicurl/{url}", "{url}", "WMS:{url}?"])
def test_what_cannot_be_looked_through_gets_no_answer_either(tmp_path, monkeypatch, source):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        zipfile.ZipFile(tmp_path / "a.zip", "w") as packed,
    ):
        server.setblocking(False)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.tif"
        text = vrt(vrt_band(source.format(url=url)), side=8)
        packed.writestr("a.vrt", text.replace(' relativeToVRT="1"', ""))
        packed.close()
        inside = RasterSource(f"/vsizip/{tmp_path}/a.zip/a.vrt", "", "a.vrt")
        with pytest.raises(RasterError, match="reads from the network or a service"):
            read_each(inside, [Window(0, 0, 8, 8)])
        with pytest.raises(BlockingIOError):  # nobody knocked
            server.accept()


@pytest.mark.parametrize("name", ["inner.vrt", "outer.vrt"])
def test_a_vrt_that_misses_a_file_is_refused(tmp_path, name):
    for path, source in (("inner.vrt", "gone.tif"), ("outer.vrt", "inner.vrt")):
        (tmp_path / path).write_text(vrt(vrt_band(source), side=8))
    with pytest.raises(RasterError, match=r"gone\.tif is not there"):
        Raster(source_of(tmp_path / name))


@pytest.mark.parametrize(
    ("head", "what"),
    [
        ('<!DOCTYPE x [<!ENTITY a "aaaa">]>', "entities of its own"),
        ('<?xml version="1.0" encoding="unheard-of"?>', "not well formed"),
        ("<", "not well formed"),
    ],
)
def test_a_vrt_is_plain_xml(tmp_path, make_raster, head, what):
    make_raster(np.ones((1, 8, 8), dtype=np.uint8))
    path = tmp_path / "a.vrt"
    path.write_text(head + vrt(vrt_band("raster.tif"), side=8))
    with pytest.raises(RasterError, match=what):
        Raster(source_of(path))


def test_a_vrt_runs_no_python(tmp_path, make_raster):
    mark = tmp_path / "ran"
    make_raster(np.ones((1, 8, 8), dtype=np.uint8))
    path = tmp_path / "python.vrt"
    attributes = ' subClass="VRTDerivedRasterBand"'
    inside = PYTHON.format(mark=str(mark))
    path.write_text(vrt(vrt_band("raster.tif", 1, inside, attributes), side=8))
    with pytest.raises(RasterError, match="runs Python"):
        Raster(source_of(path))
    assert not mark.exists()


def test_a_plain_vrt_is_read_and_one_that_names_itself_is_not(tmp_path, make_raster):
    image = RNG.integers(0, 255, (1, 8, 8)).astype(np.uint8)
    make_raster(image)
    path = tmp_path / "plain.vrt"
    path.write_text(vrt(vrt_band("raster.tif"), side=8))
    with Raster(source_of(path)) as raster:
        assert np.array_equal(raster.read(raster.grid.window).values, image)
    path.write_text(vrt(vrt_band("plain.vrt"), side=8))
    with pytest.raises(RasterError, match="nested too deep"):
        Raster(source_of(path))


def test_a_raster_of_an_absurd_size(tmp_path):
    path = tmp_path / "bomb.tif"
    profile = {"count": 1, "height": 2_000_000, "width": 2_000_000, "dtype": "uint8"}
    sparse = {"tiled": True, "blockxsize": 65536, "blockysize": 65536, "sparse_ok": True}
    grid = {"crs": UTM, "transform": NORTH_UP, "bigtiff": "yes"}
    with rasterio.open(path, "w", driver="GTiff", **profile, **sparse, **grid):
        pass
    with pytest.raises(RasterError, match="2,000,000 × 2,000,000 pixels"):
        Raster(source_of(path))
    profile |= {"height": 200_000, "width": 200_000, "count": 3}
    with rasterio.open(path, "w", driver="GTiff", **profile, **sparse, **grid):
        pass
    with pytest.raises(RasterError, match="GB of memory each"):
        Raster(source_of(path))


def test_the_crs_of_points_gives_way_to_that_of_the_layer(tmp_path, make_raster):
    image = np.ones((1, 4, 4), dtype=np.uint8)
    points = [GroundControlPoint(r, c, 10.0 + c, 50.0 - r) for r, c in [(0, 0), (0, 4), (4, 4)]]
    path = tmp_path / "points.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=4, width=4, dtype="uint8", gcps=points, crs=UTM
    ) as dataset:
        dataset.write(image)
    assigned = RasterSource(str(path), pyproj.CRS(4326).to_wkt(), "points.tif")
    with Raster(assigned) as raster:
        assert raster.grid.crs.to_epsg() == 4326
