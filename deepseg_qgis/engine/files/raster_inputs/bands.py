"""What is known of a band: its name, the light it shows, and what its stored numbers mean. No I/O.

Names come from people and from many programs: ``Red``, ``R``, ``B4``, ``Band 4``, ``B4, central
wavelength 665 nm``. Names that tell nothing (``band 4``, by the place in the file) are no names.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deepseg_qgis.errors import MOST_LISTED, counted

PLAIN_NAMES = ("", "undefined", "gray", "palette", "alpha")
"""Colour interpretations that do not say which light a band shows."""
BY_PLACE = re.compile(r"band \d+")
CODE = re.compile(r"(?<![a-z0-9])b(?:and)?[ _-]*0*(\d+a?)(?![a-z0-9])")
"""How sensors number their bands: B4, B04, Band 4, SR_B4, B8A."""
SINGLE_LETTERS = {"r": "red", "g": "green", "b": "blue"}
COLOURS = {
    "red": "red",
    "green": "green",
    "blue": "blue",
    "nir": "nir",
    "ir": "nir",
    "infrared": "nir",
    "nearinfrared": "nir",
    "rededge": "rededge",
    "redge": "rededge",
    "coastal": "coastal",
    "pan": "pan",
    "panchromatic": "pan",
    "swir": "swir",
    "tir": "tir",
    "thermal": "tir",
}
COMPOUNDS = {("red", "edge"): "rededge", ("near", "infrared"): "nir", ("near", "ir"): "nir"}
WAVELENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(nm|nanomet|[uµμ]m|micromet)")
WAVELENGTH_KEYS = ("central_wavelength_um", "central_wavelength", "center_wavelength", "wavelength")
UNIT_KEYS = ("wavelength_units", "wavelength_unit")
LONGEST_IN_UM = 100.0
"""A wavelength without a unit is in nanometres beyond that, else in micrometres."""
LIGHT_UM = {"blue": (0.45, 0.52), "green": (0.52, 0.60), "red": (0.62, 0.69), "nir": (0.76, 0.90)}

Colour = tuple[int, int, int, int]


@dataclass(frozen=True)
class Band:
    """A band of a raster, as far as it is known.

    ``colour`` is one of the values of `COLOURS`, or another of GDAL's colour interpretations, or
    ''. What a value means is ``scale`` times the stored number plus ``offset``; ``stored`` is the
    dtype of the stored numbers. ``palette`` is the colour (red, green, blue, alpha) of each stored
    number; empty where the numbers are values.
    """

    name: str
    colour: str = ""
    wavelength_um: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    stored: str = ""
    palette: tuple[Colour, ...] = ()

    @property
    def key(self) -> str:
        """The name as it compares with others; '' where it says nothing."""
        text = self.name.casefold()
        if text in PLAIN_NAMES or BY_PLACE.fullmatch(self.name):
            return ""
        code = CODE.search(text)
        return f"b{code.group(1)}" if code else re.sub(r"[\W_]+", "", text)

    @property
    def is_scaled(self) -> bool:
        """Whether values are not the stored numbers."""
        return (self.scale, self.offset) != (1.0, 0.0)


@dataclass(frozen=True)
class RasterKind:
    """What a raster's pixels are: its bands, and the dtype of their values."""

    bands: tuple[Band, ...]
    dtype: str

    @property
    def text(self) -> str:
        """The bands as a message names them."""
        names = ", ".join(band.name for band in self.bands[:MOST_LISTED])
        more = ", …" * (len(self.bands) > MOST_LISTED)
        return f"{counted(len(self.bands), 'band')} of type {self.dtype} ({names}{more})"

    @property
    def is_scaled(self) -> bool:
        """Whether the values of any band are not the stored numbers."""
        return any(band.is_scaled for band in self.bands)


def named(name: str, wavelength_um: float | None = None, interpretation: str = "") -> Band:
    """Return what a name, a wavelength and GDAL's colour interpretation tell of a band.

    What a description says counts more than a wavelength, and that more than the interpretation,
    which many programs set by the place in the file alone.
    """
    wavelength = wavelength_um or _wavelength_in(name)
    colour = _colour_in(name) or _colour_of(wavelength)
    if not colour and interpretation not in PLAIN_NAMES:
        colour = interpretation
    return Band(name, colour, wavelength)


def wavelength_um(tags: Mapping[str, str]) -> float | None:
    """Return the central wavelength in micrometres that a band's metadata tell, or None."""
    lower = {key.casefold(): value for key, value in tags.items()}
    for key in WAVELENGTH_KEYS:
        number = re.match(r"\s*(\d+(?:\.\d+)?)", lower.get(key, ""))
        if number and float(number.group(1)) > 0.0:
            unit = next((lower[each] for each in UNIT_KEYS if each in lower), "")
            return _micrometres(float(number.group(1)), "um" if key.endswith("_um") else unit)
    return None


def _wavelength_in(name: str) -> float | None:
    found = WAVELENGTH.search(name.casefold())
    return _micrometres(float(found.group(1)), found.group(2)) if found else None


def _micrometres(number: float, unit: str) -> float:
    unit = unit.strip().casefold()
    in_nanometres = unit.startswith("n") if unit else number > LONGEST_IN_UM
    return number / 1000.0 if in_nanometres else number


def _colour_of(wavelength: float | None) -> str:
    if wavelength is None:
        return ""
    return next((name for name, (a, b) in LIGHT_UM.items() if a <= wavelength < b), "")


def _colour_in(name: str) -> str:
    """Return the one colour that a name tells; '' where there is none, or more than one."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold()
    if text.strip() in SINGLE_LETTERS:
        return SINGLE_LETTERS[text.strip()]
    words = re.findall(r"[^\W\d_]+", text)
    colours = _colours_of(words)
    return colours.pop() if len(colours) == 1 else ""


def _colours_of(words: Sequence[str]) -> set[str]:
    if "thermal" in words:
        return {"tir"}
    found: set[str] = set()
    rest = list(words)
    for pair, colour in COMPOUNDS.items():
        for first, second in itertools.pairwise(words):
            if (first, second) == pair:
                found.add(colour)
                rest = [word for word in rest if word not in pair]
    return found | {COLOURS[word] for word in rest if word in COLOURS}
