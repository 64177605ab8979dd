"""DeepSeg: train, check and apply segmentation models without leaving the map.

This file is read by QGIS, by the engine's process and by the packaging tools alike,
so it imports nothing.
"""

__version__ = "0.1.0"


def classFactory(iface):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, N802 - as QGIS calls it
    """Return the plugin; QGIS calls this when it loads DeepSeg.

    ``iface`` is a ``QgisInterface``, or None under ``qgis_process``.
    """
    from deepseg_qgis.plugin import DeepSegPlugin

    return DeepSegPlugin(iface)
