"""Trainings logged by MLflow: what is sent, and that nothing which goes wrong there costs one.

MLflow itself is an extra: without it, a stand-in for its client is told what it would be told.
"""

import importlib.machinery
import importlib.util
import json
import os
import socket
import struct
import subprocess
import sys
import time
import types
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from example_jobs import train_job

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.experiments import tracking
from deepseg_qgis.engine.experiments.tracking import check_tracking_uri, shown_uri, tracked_run
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.models.model_card import ModelCard, to_json
from deepseg_qgis.engine.verbs import train
from deepseg_qgis.errors import ParameterError
from deepseg_qgis.events import Epoch
from deepseg_qgis.jobs import RasterSource, VectorSource

INSTALLED = importlib.util.find_spec("mlflow") is not None
SECRET = "http://anna:s3cr%40t@tracking.example:5000/base?token=abc"
SCORES = {"Straße": 0.5, "a:b": None, "a;b": 0.25, "a,b": 0.75}
EPOCH = Epoch(1, 2, 0.5, None, 0.25, SCORES, SCORES, 1e-3, 2.5, True, picture="iVBOR")


@pytest.fixture
def job(tmp_path):
    """A job whose model is there already."""
    card = ModelCard(
        "unet", "resnet18", "semantic", (Category("a", "#d55e00"),), ("red",), "uint8", None,
        (1.0,), (1.0,), 64, (0.5,), validation_score=0.75,
    )  # fmt: skip
    header = json.dumps({"__metadata__": {"deepseg": to_json(card)}}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    layer = VectorSource("/t/a.gpkg", "features", "houses", "", None, {})
    raster = RasterSource("/secret/place/scene.tif", "", "scene.tif")
    return train_job(raster, layer, tmp_path, tracking_uri=SECRET)


class Client:
    """MLflow's client as far as it is used; ``broken`` says from when on it cannot be reached."""

    def __init__(self):
        self.sent, self.metrics, self.broken, self.calls = [], [], False, 0

    def _reach(self, *what):
        self.calls += 1
        if self.broken:
            raise ConnectionError(f"no answer from {SECRET} for anna:s3cr@t")
        self.sent.append(what)

    def get_experiment_by_name(self, name):
        self._reach("experiment", name)

    def create_experiment(self, name):
        return "7"

    def create_run(self, experiment, run_name):
        self._reach("run", run_name)
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="r"))

    def log_batch(self, run_id, metrics=(), params=()):
        self._reach("params", dict(params)) if params else self._reach("metrics")
        self.metrics += metrics

    def log_metric(self, run_id, name, value):
        self._reach(name, value)

    def log_text(self, run_id, text, name):
        self._reach("text", name)

    def log_artifact(self, run_id, path):
        self._reach("file", os.path.basename(path))

    def set_terminated(self, run_id, status):
        self._reach("end", status)


@pytest.fixture
def client(monkeypatch):
    """The stand-in, in place of MLflow."""
    client = Client()
    entities = types.ModuleType("mlflow.entities")
    entities.Param = lambda key, value: (key, value)
    entities.Metric = lambda key, value, time_ms, step: (key, value, step)
    package = types.ModuleType("mlflow")
    package.__spec__ = importlib.machinery.ModuleSpec("mlflow", None)
    monkeypatch.setitem(sys.modules, "mlflow", package)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    monkeypatch.setattr(tracking, "_client", lambda uri: client)
    return client


@pytest.fixture
def said():
    return []


@pytest.fixture
def control(said):
    return Control(lambda event: said.append(event.text) if hasattr(event, "text") else None)


def test_a_run_has_its_settings_its_epochs_and_its_files(job, client, control, said):
    with tracked_run(job, control) as run:
        run.start()
        control.telling(run.hear).epoch(EPOCH)
        run.hear(replace(EPOCH, epoch=2))
    kinds = [each[0] for each in client.sent]
    assert kinds == [
        *("experiment", "run", "params", "metrics", "metrics"),
        *("kept_validation_score", "text", "file", "end"),
    ]
    assert client.sent[1] == ("run", "model")
    assert client.sent[-2:] == [("file", "model.safetensors"), ("end", "FINISHED")]
    settings = client.sent[2][1]
    assert settings["rasters"] == "scene.tif"
    assert settings["learning_rate"] == "0.006"
    assert not [each for each in settings.items() if "secret" in str(each) or "s3cr" in str(each)]
    first = {name: value for name, value, step in client.metrics if step == 1}
    assert first["iou/Straße"] == 0.5
    assert (first["score/a_b 3"], first["score/a_b 4"]) == (0.25, 0.75)
    assert "validation_loss" not in first
    assert len(client.metrics) == 2 * len(first)


def test_an_error_ends_the_run_as_failed(job, client, control):
    def broken():
        with tracked_run(job, control) as run:
            run.start()
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        broken()
    assert client.sent[-1] == ("end", "FAILED")


def test_a_server_that_is_away_costs_a_warning_and_is_tried_again_at_the_end(
    job, client, control, said
):
    client.broken = True
    with tracked_run(job, control) as run:
        run.start()
        for number in range(1, 6):
            run.hear(replace(EPOCH, epoch=number))
        assert client.calls == 1, "it is called once, not in every epoch"
        client.broken = False
    assert {step for _, _, step in client.metrics} == {1, 2, 3, 4, 5}
    assert client.sent[-1] == ("end", "FINISHED")
    (warning,) = said
    assert "Training goes on; DeepSeg tries again at its end" in warning


