"""The half of heartbeat.py that runs inside QGIS's desktop: the beats, and the runs."""

from __future__ import annotations

import faulthandler
import os
import re
import time
import traceback
from pathlib import Path
from typing import Any

from heartbeat import training

BEAT_MS = 20
GAP_S = 0.1
IDLE_S = 40.0


class Heart:
    """The timer, its gaps, and the stacks that were seen in them."""

    def __init__(self, stacks: Path) -> None:
        from qgis.PyQt.QtCore import Qt, QTimer

        self._file = stacks.open("w")
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start(BEAT_MS)
        self._last = time.perf_counter()
        self.beats, self.gaps = 0, [0.0]
        self._beat()

    def _beat(self) -> None:
        now = time.perf_counter()
        gap = now - self._last - BEAT_MS / 1000
        if gap > GAP_S:
            self._file.write(f"GAP {gap:.3f}\n")
            self._file.flush()
        self.gaps.append(gap)
        self._last, self.beats = now, self.beats + 1
        faulthandler.dump_traceback_later(GAP_S + BEAT_MS / 1000, file=self._file)

    def stop(self) -> None:
        """Beat for the last time."""
        self._timer.stop()
        self._beat()
        faulthandler.cancel_dump_traceback_later()
        self._file.close()


def gaps_seen(stacks: str) -> list[tuple[float, str]]:
    """Return each gap with the innermost place in the main thread that says whose it is."""
    found = []
    blocks = re.split(r"GAP ([\d.]+)\n", stacks)
    for dump, gap in zip(blocks[0::2], blocks[1::2], strict=False):
        main_thread = dump.rpartition("Thread 0x")[2] if "Thread 0x" in dump else dump
        frames = re.findall(r'File "(.+?)", line (\d+) in (\S+)', main_thread)
        ours = [each for each in frames if "/deepseg_qgis/" in each[0]]
        whose = "DeepSeg" if ours else "QGIS"
        places = ours or frames[:1]
        where = " < ".join(f"{Path(p).name}:{line} {name}" for p, line, name in places[:3])
        found.append((float(gap), f"{whose}: {where or 'no Python'}"))
    return found


def wait_for(done: Any) -> None:
    """Run the event loop until ``done`` returns True."""
    from qgis.PyQt.QtCore import QEventLoop, QTimer

    loop, timer = QEventLoop(), QTimer()
    timer.timeout.connect(lambda: loop.quit() if done() else None)
    timer.start(50)
    loop.exec()


def run_idle(_folder: Path, _iface: Any) -> str:
    """Run nothing for a while."""
    end = time.monotonic() + IDLE_S
    wait_for(lambda: time.monotonic() > end)
    return ""


def run_plain(folder: Path, iface: Any) -> str:
    """Train in the dialog of the algorithm."""
    values = {**training(folder), "INPUT": [str(folder / "scene.tif")]}
    outputs = {"OUTPUT": str(folder / "plain.safetensors")}
    return run_dialog("deepseg:train", {**values, **outputs}, iface)


def run_dialog(algorithm: str, values: dict[str, Any], iface: Any) -> str:
    """Run an algorithm in its dialog, as the button does; return the log."""
    from processing.gui.AlgorithmDialog import AlgorithmDialog
    from qgis.core import QgsApplication

    found = QgsApplication.processingRegistry().createAlgorithmById(algorithm)
    dialog = AlgorithmDialog(found, parent=iface.mainWindow())
    dialog.setParameters(values)
    dialog.show()
    ended: list[bool] = []
    dialog.algorithmFinished.connect(lambda good, _results: ended.append(good))
    dialog.runAlgorithm()
    wait_for(lambda: ended or not dialog.cancelButton().isEnabled())
    return log_of(dialog)


def run_batch(folder: Path, iface: Any) -> str:
    """Run predict and then statistics over three rows each, with the results loaded."""
    scene, model = str(folder / "scene.tif"), str(folder / "model.safetensors")
    logs = []
    for name, row in (
        ("predict", {"INPUT": [scene], "MODEL": model, "AOI": str(folder / "test.gpkg")}),
        ("statistics", {"INPUT": str(folder / "annotations.gpkg")}),
    ):
        ending = {"predict": "geojson", "statistics": "csv"}[name]
        rows = [{**row, "OUTPUT": str(folder / f"{name}{n}.{ending}")} for n in range(3)]
        logs.append(run_batch_dialog(f"deepseg:{name}", rows, iface))
    return "\n".join(logs)


