"""The provider and its algorithms: ids and names are an interface that models of users hold."""

from __future__ import annotations

import configparser
import math
import re
from pathlib import Path
from typing import Any

import pytest
from qgis.core import QgsApplication, QgsProcessingContext, QgsProcessingParameterDefinition

from deepseg_qgis import __version__, bounds, catalogue, choices

ROOT = Path(__file__).resolve().parents[2]
FLAG = QgsProcessingParameterDefinition.Flag
QGIS_UNBOUNDED = 1e100

PARAMETERS = {
    "demoscene": "SIZE SEED TOUCHING OUTPUT ANNOTATIONS TRAINING_AOI TEST_AOI",
    "createannotations": "CATEGORIES CRS* OUTPUT",
    "importannotations": """FORMAT ANNOTATION_FILE* MASK_FOLDER* INPUT* VALUES CATEGORY*
        OUTPUT""",
    "tile": """INPUT ROWS* COLUMNS* TILE_SIZE OVERLAP ANNOTATIONS* CATEGORY_FIELD* AOI* OUTPUT
        OUTPUT_FOLDER*""",
    "train": """INPUT ANNOTATIONS CATEGORY_FIELD* AOI* INITIAL_MODEL* VALIDATION_AOI*
        VALIDATION_FRACTION TASK STUFF_CATEGORIES* CLASS_WEIGHTING MODEL_SIZE
        ARCHITECTURE* ENCODER* ENCODER_WEIGHTS* EPOCHS MAX_MINUTES* TILE_SIZE BATCH_SIZE
        LEARNING_RATE PATIENCE* SEED DEVICE RESUME
        TRACKING_URI*
        OUTPUT OUTPUT_VALIDATION* OUTPUT_HTML* OUTPUT_LOG*""",
    "evaluate": """INPUT MODEL ANNOTATIONS CATEGORY_FIELD* AOI* THRESHOLD* IOU_THRESHOLD DEVICE
        OUTPUT_JSON* OUTPUT_HTML*""",
    "evaluatelayers": """PREDICTIONS REFERENCE CATEGORY_FIELD* REFERENCE_CATEGORY_FIELD*
        SCORE_FIELD* AOI* IOU_THRESHOLD OUTPUT_ERRORS* OUTPUT_CSV* OUTPUT_JSON* OUTPUT_HTML*""",
    "learningcurve": """INPUT ANNOTATIONS CATEGORY_FIELD* AOI* SUBSETS VALIDATION_AOI*
        VALIDATION_FRACTION TASK STUFF_CATEGORIES* CLASS_WEIGHTING MODEL_SIZE ARCHITECTURE* ENCODER*
        ENCODER_WEIGHTS* EPOCHS MAX_MINUTES* TILE_SIZE BATCH_SIZE LEARNING_RATE PATIENCE*
        SEED DEVICE OUTPUT OUTPUT_HTML*""",
    "compareruns": "FOLDER OUTPUT OUTPUT_HTML*",
    "predict": """INPUT MODEL AOI* EXTENT* MOSAIC THRESHOLD* TILE_SIZE* OVERLAP* MIN_AREA SIMPLIFY
        OUTLINES BATCH_SIZE* PRECISION DEVICE RESUME
        OUTPUT OUTPUT_CLASSES* OUTPUT_PROBABILITIES* OUTPUT_COCO* OUTPUT_STATISTICS*""",
    "fetchweights": "ENCODER WEIGHTS*",
    "polygonize": "PROBABILITIES THRESHOLD* MIN_AREA SIMPLIFY OUTLINES OUTPUT OUTPUT_STATISTICS*",
    "statistics": "INPUT CATEGORY_FIELD* AOI* OUTPUT OUTPUT_HTML*",
    "sampledesign": """INPUT STRATA* AOI* TARGET EXPECTED_ACCURACY EXPECTED_ACCURACIES* SAMPLE_SIZE*
        MIN_POINTS SEED OUTPUT""",
    "estimatearea": """INPUT MAP_FIELD* REFERENCE_FIELD* MAP* STRATA* AOI* OUTPUT OUTPUT_JSON*
        OUTPUT_HTML*""",
    "setupengine": "ACCELERATOR PYTHON* RECREATE",
}
"""Each algorithm's parameters; those with a star are optional."""

