"""The plugin as QGIS sees it: Processing provider, menu and toolbar come and go with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qgis.core import QgsApplication

from deepseg_qgis.processing.provider import PROVIDER_ID, DeepSegProvider

if TYPE_CHECKING:
    from qgis.gui import QgisInterface

    from deepseg_qgis.gui.desktop import Desktop


class DeepSegPlugin:
    """DeepSeg in QGIS; ``iface`` is None without a desktop."""

    def __init__(self, iface: QgisInterface | None) -> None:
        self._iface = iface
        self._provider: DeepSegProvider | None = None
        self._desktop: Desktop | None = None

    def initProcessing(self) -> None:  # noqa: N802 - QGIS's name
        """Register the algorithms; `qgis_process` calls this alone."""
        self._provider = DeepSegProvider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:  # noqa: N802 - QGIS's name
        """Start in QGIS's desktop."""
        self.initProcessing()
        assert self._provider is not None
        if self._iface is not None:
            from deepseg_qgis.gui.desktop import Desktop
            from deepseg_qgis.gui.filled_dialog import filled_dialog

            self._provider.make_dialog = filled_dialog
            self._desktop = Desktop(self._iface)
            self._desktop.start()

    def unload(self) -> None:
        """Leave QGIS as it was."""
        if self._desktop is not None:
            self._desktop.stop()
            self._desktop = None
        QgsApplication.processingRegistry().removeProvider(PROVIDER_ID)
        self._provider = None
