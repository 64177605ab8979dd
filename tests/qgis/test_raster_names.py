"""Two rasters are never taken for one, and one is never taken for two, however it is spelt."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from deepseg_qgis.processing.layers.raster_layers import raster_sources
from deepseg_qgis.processing.layers.raster_names import Address, distinct_names
from hypothesis import given
from hypothesis import strategies as st
from qgis.core import QgsRasterLayer

from deepseg_qgis.errors import RasterError

STEPS = st.lists(st.sampled_from(["2023", "2024", "x", "a.tif", "A.tif"]), min_size=1, max_size=5)


def layers(*paths: str) -> list[QgsRasterLayer]:
    made = [QgsRasterLayer(path, "scene") for path in paths]
    assert all(layer.isValid() for layer in made)
    return made


def names_of(*paths: str) -> list[str]:
    return [source.name for source in raster_sources(layers(*paths))]


def address(*steps: str) -> Address:
    path = "/" + "/".join(steps)
    return Address(path, path, "", "", "")


@given(st.lists(STEPS, max_size=8, unique_by=tuple))
def test_every_set_of_paths_has_names_of_its_own(paths: list[list[str]]) -> None:
    names = distinct_names([address(*steps) for steps in paths])
    assert len(set(names)) == len(paths)
    for name, steps in zip(names, paths, strict=True):
        assert "/".join(steps).endswith(name)


def test_a_name_has_no_more_folders_than_it_needs() -> None:
    paths = [("d", "2023", "x", "a.tif"), ("d", "2024", "x", "a.tif"), ("d", "2024", "x", "b.tif")]
    names = distinct_names([address(*steps) for steps in paths])
    assert names == ["2023/x/a.tif", "2024/x/a.tif", "b.tif"]


def test_names_that_look_alike_are_told_apart() -> None:
    composed, decomposed = "h\u00e4user.tif", "ha\u0308user.tif"
    names = distinct_names([address("d", composed), address("d", decomposed)])
    assert names[0] != names[1]
    assert names[1].endswith("(2)")


def test_rasters_of_different_years_keep_apart(raster: Callable[..., str]) -> None:
    paths = [raster("2023/x/a.tif"), raster("2024/x/a.tif")]
    assert names_of(*paths) == ["2023/x/a.tif", "2024/x/a.tif"]


def test_rasters_of_one_archive_keep_apart(raster: Callable[..., str], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "scenes.zip", "w") as archive:
        for name in ("a.tif", "b.tif"):
            archive.write(raster("scene.tif"), name)
    inside = [f"/vsizip/{tmp_path / 'scenes.zip'}/{name}" for name in ("a.tif", "b.tif")]
    assert names_of(*inside) == ["a.tif", "b.tif"]


@pytest.mark.parametrize("spelling", ["same", "symlink", "folder", "hard link", "relative"])
def test_one_raster_is_not_counted_twice(
    spelling: str, raster: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = raster("scene.tif")
    other = str(tmp_path / "other.tif")
    if spelling == "symlink":
        os.symlink(path, other)
    elif spelling == "hard link":
        os.link(path, other)
    elif spelling == "folder":
        os.symlink(tmp_path, tmp_path / "linked")
        other = str(tmp_path / "linked" / "scene.tif")
    elif spelling == "relative":
        monkeypatch.chdir(tmp_path)
        other = "../" + tmp_path.name + "/./scene.tif"
    else:
        other = path + "|option:NUM_THREADS=2"
    with pytest.raises(RasterError, match=r"chosen twice.*Choose each raster once"):
        raster_sources(layers(path, other))


def test_a_raster_inside_of_a_file_is_named_and_found(
    raster: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from osgeo import gdal

    path = str(tmp_path / "scenes.nc")
    gdal.Translate(path, raster("scene.tif"), format="netCDF", bandList=[1])
    monkeypatch.chdir(tmp_path)
    (source,) = raster_sources(layers("NETCDF:scenes.nc:Band1"))
    assert source.name == "scenes.nc:Band1"
    assert source.path == f"NETCDF:{path}:Band1"