NUMBERS = {
    "demoscene": "",
    "createannotations": "",
    "importannotations": "COUNT",
    "tile": "TILES",
    "train": "VALIDATION_SCORE EPOCHS_RUN",
    "evaluate": "MAP AP50 PRECISION RECALL F1 MEAN_IOU PQ COUNT_ERROR",
    "evaluatelayers": "MAP AP50 PRECISION RECALL F1 MEAN_IOU PQ COUNT_ERROR",
    "learningcurve": "EXPECTED_GAIN",
    "compareruns": "COUNT",
    "predict": "COUNT AREA_M2",
    "polygonize": "COUNT AREA_M2",
    "fetchweights": "OUTPUT",
    "statistics": "COUNT AREA_M2",
    "sampledesign": "COUNT HALF_WIDTH",
    "estimatearea": "COUNT OVERALL_ACCURACY",
    "setupengine": "ENGINE_PYTHON REPORT",
}
"""The outputs that are no files."""

DEFAULTS = {
    "importannotations": {"FORMAT": "coco", "VALUES": "auto"},
    "train": {
        "VALIDATION_FRACTION": 0.2,
        "TASK": "auto",
        "CLASS_WEIGHTING": "none",
        "MODEL_SIZE": "medium",
        "ARCHITECTURE": None,
        "ENCODER": None,
        "ENCODER_WEIGHTS": "auto",
        "EPOCHS": 20,
        "MAX_MINUTES": None,
        "TILE_SIZE": 256,
        "BATCH_SIZE": 8,
        "DEVICE": "auto",
        "RESUME": True,
    },
    "evaluate": {"THRESHOLD": None, "IOU_THRESHOLD": 0.5},
    "evaluatelayers": {"IOU_THRESHOLD": 0.5},
    "predict": {
        "MOSAIC": False,
        "THRESHOLD": None,
        "MIN_AREA": 0.0,
        "SIMPLIFY": 1.0,
        "OUTLINES": "plain",
        "PRECISION": "auto",
        "TILE_SIZE": None,
        "RESUME": True,
    },
    "polygonize": {"THRESHOLD": None, "MIN_AREA": 0.0, "SIMPLIFY": 1.0, "OUTLINES": "plain"},
    "sampledesign": {
        "TARGET": 0.05,
        "EXPECTED_ACCURACY": 0.8,
        "SAMPLE_SIZE": None,
        "MIN_POINTS": 50,
    },
    "estimatearea": {"MAP_FIELD": "map_category", "REFERENCE_FIELD": "reference_category"},
    "setupengine": {"ACCELERATOR": "auto", "RECREATE": False},
}

ADVANCED = {
    "train": """VALIDATION_AOI VALIDATION_FRACTION CLASS_WEIGHTING ARCHITECTURE ENCODER
        ENCODER_WEIGHTS BATCH_SIZE LEARNING_RATE PATIENCE SEED DEVICE RESUME TRACKING_URI""",
    "learningcurve": """VALIDATION_AOI VALIDATION_FRACTION CLASS_WEIGHTING ARCHITECTURE ENCODER
        ENCODER_WEIGHTS BATCH_SIZE LEARNING_RATE PATIENCE SEED DEVICE""",
    "predict": "OUTLINES TILE_SIZE OVERLAP BATCH_SIZE PRECISION DEVICE RESUME",
    "polygonize": "OUTLINES",
    "evaluate": "DEVICE",
    "sampledesign": "EXPECTED_ACCURACIES MIN_POINTS SEED",
    "estimatearea": "MAP_FIELD REFERENCE_FIELD MAP STRATA AOI",
    "setupengine": "PYTHON",
}


def algorithm(name: str) -> Any:
    found = QgsApplication.processingRegistry().algorithmById(f"deepseg:{name}")
    assert found is not None, name
    return found


def test_these_algorithms_and_no_others() -> None:
    provider = QgsApplication.processingRegistry().providerById("deepseg")
    assert {each.name() for each in provider.algorithms()} == set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_these_parameters_and_no_others(name: str) -> None:
    declared = {
        each.name() + ("*" if each.flags() & FLAG.FlagOptional else "")
        for each in algorithm(name).parameterDefinitions()
    }
    assert declared == set(PARAMETERS[name].split())


