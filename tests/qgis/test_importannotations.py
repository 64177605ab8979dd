"""Import of annotations: what the dialog sends to the engine, and a real run from the shell."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import pytest
from qgis.core import QgsProcessingException, QgsVectorLayer

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def coco(tmp_path: Path) -> str:
    path = tmp_path / "a.json"
    content = {
        "images": [{"id": 1, "file_name": "scene.jpg", "width": 64, "height": 64}],
        "annotations": [
            {"id": 5, "image_id": 1, "category_id": 2, "segmentation": [[8, 8, 24, 8, 24, 24]]}
        ],
        "categories": [{"id": 2, "name": "house"}],
    }
    path.write_text(json.dumps(content))
    return str(path)


def test_values_of_the_dialog_arrive(
    run: Run, engine: Any, raster: Callable[..., str], coco: str, tmp_path: Path
) -> None:
    output = str(tmp_path / "o.gpkg")
    scene = raster()
    run(
        "importannotations",
        FORMAT="coco",
        ANNOTATION_FILE=coco,
        INPUT=[scene],
        CATEGORY=" roof ",
        VALUES="objects",
        OUTPUT=output,
    )
    job = engine.job
    assert (job["format"], job["annotations"], job["values"]) == ("coco", coco, "objects")
    assert (job["category"], job["output"]) == ("roof", output)
    assert [source["path"] for source in job["rasters"]] == [scene]


def test_rasters_may_be_left_out(run: Run, engine: Any, raster: Callable[..., str]) -> None:
    labels = raster("labels.tif")
    for rasters in (None, []):
        run("importannotations", FORMAT="label_raster", ANNOTATION_FILE=labels, INPUT=rasters)
        assert engine.job["rasters"] == []
        assert engine.job["category"] is None


def test_masks_are_a_folder(
    run: Run, engine: Any, raster: Callable[..., str], tmp_path: Path
) -> None:
    run("importannotations", FORMAT="mask_folder", INPUT=[raster()], MASK_FOLDER=str(tmp_path))
    assert engine.job["annotations"] == str(tmp_path)


@pytest.mark.parametrize("form", ["coco", "label_raster", "mask_folder"])
def test_without_a_file_it_says_what_is_needed(run: Run, engine: Any, form: str) -> None:
    with pytest.raises(QgsProcessingException, match=f"The format {form} needs a"):
        run("importannotations", FORMAT=form)


def test_the_layer_gets_the_files_colours_and_others(
    run: Run, engine: Any, raster: Callable[..., str], tmp_path: Path
) -> None:
    engine.acts(
        """
        write_outputs()
        known = {"name": "roof", "colour": "#ff0010"}
        say(events.Result({"categories": [known, {"name": "lawn", "colour": ""}]}))
        """
    )
    output = tmp_path / "o.gpkg"
    run(
        "importannotations",
        FORMAT="label_raster",
        ANNOTATION_FILE=raster(),
        OUTPUT=str(output),
    )
    style = (tmp_path / "o.qml").read_text()
    assert 'value="roof"' in style
    assert 'value="lawn"' in style
    assert "255,0,16," in style
    layer = QgsVectorLayer("Polygon?field=fid:integer&field=category:string", "a", "memory")
    layer.loadNamedStyle(str(tmp_path / "o.qml"))
    widgets = [layer.editorWidgetSetup(index) for index in (0, 1)]
    assert [each.type() for each in widgets] == ["Hidden", "ValueMap"]
    assert widgets[1].config()["map"] == [{"roof": "roof"}, {"lawn": "lawn"}]


def test_from_the_shell_with_the_real_engine(
    raster: Callable[..., str], coco: str, tmp_path: Path
) -> None:
    raster("scene.tif")
    given = ["FORMAT=coco", f"ANNOTATION_FILE={coco}", "INPUT=scene.tif", "OUTPUT=found.gpkg"]
    command = [ROOT / "scripts" / "qgis_process", "run", "deepseg:importannotations", "--", *given]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=180, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    frame = geopandas.read_file(tmp_path / "found.gpkg")
    assert frame["category"].tolist() == ["house"]
    assert frame.geometry[0].area == 128
    assert frame.total_bounds.tolist() == [300008, 2999976, 300024, 2999992]
    assert (tmp_path / "found.qml").exists()
