"""A job run by an algorithm: its outputs, its errors, Stop, and what is left behind."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingUtils,
    QgsRectangle,
    QgsReferencedRectangle,
)

Run = Callable[..., dict[str, Any]]
SQUARE = "Polygon((300000 2999950, 300000 3000000, 300050 3000000, 300050 2999950, 300000 2999950))"


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "m.safetensors"
    path.touch()
    return str(path)


@pytest.fixture
def polygons(tmp_path: Path) -> str:
    path = tmp_path / "a.geojson"
    shape = {"type": "Polygon", "coordinates": [[[87, 27], [87, 28], [88, 28], [87, 27]]]}
    feature = {"type": "Feature", "properties": {"category": "house"}, "geometry": shape}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return str(path)


@pytest.fixture
def temporary_folders() -> Callable[[], list[str]]:
    """List the private folders of jobs."""
    folder = QgsProcessingUtils.tempFolder()
    return lambda: [name for name in os.listdir(folder) if name.startswith("deepseg-")]


def test_numbers_come_back_and_unknown_ones_do_not(
    run: Run, engine: Any, raster: Callable[..., str], model: str, polygons: str
) -> None:
    engine.acts(
        """
        write_outputs()
        say(events.Result({"map": 0.5, "ap50": None, "f1": float("nan"), "recall": 1, "extra": 2}))
        """
    )
    results = run("evaluate", INPUT=[raster()], MODEL=model, ANNOTATIONS=polygons)
    assert results == {"MAP": 0.5, "RECALL": 1}


def test_what_was_not_asked_for_is_not_made(
    run: Run, engine: Any, raster: Callable[..., str], model: str
) -> None:
    results = run("predict", INPUT=[raster()], MODEL=model)
    assert list(results) == ["OUTPUT"]
    job = engine.job
    assert job["output_statistics"] is None
    for name in ("aoi", "extent", "threshold", "tile_size_px", "overlap_px", "batch_size"):
        assert job[name] is None, name
    assert (job["min_area"], job["simplify_px"], job["outlines"]) == (0.0, 1.0, "plain")
    assert (job["precision"], job["device"], job["resume"]) == ("auto", "auto", True)


def test_values_of_the_dialog_arrive(
    run: Run, engine: Any, raster: Callable[..., str], model: str, polygons: str, tmp_path: Path
) -> None:
    crs = QgsCoordinateReferenceSystem("EPSG:32645")
    run(
        "predict",
        INPUT=[raster()],
        MODEL=model,
        AOI=polygons,
        EXTENT=QgsReferencedRectangle(QgsRectangle(1, 2, 3, 4), crs),
        MOSAIC=True,
        THRESHOLD=0,
        TILE_SIZE=64,
        OVERLAP=0,
        MIN_AREA=2.5,
        SIMPLIFY=0,
        OUTLINES="smooth",
        BATCH_SIZE=3,
        PRECISION="int8",
        DEVICE="cpu",
        RESUME=False,
        OUTPUT=str(tmp_path / "p.fgb"),
        OUTPUT_STATISTICS=str(tmp_path / "s.xlsx"),
    )
    job = engine.job
    assert (job["threshold"], job["overlap_px"]) == (0.0, 0), "nought is not nothing"
    assert (job["tile_size_px"], job["batch_size"], job["min_area"]) == (64, 3, 2.5)
    assert (job["simplify_px"], job["precision"], job["mosaic"]) == (0.0, "int8", True)
    assert job["resume"] is False
    assert job["outlines"] == "smooth"
    extent = job["extent"]
    assert [extent[side] for side in ("xmin", "ymin", "xmax", "ymax")] == [1, 2, 3, 4]
    assert "UTM zone 45N" in extent["crs_wkt"]
    assert job["aoi"]["name"] == "a"


@pytest.mark.parametrize(
    ("values", "task", "stuff"),
    [
        ({}, "auto", []),
        ({"TASK": "instance", "STUFF_CATEGORIES": " , "}, "instance", []),
        (
            {"TASK": "panoptic", "STUFF_CATEGORIES": "water, wet meadow ,"},
            "panoptic",
            ["water", "wet meadow"],
        ),
    ],
)
def test_the_task_and_what_nobody_counts_arrive(
    run: Run,
    engine: Any,
    raster: Callable[..., str],
    polygons: str,
    values: dict[str, str],
    task: str,
    stuff: list[str],
) -> None:
    run("train", INPUT=[raster()], ANNOTATIONS=polygons, **values)
    job = engine.job
    assert job["task"] == task
    assert job["stuff_categories"] == stuff


def test_a_learning_curve_is_asked_for(
    run: Run, engine: Any, raster: Callable[..., str], polygons: str
) -> None:
    results = run("learningcurve", INPUT=[raster()], ANNOTATIONS=polygons, SUBSETS=5)
    job = engine.job
    assert job["verb"] == "learningcurve"
    assert job["subsets"] == 5
    assert job["validation_fraction"] == 0.2
    assert results["OUTPUT"].endswith(".csv")


def test_the_model_to_continue_from_arrives(
    run: Run, engine: Any, raster: Callable[..., str], polygons: str, model: str
) -> None:
    run("train", INPUT=[raster()], ANNOTATIONS=polygons)
    assert engine.job["initial_model"] is None
    run("train", INPUT=[raster()], ANNOTATIONS=polygons, INITIAL_MODEL=model)
    assert engine.job["initial_model"] == model


def test_torchrun_starts_the_engine_of_trainings_where_it_is_wanted(
    run: Run,
    engine: Any,
    raster: Callable[..., str],
    polygons: str,
    model: str,
    feedback: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine.acts(
        """
        say(events.Log("torchrun" if "TORCHELASTIC_RUN_ID" in os.environ else "alone"))
        write_outputs()
        say(events.Result({}))
        """
    )
    monkeypatch.setenv("DEEPSEG_TORCHRUN", "--standalone --nproc-per-node 1")
    run("train", INPUT=[raster()], ANNOTATIONS=polygons)
    run("predict", INPUT=[raster()], MODEL=model)
    assert [text for text in feedback.all("info") if text in ("torchrun", "alone")] == [
        "torchrun",
        "alone",
    ]


def test_an_extent_without_crs_is_in_that_of_the_raster(
    run: Run, engine: Any, raster: Callable[..., str], model: str
) -> None:
    run("predict", INPUT=[raster()], MODEL=model, EXTENT="1,3,2,4")
    extent = engine.job["extent"]
    assert [extent[side] for side in ("xmin", "ymin", "xmax", "ymax")] == [1, 2, 3, 4]
    assert extent["crs_wkt"] == ""


@pytest.mark.parametrize(
    ("place", "extension"),
    [
        ({}, ".geojson"),
        ({"epsg": None, "transform": None}, ".gpkg"),
        ({"transform": None}, ".gpkg"),
        ({"epsg": None}, ".gpkg"),
    ],
)
def test_a_temporary_prediction_without_place_is_no_geojson(
    run: Run,
    engine: Any,
    raster: Callable[..., str],
    model: str,
    place: dict[str, None],
    extension: str,
) -> None:
    results = run("predict", INPUT=[raster(**place)], MODEL=model)
    assert Path(results["OUTPUT"]).suffix == extension
    assert engine.job["output"] == results["OUTPUT"]


def test_a_file_that_was_chosen_keeps_its_name(
    run: Run, engine: Any, raster: Callable[..., str], model: str, tmp_path: Path
) -> None:
    output = str(tmp_path / "p.geojson")
    scene = raster(epsg=None, transform=None)
    assert run("predict", INPUT=[scene], MODEL=model, OUTPUT=output)["OUTPUT"] == output


@pytest.mark.parametrize(("place", "ending"), [(True, ".geojson"), (False, ".gpkg")])
def test_a_name_without_an_ending_gets_the_usual_one(
    run: Run,
    engine: Any,
    raster: Callable[..., str],
    model: str,
    tmp_path: Path,
    place: bool,
    ending: str,
) -> None:
    scene = raster() if place else raster(epsg=None, transform=None)
    folder = tmp_path / "v1.2"
    folder.mkdir()
    given = {"OUTPUT": str(folder / "found"), "OUTPUT_COCO": str(folder / "objects")}
    results = run("predict", INPUT=[scene], MODEL=model, **given)
    assert results["OUTPUT"] == engine.job["output"] == given["OUTPUT"] + ending
    assert results["OUTPUT_COCO"] == given["OUTPUT_COCO"] + ".json"


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("found 2024.05", "found 2024.05.json"),
        ("found.JSON", "found.JSON"),
        ("found.pt", "found.pt.json"),
    ],
)
def test_a_dot_in_the_name_of_a_file_begins_no_ending(
    run: Run,
    engine: Any,
    raster: Callable[..., str],
    model: str,
    tmp_path: Path,
    asked: str,
    written: str,
) -> None:
    run("predict", INPUT=[raster()], MODEL=model, OUTPUT_COCO=str(tmp_path / asked))
    assert engine.job["output_coco"] == str(tmp_path / written)


def test_the_dialog_accepts_a_name_without_an_ending() -> None:
    found = QgsApplication.processingRegistry().algorithmById("deepseg:predict")
    for name, ending in (("OUTPUT", "exe"), ("OUTPUT_CLASSES", "exe")):
        output = found.parameterDefinition(name)
        for value in ("/a/found", QgsProcessingOutputLayerDefinition("/a/found")):
            assert output.isSupportedOutputValue(value, QgsProcessingContext())[0]
        assert not output.isSupportedOutputValue(f"/a/found.{ending}", QgsProcessingContext())[0]


@pytest.mark.parametrize(
    "output",
    [
        "ogr:dbname='/t/a.gpkg' table=\"b\" (geom)",
        *("memory:a", "/vsimem/a.gpkg", "/vsizip//t/a.zip/a.gpkg", "https://t.org/a.gpkg", "/t/"),
    ],
)
def test_an_output_that_is_no_file_is_refused(
    run: Run, engine: Any, raster: Callable[..., str], model: str, output: str
) -> None:
    with pytest.raises(QgsProcessingException, match=r"Polygons: expected a file|not supported"):
        run("predict", INPUT=[raster()], MODEL=model, OUTPUT=output)


def test_an_error_is_its_message_alone(
    run: Run,
    engine: Any,
    raster: Callable[..., str],
    model: str,
    feedback: Any,
    temporary_folders: Callable[[], list[str]],
) -> None:
    engine.acts('say(events.Error("ModelError", "The model has 4 bands.", "Traceback (most"))')
    with pytest.raises(QgsProcessingException) as caught:
        run("predict", INPUT=[raster()], MODEL=model)
    assert str(caught.value) == "The model has 4 bands."
    assert not feedback.all("debug"), "a mapper's mistake needs no traceback"
    assert temporary_folders() == []


def test_a_riddle_comes_with_its_details(
    run: Run, engine: Any, raster: Callable[..., str], model: str, feedback: Any
) -> None:
    engine.acts('say(events.Error("DeepSegError", "Odd.", "Traceback: here"))')
    with pytest.raises(QgsProcessingException, match=r"^Odd\.$"):
        run("predict", INPUT=[raster()], MODEL=model)
    assert feedback.all("debug") == ["Traceback: here"]


def test_details_go_into_the_message_log(
    run: Run, engine: Any, raster: Callable[..., str], model: str
) -> None:
    engine.acts('say(events.Error("ModelError", "No.", "Traceback: there"))')
    logged: list[tuple[str, str]] = []
    signal = QgsApplication.messageLog().messageReceived
    connection = signal.connect(lambda text, tab, level: logged.append((tab, text)))
    try:
        with pytest.raises(QgsProcessingException, match=r"^No\.$"):
            run("predict", INPUT=[raster()], MODEL=model)
    finally:
        signal.disconnect(connection)
    assert ("DeepSeg", "Traceback: there") in logged


def test_a_killed_engine_is_one_message(
    run: Run, engine: Any, raster: Callable[..., str], model: str
) -> None:
    engine.acts("import signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(QgsProcessingException, match="ran out of memory"):
        run("predict", INPUT=[raster()], MODEL=model)


LISTENING = """
say(events.Log("ready"))
sys.stdin.readline()
"""


def stop_when_ready(feedback: Any) -> None:
    """Press Stop as soon as the engine has said that it is ready."""
    push = feedback.pushInfo

    def push_and_stop(text: str) -> None:
        push(text)
        if text == "ready":
            feedback.cancel()

    feedback.pushInfo = push_and_stop


def test_stop_raises_so_that_scripts_notice(
    run: Run, engine: Any, raster: Callable[..., str], model: str, feedback: Any
) -> None:
    stop_when_ready(feedback)
    engine.acts(LISTENING + 'say(events.Error("Stopped", "Stopped. Nothing was written."))')
    with pytest.raises(QgsProcessingException, match="Nothing was written"):
        run("predict", INPUT=[raster()], MODEL=model)


def test_stop_that_comes_too_late_raises_too(
    run: Run, engine: Any, raster: Callable[..., str], model: str, polygons: str, feedback: Any
) -> None:
    stop_when_ready(feedback)
    engine.acts(LISTENING + "write_outputs(); say(events.Result({}, partial=True))")
    with pytest.raises(QgsProcessingException, match="Stopped"):
        run("evaluate", INPUT=[raster()], MODEL=model, ANNOTATIONS=polygons)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"covered": "a.tif: 40 %.", "resumable": True}, r"covers a.tif: 40 %\..*cut there.*again"),
        (
            {"covered": "a.tif: 40 %.", "resumable": False},
            r"covers a.tif: 40 %\..*cut there\..*yourself\. $",
        ),
        ({"covered": None}, "everything was predicted already"),
    ],
)
def test_a_stopped_prediction_keeps_what_it_covers_and_says_so(
    run: Run,
    engine: Any,
    raster: Callable[..., str],
    model: str,
    feedback: Any,
    values: dict[str, Any],
    said: str,
) -> None:
    stop_when_ready(feedback)
    engine.acts(LISTENING + f"write_outputs(); say(events.Result({values!r}, partial=True))")
    results = run("predict", INPUT=[raster()], MODEL=model)
    assert list(results) == ["OUTPUT"]
    assert any(re.search(said, text) for text in feedback.all("warning"))
    assert [text for text in feedback.all("info") if "Stopping" in text] == [
        "Stopping. What can be kept is finished and written now."
    ]


def test_stopped_training_keeps_its_model_and_says_so(
    run: Run,
    engine: Any,
    raster: Callable[..., str],
    polygons: str,
    feedback: Any,
    tmp_path: Path,
) -> None:
    stop_when_ready(feedback)
    engine.acts(LISTENING + "write_outputs(); say(events.Result({'epochs_run': 3}, partial=True))")
    output = str(tmp_path / "kept.safetensors")
    results = run("train", INPUT=[raster()], ANNOTATIONS=polygons, OUTPUT=output)
    assert results == {"OUTPUT": output, "EPOCHS_RUN": 3}
    assert any("was kept" in text and output in text for text in feedback.all("warning"))


@pytest.mark.parametrize("temporary", [True, False])
def test_a_model_that_qgis_would_delete_is_told_before_and_after_training(
    run: Run,
    engine: Any,
    raster: Callable[..., str],
    polygons: str,
    feedback: Any,
    tmp_path: Path,
    temporary: bool,
) -> None:
    engine.acts("say(events.Log('training')); write_outputs(); say(events.Result({}))")
    output = "TEMPORARY_OUTPUT" if temporary else str(tmp_path / "mine.safetensors")
    results = run("train", INPUT=[raster()], ANNOTATIONS=polygons, OUTPUT=output)
    said = [text for _, text in feedback.said]
    told = [i for i, text in enumerate(said) if "QGIS deletes" in text]
    if temporary:
        assert results["OUTPUT"] in said[told[0]]
        assert told[0] < said.index("training") < told[1]
    assert len(told) == (2 if temporary else 0)


def test_progress_epochs_and_warnings_are_told(
    run: Run,
    engine: Any,
    raster: Callable[..., str],
    polygons: str,
    feedback: Any,
    tmp_path: Path,
) -> None:
    engine.acts(
        """
        say(events.Progress(0.25, "Training", 130.0))
        scores, ious = {"a": 0.5, "b": 0.75}, {"a": 0.6, "b": 0.7}
        say(events.Epoch(1, 20, 0.5, 0.4, 0.625, scores, ious, 1e-3, 12.4, True))
        say(events.Log("No AOI.", "warning"))
        write_outputs()
        say(events.Result({}))
        """
    )
    model = str(tmp_path / "model.safetensors")
    given = {"ANNOTATIONS": polygons, "CATEGORY_FIELD": "category", "OUTPUT": model}
    run("train", INPUT=[raster()], **given)
    assert feedback.all("progress") == ["Training (about 2 min left)"]
    assert feedback.progress() == 25.0
    assert (
        "Epoch 1 of 20: loss 0.500, validation loss 0.400, validation score 0.625 "
        "(a 0.50, b 0.75), 12 s - kept so far" in feedback.all("info")
    )
    assert feedback.all("warning") == ["No AOI."]


def test_a_flood_of_lines_is_held_back(
    run: Run, engine: Any, raster: Callable[..., str], model: str, feedback: Any
) -> None:
    engine.acts(
        "for n in range(5_000): say(events.Log(str(n)))\nwrite_outputs()\nsay(events.Result({}))"
    )
    started = time.monotonic()
    run("predict", INPUT=[raster()], MODEL=model)
    seconds = time.monotonic() - started
    assert len(feedback.all("info")) < 110 * (seconds + 2)
    assert any("more lines" in text for text in feedback.all("info"))


def test_nothing_is_left_in_the_temporary_folder(
    run: Run,
    engine: Any,
    polygons: str,
    tmp_path: Path,
    temporary_folders: Callable[[], list[str]],
) -> None:
    run("statistics", INPUT=polygons, OUTPUT=str(tmp_path / "s.csv"))
    assert not Path(engine.job["polygons"]["path"]).exists()
    assert temporary_folders() == []


def test_a_temporary_folder_without_room_is_explained(
    run: Run,
    engine: Any,
    raster: Callable[..., str],
    model: str,
    feedback: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from deepseg_qgis.processing.algorithms import engine_algorithm

    def full(parent: str) -> None:
        raise OSError(28, "No space left on device", parent)

    monkeypatch.setattr(engine_algorithm, "PrivateFolder", full)
    with pytest.raises(QgsProcessingException):
        run("predict", INPUT=[raster()], MODEL=model)
    assert any("No space left on device). Make room" in text for text in feedback.all("error"))


def test_a_prediction_is_painted_in_the_models_colours(
    engine: Any, raster: Callable[..., str], model: str, tmp_path: Path, project: Any
) -> None:
    engine.acts(
        """
        shape = {"type": "Polygon", "coordinates": [[[87, 27], [87, 28], [88, 28], [87, 27]]]}
        house = {"type": "Feature", "properties": {"category": "house"}, "geometry": shape}
        with open(job.output, "w") as file:
            json.dump({"type": "FeatureCollection", "features": [house]}, file)
        say(events.Result({"categories": [{"name": "house", "colour": "#ff0000"}]}))
        """
    )
    found = QgsApplication.processingRegistry().algorithmById("deepseg:predict")
    context = QgsProcessingContext()
    context.setProject(project)
    destination = QgsProcessingOutputLayerDefinition(str(tmp_path / "p.geojson"), project)
    parameters = {"INPUT": [raster()], "MODEL": model, "OUTPUT": destination}
    from qgis.core import QgsProcessingFeedback

    results, good = found.run(parameters, context, QgsProcessingFeedback())
    assert good
    details = context.layersToLoadOnCompletion()[results["OUTPUT"]]
    layer = QgsProcessingUtils.mapLayerFromString(results["OUTPUT"], context)
    layer.setRenderer(None)
    details.postProcessor().postProcessLayer(layer, context, QgsProcessingFeedback())
    assert [each.symbol().color().name() for each in layer.renderer().categories()] == ["#ff0000"]
    assert 'value="house"' in (tmp_path / "p.qml").read_text()


def test_a_file_that_cannot_be_used_is_not_blamed_on_the_temporary_folder(
    run: Run,
    engine: Any,
    raster: Callable[..., str],
    model: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from deepseg_qgis.processing.algorithms import engine_algorithm

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/share/houses.gpkg")

    monkeypatch.setattr(engine_algorithm, "run_job", denied)
    words = r"^/share/houses.gpkg cannot be read or written \(Permission denied\)\. Check its"
    with pytest.raises(QgsProcessingException, match=words):
        run("predict", INPUT=[raster()], MODEL=model)
