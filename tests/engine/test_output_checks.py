"""No run takes anything of the user's away: whatever its outputs are called, and wherever."""

import hashlib
import json
import os
import sqlite3
import unicodedata
import warnings
from dataclasses import replace
from pathlib import Path

import example_jobs
import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from example_jobs import evaluate_job, import_job, predict_job, train_job
from example_vrts import vrt, vrt_band

from deepseg_qgis import jobs, overwriting
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.verbs import (
    demoscene,
    evaluate,
    importannotations,
    polygonize,
    predict,
    statistics,
    tile,
    train,
)
from deepseg_qgis.errors import DeepSegError, OutputError

RUN = {
    "demoscene": demoscene.run,
    "evaluate": evaluate.run,
    "importannotations": importannotations.run,
    "polygonize": polygonize.run,
    "predict": predict.run,
    "statistics": statistics.run,
    "tile": tile.run,
    "train": train.run,
}
BOXES = [shapely.box(500_000 + 9 * i, 5_499_950, 500_005 + 9 * i, 5_499_960) for i in range(4)]


def state(folder):
    """Return all files and links of a folder with a hash of each."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_symlink():
            found[str(path)] = os.readlink(path)
        elif path.is_file():
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def refused(job, folder, match=None):
    """Check that a job is refused, in a sentence, and that nothing changed."""
    before = state(folder)
    with pytest.raises(OutputError, match=match) as told:
        RUN[job.verb](job, Control())
    assert state(folder) == before
    return str(told.value)


def tile_job(raster, output, **changes):
    return example_jobs.tile_job(raster, output, **{"rows": 1, "columns": 2, **changes})


def write_layer(path, name, **options):
    frame = geopandas.GeoDataFrame({"a": [1] * len(BOXES)}, geometry=BOXES, crs=32633)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pyogrio.write_dataframe(frame, path, layer=name, **options)


@pytest.fixture
def scene(make_raster):
    return make_raster(np.full((3, 64, 64), 9, np.uint8), name="scene.tif")


@pytest.fixture
def parcels(make_layer):
    return make_layer(BOXES, ["a"] * len(BOXES), name="parcels")


def every_output(folder, scene, parcels):
    """Return a job of each verb with all outputs it can have, and what it reads."""
    model = folder / "model.safetensors"
    model.write_text("a model")
    coco = folder / "coco.json"
    coco.write_text("{}")
    train_all = train_job(scene, parcels, folder, aoi=parcels)
    outputs = dict.fromkeys(("output_classes", "output_probabilities", "output_coco"), "x")
    return [
        train_all,
        evaluate_job(scene, str(model), parcels, folder),
        predict_job(scene, str(model), folder / "p.gpkg", aoi=parcels, **outputs),
        jobs.PolygonizeJob(scene, None, 0.0, 0.0, "plain", str(folder / "q.gpkg"), None),
        jobs.StatisticsJob(parcels, None, str(folder / "s.csv"), None),
        tile_job(scene, folder / "t.gpkg", annotations=parcels),
        import_job("coco", coco, [scene], folder / "i.gpkg"),
    ]


def read_by(job):
    """Return the files that a job reads."""
    found = list(jobs.paths(job, jobs.InputPath).values())
    for value in vars(job).values():
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, (jobs.RasterSource, jobs.VectorSource)):
                found.append(each.path)
    return found


def test_no_output_of_any_verb_may_be_any_of_its_inputs(tmp_path, scene, parcels):
    tried = 0
    for job in every_output(tmp_path, scene, parcels):
        for kind in (jobs.OutputFile, jobs.OutputLayer, jobs.OutputTable):
            for name in {**jobs.paths(job, kind), "output": ""} if kind else ():
                for path in read_by(job):
                    if name in vars(job):
                        refused(replace(job, **{name: path}), tmp_path)
                        tried += 1
    assert tried > 40


def test_no_two_outputs_may_be_one_file(tmp_path, scene, parcels):
    for job in [*every_output(tmp_path, scene, parcels), demo(tmp_path)]:
        names = [
            name
            for kind in (jobs.OutputFile, jobs.OutputLayer, jobs.OutputTable)
            for name in jobs.paths(job, kind)
        ]
        for name in names[1:]:
            same = {names[0]: str(tmp_path / "same.gpkg"), name: str(tmp_path / "same.gpkg")}
            refused(replace(job, **same), tmp_path)


def demo(folder):
    paths = [str(folder / name) for name in ("d.tif", "a.gpkg", "b.gpkg", "c.gpkg")]
    return jobs.DemoSceneJob(512, 1, True, *paths)


@pytest.mark.parametrize("spelling", ["link", "folder link", "relative", "dots", "hard link"])
def test_another_spelling_of_an_input_is_that_input(
    tmp_path, scene, parcels, spelling, monkeypatch
):
    path = Path(parcels.path)
    if spelling == "link":
        (tmp_path / "other.gpkg").symlink_to(path)
        path = tmp_path / "other.gpkg"
    elif spelling == "folder link":
        (tmp_path / "there").symlink_to(tmp_path)
        path = tmp_path / "there" / path.name
    elif spelling == "relative":
        monkeypatch.chdir(tmp_path)
        path = path.name
    elif spelling == "dots":
        path = f"{tmp_path}/../{tmp_path.name}/./{path.name}"
    else:
        os.link(path, tmp_path / "other.gpkg")
        path = tmp_path / "other.gpkg"
    refused(tile_job(scene, path, aoi=parcels), tmp_path, "layer 'parcels'")


def test_two_outputs_that_differ_in_unicode_form_or_case_are_one(tmp_path, scene, parcels):
    for one, other in [
        ("größe.csv", unicodedata.normalize("NFD", "größe.csv")),
        ("a.CSV", "A.csv"),
    ]:
        job = jobs.StatisticsJob(parcels, None, str(tmp_path / one), str(tmp_path / other))
        refused(job, tmp_path, "same file")


def test_the_sources_of_a_vrt_are_inputs_however_deep(tmp_path, scene):
    inner, outer = tmp_path / "inner.vrt", tmp_path / "sub" / "outer.vrt"
    outer.parent.mkdir()
    for path, source in ((inner, "scene.tif"), (outer, "../inner.vrt")):
        path.write_text(vrt(vrt_band(source), side=64))
    raster = jobs.RasterSource(str(outer), "", "outer.vrt")
    for path in (scene.path, inner, outer):
        job = predict_job(raster, "m", tmp_path / "p.gpkg", output_classes=str(path))
        refused(job, tmp_path, "raster outer.vrt")


@pytest.mark.parametrize("way", ["lower case", "01", "processing instruction"])
def test_the_sources_of_an_inner_vrt_are_found_however_it_is_written(tmp_path, scene, way):
    inner, outer = tmp_path / "inner.vrt", tmp_path / "outer.vrt"
    for path, source in ((inner, "scene.tif"), (outer, "inner.vrt")):
        text = vrt(vrt_band(source), side=64)
        if path == inner and way == "lower case":
            text = text.replace("SourceFilename", "sourcefilename")
            text = text.replace("relativeToVRT", "relativetovrt")
        elif path == inner and way == "01":
            text = text.replace('VRT="1"', 'VRT="01"')
        elif path == inner:
            text = f"<?one?><?other?>{text}"
        path.write_text(text)
    raster = jobs.RasterSource(str(outer), "", "outer.vrt")
    job = predict_job(raster, "m", tmp_path / "p.gpkg", output_classes=scene.path)
    refused(job, tmp_path, "raster outer.vrt")


def test_what_lies_beside_an_input_belongs_to_it(tmp_path, scene, make_layer):
    write_layer(tmp_path / "roads.shp", "roads")
    files = (str(tmp_path / "roads.shp"),)
    layer = replace(make_layer(BOXES, name="streamed"), files=files)
    beside = ["roads.dbf", "roads.shx", "roads.qml", "scene.tif.aux.xml", "scene.tif.ovr"]
    beside += ["scene.qml", "scene.tfw", "scene.tif.msk"]
    for name in beside:
        (tmp_path / name).touch()
        job = predict_job(
            scene, "m", tmp_path / "p.gpkg", aoi=layer, output_coco=str(tmp_path / name)
        )
        refused(job, tmp_path)


def test_a_raster_inside_an_archive_is_that_archive(tmp_path, scene):
    import zipfile

    archive = tmp_path / "scene.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(scene.path, "scene.tif")
    raster = jobs.RasterSource(f"/vsizip/{archive}/scene.tif", "", "scene.tif")
    job = predict_job(raster, "m", tmp_path / "p.gpkg", output_coco=str(archive))
    refused(job, tmp_path, r"scene\.zip")


def test_the_other_layers_of_a_geopackage_are_never_lost(tmp_path, scene):
    path = tmp_path / "project.gpkg"
    write_layer(path, "ann")
    write_layer(path, "project", append=True)
    assert "ann" in refused(tile_job(scene, path), tmp_path, "holds other layers")


def test_a_geopackage_with_its_own_layer_alone_is_replaced(tmp_path, scene):
    path = tmp_path / "tiles.gpkg"
    for columns in (2, 3):
        tile.run(tile_job(scene, path, columns=columns), Control())
        assert len(pyogrio.read_dataframe(path)) == columns


def test_a_link_is_never_replaced_by_a_file(tmp_path, scene):
    tile.run(tile_job(scene, tmp_path / "real.geojson"), Control())
    for target in ("real.geojson", "nowhere.geojson"):
        link = tmp_path / "link.geojson"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        refused(tile_job(scene, link), tmp_path, f"link to .*{target}")


def test_the_styles_that_a_user_saved_in_a_geopackage_are_never_lost(tmp_path, scene):
    path = tmp_path / "tiles.gpkg"
    tile.run(tile_job(scene, path), Control())
    with sqlite3.connect(path) as database:
        database.execute("create table layer_styles (stylename text, description text)")
        database.execute("insert into layer_styles values ('DeepSeg', 'Made by DeepSeg')")
    database.close()
    overwriting.check_replaceable(str(path))
    with sqlite3.connect(path) as database:
        database.execute("insert into layer_styles values ('my work of a day', null)")
    database.close()
    refused(tile_job(scene, path), tmp_path, "my work of a day")


@pytest.mark.parametrize("ending", ["gpkg", "sqlite"])
def test_a_layer_that_is_called_like_an_index_is_a_layer(tmp_path, scene, ending):
    path = tmp_path / f"tiles.{ending}"
    driver = {"gpkg": "GPKG", "sqlite": "SQLite"}[ending]
    write_layer(path, "tiles", driver=driver)
    write_layer(path, "rtree_survey", driver=driver, append=True)
    refused(tile_job(scene, path), tmp_path, "rtree_survey")


@pytest.mark.parametrize("ending", ["gpkg", "sqlite"])
@pytest.mark.parametrize(
    "stem", ["GPKG_tiles", "sqlite_2", "a-b", "it's #1", "rtree_x", "at\u202f3\u00a0PM"]
)
def test_a_run_may_replace_what_it_wrote_whatever_its_name(tmp_path, scene, stem, ending):
    path = tmp_path / f"{stem}.{ending}"
    for columns in (2, 3):
        tile.run(tile_job(scene, path, columns=columns), Control())
        assert len(pyogrio.read_dataframe(path)) == columns


@pytest.mark.parametrize("name", ["a\\b", "a\nb", "a\tb", "a" * 250])
@pytest.mark.parametrize("ending", ["gpkg", "geojson", "shp", "csv"])
def test_a_name_that_no_file_can_have_is_told_before_any_work(
    tmp_path, scene, parcels, name, ending
):
    path = f"{tmp_path}/{name}.{ending}"
    if ending == "csv":
        refused(jobs.StatisticsJob(parcels, None, path, None), tmp_path, "name")
    else:
        refused(tile_job(scene, path), tmp_path, "name")


def test_the_sheet_of_a_workbook_is_called_as_excel_allows(tmp_path, parcels):
    for stem in ("[2024] all: what? is * it", "x" * 60):
        path = tmp_path / f"{stem}.xlsx"
        for _ in range(2):
            statistics.run(jobs.StatisticsJob(parcels, None, str(path), None), Control())
        (sheet,) = overwriting.layers_in(str(path))
        assert len(sheet) <= 31
        assert not set(sheet) & set("[]:*?/\\")


@pytest.mark.parametrize("what", ["table", "raster", "view", "project"])
def test_whatever_else_a_geopackage_holds_is_never_lost(tmp_path, scene, what):
    path = tmp_path / "tiles.gpkg"
    if what == "raster":
        profile = {"driver": "GPKG", "width": 8, "height": 8, "count": 3, "dtype": "uint8"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(path, "w", **profile) as dataset:
                dataset.write(np.ones((3, 8, 8), np.uint8))
    else:
        write_layer(path, "tiles")
        more = {
            "table": "create table notes (text)",
            "view": "create view some as select * from tiles",
            "project": "create table qgis_projects (name text)",
        }
        with sqlite3.connect(path) as database:
            database.execute(more[what])
        database.close()
    refused(tile_job(scene, path), tmp_path, "holds other layers")


def test_other_sheets_of_a_workbook_are_never_lost(tmp_path, parcels):
    for ending in ("xlsx", "ods"):
        path = tmp_path / f"table.{ending}"
        statistics.run(jobs.StatisticsJob(parcels, None, str(path), None), Control())
        statistics.run(jobs.StatisticsJob(parcels, None, str(path), None), Control())
        other = path.with_name(f"other.{ending}")
        path.rename(other)
        refused(jobs.StatisticsJob(parcels, None, str(other), None), tmp_path, "table")


def test_a_geopackage_with_changes_that_wait_is_in_use(tmp_path, scene):
    path = tmp_path / "tiles.gpkg"
    write_layer(path, "tiles")
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma wal_autocheckpoint=0")
    database.execute("create table gpkg_waits (a)")
    assert Path(f"{path}-wal").stat().st_size > 0
    with pytest.raises(OutputError, match="in use"):
        tile.run(tile_job(scene, path), Control())
    assert database.execute("select count(*) from tiles").fetchone() == (4,)
    database.close()


def test_an_output_that_is_part_of_another_file_is_refused(tmp_path, scene, parcels):
    write_layer(tmp_path / "roads.shp", "roads")
    job = jobs.StatisticsJob(parcels, None, str(tmp_path / "s.csv"), str(tmp_path / "roads.dbf"))
    refused(job, tmp_path, r"belongs to roads\.shp")


def test_a_table_that_a_shapefile_would_replace_is_not_lost(tmp_path, scene):
    (tmp_path / "owners.dbf").write_text("somebody's table")
    refused(tile_job(scene, tmp_path / "owners.shp"), tmp_path, r"owners\.dbf")


@pytest.mark.parametrize(
    ("output", "beside", "owner"),
    [
        ("classes.tif", "classes.tfw", "classes.tiff"),
        ("classes.tif", "classes.tfw", "classes.TIFF"),
        ("roads.shp", "roads.ind", "roads.tab"),
    ],
)
def test_what_belongs_to_another_file_of_that_stem_stays(tmp_path, scene, output, beside, owner):
    for name in (beside, owner):
        (tmp_path / name).write_text("the user's")
    path = tmp_path / output
    if output.endswith(".shp"):
        tile.run(tile_job(scene, path), Control())
    else:
        demoscene.run(replace(demo(tmp_path), size_px=256, output=str(path)), Control())
    assert path.exists()
    assert all((tmp_path / name).read_text() == "the user's" for name in (beside, owner))


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    ("output", "beside", "owner"),
    [("dem.shp", "dem.prj", "dem.asc"), ("table.csv", "table.csvt", "table.tsv")],
)
def test_what_would_be_written_and_belongs_to_another_file_is_not_replaced(
    tmp_path, scene, parcels, output, beside, owner, there
):
    names = [beside, owner, *([output] if there else [])]
    for name in names:
        (tmp_path / name).write_text("the user's")
    path = tmp_path / output
    if output.endswith(".shp"):
        job = tile_job(scene, path)
    else:
        job = jobs.StatisticsJob(parcels, None, str(path), None)
    refused(job, tmp_path, f"belongs to {owner}")


def test_the_parts_of_a_mapinfo_table_belong_to_it(tmp_path, parcels):
    layer = replace(parcels, files=(str(tmp_path / "roads.tab"),))
    for name in ("roads.tab", "roads.dat", "roads.id"):
        (tmp_path / name).write_text("the user's")
        job = jobs.StatisticsJob(layer, None, str(tmp_path / "s.csv"), str(tmp_path / name))
        refused(job, tmp_path)


def test_an_unknown_format_is_told_before_any_work(tmp_path, scene, parcels):
    for ending in ("kml", "dxf", "csv", "tab", ""):
        refused(tile_job(scene, tmp_path / f"x.{ending}".rstrip(".")), tmp_path, "gpkg")
    refused(jobs.StatisticsJob(parcels, None, str(tmp_path / "x.kml"), None), tmp_path, "csv")


@pytest.mark.parametrize("where", ["above", "same", "within"])
def test_a_data_set_never_takes_an_input_or_another_output(tmp_path, make_raster, parcels, where):
    folder = tmp_path / "set"
    (folder / "in").mkdir(parents=True)
    raster = make_raster(np.ones((3, 64, 64), np.uint8), name="set/scene.tif")
    if where == "above":
        os.remove(raster.path)
        raster = make_raster(np.ones((3, 64, 64), np.uint8), name="set/in/scene.tif")
    job = tile_job(
        raster, tmp_path / "t.gpkg", annotations=parcels, aoi=parcels, output_folder=str(folder)
    )
    if where == "within":
        job = replace(job, raster=make_raster(np.ones((3, 64, 64), np.uint8)))
        os.remove(raster.path)
        job = replace(job, output=str(folder / "t.gpkg"))
    with pytest.raises(DeepSegError, match="Choose"):
        tile.run(job, Control())
    assert folder.is_dir()


def test_what_belonged_to_a_replaced_file_goes_with_it(tmp_path, scene):
    path = tmp_path / "p.shp"
    tile.run(tile_job(scene, path), Control())
    old = ["p.qix", "p.sbn", "p.sbx", "p.idm", "p.ind", "p.shp.xml", "p.SBN"]
    strangers = ["p.qml", "p.txt", "p.tif", "p.tif.aux.xml", "pp.qix", "p.qix.bak", "p.gpkg-wal"]
    for name in old + strangers:
        (tmp_path / name).write_text("old")
    tile.run(tile_job(scene, path, columns=4), Control())
    assert not [name for name in old if (tmp_path / name).exists()]
    assert all((tmp_path / name).read_text() == "old" for name in strangers)
    assert len(pyogrio.read_dataframe(path)) == 4
    x, y = 500_000.5, 5_499_999.5
    assert len(pyogrio.read_dataframe(path, bbox=(x, y, x + 1, y + 1))) == 1


def test_of_a_failed_run_nothing_is_replaced_nor_taken(tmp_path, scene, parcels):
    path = tmp_path / "p.shp"
    tile.run(tile_job(scene, path), Control())
    (tmp_path / "p.qix").write_text("old")
    before = state(tmp_path)
    nowhere = replace(parcels, crs_wkt="nonsense")
    with pytest.raises(DeepSegError, match="'parcels' could not be understood"):
        tile.run(tile_job(scene, path, aoi=nowhere), Control())
    assert state(tmp_path) == before


def test_what_is_filled_meanwhile_is_not_replaced(tmp_path, scene, monkeypatch):
    path = tmp_path / "p.gpkg"

    class Meanwhile(Control):
        def log(self, text):
            if not path.exists():
                write_layer(path, "drawn")

        def progress(self, fraction, text="", seconds_left=None):
            self.log(text)

    with pytest.raises(OutputError, match=r"drawn.*was kept at"):
        tile.run(tile_job(scene, path), Meanwhile())
    assert pyogrio.list_layers(path)[:, 0].tolist() == ["drawn"]


def test_messages_name_what_and_the_way_out(tmp_path, scene):
    job = predict_job(scene, "m", tmp_path / "p.gpkg", output_classes=scene.path)
    told = refused(job, tmp_path)
    assert "OUTPUT_CLASSES" in told
    assert "the raster scene.tif" in told
    assert told.endswith("Choose another file name.")
    assert json.dumps(told)