def run_batch_dialog(algorithm: str, rows: list[dict[str, Any]], iface: Any) -> str:
    """Fill the batch dialog's table and run it, as the button does; return the log."""
    from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog
    from qgis.core import QgsApplication

    found = QgsApplication.processingRegistry().createAlgorithmById(algorithm)
    dialog = BatchAlgorithmDialog(found, parent=iface.mainWindow())
    panel = dialog.mainWidget()
    for _ in rows[1:]:
        panel.addRow()
    for number, row in enumerate(rows):
        for name, value in row.items():
            column = panel.parameter_to_column[name]
            if found.parameterDefinition(name).isDestination():
                panel.tblParameters.cellWidget(number + 1, column).setValue(value)
            else:
                panel.wrappers[number][column].setParameterValue(value, panel.processing_context)
    panel.checkLoadLayersOnCompletion.setChecked(True)
    dialog.show()
    dialog.runAlgorithm()
    return log_of(dialog)


def run_model(folder: Path, iface: Any) -> str:
    """Run a model of the model builder: predict, then statistics of its polygons."""
    from processing.modeler.ModelerUtils import ModelerUtils
    from qgis.core import (
        QgsApplication,
        QgsProcessingModelAlgorithm,
        QgsProcessingModelChildAlgorithm,
        QgsProcessingModelChildParameterSource,
        QgsProcessingModelOutput,
    )

    source = QgsProcessingModelChildParameterSource
    model = QgsProcessingModelAlgorithm("heartbeat", "tests")
    steps = {
        "predict": {"INPUT": str(folder / "scene.tif"), "MODEL": str(folder / "model.safetensors")},
        "statistics": {"INPUT": ("predict", "OUTPUT")},
    }
    for name, values in steps.items():
        child = QgsProcessingModelChildAlgorithm(f"deepseg:{name}")
        child.setChildId(name)
        for definition in child.algorithm().parameterDefinitions():
            if not definition.isDestination() and definition.defaultValue() is not None:
                values.setdefault(definition.name(), definition.defaultValue())
        for key, value in values.items():
            of_child = isinstance(value, tuple)
            child.addParameterSources(
                key, [source.fromChildOutput(*value) if of_child else source.fromStaticValue(value)]
            )
        output = QgsProcessingModelOutput("OUTPUT")
        output.setChildId(name)
        output.setChildOutputName("OUTPUT")
        child.setModelOutputs({"OUTPUT": output})
        model.addChildAlgorithm(child)
    models = ModelerUtils.modelsFolders()[0]
    model.toFile(os.path.join(models, "heartbeat.model3"))
    QgsApplication.processingRegistry().providerById("model").refreshAlgorithms()
    values = {
        "predict:OUTPUT": str(folder / "model.geojson"),
        "statistics:OUTPUT": str(folder / "model.csv"),
    }
    return run_dialog("model:heartbeat", values, iface)


def log_of(dialog: Any) -> str:
    """Return what the dialog's log says."""
    from qgis.PyQt.QtWidgets import QTextEdit

    return "\n".join(each.toPlainText() for each in dialog.findChildren(QTextEdit))


def measure() -> None:
    """Run each case in this QGIS and write down what was found; end QGIS."""
    from qgis.core import QgsApplication, QgsProject, QgsRasterLayer
    from qgis.utils import iface

    folder = Path(os.environ["HEARTBEAT_FOLDER"])
    scene = QgsRasterLayer(str(folder / "scene.tif"), "scene")
    QgsProject.instance().addMapLayer(scene)
    runs = {"idle": run_idle, "plain": run_plain, "batch": run_batch, "model": run_model}
    lines = []
    for case in os.environ["HEARTBEAT_CASES"].split():
        stacks = folder / f"{case}.txt"
        heart = Heart(stacks)
        started = time.perf_counter()
        log = runs[case](folder, iface)
        wait_for(lambda: True)
        heart.stop()
        seconds = time.perf_counter() - started
        (folder / f"{case}.log").write_text(log)
        lines.append(
            f"{case}: {seconds:.1f} s, {heart.beats} beats, longest gap {max(heart.gaps):.3f} s, "
            f"{len(re.findall('not correctly generated', log))} times 'not correctly generated'"
        )
        lines += [f"  {gap:.3f} s {where}" for gap, where in gaps_seen(stacks.read_text())]
    (folder / "found.txt").write_text("\n".join(lines) + "\n")
    QgsProject.instance().clear()  # which QGIS, ended like this, would do too late
    QgsApplication.exit(0)


def start() -> None:
    """Measure as soon as QGIS's window is there."""
    from qgis.PyQt.QtCore import QTimer

    QTimer.singleShot(1000, guarded)


def guarded() -> None:
    """Measure; should that fail, say why and end QGIS all the same."""
    try:
        measure()
    except Exception:  # noqa: BLE001 - QGIS would show it in a window that nobody sees
        found = Path(os.environ["HEARTBEAT_FOLDER"]) / "found.txt"
        found.write_text(traceback.format_exc())
        os._exit(1)
