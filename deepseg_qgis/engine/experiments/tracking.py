"""A training logged by MLflow, at a server or in a folder: only where a user names one.

MLflow is an extra (`pip install mlflow-skinny` into the engine) and loaded only then. Whatever it
does, the training goes on: what cannot be sent is kept, and sent again at the end.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.models import model_file
from deepseg_qgis.engine.models.model_card import to_json
from deepseg_qgis.errors import ParameterError
from deepseg_qgis.events import Epoch
from deepseg_qgis.jobs import TrainJob

EXPERIMENT = "DeepSeg"
"""What MLflow lists the runs under."""
LONGEST_VALUE = 500
"""Of a parameter, in characters: what every version of MLflow takes."""
FOREIGN = re.compile(r"[^\w./ -]")
"""What MLflow takes in no name."""
SERVED_DATABASES = ("postgresql", "mysql", "mssql")
ABSOLUTE_FILE = re.compile(r"//.|/[A-Za-z]:/.")
"""What stands behind ``sqlite://`` where the path is absolute, on Windows too."""
PATIENCE_S, PATIENCE_WITH_FILES_S = "10", "120"
"""How long a server may be silent, during the training and at its end."""


def check_tracking_uri(uri: str | None) -> None:
    """Check that runs can be logged there, as far as that can be told without calling.

    Raises:
        ParameterError: it is no address of MLflow, or MLflow is not installed.
    """
    if uri is None:
        return
    if not _is_address(uri):
        raise ParameterError(
            f"Expected the address of an MLflow server like http://localhost:5000, a folder like "
            f"file:///data/runs or a database like sqlite:////data/runs.db as tracking URI, "
            f"found {shown_uri(uri)!r}. Correct it, or leave it empty."
        )
    if importlib.util.find_spec("mlflow") is None:
        raise ParameterError(
            f"Logging to {shown_uri(uri)} needs MLflow in DeepSeg's engine, found none. Install it "
            f'with: "{sys.executable}" -m pip install mlflow-skinny'
        )


def shown_uri(uri: str) -> str:
    """Return an address as people may see it: without user, password and query."""
    try:
        parts = urlsplit(uri)
        host = parts.netloc.rpartition("@")[2]
        if host == parts.netloc:
            return uri.partition("?")[0]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
    except ValueError:
        return uri.rpartition("@")[2]


@contextlib.contextmanager
def tracked_run(job: TrainJob, control: Control) -> Iterator[TrackedRun | None]:
    """Put a training on record while the block runs; None where nobody asked for it.

    After the block the model, its card and its report are sent; after an error the run has failed.
    """
    if job.tracking_uri is None:
        yield None
        return
    run = TrackedRun(job.tracking_uri, job, control)
    try:
        yield run
    except BaseException:
        run.fail()
        raise
    run.finish()


