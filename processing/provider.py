"""DeepSeg's entry in the Processing toolbox."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable
from typing import Any

from deepseg_qgis.processing.algorithms.compareruns import CompareRuns
from deepseg_qgis.processing.algorithms.createannotations import CreateAnnotations
from deepseg_qgis.processing.algorithms.demoscene import DemoScene
from deepseg_qgis.processing.algorithms.estimatearea import EstimateArea
from deepseg_qgis.processing.algorithms.evaluate import Evaluate
from deepseg_qgis.processing.algorithms.evaluatelayers import EvaluateLayers
from deepseg_qgis.processing.algorithms.fetchweights import FetchWeights
from deepseg_qgis.processing.algorithms.importannotations import ImportAnnotations
from deepseg_qgis.processing.algorithms.learningcurve import LearningCurve
from deepseg_qgis.processing.algorithms.polygonize import Polygonize
from deepseg_qgis.processing.algorithms.predict import Predict
from deepseg_qgis.processing.algorithms.sampledesign import SampleDesign
from deepseg_qgis.processing.algorithms.setupengine import SetUpEngine
from deepseg_qgis.processing.algorithms.statistics import Statistics
from deepseg_qgis.processing.algorithms.tile import Tile
from deepseg_qgis.processing.algorithms.train import Train
from deepseg_qgis.processing.engine.discovery import ENGINE_SETTING
from deepseg_qgis.processing.engine.event_hub import EventHub
from deepseg_qgis.processing.layers.destinations import file_of
from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingDestinationParameter,
    QgsProcessingParameterVectorDestination,
    QgsProcessingProvider,
)
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QWidget

import deepseg_qgis
from deepseg_qgis.formats import POLYGONS, RASTERS, TABLES

ALGORITHMS = (
    DemoScene,
    CreateAnnotations,
    ImportAnnotations,
    Tile,
    Train,
    LearningCurve,
    Evaluate,
    EvaluateLayers,
    CompareRuns,
    SampleDesign,
    EstimateArea,
    Predict,
    Polygonize,
    Statistics,
    FetchWeights,
    SetUpEngine,
)

PROVIDER_ID = "deepseg"
TITLE = "DeepSeg"

POST_PROCESSORS_KEPT = 200
"""Far more layers than one run opens; QGIS styles them right after it."""


class DeepSegProvider(QgsProcessingProvider):
    """The provider ``deepseg``; ``event_hub`` is where its runs can be listened to.

    ``make_dialog`` makes the dialogs of algorithms; the desktop sets it, None means QGIS's own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.event_hub = EventHub()
        self.make_dialog: Callable[[QgsProcessingAlgorithm, QWidget | None], QWidget] | None = None
        self._post_processors: deque[Any] = deque(maxlen=POST_PROCESSORS_KEPT)

    def keep_alive(self, post_processor: Any) -> Any:
        """Return what QGIS is about to hold by a bare pointer, with a reference kept here."""
        self._post_processors.append(post_processor)
        return post_processor

    def id(self) -> str:
        """Return the id, part of every algorithm's."""
        return PROVIDER_ID

    def name(self) -> str:
        """Return the title in the toolbox."""
        return TITLE

    def longName(self) -> str:
        """Return the title with the version."""
        return f"{TITLE} {deepseg_qgis.__version__}"

    def icon(self) -> QIcon:
        """Return the plugin's icon."""
        return QIcon(self.svgIconPath())

    def svgIconPath(self) -> str:
        """Return the path of the plugin's icon."""
        return os.path.join(os.path.dirname(deepseg_qgis.__file__), "icon.svg")

    def load(self) -> bool:
        """Register the provider's setting and its algorithms."""
        # QGIS's own Processing plugin, which a bare PyQGIS script may do without
        with contextlib.suppress(ImportError):
            _offer_setting(self.name(), self.icon())
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        """Take the provider's setting away."""
        with contextlib.suppress(ImportError, KeyError):
            from processing.core.ProcessingConfig import ProcessingConfig

            ProcessingConfig.removeSetting(ENGINE_SETTING)

    def loadAlgorithms(self) -> None:
        """Add every algorithm."""
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())

    def defaultVectorFileExtension(self, hasGeometry: bool = True) -> str:
        """Return what a temporary or new vector file is: polygons GeoJSON, tables CSV."""
        return "geojson" if hasGeometry else "csv"

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        """Return the formats for polygons: those that the engine writes and this QGIS reads."""
        known = super().supportedOutputVectorLayerExtensions()
        return [each for each in POLYGONS if each in known]

    def supportedOutputTableExtensions(self) -> list[str]:
        """Return the formats for tables: those that the engine writes and this QGIS reads."""
        known = super().supportedOutputVectorLayerExtensions()
        return [each for each in TABLES if each in known]

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        """Return the formats for rasters: GeoTIFF alone."""
        return list(RASTERS)

    def isSupportedOutputValue(
        self,
        outputValue: Any,
        parameter: QgsProcessingDestinationParameter,
        context: QgsProcessingContext,
    ) -> tuple[bool, str]:
        """Return whether an output can be written, and else why not.

        A name without an ending can: `Destinations` fills it in, while QGIS refuses it. Tables
        have formats of their own, while QGIS takes them for layers of polygons.
        """
        path = file_of(outputValue, context)
        ending = os.path.splitext(path)[1].lower()
        if path and not ending:
            return True, ""
        if isinstance(parameter, QgsProcessingParameterVectorDestination) and (
            not parameter.hasGeometry()
        ):
            endings = [f".{each}" for each in self.supportedOutputTableExtensions()]
            problem = (
                f"{parameter.description()}: expected a file with one of the endings "
                f"{', '.join(endings)}, found {ending}. Choose another file name."
            )
            return ending in endings, "" if ending in endings else problem
        return super().isSupportedOutputValue(outputValue, parameter, context)

    def supportsNonFileBasedOutput(self) -> bool:
        """Return False: the engine writes files, and QGIS's in-memory layers are none."""
        return False


def _offer_setting(group: str, icon: QIcon) -> None:
    """Show the engine's Python in Processing's options."""
    from processing.core.ProcessingConfig import ProcessingConfig, Setting

    ProcessingConfig.settingIcons[group] = icon
    ProcessingConfig.addSetting(
        Setting(
            group,
            ENGINE_SETTING,
            "Python of the engine (empty: the one that 'Set up the engine' made)",
            "",
            valuetype=Setting.FILE,
        )
    )
    ProcessingConfig.readSettings()
