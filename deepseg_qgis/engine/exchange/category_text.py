"""Names and colours of categories as files have them, made fit for a layer. No I/O."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

LONGEST_NAME = 200
COLOUR = re.compile(r"#[0-9a-f]{6}", re.ASCII)


def clean_name(text: str) -> str:
    """Return a category's name in one line and one Unicode form, without control characters."""
    plain = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))
    return " ".join("".join(c if c.isprintable() else " " for c in plain).split())[:LONGEST_NAME]


def is_colour(value: object) -> bool:
    """Whether a value is a colour as ``#rrggbb``."""
    return isinstance(value, str) and COLOUR.fullmatch(value) is not None


def hex_colour(channels: Sequence[int | None]) -> str | None:
    """Return red, green and blue (0 to 255) as ``#rrggbb``; None where they are no colour.

    >>> hex_colour([255, 128, 0]), hex_colour([256, 0, 0]), hex_colour([1, 2])
    ('#ff8000', None, None)
    """
    known = [channel for channel in channels if channel is not None and 0 <= channel <= 255]
    if len(channels) != 3 or len(known) != 3:
        return None
    return "#" + "".join(f"{channel:02x}" for channel in known)
