"""QGIS's window stays alive while its own thread runs an algorithm (batch, models, scripts)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from deepseg_qgis.processing.algorithms import engine_algorithm
from qgis.core import QgsFeature, QgsGeometry, QgsProcessingException, QgsVectorLayer
from qgis.PyQt.QtCore import QTimer

Run = Callable[..., dict[str, Any]]
SQUARE = "Polygon((0 0, 0 1, 1 1, 1 0, 0 0))"
DONE = "\nwrite_outputs()\nsay(events.Result({}))\n"


class Heart:
    """A timer of 20 ms, as the window's own drawing would be."""

    def __init__(self) -> None:
        self.beats = 0
        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._timer.start(20)

    def _beat(self) -> None:
        self.beats += 1

    def stop(self) -> None:
        self._timer.stop()


@pytest.fixture
def heart(application: Any) -> Iterator[Heart]:
    heart = Heart()
    yield heart
    heart.stop()


def drawn(polygons: int) -> QgsVectorLayer:
    """Return a layer in memory."""
    layer = QgsVectorLayer("Polygon?crs=EPSG:4326&field=category:string", "drawn", "memory")
    feature = QgsFeature(layer.fields())
    feature.setGeometry(QgsGeometry.fromWkt(SQUARE))
    feature["category"] = "house"
    layer.dataProvider().addFeatures([feature] * polygons)
    return layer


@pytest.mark.parametrize(
    "code",
    [
        "time.sleep(1)" + DONE,
        "for n in range(1000): say(events.Log(str(n))); time.sleep(0.001)" + DONE,
        DONE + "time.sleep(1)",
        "sys.stdout.close(); time.sleep(1)",
    ],
    ids=["silent", "talking", "ending slowly", "dying slowly"],
)
def test_the_window_lives_while_an_engine_works(
    code: str, run: Run, engine: Any, raster: Callable[..., str], heart: Heart
) -> None:
    engine.acts(code)
    with contextlib.suppress(QgsProcessingException):  # of the one that dies
        run("tile", INPUT=raster())
    assert heart.beats > 10


@pytest.mark.parametrize("editing", [False, True])
def test_the_window_lives_while_a_large_layer_is_read(
    editing: bool,
    run: Run,
    engine: Any,
    heart: Heart,
    project: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = drawn(20_000)
    project.addMapLayer(layer)
    if editing:
        layer.startEditing()
    beats: list[int] = []
    run_job = engine_algorithm.run_job

    def counting(*arguments: Any) -> Any:
        beats.append(heart.beats)
        return run_job(*arguments)

    monkeypatch.setattr(engine_algorithm, "run_job", counting)
    run("statistics", INPUT=layer)
    layer.rollBack()
    assert beats[0] > 3


def test_cancel_is_heard(
    run: Run, engine: Any, raster: Callable[..., str], feedback: Any, application: Any
) -> None:
    engine.acts('sys.stdin.readline(); say(events.Error("Stopped", "Stopped. Nothing."))')
    QTimer.singleShot(100, feedback.cancel)  # a click in the dialog
    with pytest.raises(QgsProcessingException, match="Nothing"):
        run("tile", INPUT=raster())


def test_when_qgis_is_closed_the_engine_stops(
    run: Run, engine: Any, raster: Callable[..., str], application: Any
) -> None:
    engine.acts('sys.stdin.readline(); say(events.Error("Stopped", "Stopped. Nothing."))')
    told: list[str] = []

    def work() -> None:
        try:
            run("tile", INPUT=raster())
        except QgsProcessingException as error:
            told.append(str(error))

    QTimer.singleShot(0, work)
    QTimer.singleShot(200, application.exit)
    application.exec()
    assert told == ["Stopped. Nothing."]
