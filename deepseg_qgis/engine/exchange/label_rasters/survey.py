"""What one label raster holds, and what it says about its values."""

from __future__ import annotations

import os
from dataclasses import dataclass

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.label_rasters.category_lists import category_list_near
from deepseg_qgis.engine.exchange.label_rasters.codes import CodeCounts, count_codes, is_lossy
from deepseg_qgis.engine.exchange.label_rasters.value_names import (
    ValueNames,
    names_beside,
    names_in_tags,
)
from deepseg_qgis.engine.files.raster_output import NAMESPACE
from deepseg_qgis.engine.files.rasters import Raster


@dataclass(frozen=True)
class LabelSurvey:
    """The codes of a label raster, and the names of its values; ``list_path`` has given some.

    ``is_lossy`` masks are on or off; the codes of those ``in_colours`` are colours.
    """

    codes: CodeCounts
    value_names: ValueNames
    is_lossy: bool
    in_colours: bool
    list_path: str = ""


def survey(label: Raster, control: Control) -> LabelSurvey:
    """Return the codes of a label raster and the names of its values.

    Raises:
        RasterError: it holds no labels.
    """
    category_list = category_list_near(os.path.dirname(label.source.path))
    lossy = is_lossy(label)
    in_colours = label.bands == 3 and not lossy
    listed = category_list.names(label.colours, in_colours)
    value_names = ValueNames(dict(listed), dict(label.colours))
    value_names.update(names_in_tags(label.tags(NAMESPACE)))
    value_names.update(names_beside(label.source.path))
    list_path = category_list.path if listed else ""
    return LabelSurvey(count_codes(label, control), value_names, lossy, in_colours, list_path)
