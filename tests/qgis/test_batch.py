"""A batch run as QGIS's dialog does it: every output of the table is given, empty ones too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qgis.core import (
    QgsApplication,
    QgsProcessingContext,
    QgsProcessingOutputLayerDefinition,
)

WRITING = """
for path in filter(None, (job.output, getattr(job, "output_validation", None))):
    with open(path, "w") as file:
        json.dump({"type": "FeatureCollection", "features": []}, file)
say(events.Result({}))
"""


@pytest.fixture
def polygons(tmp_path: Path) -> str:
    path = tmp_path / "a.geojson"
    shape = {"type": "Polygon", "coordinates": [[[87, 27], [87, 28], [88, 28], [87, 27]]]}
    feature = {"type": "Feature", "properties": {}, "geometry": shape}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return str(path)


@pytest.mark.parametrize("name", ["predict", "polygonize", "train"])
def test_outputs_that_are_left_empty_are_no_error(
    name: str,
    engine: Any,
    raster: Callable[..., str],
    feedback: Any,
    project: Any,
    polygons: str,
    tmp_path: Path,
) -> None:
    from processing.gui.Postprocessing import handleAlgorithmResults

    engine.acts(WRITING)
    (tmp_path / "m.safetensors").touch()
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"deepseg:{name}")
    rows = {
        "predict": {"INPUT": [raster()], "MODEL": str(tmp_path / "m.safetensors")},
        "polygonize": {"PROBABILITIES": raster()},
        "train": {"INPUT": [raster()], "ANNOTATIONS": polygons},
    }
    row: dict[str, Any] = dict(rows[name])
    for each in algorithm.destinationParameterDefinitions():
        filled = each.name() == "OUTPUT"
        text = str(tmp_path / f"o.{each.defaultFileExtension()}") if filled else ""
        layer = each.type() != "fileDestination"
        row[each.name()] = QgsProcessingOutputLayerDefinition(text, project) if layer else text
    context = QgsProcessingContext()
    context.setProject(project)
    results, good = algorithm.run(row, context, feedback)
    assert good, feedback.said
    assert list(context.layersToLoadOnCompletion()) == (
        [results["OUTPUT"]] if name != "train" else []
    )
    assert handleAlgorithmResults(algorithm, context, feedback, False, row)
    assert feedback.all("error") == []
