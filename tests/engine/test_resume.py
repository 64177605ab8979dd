"""Predictions that are stopped, killed and continued come out like those that were not."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import torch
from example_jobs import KilledError, Watched, kill, predict_job
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepseg_qgis import jobs
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.inference.predicted_cores import PredictedCore
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.models import networks, weights
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.resuming import journal_folder, retention
from deepseg_qgis.engine.resuming.journal import Journal
from deepseg_qgis.engine.resuming.journal_folder import JournalFolder, prune
from deepseg_qgis.engine.verbs import predict
from deepseg_qgis.errors import RasterError, ResourceError, Stopped

CARD = ModelCard(
    architecture="linknet",
    encoder="mobilenet_v2",
    task="semantic",
    categories=(Category("a", "#00aa11"), Category("b", "#aabbcc")),
    band_names=("1",),
    dtype="uint8",
    resolution_m=None,
    mean=(100.0,),
    std=(40.0,),
    tile_size_px=64,
    thresholds=(0.3, 0.3),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("model") / "m.safetensors")
    torch.manual_seed(3)
    weights.save(
        path, networks.build(NetworkDesign("linknet", "mobilenet_v2"), 1, 2).state_dict(), CARD
    )
    return path


@pytest.fixture
def scene(make_raster):
    """Return 5 × 7 tiles of soft shapes, a strip of them without data."""
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(1, 24, 32)).repeat(8, 1).repeat(8, 2)
    values = (noise * 60 + 110).clip(1, 255).astype(np.uint8)
    values[:, 60:80] = 0
    return make_raster(values, name="scene.tif", nodata=0)


@pytest.fixture
def job(scene, model, tmp_path, cache):
    steps = {"tile_size_px": 64, "overlap_px": 16, "simplify_px": 1.0}
    return predict_job(scene, model, tmp_path / "out.geojson", **steps)


def run(job, control=None):
    return predict.run(job, control or Control())


def written(job):
    return Path(job.output).read_bytes()


def interrupted(job, tiles):
    control = Watched(tiles, kill)
    with pytest.raises(KilledError):
        run(job, control)


@pytest.mark.parametrize("tiles", [1, 9, 35])
def test_a_run_that_was_killed_continues_and_ends_as_if_it_was_not(job, cache, tiles):
    result = run(job)
    whole = written(job)
    os.remove(job.output)
    interrupted(job, tiles)
    assert len(os.listdir(cache)) == 1
    assert not os.path.exists(job.output)
    control = Watched()
    assert run(job, control) == result
    assert result["covered"] is None
    assert written(job) == whole
    done = [text for text in control.texts if "continuing" in text]
    assert len(done) == 1
    assert f"{tiles} of 35 tiles" in done[0]
    assert os.listdir(cache) == []


def test_what_is_recorded_is_neither_read_nor_run(job, monkeypatch):
    interrupted(job, 30)
    reads = []
    read = Raster.read
    monkeypatch.setattr(
        Raster, "read", lambda self, window: reads.append(window) or read(self, window)
    )
    run(job)
    assert len(reads) == 5


def test_a_run_may_be_killed_again_and_again(job, cache):
    run(job)
    whole = written(job)
    for tiles in (3, 5, 9, 9, 24):
        interrupted(job, tiles)
    run(job)
    assert written(job) == whole


@pytest.mark.parametrize("suffix", ["gpkg", "fgb"])
def test_other_formats_hold_the_same(job, tmp_path, suffix):
    job = replace(job, output=str(tmp_path / f"whole.{suffix}"))
    run(job)
    resumed = replace(job, output=str(tmp_path / f"resumed.{suffix}"))
    interrupted(resumed, 8)
    run(resumed)
    one, other = (geopandas.read_file(each.output) for each in (job, resumed))
    assert len(one) > 10
    assert one.drop(columns="geometry").equals(other.drop(columns="geometry"))
    assert (shapely.to_wkb(one.geometry) == shapely.to_wkb(other.geometry)).all()


@pytest.mark.parametrize(
    "change",
    [{"threshold": 0.4}, {"extent": jobs.Extent(500_000, 5_499_904, 500_100, 5_500_000, "")}],
)
def test_another_prediction_starts_anew(job, cache, change):
    interrupted(job, 12)
    other = replace(job, **change)
    control = Watched()
    run(other, control)
    assert not any("continuing" in text for text in control.texts)
    assert len(os.listdir(cache)) == 1, "the first one may still be continued"


def test_a_changed_raster_starts_anew(job, scene):
    interrupted(job, 12)
    os.utime(scene.path, ns=(1, 1))
    control = Watched()
    run(job, control)
    assert not any("continuing" in text for text in control.texts)


def test_without_resume_nothing_is_recorded_or_continued(job, cache):
    interrupted(replace(job, resume=False), 12)
    assert not cache.exists()
    interrupted(job, 12)
    control = Watched()
    run(replace(job, resume=False), control)
    assert not any("continuing" in text for text in control.texts)


def test_small_rasters_need_no_journal(job, cache):
    interrupted(replace(job, tile_size_px=None, overlap_px=None), 1)
    assert not cache.exists()


def test_several_rasters_continue_each_where_it_was(job, scene, tmp_path):
    second = jobs.RasterSource(shutil.copy(scene.path, str(tmp_path / "b.tif")), "", "b.tif")
    both = replace(job, rasters=(scene, second))
    run(both)
    whole = written(both)
    interrupted(both, 48)
    control = Watched()
    run(both, control)
    told = [text for text in control.texts if "continuing" in text]
    assert ["35 of 35" in told[0], "13 of 35" in told[1]] == [True, True]
    assert written(both) == whole


def test_two_at_once_are_turned_away(job):
    def again(_control):
        with pytest.raises(ResourceError, match="running already"):
            run(job)
        run(replace(job, resume=False, output=job.output + "2.geojson"))

    run(job, Watched(3, again))
    features = [
        Path(each).read_text().split("[", 1)[1] for each in (job.output, job.output + "2.geojson")
    ]
    assert features[0] == features[1]


def test_stop_keeps_what_it_covers_and_says_so(job, cache, tmp_path):
    run(job)
    whole = written(job)
    pixels = sums_by_pixel(job)
    control = Watched(17, Control.stop)
    result = run(job, control)
    assert "scene.tif: 4" in result["covered"]
    assert "17 of 35 tiles" in result["covered"]
    assert result["resumable"]
    frame = geopandas.read_file(job.output).to_crs(32633)
    # 7 tiles a row: two rows and three more tiles
    first, second = covered_boxes(result["covered"])
    covered = shapely.union(first, second)
    assert frame.union_all().difference(covered.buffer(0.01)).area == pytest.approx(0, abs=1e-6)
    assert frame["area_px"].sum() == pixels(covered)
    assert 0 < frame["area_px"].sum() < pixels(shapely.box(0, 0, 1e7, 1e7))
    run(job)
    assert written(job) == whole


def covered_boxes(text):
    extents = text.split("lies in ")[1].split(" and ")
    assert all("[EPSG:32633]" in each for each in extents)
    boxes = []
    for each in extents:
        west, east, south, north = map(float, each.split(" ")[0].split(","))
        boxes.append(shapely.box(west, south, east, north))
    return boxes


def sums_by_pixel(job):
    """Return a function that counts the pixels of all polygons inside a shape on the ground."""
    exact = replace(job, simplify_px=0.0, output=job.output + ".gpkg")
    run(exact)
    polygons = geopandas.read_file(exact.output).union_all()
    return lambda shape: round(polygons.intersection(shape).area / 0.25)


def test_stop_before_the_first_tile_leaves_what_was_there(job):
    Path(job.output).write_text("old")
    control = Control()
    control.stop()
    with pytest.raises(Stopped, match="before anything"):
        run(job, control)
    assert Path(job.output).read_text() == "old"


def test_stop_leaves_later_rasters_out(job, scene, tmp_path):
    second = jobs.RasterSource(shutil.copy(scene.path, str(tmp_path / "b.tif")), "", "b.tif")
    job = replace(job, rasters=(scene, second), output_statistics=str(tmp_path / "s.csv"))
    result = run(job, Watched(35, Control.stop))
    assert result["covered"] == "scene.tif: all of it; b.tif: nothing."
    assert set(geopandas.read_file(job.output)["source"]) == {"scene.tif"}


def test_statistics_of_a_stopped_run_are_of_what_is_covered(job, tmp_path):
    job = replace(job, threshold=0.0, output_statistics=str(tmp_path / "s.csv"))
    run(job, Watched(14, Control.stop))
    lines = (tmp_path / "s.csv").read_text().splitlines()
    share = sum(
        float(line.split(",")[lines[0].split(",").index("share_of_aoi")]) for line in lines[1:]
    )
    assert 0.7 < share < 1.0  # all but the strip without data


def test_stop_when_all_is_predicted_leaves_a_whole_result(job, cache):
    result = run(job, Watched(35, Control.stop))
    assert result["covered"] is None
    assert os.listdir(cache) == []


def test_a_full_cache_disk_costs_the_journal_alone(job, cache, monkeypatch):
    run(job)
    whole = written(job)
    append = Journal._append

    def full(self, data):
        if len(self) == 6:
            self._file.write(data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        append(self, data)

    control = Watched(15, kill)
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_append", full)
        with pytest.raises(KilledError):
            run(job, control)
    assert any("the journal ends here (No space left" in text for text in control.texts)
    control = Watched()
    run(job, control)
    assert any("6 of 35 tiles" in text for text in control.texts)
    assert written(job) == whole


def test_too_little_room_for_a_journal_is_said_beforehand(job, cache, monkeypatch):
    monkeypatch.setattr(journal_folder, "KEPT_FREE_BYTES", 10**18)
    control = Watched()
    result = run(job, control)
    assert not result["resumable"]
    assert any("without a journal" in text for text in control.texts)


@pytest.mark.parametrize("what", ["truncated", "deleted", "touched"])
def test_a_raster_that_changes_meanwhile_is_an_error(job, scene, cache, what):
    def change(_control):
        if what == "truncated":
            os.truncate(scene.path, 1000)
        elif what == "deleted":
            os.remove(scene.path)
        else:
            os.utime(scene.path, ns=(1, 1))

    with pytest.raises(RasterError, match=r"not there any more|was changed while it was read"):
        run(job, Watched(4, change))
    assert not os.path.exists(job.output)
    assert not [name for name in os.listdir(os.path.dirname(job.output)) if name.endswith(".part")]


CORES = [Window(0, 40 * i, 30, 40) for i in range(5)]


def some_cores():
    rng = np.random.default_rng(0)
    found = []
    for i, core in enumerate(CORES):
        maps = rng.integers(0, 3, (2, core.height, core.width)).astype(np.uint8)
        known = rng.random((core.height, core.width)) < 0.5
        found.append(
            PredictedCore(core, None, None, None)
            if i == 2
            else PredictedCore(core, maps[0], maps[1], known)
        )
    return found


def assert_same(one, other):
    assert one.core == other.core
    for name in ("classes", "probabilities", "known"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype
            assert np.array_equal(a, b)
            assert b.flags.writeable


def recorded(path):
    journal = Journal(str(path))
    for found in some_cores():
        journal.add(found)
    journal.close()
    return path.read_bytes()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_journal_that_was_cut_or_bent_gives_what_is_whole(tmp_path, data):
    path = tmp_path / "a.journal"
    path.unlink(missing_ok=True)
    content = bytearray(recorded(path))
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[place:]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    journal = Journal(str(path))
    replayed = list(journal.replay(CORES))
    assert len(replayed) < 5
    assert len(journal) == len(replayed)
    true = some_cores()
    for one, other in zip(true, replayed, strict=False):
        assert_same(one, other)
    for found in true[len(replayed) :]:
        journal.add(found)
    journal.close()
    journal = Journal(str(path))
    for one, other in zip(true, journal.replay(CORES), strict=True):
        assert_same(one, other)
    journal.close()


def test_a_journal_of_another_grid_gives_nothing(tmp_path):
    recorded(tmp_path / "a.journal")
    journal = Journal(str(tmp_path / "a.journal"))
    assert list(journal.replay([Window(0, 0, 7, 7)])) == []
    journal.close()


def test_old_and_large_journals_go_but_none_in_use(tmp_path, monkeypatch):
    monkeypatch.setattr(retention, "MOST_BYTES", 1000)
    ages = {"new": 1, "large": 2, "wanted": 30, "used": 30, "old": 30}
    for name, days in ages.items():
        path = tmp_path / f"{name}.journal"
        path.write_bytes(b"x" * (2000 if name == "large" else 10))
        os.utime(path, (1e9 - days * 86400,) * 2)
    (tmp_path / "other.txt").touch()
    used = Journal(str(tmp_path / "used.journal"))
    os.utime(tmp_path / "used.journal", (1e9 - 30 * 86400,) * 2)
    prune(str(tmp_path), keep="wanted.journal", now=1e9)
    left = {"new.journal", "wanted.journal", "used.journal", "other.txt"}
    assert set(os.listdir(tmp_path)) == left
    used.delete()
    assert set(os.listdir(tmp_path)) == left - {"used.journal"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_journals_are_private(tmp_path):
    with JournalFolder(Control(), str(tmp_path / "j")) as kept:
        journal = kept.open("a", "scene", 0)
        assert os.stat(journal.path).st_mode & 0o77 == 0
        assert os.stat(tmp_path / "j").st_mode & 0o77 == 0


def test_the_raster_fixture_is_what_tests_think(scene):
    with rasterio.open(scene.path) as dataset:
        assert dataset.shape == (192, 256)