@pytest.mark.parametrize("name", PARAMETERS)
def test_these_outputs_and_no_others(name: str) -> None:
    found = algorithm(name)
    files = {each.name() for each in found.destinationParameterDefinitions()}
    outputs = {each.name() for each in found.outputDefinitions()}
    assert outputs - files == set(NUMBERS[name].split())


@pytest.mark.parametrize("name", DEFAULTS)
def test_these_defaults(name: str) -> None:
    for parameter, default in DEFAULTS[name].items():
        assert algorithm(name).parameterDefinition(parameter).defaultValue() == default, parameter


@pytest.mark.parametrize("name", PARAMETERS)
def test_these_are_folded_away(name: str) -> None:
    definitions = algorithm(name).parameterDefinitions()
    advanced = {each.name() for each in definitions if each.flags() & FLAG.FlagAdvanced}
    assert advanced == set(ADVANCED.get(name, "").split())


GROUPS = {
    "1 Prepare": "demoscene createannotations importannotations tile",
    "2 Train": "train learningcurve",
    "3 Evaluate": "evaluate evaluatelayers compareruns sampledesign estimatearea",
    "4 Predict": "predict polygonize",
    "5 Analyse": "statistics",
    "6 Models": "fetchweights setupengine",
}
"""The toolbox sorts groups by their titles, so each starts with its place in the work."""


def test_groups_stand_in_working_order_and_their_ids_stay() -> None:
    assert set(" ".join(GROUPS.values()).split()) == set(PARAMETERS)
    for title, names in GROUPS.items():
        for name in names.split():
            assert algorithm(name).group() == title
            assert algorithm(name).groupId() == title[2:].lower()


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("segmentation", PARAMETERS),
        ("deep learning", PARAMETERS),
        ("AI", PARAMETERS),
        ("building", ("train", "predict", "createannotations")),
        ("tree", ("train", "predict", "createannotations")),
        ("detect", ("train", "predict")),
        ("classify", ("train", "predict")),
        ("model", ("train", "predict", "evaluate")),
        ("accuracy", ("evaluate", "compareruns", "sampledesign", "estimatearea")),
        ("digitize", ("createannotations",)),
        ("install", ("setupengine",)),
        ("count", ("predict", "statistics")),
    ],
)
def test_the_toolbox_finds_them_by_the_words_of_the_field(word: str, names: Any) -> None:
    for name in names:
        assert word in algorithm(name).tags(), name


CHOICES = {
    "ACCELERATOR": choices.ACCELERATORS,
    "ARCHITECTURE": catalogue.ARCHITECTURES,
    "DEVICE": choices.DEVICES,
    "ENCODER": catalogue.ENCODERS,
    "FORMAT": choices.IMPORT_FORMATS,
    "MODEL_SIZE": choices.MODEL_SIZES,
    "OUTLINES": choices.OUTLINES,
    "PRECISION": choices.PRECISIONS,
    "TASK": choices.TASKS,
    "CLASS_WEIGHTING": choices.CLASS_WEIGHTINGS,
    "VALUES": choices.VALUE_MEANINGS,
}

