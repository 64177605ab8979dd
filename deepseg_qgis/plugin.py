"""The plugin as QGIS sees it: it registers the Processing provider, and takes it away again."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsApplication

from deepseg_qgis.processing.provider import (  # type: ignore[import-not-found]
    PROVIDER_ID,
    DeepSegProvider,
)


class DeepSegPlugin:
    """DeepSeg in QGIS; ``iface`` is a ``QgisInterface``, or None without a desktop."""

    def __init__(self, iface: Any | None) -> None:
        self._iface = iface
        self._provider: DeepSegProvider | None = None

    def initProcessing(self) -> None:  # noqa: N802 - QGIS's name
        """Register the algorithms; `qgis_process` calls this alone."""
        self._provider = DeepSegProvider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:  # noqa: N802 - QGIS's name
        """Start in QGIS's desktop."""
        self.initProcessing()

    def unload(self) -> None:
        """Leave QGIS as it was."""
        QgsApplication.processingRegistry().removeProvider(PROVIDER_ID)
        self._provider = None
