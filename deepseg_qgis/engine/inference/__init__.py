"""Running a model over rasters: windows, engines (OpenVINO, torch), and decided cores."""

from deepseg_qgis.engine.inference.plain import *  # noqa: F403 - until the move is complete
from deepseg_qgis.engine.inference.plain import OVERLAP_SHARE as OVERLAP_SHARE
