"""DeepSeg's Processing algorithms; installed as ``deepseg_qgis.processing``."""

if __name__ == "processing":
    raise ImportError(
        "This folder is DeepSeg's 'processing', installed as deepseg_qgis.processing; as a "
        "top-level package it would hide QGIS's own. Take DeepSeg's repository off sys.path."
    )