class TrackedRun:
    """One run at MLflow; nothing that goes wrong there is raised."""

    def __init__(self, uri: str, job: TrainJob, control: Control) -> None:
        self._uri, self._job, self._control = uri, job, control
        self._client: Any = None
        self._run_id: str | None = None
        self._waiting: list[Epoch] = []
        self._is_away = False

    def start(self) -> None:
        """Open the run, with the parameters of the training."""
        if self._try(self._send):
            self._control.log(f"MLflow logs this training at {shown_uri(self._uri)}.")

    def hear(self, epoch: Epoch) -> None:
        """Take the scores of an epoch; who was away is not called again before the end."""
        self._waiting.append(epoch)
        if not self._is_away:
            self._try(self._send)

    def finish(self) -> None:
        """Send what is left, and the files."""
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = PATIENCE_WITH_FILES_S
        self._try(self._send, self._send_files, lambda: self._end("FINISHED"))

    def fail(self) -> None:
        """Send what is left of a training that ended with an error."""
        if self._run_id is not None and not self._is_away:
            self._try(self._send, lambda: self._end("FAILED"))

    def _try(self, *actions: Callable[[], None]) -> bool:
        """Do something with MLflow; where it fails, say so and return False."""
        try:
            for action in actions:
                action()
        except Exception as error:  # noqa: BLE001 - no fault of MLflow's costs a training
            kept = "The model is kept where you chose."
            next_step = (
                kept if self._is_away else "Training goes on; DeepSeg tries again at its end."
            )
            self._control.warn(
                f"MLflow at {shown_uri(self._uri)} could not log this training. {next_step} "
                f"({self._without_secrets(error)})"
            )
            self._is_away = True
            return False
        return True

    def _send(self) -> None:
        """Open the run if it is not open, and send the epochs that wait."""
        if self._client is None:
            self._client = _client(self._uri)
        if self._run_id is None:
            name = Path(self._job.output).stem
            experiment = _experiment(self._client)
            self._run_id = self._client.create_run(experiment, run_name=name).info.run_id
            from mlflow.entities import Param

            parameters = [Param(key, value) for key, value in _parameters(self._job).items()]
            self._client.log_batch(self._run_id, params=parameters)
        while self._waiting:
            self._client.log_batch(self._run_id, metrics=_metrics(self._waiting[0]))
            self._waiting.pop(0)

    def _send_files(self) -> None:
        card = model_file.read_card(self._job.output)
        if card.validation_score is not None:
            self._client.log_metric(self._run_id, "kept_validation_score", card.validation_score)
        self._client.log_text(self._run_id, to_json(card), "card.json")
        for path in (self._job.output, self._job.output_html):
            if path and os.path.exists(path):
                self._client.log_artifact(self._run_id, path)

    def _end(self, status: str) -> None:
        self._client.set_terminated(self._run_id, status)

    def _without_secrets(self, error: Exception) -> str:
        """Return what an error says in one line, without what the address holds of secrets."""
        secret = urlsplit(self._uri).netloc.rpartition("@")[0]
        text = str(error).replace(self._uri, shown_uri(self._uri))
        for each in (secret, unquote(secret), *secret.split(":")[1:]):
            text = text.replace(each, "***") if each else text
        return " ".join(text.split())[:300].rstrip(".")


def _is_address(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if parts.scheme in ("http", "https"):
        return bool(host)
    if parts.scheme == "file":
        return len(parts.path) > 1 and parts.path.startswith("/")
    if parts.scheme == "sqlite":
        # after three slashes comes a relative path: the engine's own folder goes with the run
        return ABSOLUTE_FILE.match(parts.path) is not None
    return parts.scheme.partition("+")[0] in SERVED_DATABASES and bool(host)


def _client(uri: str) -> Any:
    """Return MLflow's client, which calls nobody but this address."""
    os.environ |= {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": PATIENCE_S,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_ALLOW_FILE_STORE": "true",  # newer versions refuse folders unless told so
    }
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


def _experiment(client: Any) -> str:
    known = client.get_experiment_by_name(EXPERIMENT)
    return str(known.experiment_id if known else client.create_experiment(EXPERIMENT))


def _parameters(job: TrainJob) -> dict[str, str]:
    """Return the settings of a training as texts; layers and rasters by their names."""
    plain = {
        name: value
        for name, value in asdict(job).items()
        if isinstance(value, (str, int, float)) and name != "tracking_uri"
    }
    named = {
        "rasters": ", ".join(raster.name for raster in job.rasters),
        "annotations": job.annotations.name,
        "aoi": job.aoi.name if job.aoi else "",
        "stuff_categories": ", ".join(job.stuff_categories),
    }
    return {name: str(value)[:LONGEST_VALUE] for name, value in (plain | named).items()}


def _metrics(epoch: Epoch) -> list[Any]:
    """Return the numbers of an epoch; what is not known is left out."""
    from mlflow.entities import Metric

    numbers: dict[str, float | None] = {
        "train_loss": epoch.train_loss,
        "validation_loss": epoch.validation_loss,
        "validation_score": epoch.validation_score,
        "learning_rate": epoch.learning_rate,
        "seconds": epoch.seconds,
        **_by_category("score", epoch.category_score),
        **_by_category("iou", epoch.category_iou),
    }
    now_ms = int(time.time() * 1000)
    known = {name: value for name, value in numbers.items() if value is not None}
    return [Metric(name, value, now_ms, epoch.epoch) for name, value in known.items()]


def _by_category(what: str, scores: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return scores under names that MLflow takes, no two the same."""
    named: dict[str, float | None] = {}
    for number, (category, score) in enumerate(scores.items(), start=1):
        name = f"{what}/{FOREIGN.sub('_', category)[:100].strip(' ./') or number}"
        named[f"{name} {number}" if name in named else name] = score
    return named
