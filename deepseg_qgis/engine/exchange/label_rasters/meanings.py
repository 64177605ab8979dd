"""What the values of label rasters mean, decided by all of them together; the log says how."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.file_names import normalised, slug
from deepseg_qgis.engine.exchange.label_rasters.codes import NO_CODES, CodeCounts, Codes
from deepseg_qgis.engine.exchange.label_rasters.survey import LabelSurvey
from deepseg_qgis.engine.exchange.label_rasters.void_values import as_grey, void_codes
from deepseg_qgis.errors import ParameterError, VectorError, counted

MOST_CLASSES = 254
"""More different values than that are numbers of objects, not categories."""
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
"""What lists call the value 0 that is no category, as `file_names.slug` has it."""

Numbers = Mapping[int, int | None]


@dataclass(frozen=True)
class ValueMeaning:
    """What codes mean: categories by name, or (``names`` None) each an object of one category."""

    names: dict[int, str] | None
    category: str = ""

    def of_one_object(self, code: int) -> ValueMeaning:
        """Return the meaning of a mask whose only code is an object."""
        return ValueMeaning(None, (self.names or {}).get(code, self.category))


@dataclass(frozen=True)
class LabelMeanings:
    """For each label raster its codes without void, and what they mean; ``colours`` by name."""

    codes: list[CodeCounts]
    meanings: list[ValueMeaning]
    colours: dict[str, str]


def interpret(
    surveys: Sequence[LabelSurvey], values: str, categories: Sequence[str], control: Control
) -> LabelMeanings:
    """Return what all values mean; the log says what was guessed.

    ``values`` are as in `ImportAnnotationsJob`, ``categories`` those of masks and objects, one for
    each label raster.

    Raises:
        ParameterError: ``values`` is unknown.
        VectorError: there are too many categories.
    """
    for path in sorted({survey.list_path for survey in surveys} - {""}):
        control.log(f"Names of categories come from {path}.")
    _warn_of_named_zero(surveys, control)
    total = NO_CODES
    for survey in surveys:
        total = total.joined(survey.codes)
    numbers = _numbers(total.codes, surveys)
    shared_names = _shared_names(surveys)
    total = total.without(_voids(total, numbers, shared_names, values, control))
    codes = [survey.codes.without(total.voids) for survey in surveys]
    kind = _kind(values, total.codes, surveys, control)
    if kind == "objects":
        return LabelMeanings(codes, [ValueMeaning(None, each) for each in categories], {})
    if kind == "binary":
        known = total.codes.tolist()
        meanings = [ValueMeaning(dict.fromkeys(known, each)) for each in categories]
        return LabelMeanings(codes, meanings, {})
    if kind != "categories":
        raise ParameterError(f"Expected what the values mean, got {values!r}.")
    return _categories(surveys, codes, shared_names, numbers)


def _warn_of_named_zero(surveys: Sequence[LabelSurvey], control: Control) -> None:
    """Warn where a file's own names say that 0 is more than background."""
    names = sorted({survey.value_names.names.get(0, "") for survey in surveys} - {""})
    categories = [name for name in names if slug(normalised(name)) not in BACKGROUND]
    if categories:
        control.warn(
            f"The value 0 is called '{categories[0]}'. DeepSeg takes 0 (black) for background: it "
            "gets no polygon. If it is a category, give it another number with QGIS's 'Reclassify "
            "by table'."
        )


def _categories(
    surveys: Sequence[LabelSurvey],
    codes: list[CodeCounts],
    shared_names: Mapping[int, str],
    numbers: Numbers,
) -> LabelMeanings:
    meanings: list[ValueMeaning] = []
    colours: dict[str, str] = {}
    for survey, counts in zip(surveys, codes, strict=True):
        own, names = survey.value_names, {}
        for code in counts.codes.tolist():
            number = numbers[code]
            plain = f"#{code:06x}" if number is None else str(number)
            value = code if number is None else number
            names[code] = own.names.get(value) or shared_names.get(value) or plain
            colour = plain if number is None else own.colours.get(value)
            if colour:
                colours.setdefault(names[code], colour)
        meanings.append(ValueMeaning(names))
    count = len({name for meaning in meanings for name in (meaning.names or {}).values()})
    if count > MOST_CLASSES:
        raise VectorError(
            f"Expected at most {MOST_CLASSES} categories, found {count:,} different values. If "
            "each value is an object, choose 'objects' for the values."
        )
    return LabelMeanings(codes, meanings, colours)


def _numbers(codes: Codes, surveys: Sequence[LabelSurvey]) -> Numbers:
    """Return the number that each code stands for; None if it is a colour."""
    if not any(survey.in_colours for survey in surveys):
        return {code: code for code in codes.tolist()}
    grey = as_grey(codes)
    if grey is codes:
        return dict.fromkeys(codes.tolist())
    return dict(zip(codes.tolist(), grey.tolist(), strict=True))


def _shared_names(surveys: Sequence[LabelSurvey]) -> dict[int, str]:
    """Return the names on which all label rasters agree, for those that have none."""
    names: dict[int, set[str]] = defaultdict(set)
    for survey in surveys:
        for value, name in survey.value_names.names.items():
            names[value].add(name)
    return {value: next(iter(some)) for value, some in names.items() if len(some) == 1}


def _voids(
    total: CodeCounts,
    numbers: Numbers,
    shared_names: Mapping[int, str],
    values: str,
    control: Control,
) -> tuple[int, ...]:
    """Return the codes of void, which the log names: it is not known to be background."""
    code_of = {number: code for code, number in numbers.items() if number is not None}
    void = void_codes(
        np.array(sorted(code_of), dtype=np.int64), shared_names, binary=values == "binary"
    )
    for number in void:
        pixels = int(total.counts[np.searchsorted(total.codes, code_of[number])])
        control.warn(
            f"The value {number} ({counted(pixels, 'pixel')}) is taken for void, where nothing is "
            "labelled, not for a category. It gets no polygon; leave its ground out of the "
            "completely annotated area. If it is a category, give it a name in the raster's "
            "attribute table, or another number."
        )
    return tuple(code_of[number] for number in void)


def _kind(values: str, codes: Codes, surveys: Sequence[LabelSurvey], control: Control) -> str:
    """Return what the values are, of which ``auto`` leaves the choice to us."""
    lossy = any(survey.is_lossy for survey in surveys)
    kind = values
    if kind == "auto":
        kind = _guessed_kind(codes, surveys, lossy)
        control.log(
            f"{counted(len(codes), 'different value')} besides background: read as "
            f"{'a mask of one category' if kind == 'binary' else kind}."
        )
    if lossy:
        control.warn(
            "The compression of these masks is lossy (as JPEG's): it changes the values of pixels "
            "a little. What is brighter than half counts as set. Export masks as PNG, or as TIFF "
            "with DEFLATE compression."
        )
    return kind


def _guessed_kind(codes: Codes, surveys: Sequence[LabelSurvey], lossy: bool) -> str:
    has_names = any(survey.value_names.names for survey in surveys)
    if lossy or (len(codes) == 1 and not has_names):
        return "binary"
    return "categories" if has_names or len(codes) <= MOST_CLASSES else "objects"
