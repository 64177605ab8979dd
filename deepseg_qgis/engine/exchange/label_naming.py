"""What the values of label rasters mean, decided by all of them together, and told in the log."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange import label_rasters
from deepseg_qgis.engine.exchange.file_names import folded, loose
from deepseg_qgis.engine.exchange.label_lists import label_list_near
from deepseg_qgis.engine.exchange.label_names import (
    NAMESPACE,
    Legend,
    legend_beside,
    legend_of_tags,
)
from deepseg_qgis.engine.exchange.label_rasters import NOTHING, Codes, Found, Naming
from deepseg_qgis.engine.exchange.label_values import as_grey, void_codes
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.errors import ParameterError, VectorError, counted

BACKGROUND = (
    "0",
    "background",
    "bg",
    "unlabeled",
    "unlabelled",
    "unclassified",
    "unknown",
    "undefined",
    "void",
    "none",
    "null",
    "nothing",
    "no-data",
    "nodata",
    "ignore",
    "ignored",
    "other",
    "others",
)
"""What lists call the value 0 that is no category, as `file_names.loose` has it."""

Numbers = Mapping[int, int | None]


@dataclass(frozen=True)
class Surveyed:
    """What one label raster holds and says about itself; ``list_path`` names its values."""

    found: Found
    legend: Legend
    lossy: bool
    in_colours: bool
    list_path: str = ""


def survey(label: Raster, control: Control) -> Surveyed:
    """Return the codes and the legend of a label raster.

    Raises:
        RasterError: it holds no labels.
    """
    listed = label_list_near(os.path.dirname(label.source.path))
    lossy = label_rasters.is_lossy(label)
    in_colours = label.bands == 3 and not lossy
    names = listed.names(label.colours, in_colours)
    legend = Legend(dict(names), dict(label.colours))
    legend.add(legend_of_tags(label.tags(NAMESPACE)))
    legend.add(legend_beside(label.source.path))
    found = label_rasters.survey(label, control)
    list_path = listed.path if names else ""
    return Surveyed(found, legend, lossy, in_colours, list_path)


@dataclass(frozen=True)
class LabelNaming:
    """For each label raster its codes without void, and what they mean; ``colours`` by name."""

    found: list[Found]
    namings: list[Naming]
    colours: dict[str, str]


def named(
    surveyed: Sequence[Surveyed], values: str, categories: Sequence[str], control: Control
) -> LabelNaming:
    """Return what all values mean; what was not said is told.

    ``values`` are as in `ImportAnnotationsJob`, ``categories`` those of masks and objects, one for
    each label raster.

    Raises:
        ParameterError: ``values`` is unknown.
        VectorError: there are too many categories.
    """
    for path in sorted({each.list_path for each in surveyed} - {""}):
        control.log(f"Names of categories come from {path}.")
    _tell_zero(surveyed, control)
    every = NOTHING
    for each in surveyed:
        every = every.joined(each.found)
    numbers = _numbers(every.codes, surveyed)
    legend = _shared(surveyed)
    every = _without_void(every, numbers, legend, values, control)
    found = [each.found.without(every.voids) for each in surveyed]
    meaning = _meaning(values, every.codes, surveyed, legend, control)
    if meaning == "objects":
        return LabelNaming(found, [Naming(None, each) for each in categories], {})
    if meaning == "binary":
        codes = every.codes.tolist()
        return LabelNaming(found, [Naming(dict.fromkeys(codes, c)) for c in categories], {})
    if meaning != "categories":
        raise ParameterError(f"Expected what the values mean, got {values!r}.")
    return _categories(surveyed, found, legend, numbers)


def _tell_zero(surveyed: Sequence[Surveyed], control: Control) -> None:
    """Warn where a file's own names say that 0 is more than background."""
    names = sorted({each.legend.names.get(0, "") for each in surveyed} - {""})
    telling = [name for name in names if loose(folded(name)) not in BACKGROUND]
    if telling:
        control.warn(
            f"The value 0 is called '{telling[0]}'. DeepSeg takes 0 (black) for background: it "
            "gets no polygon. If it is a category, give it another number with QGIS's 'Reclassify "
            "by table'."
        )


