"""Whoever listens hears each event of a run, in QGIS's main thread; who fails harms nobody."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from deepseg_qgis.processing.algorithms.tile import Tile
from deepseg_qgis.processing.engine.event_hub import EventHub, Run, RunListener
from qgis.core import (
    QgsApplication,
    QgsFeature,
    QgsGeometry,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingException,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QCoreApplication, QEventLoop, QThread, QTimer
from qgis.PyQt.QtGui import QImage

from deepseg_qgis import events, jobs

RunAlgorithm = Callable[..., dict[str, Any]]


@dataclass
class Ear(RunListener):
    """Remembers what it hears, and whether that was in the main thread."""

    heard: list[tuple[Any, ...]] = field(default_factory=list)
    in_main_thread: set[bool] = field(default_factory=set)

    def run_started(self, run: Run) -> None:
        self._hear("started", run)

    def event_received(self, run: Run, event: events.Event) -> None:
        self._hear("event", run, event)

    def run_finished(self, run: Run, error: Exception | None) -> None:
        self._hear("finished", run, error)

    def _hear(self, *what: Any) -> None:
        self.heard.append(what)
        main = QCoreApplication.instance().thread()
        self.in_main_thread.add(QThread.currentThread() == main)

    @property
    def events(self) -> list[events.Event]:
        return [each[2] for each in self.heard if each[0] == "event"]

    @property
    def runs(self) -> list[Run]:
        return [each[1] for each in self.heard if each[0] == "started"]


class Broken(RunListener):
    """Fails at everything."""

    def run_started(self, run: Run) -> None:
        raise RuntimeError("a panel that cannot start")

    def event_received(self, run: Run, event: events.Event) -> None:
        raise RuntimeError("a panel that is gone")

    def run_finished(self, run: Run, error: Exception | None) -> None:
        raise RuntimeError("a panel that cannot end")


@pytest.fixture
def hub(application: Any) -> EventHub:
    provider: Any = QgsApplication.processingRegistry().providerById("deepseg")
    hub: EventHub = provider.event_hub
    return hub


@pytest.fixture
def ear(hub: EventHub) -> Iterator[Ear]:
    ear = Ear()
    hub.subscribe(ear)
    yield ear
    hub.unsubscribe(ear)


SAYING = """
say(events.Log("one"))
for step in range(500):
    say(events.Progress(step / 500, "step"))
