"""What is shown on a page, as HTML: texts, numbers, colours and bars.

Names of files and categories come from strangers, so every text is escaped unless it is `Markup`,
which only this package makes.
"""

from __future__ import annotations

import html
import math
import os
import urllib.parse
from collections.abc import Iterable

from deepseg_qgis.engine.legend.legend import COLOUR, PLAIN_COLOUR

NO_VALUE = "–"

Cell = str | int | float | None


class Markup(str):
    """A text that is HTML already; all others are escaped."""

    __slots__ = ()


def escaped(text: str) -> Markup:
    """Return text as HTML."""
    return text if isinstance(text, Markup) else Markup(html.escape(text, quote=True))


def shown(value: Cell) -> Markup:
    """Return a value as HTML: numbers with about three digits that matter, None as a dash."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return Markup(NO_VALUE)
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, int):
        return Markup(f"{value:,}")
    decimals = 2 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    return Markup(f"{value:,.{decimals}f}")


def swatch(colour: str) -> Markup:
    """Return a little square of a colour; grey where it is no ``#rrggbb``."""
    safe = colour if COLOUR.fullmatch(colour) else PLAIN_COLOUR
    return Markup(f'<span class="swatch" style="background:{safe}"></span>')


def bar(share: float | None) -> Markup:
    """Return a number from 0 to 1 with a small bar below it."""
    if share is None:
        return shown(None)
    width = round(100 * min(max(share, 0.0), 1.0))
    return Markup(f'{shown(share)}<div class="bar"><div style="width:{width}%"></div></div>')


def change(share: float | None) -> Markup:
    """Return a number by which something is more, or less below 0, as a percentage with its sign.

    0.125 is shown as +12.5 %.
    """
    if share is None:
        return shown(None)
    text = f"{100.0 * share:+,.1f}"
    text = "0.0" if text[1:] == "0.0" else text.replace("-", "−")
    return Markup(f'<span class="change">{text} %</span>')


def highlighted(value: Cell) -> Markup:
    """Return a value on a tinted ground: it differs from the others."""
    return Markup(f'<span class="differs">{shown(value)}</span>')


def link(path: str, text: str) -> Markup:
    """Return a link to a file, whose path is relative to the page's folder."""
    address = urllib.parse.quote(path.replace(os.sep, "/"), errors="surrogateescape")
    return Markup(f'<a href="./{address}">{escaped(text)}</a>')


def joined(parts: Iterable[Markup]) -> Markup:
    """Return parts one after another, on lines of their own."""
    return Markup("<br>".join(parts))


def category_label(name: str, colour: str) -> Markup:
    """Return a category's colour and name."""
    return Markup(f"{swatch(colour)}{escaped(name)}")


def is_number(cell: Cell) -> bool:
    """Return whether a cell shows a number, which stands on the right of its column."""
    if isinstance(cell, Markup):
        return 'class="bar"' in cell or 'class="change"' in cell
    return isinstance(cell, (int, float))
