"""Fixtures for the tests inside QGIS; where there is no QGIS, none of them is collected."""
# ruff: noqa: N802, N803 - QGIS's virtual methods are in camelCase

from __future__ import annotations

import importlib.util
import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

collect_ignore_glob = [] if importlib.util.find_spec("qgis") else ["test_*.py"]

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["GDAL_PAM_ENABLED"] = "NO"  # no .aux.xml beside rasters that QGIS looks at

# the repository's own folder `processing` would hide QGIS's
sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != ROOT]


@pytest.fixture(scope="session")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """QGIS without a desktop, with Processing, DeepSeg and settings of its own."""
    from qgis.core import QgsApplication
    from qgis.PyQt.QtCore import QCoreApplication, QSettings

    profile = str(tmp_path_factory.mktemp("profile"))
    QCoreApplication.setOrganizationName("DeepSeg tests")
    QSettings.setDefaultFormat(QSettings.Format.IniFormat)
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, profile)
    application = QgsApplication([], False, profile)
    application.initQgis()
    sys.path.append(os.path.join(QgsApplication.pkgDataPath(), "python", "plugins"))
    from processing.core.Processing import Processing

    from deepseg_qgis import classFactory

    Processing.initialize()
    plugin = classFactory(None)
    plugin.initProcessing()
    yield application
    plugin.unload()


@pytest.fixture(autouse=True)
def project(application: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty project, and the engine of the tests' own environment."""
    from qgis.core import QgsProject

    monkeypatch.setenv("DEEPSEG_ENGINE_PYTHON", sys.executable)
    yield QgsProject.instance()
    QgsProject.instance().clear()


@pytest.fixture
def feedback() -> Any:
    """A feedback that remembers what it was told."""
    from qgis.core import QgsProcessingFeedback

    class Remembering(QgsProcessingFeedback):
        def __init__(self) -> None:
            super().__init__(False)
            self.said: list[tuple[str, str]] = []

        def pushInfo(self, info: str) -> None:
            self.said.append(("info", info))

        def pushWarning(self, warning: str) -> None:
            self.said.append(("warning", warning))

        def pushDebugInfo(self, info: str) -> None:
            self.said.append(("debug", info))

        def reportError(self, error: str, fatalError: bool = False) -> None:
            self.said.append(("error", error))

        def setProgressText(self, text: str) -> None:
            self.said.append(("progress", text))

        def all(self, level: str) -> list[str]:
            return [text for kind, text in self.said if kind == level]

    return Remembering()


ENGINE = """
import json, os, shutil, sys, time
from deepseg_qgis import events, jobs

def say(event):
    print(events.encode(event), flush=True)

say(events.Hello(events.CONTRACT_VERSION, "test", "3"))
with open(sys.argv[1], encoding="utf-8") as file:
    text = file.read()
job = jobs.decode(text)
with open({trace!r}, "w", encoding="utf-8") as file:
    file.write(text)
for name in os.listdir(os.path.dirname(sys.argv[1])):
    if name.endswith(".gpkg"):
        shutil.copy(os.path.join(os.path.dirname(sys.argv[1]), name), {layers!r})

def write_outputs():
    for name in job.__dataclass_fields__:
        if name.startswith("output") and getattr(job, name):
            open(getattr(job, name), "w").close()

"""


class Engine:
    """A small engine that keeps the job it was given, and the layers that came with it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._monkeypatch = folder, monkeypatch
        self._trace = folder / "job.json"
        self.layers = folder / "layers"
        self.layers.mkdir()

    def acts(self, code: str = "write_outputs()\nsay(events.Result({}))") -> None:
        """Have the engine do this with ``job``, from now on."""
        from deepseg_qgis.processing.algorithms import engine_algorithm
        from deepseg_qgis.processing.engine import client

        script = self._folder / "engine.py"
        start = ENGINE.format(trace=str(self._trace), layers=str(self.layers))
        script.write_text(start + textwrap.dedent(code), encoding="utf-8")
        program = client.EngineProgram(sys.executable, str(script), dict(os.environ))
        self._monkeypatch.setattr(engine_algorithm, "find_engine", lambda: program)

    @property
    def job(self) -> dict[str, Any]:
        """The job that the engine was given, as plain JSON."""
        content: dict[str, Any] = json.loads(self._trace.read_text(encoding="utf-8"))
        return content


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The engine of the algorithms is a small one that succeeds at once."""
    folder = tmp_path / "engine"
    folder.mkdir()
    engine = Engine(folder, monkeypatch)
    engine.acts()
    return engine


@pytest.fixture
def run(application: Any, feedback: Any) -> Callable[..., dict[str, Any]]:
    """Run an algorithm of DeepSeg by `processing.run`; OUTPUT is a temporary file by default."""

    def run_algorithm(name: str, **parameters: Any) -> dict[str, Any]:
        import processing

        given = {
            **(
                {}
                if name in ("evaluate", "evaluatelayers", "fetchweights")
                else {"OUTPUT": "TEMPORARY_OUTPUT"}
            ),
            **parameters,
        }
        results: dict[str, Any] = processing.run(f"deepseg:{name}", given, feedback=feedback)
        return results

    return run_algorithm


@pytest.fixture
def raster(tmp_path: Path) -> Callable[..., str]:
    """Write a small raster; return its path."""
    from osgeo import gdal, osr

    gdal.UseExceptions()

    def write(
        name: str = "scene.tif", epsg: int | None = 32645, transform: Any = (3e5, 1, 0, 3e6, 0, -1)
    ) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset = gdal.GetDriverByName("GTiff").Create(str(path), 64, 64, 3)
        if transform:
            dataset.SetGeoTransform(transform)
        if epsg:
            system = osr.SpatialReference()
            system.ImportFromEPSG(epsg)
            dataset.SetProjection(system.ExportToWkt())
        dataset.FlushCache()
        return str(path)

    return write
