"""Small rasters of every data type, layout and driver that GDAL here can write, at random.

`fuzz_files.py layouts` reads them; a test reads some.
"""

from __future__ import annotations

import random
import warnings
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

TYPES = (
    *("Byte", "Int8", "UInt16", "Int16", "UInt32", "Int32", "UInt64", "Int64"),
    *("Float16", "Float32", "Float64", "CInt16", "CInt32", "CFloat16", "CFloat32", "CFloat64"),
)
WRITABLE = (
    *("VRT", "GTiff", "COG", "NITF", "HFA", "ELAS", "AAIGrid", "DTED", "PNG", "JPEG", "GIF"),
    *("BIGGIF", "XPM", "BMP", "PCIDSK", "PCRaster", "SGI", "netCDF", "ISIS3", "ISIS2", "PDS4"),
    *("VICAR", "ERS", "JP2OpenJPEG", "FIT", "GRIB", "RMF", "RST", "GSAG", "GSBG", "GS7BG"),
    *("WEBP", "PDF", "MBTiles", "CALS", "MRF", "PNM", "PAux", "MFF2", "BT", "LAN", "CTable2"),
    *("KRO", "USGSDEM", "XYZ", "HF2", "ZMap", "SIGDEM", "GPKG", "ENVI", "EHdr", "ISCE", "Zarr"),
    *("ROI_PAC", "RRASTER", "SAGA", "Terragen", "GTX", "NTv2", "BLX", "BYN", "BAG", "S102"),
    *("KMLSUPEROVERLAY", "SRTMHGT", "NWT_GRD", "ILWIS", "Leveller", "TGA", "R", "Rasterlite"),
)
ENDINGS = {"SAGA": "sdat", "RRASTER": "grd", "Terragen": "ter", "GTX": "gtx", "NTv2": "gsb"} | {
    **{"BLX": "blx", "BYN": "byn", "BAG": "bag", "S102": "h5", "KMLSUPEROVERLAY": "kml"},
    **{"ILWIS": "mpr", "NWT_GRD": "grd", "SRTMHGT": "hgt", "PDS4": "xml", "ISIS3": "cub"},
}
COMPRESSIONS = ("NONE", "LZW", "DEFLATE", "PACKBITS", "JPEG", "WEBP", "ZSTD", "CCITTFAX4")
COLOURS = ("Gray", "Palette", "Red", "Green", "Blue", "Alpha", "Undefined", "Cyan", "Hue")
NUMBERS = ("0", "1", "-1", "255", "-9999", "nan", "inf", "-inf", "1e300", "0.5", "65536")
SYSTEMS = ("", "EPSG:32633", "EPSG:4326", "EPSG:3031", "EPSG:3857", "EPSG:4979", "EPSG:5773")
SIDES = (1, 2, 7, 40, 64, 129)


def make(rng: random.Random, folder: Path) -> tuple[str, Path] | None:
    """Write a raster at random into a folder; return what it is, and where. None if GDAL cannot."""
    bands, kind = rng.randint(1, 5), rng.choice(TYPES)
    height, width = rng.choice(SIDES), rng.choice(SIDES)
    source, described = folder / "source.tif", folder / "described.vrt"
    values = np.random.default_rng(rng.randrange(2**32)).integers(
        0, rng.choice((2, 5, 256)), (bands, height, width), dtype=np.uint8
    )
    driver = "GTiff" if rng.random() < 0.4 else rng.choice(WRITABLE)
    options = _options(rng)
    path = folder / f"raster.{ENDINGS.get(driver, 'x')}"
    profile = {"driver": "GTiff", "width": width, "height": height, "count": bands}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(source, "w", dtype="uint8", **profile) as dataset:
            dataset.write(values)
        described.write_text(_vrt(rng, width, height, bands, kind), encoding="utf-8")
        try:
            if driver == "VRT":
                path.write_bytes(described.read_bytes())
            else:
                rasterio.shutil.copy(described, path, driver=driver, strict=False, **options)
        except (RasterioError, ValueError, SystemError, CPLE_BaseError):
            return None
    what = f"{driver} {kind} {bands} × {height} × {width} {options}"
    return (what, path) if path.exists() else None


def _vrt(rng: random.Random, width: int, height: int, bands: int, kind: str) -> str:
    system = rng.choice(SYSTEMS)
    place = rng.choice(("5e5, 10, 0, 5.5e6, 0, -10", "179, 0.01, 0, -89, 0, 0.01", "0,0,0,0,0,0"))
    text = [f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">']
    text += [f"<SRS>{system}</SRS>"] if system else []
    text += [f"<GeoTransform>{place}</GeoTransform>"] if rng.random() < 0.7 else []
    for band in range(1, bands + 1):
        text.append(f'<VRTRasterBand dataType="{kind}" band="{band}">')
        if rng.random() < 0.5:
            text.append(f"<ColorInterp>{rng.choice(COLOURS)}</ColorInterp>")
        if band == 1 and rng.random() < 0.2:
            entries = "".join(
                f'<Entry c1="{rng.randrange(256)}" c2="{i}" c3="9" c4="{rng.choice((0, 255))}"/>'
                for i in range(rng.choice((1, 2, 16, 256)))
            )
            text.append(f"<ColorTable>{entries}</ColorTable>")
        for tag in ("NoDataValue", "Offset", "Scale"):
            if rng.random() < 0.15:
                text.append(f"<{tag}>{rng.choice(NUMBERS)}</{tag}>")
        text.append(
            '<SimpleSource><SourceFilename relativeToVRT="1">source.tif</SourceFilename>'
            f"<SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        )
    return "\n".join([*text, "</VRTDataset>"])


def _options(rng: random.Random) -> dict[str, str]:
    """Return options of a GeoTIFF; other drivers take what they know of them."""
    options = {"COMPRESS": rng.choice(COMPRESSIONS)} if rng.random() < 0.6 else {}
    if rng.random() < 0.4:
        options |= {"TILED": "YES", "BLOCKXSIZE": "16", "BLOCKYSIZE": rng.choice(("16", "64"))}
    if rng.random() < 0.3:
        options["NBITS"] = rng.choice(("1", "2", "4", "7", "12", "16", "24"))
    if rng.random() < 0.5:
        options["INTERLEAVE"] = rng.choice(("PIXEL", "BAND"))
    if rng.random() < 0.2:
        options["PHOTOMETRIC"] = rng.choice(("MINISWHITE", "RGB", "CMYK", "YCBCR", "CIELAB"))
    return options
