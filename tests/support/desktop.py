"""A stand-in for QGIS's window."""

from qgis.core import QgsVectorLayer


class Desktop:
    """As much of QGIS's window as an arriving layer meets."""

    active: QgsVectorLayer | None = None

    def setActiveLayer(self, layer: QgsVectorLayer) -> None:  # noqa: N802 - QGIS's name
        self.active = layer