def test_a_server_that_stays_away_costs_no_training(job, client, control, said):
    client.broken = True
    with tracked_run(job, control) as run:
        run.start()
        run.hear(EPOCH)
    assert len(said) == 2
    assert "tries again" not in said[1]


def test_nobody_reads_passwords(job, client, control, said):
    client.broken = True
    with tracked_run(job, control) as run:
        run.start()
    assert said
    for secret in ("anna", "s3cr", "abc"):
        assert secret not in " ".join(said)
    assert shown_uri(SECRET) == "http://tracking.example:5000/base"
    assert shown_uri("sqlite:////data/r.db?mode=rw") == "sqlite:////data/r.db"


def test_without_an_address_there_is_no_run(job, control):
    with tracked_run(replace(job, tracking_uri=None), control) as run:
        assert run is None
    check_tracking_uri(None)


@pytest.mark.parametrize(
    "uri",
    [
        "mlruns",
        "http://",
        "http://host:x",
        "ftp://a",
        "file:",
        "http://[",
        "C:\\runs",
        "sqlite:",
        "sqlite:///runs.db",
        "file:runs",
        "postgresql:///runs",
        "",
    ],
)
def test_what_is_no_address_is_refused_at_once(uri):
    with pytest.raises(ParameterError, match="Expected the address of an MLflow server"):
        check_tracking_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        *("http://localhost:5000", SECRET, "file:///data/runs", "sqlite:////data/runs.db"),
        *("sqlite:///C:/runs/a.db", "postgresql+psycopg2://anna:s3cr@host/runs"),
    ],
)
def test_without_mlflow_it_says_how_to_install_it(uri, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ParameterError, match="-m pip install mlflow-skinny") as error:
        check_tracking_uri(uri)
    assert "s3cr" not in str(error.value)


def test_train_checks_the_address_before_anything_else(job, control):
    with pytest.raises(ParameterError, match="Expected the address"):
        train.run(replace(job, tracking_uri="runs"), control)


@pytest.fixture
def server(tmp_path):
    """A real MLflow server on the loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{tmp_path / 'runs.db'}", "--workers", "1"),
        *("--artifacts-destination", str(tmp_path / "artifacts")),
    ]
    silent = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    with open(tmp_path / "server.log", "w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=silent, cwd=tmp_path, start_new_session=True
        )
    try:
        _wait_for(f"{uri}/health", process, tmp_path / "server.log")
        yield uri
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(240):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(log.read_text())


needs_mlflow = pytest.mark.skipif(not INSTALLED, reason="needs the extra: pip install mlflow")


def logged(uri: str, job, control) -> types.SimpleNamespace:
    """Log two epochs there; return the run as MLflow gives it back."""
    with tracked_run(replace(job, tracking_uri=uri), control) as run:
        run.start()
        run.hear(EPOCH)
        run.hear(replace(EPOCH, epoch=2, train_loss=0.25))
    from mlflow.telemetry import get_telemetry_client
    from mlflow.tracking import MlflowClient

    assert get_telemetry_client() is None, "MLflow reports to nobody"
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("DeepSeg")
    (found,) = client.search_runs([experiment.experiment_id])
    files = {each.path for each in client.list_artifacts(found.info.run_id)}
    history = client.get_metric_history(found.info.run_id, "train_loss")
    return types.SimpleNamespace(run=found, files=files, history=history)


def check(found) -> None:
    assert found.run.info.status == "FINISHED"
    assert found.run.info.run_name == "model"
    assert found.run.data.params["epochs"] == "3"
    assert found.run.data.metrics["iou/Straße"] == 0.5
    assert [(each.step, each.value) for each in found.history] == [(1, 0.5), (2, 0.25)]
    assert found.files == {"card.json", "model.safetensors"}


@pytest.mark.slow
@needs_mlflow
@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_a_real_folder_of_mlflow_holds_the_run(job, control, said, tmp_path):
    check(logged((tmp_path / "runs").as_uri(), job, control))
    assert said == [f"MLflow logs this training at {(tmp_path / 'runs').as_uri()}."]


@pytest.mark.slow
@needs_mlflow
@pytest.mark.filterwarnings("ignore")
def test_a_real_server_holds_the_run(job, control, server):
    pytest.importorskip("sqlalchemy", reason="a server needs all of mlflow")
    check(logged(server, job, control))


@pytest.mark.slow
@needs_mlflow
@pytest.mark.filterwarnings("ignore")
def test_a_server_that_is_not_there_costs_seconds(job, control, said):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    with tracked_run(replace(job, tracking_uri=uri), control) as run:
        run.start()
        run.hear(EPOCH)
    assert len(said) == 2
    assert all("could not log this training" in each for each in said)


@pytest.mark.slow
def test_a_real_training_is_logged_with_its_report(discs, client, control, said, tmp_path):
    uri = "file:///data/runs"
    changes = {"epochs": 1, "tile_size_px": 32, "tracking_uri": uri}
    train.run(train_job(*discs, tmp_path, **changes), control)
    assert f"MLflow logs this training at {uri}." in said
    assert client.sent.count(("metrics",)) == 1
    assert {step for _, _, step in client.metrics} == {1}
    files = [name for kind, *name in client.sent if kind == "file"]
    assert files == [["model.safetensors"], ["report.html"]]
    assert client.sent[-1] == ("end", "FINISHED")
