"""Visible texts in the user's language."""

from __future__ import annotations

from qgis.PyQt.QtCore import QCoreApplication


def tr(text: str) -> str:
    """Return a text in the language of QGIS, or as it is where it was not translated."""
    return QCoreApplication.translate("DeepSeg", text)
