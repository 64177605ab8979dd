"""Fields of a card, checked one by one: a card may come from anybody. No I/O.

Functions take a value as JSON gave it and ``what`` messages call it, and raise ModelError if it is
not as it must be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from deepseg_qgis.errors import ModelError

LONGEST_TEXT = 1000
"""In characters."""


def no_number(text: str) -> float:
    """Refuse what JSON calls a constant: NaN and the infinities."""
    raise ValueError(f"{text} is no number")


def finite_number(text: str) -> float:
    """Return the number in a JSON text; raise ValueError if it is infinite."""
    number = float(text)
    return number if math.isfinite(number) else no_number(text)


def read_text(value: object, what: str) -> str:
    """Return a text of at most `LONGEST_TEXT` characters."""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise bad_card(f"its {what} is no short text")
    return value


def read_list(value: object, what: str) -> list[Any]:
    """Return a list."""
    if not isinstance(value, list):
        raise bad_card(f"its {what} are no list")
    return value


def read_objects(value: object, what: str) -> tuple[Mapping[str, Any], ...]:
    """Return a list of JSON objects."""
    entries = read_list(value, what)
    if not all(isinstance(entry, dict) for entry in entries):
        raise bad_card(f"its {what} are not as expected")
    return tuple(entries)


def read_texts(value: object, least: int, most: int, what: str) -> tuple[str, ...]:
    """Return a list of ``least`` to ``most`` texts."""
    entries = read_list(value, what)
    if not least <= len(entries) <= most or not all(isinstance(each, str) for each in entries):
        raise bad_card(f"its {what} are not {least} to {most} texts")
    return tuple(entries)


def read_choice(value: object, known: tuple[str, ...] | frozenset[str], what: str) -> str:
    """Return one of the known texts."""
    if not isinstance(value, str) or value not in known:
        raise bad_card(f"its {what} is {str(value)[:60]!r}, which this DeepSeg does not know")
    return value


def read_number(value: object, low: float, high: float, what: str) -> float:
    """Return a finite number from ``low`` to ``high``."""
    right = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not right or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type, operator]
        raise bad_card(
            f"its {what} is {str(value)[:40]}, expected a number from {low:g} to {high:g}"
        )
    return float(value)  # type: ignore[arg-type]


def read_optional_number(value: object, low: float, high: float, what: str) -> float | None:
    """Return the same, or None for null."""
    return None if value is None else read_number(value, low, high, what)


def read_numbers(
    value: object, count: int, low: float, high: float, what: str
) -> tuple[float, ...]:
    """Return a list of so many numbers from ``low`` to ``high``."""
    entries = read_list(value, what)
    if len(entries) != count:
        raise bad_card(f"it has {len(entries)} {what}, expected {count}")
    return tuple(read_number(each, low, high, what) for each in entries)


def bad_card(what: str) -> ModelError:
    """Return the error that says why a card cannot be used."""
    return ModelError(
        f"This is no model that DeepSeg can use: {what}. Choose a .safetensors file that DeepSeg's "
        "Train made, or train the model again."
    )