say(events.Epoch(1, 1, 0.5, None, None, {}, {}, 1e-3, 1.0, True, picture="A" * 60_000))
write_outputs()
say(events.Result({"tiles": 4}))
"""


def test_every_event_of_a_run_is_heard(
    run: RunAlgorithm, engine: Any, raster: Callable[..., str], ear: Ear
) -> None:
    engine.acts(SAYING)
    run("tile", INPUT=raster())
    assert ear.events == [
        events.Hello(events.CONTRACT_VERSION, "test", "3"),
        events.Log("one"),
        *(events.Progress(step / 500, "step") for step in range(500)),
        events.Epoch(1, 1, 0.5, None, None, {}, {}, 1e-3, 1.0, True, picture="A" * 60_000),
        events.Result({"tiles": 4}),
    ]
    (started,) = ear.runs
    assert (started.algorithm_id, started.title) == ("deepseg:tile", "Tile a raster")
    assert isinstance(started.job, jobs.TileJob)
    assert started.job.output == engine.job["output"]
    assert ear.heard[0] == ("started", started)
    assert ear.heard[-1] == ("finished", started, None)


def test_runs_have_ids_of_their_own(
    run: RunAlgorithm, engine: Any, raster: Callable[..., str], ear: Ear
) -> None:
    for _ in range(2):
        run("tile", INPUT=raster())
    assert len({each.run_id for each in ear.runs}) == 2


def test_why_a_run_failed_is_heard(
    run: RunAlgorithm, engine: Any, raster: Callable[..., str], ear: Ear
) -> None:
    engine.acts('say(events.Error("RasterError", "The raster is broken.", "Traceback"))')
    with pytest.raises(QgsProcessingException, match="The raster is broken"):
        run("tile", INPUT=raster())
    assert ear.events[-1] == events.Error("RasterError", "The raster is broken.", "Traceback")
    assert str(ear.heard[-1][2]) == "The raster is broken."


def test_a_listener_that_fails_is_logged_and_nothing_else(
    run: RunAlgorithm, engine: Any, raster: Callable[..., str], hub: EventHub, ear: Ear
) -> None:
    logged: list[tuple[str, str]] = []
    signal = QgsApplication.messageLog().messageReceived
    connection = signal.connect(lambda text, tab, level: logged.append((tab, text)))
    broken = Broken()
    hub.unsubscribe(ear)
    for each in (broken, ear):  # it comes first
        hub.subscribe(each)
    try:
        results = run("tile", INPUT=raster())
    finally:
        signal.disconnect(connection)
        hub.unsubscribe(broken)
    assert results["OUTPUT"] == engine.job["output"]
    assert [each[0] for each in ear.heard] == ["started", "event", "event", "finished"]
    told = [text for tab, text in logged if tab == "DeepSeg" and "RuntimeError: a panel" in text]
    assert len(told) == len(ear.heard)


def test_who_unsubscribed_hears_no_more(
    run: RunAlgorithm, engine: Any, raster: Callable[..., str], hub: EventHub
) -> None:
    ear = Ear()
    hub.subscribe(ear)
    hub.unsubscribe(ear)
    run("tile", INPUT=raster())
    assert ear.heard == []


def test_an_algorithm_without_a_provider_runs_as_any_other(
    engine: Any, raster: Callable[..., str], feedback: Any, ear: Ear, tmp_path: Path
) -> None:
    algorithm = Tile()
    algorithm.initAlgorithm()
    parameters = {"INPUT": raster(), "OUTPUT": str(tmp_path / "t.gpkg")}
    _, good = algorithm.run(parameters, QgsProcessingContext(), feedback)
    assert good, feedback.said
    assert ear.heard == []


def drawn(category: str, shape: str) -> QgsVectorLayer:
    """Return a layer with a polygon."""
    layer = QgsVectorLayer("Polygon?crs=EPSG:32645&field=category:string", "drawn", "memory")
    feature = QgsFeature(layer.fields())
    feature.setGeometry(QgsGeometry.fromWkt(shape))
    feature["category"] = category
    layer.dataProvider().addFeature(feature)
    return layer


def in_background(name: str, parameters: dict[str, Any], project: Any, feedback: Any) -> bool:
    """Run an algorithm as the desktop does: in a thread of its own, while the main one waits."""
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"deepseg:{name}")
    context = QgsProcessingContext()
    context.setProject(project)
    task = QgsProcessingAlgRunnerTask(algorithm, parameters, context, feedback)
    loop, ended = QEventLoop(), []
    task.executed.connect(lambda good, results: (ended.append(good), loop.quit()))
    QTimer.singleShot(600_000, loop.quit)
    QgsApplication.taskManager().addTask(task)
    loop.exec()
    return ended == [True]


def test_epochs_of_a_real_training_arrive_in_the_main_thread_as_they_end(
    raster: Callable[..., str], feedback: Any, ear: Ear, project: Any, tmp_path: Path
) -> None:
    annotations = drawn(
        "house", "Polygon((300000 2999960, 300000 3e6, 300030 3e6, 300000 2999960))"
    )
    aoi = drawn("", "Polygon((3e5 2999936, 3e5 3e6, 300064 3e6, 300064 2999936, 3e5 2999936))")
    project.addMapLayers([annotations, aoi])
    parameters = {
        "INPUT": [raster()],
        "ANNOTATIONS": annotations.id(),
        "CATEGORY_FIELD": "category",
        "AOI": aoi.id(),
        "TASK": "semantic",
        "ARCHITECTURE": "linknet",
        "ENCODER": "mobilenet_v2",
        "EPOCHS": 3,
        "TILE_SIZE": 32,
        "BATCH_SIZE": 64,
        "DEVICE": "cpu",
        "OUTPUT": str(tmp_path / "m.safetensors"),
    }
    assert in_background("train", parameters, project, feedback), feedback.said
    assert ear.in_main_thread == {True}
    epochs = [each for each in ear.events if isinstance(each, events.Epoch)]
    assert [each.epoch for each in epochs] == [1, 2, 3]
    assert {each.epochs for each in epochs} == {3}
    assert all(each.seconds_left is not None for each in epochs)
    assert epochs[-1].seconds_left == 0.0
    pictures = [QImage.fromData(base64.b64decode(each.picture or ""), "PNG") for each in epochs]
    assert not any(each.isNull() for each in pictures)
    assert len({(each.width(), each.height()) for each in pictures}) == 1  # the same place
    assert isinstance(ear.events[0], events.Hello)
    assert isinstance(ear.events[-1], events.Result)
    (started,) = ear.runs
    assert isinstance(started.job, jobs.TrainJob)
    assert started.job.epochs == 3