def _categories(
    surveyed: Sequence[Surveyed],
    found: list[Found],
    legend: Legend,
    numbers: Numbers,
) -> LabelNaming:
    namings: list[Naming] = []
    colours: dict[str, str] = {}
    for each, own in zip(surveyed, found, strict=True):
        names = {}
        for code in own.codes.tolist():
            number = numbers[code]
            plain = f"#{code:06x}" if number is None else str(number)
            key = code if number is None else number
            names[code] = each.legend.names.get(key) or legend.names.get(key) or plain
            colour = plain if number is None else each.legend.colours.get(key)
            if colour:
                colours.setdefault(names[code], colour)
        namings.append(Naming(names))
    count = len({name for naming in namings for name in (naming.names or {}).values()})
    if count > label_rasters.MOST_CLASSES:
        raise VectorError(
            f"Expected at most {label_rasters.MOST_CLASSES} categories, found {count:,} different "
            "values. If each value is an object, choose 'objects' for the values."
        )
    return LabelNaming(found, namings, colours)


def _numbers(codes: Codes, surveyed: Sequence[Surveyed]) -> Numbers:
    """Return the number that each code stands for; None if it is a colour."""
    if not any(each.in_colours for each in surveyed):
        return {code: code for code in codes.tolist()}
    grey = as_grey(codes)
    if grey is codes:
        return dict.fromkeys(codes.tolist())
    return dict(zip(codes.tolist(), grey.tolist(), strict=True))


def _shared(surveyed: Sequence[Surveyed]) -> Legend:
    """Return the names on which all legends agree, for label rasters that have none."""
    names: dict[int, set[str]] = defaultdict(set)
    for each in surveyed:
        for value, name in each.legend.names.items():
            names[value].add(name)
    return Legend({value: next(iter(every)) for value, every in names.items() if len(every) == 1})


def _without_void(
    every: Found,
    numbers: Numbers,
    legend: Legend,
    values: str,
    control: Control,
) -> Found:
    """Return what is found without void, which is told: it is not known to be background."""
    code_of = {number: code for code, number in numbers.items() if number is not None}
    void = void_codes(
        np.array(sorted(code_of), dtype=np.int64), legend.names, binary=values == "binary"
    )
    for number in void:
        pixels = int(every.counts[np.searchsorted(every.codes, code_of[number])])
        control.warn(
            f"The value {number} ({counted(pixels, 'pixel')}) is taken for void, where nothing is "
            "labelled, not for a category. It gets no polygon; leave its ground out of the "
            "completely annotated area. If it is a category, give it a name in the raster's "
            "attribute table, or another number."
        )
    return every.without(tuple(code_of[number] for number in void))


def _meaning(
    values: str, codes: Codes, surveyed: Sequence[Surveyed], legend: Legend, control: Control
) -> str:
    lossy = any(each.lossy for each in surveyed)
    has_names = bool(legend.names) or any(each.legend.names for each in surveyed)
    meaning = values
    if meaning == "auto":
        if lossy or (len(codes) == 1 and not has_names):
            meaning = "binary"
        elif has_names or len(codes) <= label_rasters.MOST_CLASSES:
            meaning = "categories"
        else:
            meaning = "objects"
        control.log(
            f"{counted(len(codes), 'different value')} besides background: read as "
            f"{'a mask of one category' if meaning == 'binary' else meaning}."
        )
    if lossy:
        control.warn(
            "The compression of these masks is lossy (as JPEG's): it changes the values of pixels "
            "a little. What is brighter than half counts as set. Export masks as PNG, or as TIFF "
            "with DEFLATE compression."
        )
    return meaning
