"""The model builder: outputs of one algorithm are inputs of the next, saved and run from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qgis.core import (
    QgsProcessingContext,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
)

From = QgsProcessingModelChildParameterSource

CHAIN: dict[str, dict[str, Any]] = {
    "demoscene": {"SIZE": 320, "SEED": 3},
    "train": {
        "INPUT": ("demoscene", "OUTPUT"),
        "ANNOTATIONS": ("demoscene", "ANNOTATIONS"),
        "CATEGORY_FIELD": "category",
        "AOI": ("demoscene", "TRAINING_AOI"),
        "EPOCHS": 1,
        "TILE_SIZE": 64,
    },
    "evaluate": {
        "INPUT": ("demoscene", "OUTPUT"),
        "MODEL": ("train", "OUTPUT"),
        "ANNOTATIONS": ("demoscene", "ANNOTATIONS"),
        "CATEGORY_FIELD": "category",
        "AOI": ("train", "OUTPUT_VALIDATION"),
    },
    "predict": {
        "INPUT": ("demoscene", "OUTPUT"),
        "MODEL": ("train", "OUTPUT"),
        "AOI": ("demoscene", "TEST_AOI"),
    },
    "statistics": {"INPUT": ("predict", "OUTPUT"), "AOI": ("demoscene", "TEST_AOI")},
    "predict_nothing": {
        "INPUT": ("demoscene", "OUTPUT"),
        "MODEL": ("train", "OUTPUT"),
        "THRESHOLD": 1.0,
    },
    "statistics_nothing": {
        "INPUT": ("predict_nothing", "OUTPUT"),
        "CATEGORY_FIELD": "category",
        "AOI": ("demoscene", "TEST_AOI"),
    },
}
"""By the id of the algorithm, and what tells two of one apart."""
FINAL = {
    "train": ("OUTPUT", "OUTPUT_VALIDATION"),
    "evaluate": ("OUTPUT_HTML",),
    "predict": ("OUTPUT",),
    "statistics": ("OUTPUT",),
    "statistics_nothing": ("OUTPUT",),
}
"""Which outputs are the model's own."""


def defaults(algorithm: Any) -> dict[str, Any]:
    """Return what the dialog of the model builder fills in."""
    return {
        each.name(): each.defaultValue()
        for each in algorithm.parameterDefinitions()
        if not each.isDestination() and each.defaultValue() is not None
    }


def built() -> QgsProcessingModelAlgorithm:
    model = QgsProcessingModelAlgorithm("chain", "tests")
    for name, values in CHAIN.items():
        child = QgsProcessingModelChildAlgorithm(f"deepseg:{name.partition('_')[0]}")
        child.setChildId(name)
        for parameter, value in (defaults(child.algorithm()) | values).items():
            source = (
                From.fromChildOutput(*value)
                if isinstance(value, tuple)
                else From.fromStaticValue(value)
            )
            child.addParameterSources(parameter, [source])
        outputs = {}
        for output in FINAL.get(name, ()):
            outputs[output] = QgsProcessingModelOutput(output)
            outputs[output].setChildId(name)
            outputs[output].setChildOutputName(output)
        child.setModelOutputs(outputs)
        model.addChildAlgorithm(child)
    return model


@pytest.fixture
def saved(application: Any, tmp_path: Path) -> QgsProcessingModelAlgorithm:
    """The chain, as it comes out of a file."""
    path = str(tmp_path / "chain.model3")
    assert built().toFile(path)
    model = QgsProcessingModelAlgorithm()
    assert model.fromFile(path)
    assert model.initAlgorithm() is None
    return model


def outputs_of(model: QgsProcessingModelAlgorithm, folder: Path) -> dict[str, str]:
    return {
        each.name(): str(folder / f"{each.name().replace(':', ' ')}.{each.defaultFileExtension()}")
        for each in model.destinationParameterDefinitions()
    }


def test_the_model_is_valid(saved: QgsProcessingModelAlgorithm) -> None:
    good, problems = saved.validate()
    assert good, problems
    assert {each.name() for each in saved.destinationParameterDefinitions()} == {
        f"{name}:{output}" for name, outputs in FINAL.items() for output in outputs
    }


@pytest.mark.slow
def test_the_chain_runs_from_its_file(
    saved: QgsProcessingModelAlgorithm, tmp_path: Path, project: Any, feedback: Any
) -> None:
    files = outputs_of(saved, tmp_path)
    context = QgsProcessingContext()
    context.setProject(project)
    results, good = saved.run(files, context, feedback)
    assert good, feedback.said
    for name, path in files.items():
        assert results[name] == path
        assert Path(path).stat().st_size > 0, name
    assert Path(files["predict:OUTPUT"]).suffix == ".geojson"
    assert Path(files["statistics:OUTPUT"]).read_text().startswith("source,category,count")
    children = results["CHILD_RESULTS"]
    assert children["train"]["EPOCHS_RUN"] == 1
    assert 0.0 <= children["evaluate"]["MEAN_IOU"] <= 1.0
    assert 0.0 <= children["evaluate"]["PQ"] <= 1.0
    assert children["evaluate"]["COUNT_ERROR"] >= -1.0
    assert children["statistics"]["COUNT"] <= children["predict"]["COUNT"]
    assert children["predict_nothing"]["COUNT"] == 0
    assert children["statistics_nothing"]["COUNT"] == children["statistics_nothing"]["AREA_M2"] == 0
    head = Path(files["statistics:OUTPUT"]).read_text().splitlines()[0]
    assert Path(files["statistics_nothing:OUTPUT"]).read_text().splitlines() == [head]
