"""DeepSeg's tab of QGIS's message log, which takes what is too long for the dialog."""

from __future__ import annotations

from qgis.core import Qgis, QgsMessageLog

LOG_TAB = "DeepSeg"


def log_message(text: str, *, warning: bool = False) -> None:
    """Write a text into the log, without a sign on QGIS's window that something is there."""
    level = Qgis.MessageLevel.Warning if warning else Qgis.MessageLevel.Info
    QgsMessageLog.logMessage(text, LOG_TAB, level, False)