TRAINING_BOUNDS = {
    "VALIDATION_FRACTION": bounds.VALIDATION_FRACTION,
    "EPOCHS": bounds.EPOCHS,
    "MAX_MINUTES": bounds.MINUTES,
    "TILE_SIZE": bounds.TILE_SIZE_PX,
    "BATCH_SIZE": bounds.TRAINING_BATCH_SIZE,
    "LEARNING_RATE": bounds.LEARNING_RATE,
    "PATIENCE": bounds.PATIENCE,
    "SEED": bounds.SEED,
}
BOUNDS = {
    "demoscene": {"SIZE": bounds.SCENE_SIZE_PX, "SEED": bounds.SEED},
    "tile": {
        "ROWS": bounds.ROWS,
        "COLUMNS": bounds.COLUMNS,
        "TILE_SIZE": bounds.GRID_TILE_SIZE_PX,
        "OVERLAP": bounds.OVERLAP_PX,
    },
    "train": TRAINING_BOUNDS,
    "learningcurve": TRAINING_BOUNDS | {"SUBSETS": bounds.SUBSETS},
    "evaluate": {"THRESHOLD": bounds.THRESHOLD, "IOU_THRESHOLD": bounds.IOU_THRESHOLD},
    "sampledesign": {
        "TARGET": bounds.HALF_WIDTH,
        "EXPECTED_ACCURACY": bounds.EXPECTED_ACCURACY,
        "SAMPLE_SIZE": bounds.SAMPLE_SIZE,
        "MIN_POINTS": bounds.STRATUM_POINTS,
        "SEED": bounds.SEED,
    },
    "evaluatelayers": {"IOU_THRESHOLD": bounds.IOU_THRESHOLD},
    "predict": {
        "THRESHOLD": bounds.THRESHOLD,
        "TILE_SIZE": bounds.PREDICTION_TILE_SIZE_PX,
        "OVERLAP": bounds.OVERLAP_PX,
        "MIN_AREA": bounds.MIN_AREA,
        "SIMPLIFY": bounds.SIMPLIFY_PX,
        "BATCH_SIZE": bounds.BATCH_SIZE,
    },
    "polygonize": {
        "THRESHOLD": bounds.THRESHOLD,
        "MIN_AREA": bounds.MIN_AREA,
        "SIMPLIFY": bounds.SIMPLIFY_PX,
    },
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_choices_are_the_words_of_the_contract(name: str) -> None:
    for each in algorithm(name).parameterDefinitions():
        if each.type() == "enum":
            assert each.usesStaticStrings(), each.name()
            assert tuple(each.options()) == CHOICES[each.name()], each.name()


@pytest.mark.parametrize("name", PARAMETERS)
def test_numbers_have_the_bounds_of_the_contract(name: str) -> None:
    for each in algorithm(name).parameterDefinitions():
        if each.type() == "number":
            assert each.name() in BOUNDS.get(name, {}), "BOUNDS says nothing of it"
            expected = BOUNDS[name][each.name()]
            assert each.minimum() == expected.least, each.name()
            unbounded = each.maximum() >= QGIS_UNBOUNDED
            assert (math.inf if unbounded else each.maximum()) == expected.most, each.name()


@pytest.mark.parametrize("name", PARAMETERS)
def test_each_helps_in_plain_words(name: str) -> None:
    found = algorithm(name)
    text = found.shortHelpString()
    assert "<" not in text, "qgis_process would show it as it is"
    what, *more, tip = text.split("\n")
    assert what.endswith("."), "the first paragraph tells what it does"
    assert more, "others what it needs and gives"
    assert all(more)
    assert tip.startswith("Tip: ")
    assert found.shortDescription()
    assert found.group()


@pytest.mark.parametrize(
    ("name", "parameter", "extension"),
    [
        ("predict", "OUTPUT", "geojson"),
        ("predict", "OUTPUT_STATISTICS", "csv"),
        ("predict", "OUTPUT_CLASSES", "tif"),
        ("predict", "OUTPUT_PROBABILITIES", "tif"),
        ("predict", "OUTPUT_COCO", "json"),
        ("polygonize", "OUTPUT", "geojson"),
        ("statistics", "OUTPUT", "csv"),
        ("compareruns", "OUTPUT", "csv"),
        ("learningcurve", "OUTPUT", "csv"),
        ("train", "OUTPUT", "safetensors"),
        ("train", "OUTPUT_HTML", "html"),
        ("train", "OUTPUT_LOG", "csv"),
        ("evaluate", "OUTPUT_JSON", "json"),
        ("evaluatelayers", "OUTPUT_ERRORS", "gpkg"),
        ("evaluatelayers", "OUTPUT_CSV", "csv"),
        ("demoscene", "OUTPUT", "tif"),
        ("demoscene", "ANNOTATIONS", "gpkg"),
        ("importannotations", "OUTPUT", "gpkg"),
        ("sampledesign", "OUTPUT", "gpkg"),
        ("estimatearea", "OUTPUT", "csv"),
        ("tile", "OUTPUT", "gpkg"),
        ("train", "OUTPUT_VALIDATION", "gpkg"),
    ],
)
def test_files_get_the_right_ending(name: str, parameter: str, extension: str) -> None:
    assert algorithm(name).parameterDefinition(parameter).defaultFileExtension() == extension


def test_geojson_is_offered_first() -> None:
    output = algorithm("predict").parameterDefinition("OUTPUT")
    assert output.supportedOutputVectorLayerExtensions()[:3] == ["geojson", "gpkg", "fgb"]
    assert not output.supportsNonFileBasedOutput()


@pytest.mark.parametrize(
    ("name", "parameter"),
    [("importannotations", "OUTPUT"), ("demoscene", "ANNOTATIONS"), ("demoscene", "TEST_AOI")],
)
def test_geopackage_is_offered_first_for_what_will_be_edited(name: str, parameter: str) -> None:
    output = algorithm(name).parameterDefinition(parameter)
    for each in (output, output.clone()):
        offered = each.supportedOutputVectorLayerExtensions()
        assert offered[0] == "gpkg"
        assert each.generateTemporaryDestination().endswith(".gpkg")
        assert "geojson" in offered or each is not output, "a copy has no provider yet"
        assert each.description() == output.description()
        assert each.createByDefault() == output.createByDefault()


def test_the_icon_is_drawn() -> None:
    provider = QgsApplication.processingRegistry().providerById("deepseg")
    assert Path(provider.svgIconPath()).is_file()
    assert provider.longName() == f"DeepSeg {__version__}"


def test_metadata_says_the_same_as_the_package() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "metadata.txt", encoding="utf-8")
    metadata = parser["general"]
    assert metadata["version"] == __version__
    assert metadata["hasProcessingProvider"] == "yes"
    assert metadata["qgisMinimumVersion"] == "3.22"
    assert (ROOT / "deepseg_qgis" / metadata["icon"]).is_file()


