"""What is wrong with a value of the dialog, in more words than QGIS has for it.

QGIS asks before it starts an algorithm; what only the data can tell is checked by the engine.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

from deepseg_qgis.processing.algorithms.raster_parameters import without_aux_xml
from qgis.core import (
    QgsProcessingContext,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsProcessingUtils,
)


def problem_with(
    definition: QgsProcessingParameterDefinition, value: Any, context: QgsProcessingContext
) -> str | None:
    """Return what is wrong with a parameter's value, or None; None and '' are left to QGIS."""
    check = CHECKS.get(definition.type())
    if check is None or value is None or value == "":
        return None
    problem = check(definition, value, context)
    return f"{definition.description()}: {problem}" if problem else None


def problem_with_names(known: Iterable[str], given: Iterable[str]) -> str | None:
    """Return what is wrong with the names of parameters, or None.

    QGIS passes over a name that it does not know, so that a slip of the pen on the command line
    would be a run with the default.
    """
    names = list(known)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name.upper(), names, n=1)
            meant = f"Did you mean {near[0]}?" if near else f"Expected one of {', '.join(names)}."
            return f"There is no parameter {name}. {meant}"
    return None


def _raster(_definition: object, value: Any, context: QgsProcessingContext) -> str | None:
    for entry in value if isinstance(value, (list, tuple)) else [value]:
        with without_aux_xml(entry):
            unreadable = _is_unreadable(entry, QgsProcessingUtils.LayerHint.Raster, context)
        if unreadable:
            return (
                f"{entry} could not be opened as a raster. Expected a raster file that opens in "
                "QGIS; check the path, or copy the file again."
            )
    return None


def _map(_definition: object, value: Any, context: QgsProcessingContext) -> str | None:
    with without_aux_xml(value):
        unreadable = _is_unreadable(value, QgsProcessingUtils.LayerHint.UnknownType, context)
    if unreadable:
        return (
            f"{value} could not be opened. Expected a raster of classes or a layer of polygons "
            "that opens in QGIS; check the path."
        )
    return None


def _source(_definition: object, value: Any, context: QgsProcessingContext) -> str | None:
    if _is_unreadable(value, QgsProcessingUtils.LayerHint.Vector, context):
        return (
            f"{value} could not be opened as a vector layer. Expected polygons in a file that "
            "opens in QGIS; check the path."
        )
    return None


def _is_unreadable(
    value: Any, hint: QgsProcessingUtils.LayerHint, context: QgsProcessingContext
) -> bool:
    """Whether a value names a layer that QGIS cannot open."""
    if not isinstance(value, str):
        return False
    return QgsProcessingUtils.mapLayerFromString(value, context, True, hint) is None


def _file(definition: QgsProcessingParameterFile, value: Any, _context: object) -> str | None:
    ending = definition.extension() and f".{definition.extension()}"
    if isinstance(value, str) and not value.lower().endswith(ending):
        return f"expected a file that ends in {ending}, got {value}. Choose another file."
    return None


def _enum(definition: QgsProcessingParameterEnum, value: Any, _context: object) -> str | None:
    if isinstance(value, (str, int)) and str(value) not in definition.options():
        words = ", ".join(definition.options())
        return f"expected one of these words, got {value}: {words}."
    return None


def _number(definition: QgsProcessingParameterNumber, value: Any, _context: object) -> str | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None  # an expression, or something that QGIS refuses itself
    low, high = definition.minimum(), definition.maximum()
    if low <= number <= high:
        return None
    bounds = f"from {low:g} to {high:g}" if high < UNBOUNDED else f"of at least {low:g}"
    return f"expected a number {bounds}, got {value}."


UNBOUNDED = 1e100

CHECKS: dict[str, Callable[[Any, Any, QgsProcessingContext], str | None]] = {
    "raster": _raster,
    "multilayer": _raster,
    "source": _source,
    "layer": _map,
    "file": _file,
    "enum": _enum,
    "number": _number,
}
"""By the type of the parameter, as QGIS calls it."""
