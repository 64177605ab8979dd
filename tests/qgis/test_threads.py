"""As the desktop runs it: prepared in the main thread, done in another, loaded in the first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsApplication,
    QgsFeature,
    QgsGeometry,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QEventLoop, QTimer


def in_background(name: str, parameters: dict[str, Any], context: Any, feedback: Any) -> Any:
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"deepseg:{name}")
    task = QgsProcessingAlgRunnerTask(algorithm, parameters, context, feedback)
    loop, ended = QEventLoop(), []
    task.executed.connect(lambda good, results: (ended.append((good, results)), loop.quit()))
    QTimer.singleShot(20_000, loop.quit)
    QgsApplication.taskManager().addTask(task)
    loop.exec()
    return ended[0]


def test_a_layer_that_is_being_edited_is_read_in_the_background_run(
    engine: Any, feedback: Any, project: Any, tmp_path: Path
) -> None:
    layer = QgsVectorLayer("Polygon?crs=EPSG:4326&field=category:string", "drawn", "memory")
    project.addMapLayer(layer)
    layer.startEditing()
    feature = QgsFeature(layer.fields())
    feature.setGeometry(QgsGeometry.fromWkt("Polygon((0 0, 0 1, 1 1, 0 0))"))
    feature["category"] = "house"
    layer.addFeature(feature)
    context = QgsProcessingContext()
    context.setProject(project)
    output = str(tmp_path / "s.csv")
    good, results = in_background(
        "statistics", {"INPUT": layer.id(), "OUTPUT": output}, context, feedback
    )
    assert good, feedback.said
    assert results["OUTPUT"] == output
    assert "house" in engine.job["polygons"]["colours"]
    layer.rollBack()


def test_a_failure_in_the_background_is_told(
    engine: Any, feedback: Any, raster: Callable[..., str], tmp_path: Path
) -> None:
    engine.acts('say(events.Error("RasterError", "The raster is broken.", ""))')
    parameters = {"INPUT": raster(), "OUTPUT": str(tmp_path / "t.gpkg")}
    good, _ = in_background("tile", parameters, QgsProcessingContext(), feedback)
    assert not good
    assert feedback.all("error") == ["The raster is broken."]