def test_addresses_come_from_one_place() -> None:
    """The plugin site refuses an upload without tracker and repository."""
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "metadata.txt", encoding="utf-8")
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.partition("[project.urls]")[2].partition("\n[")[0]
    addresses = dict(re.findall(r'^(\w+) = "(https://\S+)"$', section, re.MULTILINE))
    assert set(addresses) == {"Homepage", "Repository", "Tracker", "Changelog"}
    for key, address in addresses.items():
        assert address in metadata["general"][key.lower()].split(), key


def test_without_an_engine_it_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DEEPSEG_ENGINE_PYTHON")
    monkeypatch.setenv("DEEPSEG_ENGINE_HOME", str(tmp_path))
    for name in PARAMETERS:
        works, message = algorithm(name).canExecute()
        if name in ("setupengine", "createannotations"):
            assert works
        else:
            assert not works
            assert "deepseg:setupengine" in message


def test_an_engine_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEG_ENGINE_PYTHON", "/nowhere/python")
    works, message = algorithm("predict").canExecute()
    assert not works
    assert "/nowhere/python does not exist" in message


def test_the_setting_of_the_provider_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from deepseg_qgis.processing.engine.discovery import ENGINE_SETTING, find_engine
    from processing.core.ProcessingConfig import ProcessingConfig

    monkeypatch.delenv("DEEPSEG_ENGINE_PYTHON")
    python = tmp_path / "python"
    python.touch()
    ProcessingConfig.setSettingValue(ENGINE_SETTING, str(python))
    try:
        assert find_engine().python == str(python)
    finally:
        ProcessingConfig.setSettingValue(ENGINE_SETTING, "")


def test_the_plugin_can_be_switched_off_and_on(application: Any) -> None:
    from deepseg_qgis import classFactory

    registry = QgsApplication.processingRegistry()
    registry.removeProvider("deepseg")
    plugin = classFactory(None)
    plugin.initGui()
    assert registry.providerById("deepseg") is not None
    plugin.unload()
    assert registry.providerById("deepseg") is None
    application.plugin = classFactory(None)  # QGIS keeps its plugins alive, too
    application.plugin.initGui()
    assert registry.algorithmById("deepseg:predict") is not None


@pytest.mark.parametrize(
    ("algorithm", "output"),
    [
        ("statistics", "OUTPUT"),
        ("predict", "OUTPUT_STATISTICS"),
        ("polygonize", "OUTPUT_STATISTICS"),
    ],
)
def test_the_dialog_takes_the_endings_of_tables(
    algorithm: str, output: str, application: Any
) -> None:
    found = QgsApplication.processingRegistry().algorithmById(f"deepseg:{algorithm}")
    definition = found.parameterDefinition(output)
    for value in ("/t/a.csv", "/t/a.gpkg", "/t/a.CSV", "/t/a", "TEMPORARY_OUTPUT"):
        assert definition.isSupportedOutputValue(value, QgsProcessingContext())[0], value
    good, problem = definition.isSupportedOutputValue("/t/a.geojson", QgsProcessingContext())
    assert not good
    assert ".csv" in problem
