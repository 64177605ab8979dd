"""What the attributes of features mean to DeepSeg: text, as QGIS shows it."""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Any

from qgis.core import NULL
from qgis.PyQt.QtCore import QByteArray, Qt


def category_text(value: Any) -> str | None:
    """Return an attribute as the text of a category, or None for NULL and empty text.

    Values that look alike are one: whole floats lose their ``.0``, letters with accents have one
    form (Unicode NFC), and a list is its entries between commas.
    """
    text = _plain_text(value)
    return None if text is None else nfc(text).strip() or None


def nfc(text: str) -> str:
    """Return a text in Unicode's composed form: names that look alike are one name."""
    return unicodedata.normalize("NFC", text)


def _plain_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if value is None or value == NULL:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return str(int(value) if value.is_integer() else value)
    if isinstance(value, (list, tuple)):
        texts = map(category_text, value)
        return ", ".join(text for text in texts if text is not None)
    if isinstance(value, dict):
        if not value:
            return None
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=category_text)
    if isinstance(value, (bytes, bytearray, QByteArray)):
        return _text_of_bytes(bytes(value))
    if hasattr(value, "toString"):  # dates and times
        return str(value.toString(Qt.DateFormat.ISODate))
    return str(value)


def _text_of_bytes(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.hex()
