"""What all reports share: a page that stands for itself, and its figures.

A page is one HTML file without scripts, styles or pictures from elsewhere, plain enough for old
browsers and for paper. Names of files and categories come from strangers, so every text is escaped
unless it is `Markup`, which only this package makes.
"""

from __future__ import annotations

import base64
import html
import io
import math
import re
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from deepseg_qgis import __version__
from deepseg_qgis.errors import OutputError

COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
NO_COLOUR = "#808080"
NO_VALUE = "–"

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""M. Okabe and K. Ito, Color Universal Design (2008): told apart by the colour-blind."""

ERROR_COLOURS = {
    "right": (0, 170, 200),
    "false alarm": (240, 115, 25),
    "missed": (170, 5, 130),
    "wrong category": (252, 240, 0),
}
"""What the tints of an error picture mean, as RGB. Over grey ground of any brightness they differ
from it and from each other by at least 14 (ΔE of CIE 1976), for each kind of colour-blindness."""

TINT = 0.6
"""How much of an error picture's colour covers the ground."""

STYLE = """
body { font: 15px/1.5 "Helvetica Neue", Arial, sans-serif; color: #222; background: #fff;
  max-width: 980px; margin: 24px auto; padding: 0 20px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 34px 0 8px; border-bottom: 2px solid #0072b2; padding-bottom: 3px; }
h1, h2, td, th, dd, p, li { overflow-wrap: break-word; word-wrap: break-word; }
p { margin: 6px 0 10px; }
.quiet { color: #595959; font-size: 13px; }
table { border-collapse: collapse; margin: 10px 0 14px; }
th, td { padding: 5px 8px; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd; }
thead th { border-bottom: 2px solid #888; vertical-align: bottom; font-size: 13px; }
tr.total td { border-top: 2px solid #888; font-weight: bold; }
.number { text-align: right; }
td.number { white-space: nowrap; }
td.shade { min-width: 36px; }
.compact td, .compact th { font-size: 12px; padding: 2px 4px; }
.compact td.shade { min-width: 22px; }
.compact th { white-space: nowrap; }
.wide { overflow-x: auto; }
.facts th { font-weight: normal; color: #595959; padding-left: 0; white-space: nowrap; }
.facts th, .facts td { border: 0; padding-top: 1px; padding-bottom: 1px; }
.headlines { width: 100%; }
.headlines .figure { font-size: 28px; line-height: 1.1; text-align: right; white-space: nowrap;
  width: 90px; color: #0072b2; }
.swatch { display: inline-block; width: 13px; height: 13px; margin-right: 7px;
  border: 1px solid #555; vertical-align: -2px; }
.legend span.entry { margin-right: 20px; white-space: nowrap; }
.bar { width: 56px; height: 6px; background: #e4e4e4; margin: 3px 0 0 auto; }
.bar div { height: 6px; background: #0072b2; }
.notes { border-left: 5px solid #d55e00; background: #fdf3ea; padding: 8px 16px; margin: 14px 0; }
.notes ul { margin: 0; padding-left: 18px; }
.picture { margin: 14px 0 20px; }
.picture img { max-width: 100%; border: 1px solid #bbb; display: block; }
dt { font-weight: bold; margin-top: 8px; }
dd { margin: 0 0 0 22px; }
body, .bar, .bar div, .swatch, .notes, .shade { -webkit-print-color-adjust: exact;
  print-color-adjust: exact; }
tr, .picture, .notes, dd { page-break-inside: avoid; }
h2, thead, .quiet, .legend { page-break-after: avoid; }
@media print { body { margin: 0; max-width: none; font-size: 12px; }
  .wide { overflow: visible; } th, td { padding: 3px 5px; } thead th { font-size: 11px; }
  .bar { width: 44px; } }
"""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Even a text that escaped escaping could load nothing."""

Cell = str | int | float | None
Rgb = NDArray[np.uint8]


class Markup(str):
    """A text that is HTML already; all others are escaped."""

    __slots__ = ()


class Page:
    """A report that grows from top to bottom and is written once."""

    def __init__(self, title: str, subtitle: str = "") -> None:
        self._title = title
        self._parts: list[str] = []
        self.add(Markup(f"<h1>{escaped(title)}</h1>"))
        if subtitle:
            self.text(subtitle, quiet=True)

    def add(self, markup: Markup) -> None:
        """Append HTML."""
        self._parts.append(markup)

    def heading(self, text: str) -> None:
        """Start a section."""
        self.add(Markup(f"<h2>{escaped(text)}</h2>"))

    def text(self, text: str, quiet: bool = False) -> None:
        """Append a paragraph; a quiet one is small and grey."""
        kind = ' class="quiet"' if quiet else ""
        self.add(Markup(f"<p{kind}>{escaped(text)}</p>"))

    def facts(self, facts: Mapping[str, Cell]) -> None:
        """Append what there is to know about the run, a line each."""
        rows = [
            f"<tr><th>{escaped(name)}</th><td>{shown(value)}</td></tr>"
            for name, value in facts.items()
        ]
        self.add(Markup(f'<table class="facts">{"".join(rows)}</table>'))

    def headlines(self, headlines: Sequence[tuple[str, Cell, str]]) -> None:
        """Append the main numbers: (name, number, one sentence that says what it means)."""
        rows = [
            f'<tr><td class="figure">{shown(value)}</td>'
            f"<td><b>{escaped(name)}</b><br>{escaped(meaning)}</td></tr>"
            for name, value, meaning in headlines
        ]
        self.add(Markup(f'<table class="headlines">{"".join(rows)}</table>'))

    def table(
        self, head: Sequence[str], rows: Sequence[Sequence[Cell]], total: Sequence[Cell] = ()
    ) -> None:
        """Append a table; ``total`` is a last row that stands out. Numbers go to the right."""
        right = [any(_is_number(row[i]) for row in rows) for i in range(len(head))]
        names = [f"<th{_side(r)}>{escaped(name)}</th>" for name, r in zip(head, right, strict=True)]
        body = [_row(row, right) for row in rows]
        if total:
            body.append(_row(total, right, "total"))
        self.add(
            Markup(
                f'<div class="wide"><table><thead><tr>{"".join(names)}</tr></thead>'
                f"<tbody>{''.join(body)}</tbody></table></div>"
            )
        )

    def picture(self, picture: bytes | Rgb, caption: str) -> None:
        """Append a picture: a PNG file's bytes, or RGB (rows, columns, 3) uint8."""
        content = picture if isinstance(picture, bytes) else png(picture)
        data = base64.b64encode(content).decode("ascii")
        self.add(
            Markup(
                f'<div class="picture"><img alt="{escaped(caption)}" '
                f'src="data:image/png;base64,{data}"><p class="quiet">{escaped(caption)}</p></div>'
            )
        )

    def legend(self, entries: Mapping[str, str]) -> None:
        """Append what colours (``#rrggbb``) mean, on one line."""
        shown_entries = [
            f'<span class="entry">{swatch(colour)}{escaped(name)}</span> '
            for name, colour in entries.items()
        ]
        self.add(Markup(f'<p class="legend">{"".join(shown_entries)}</p>'))

    def error_legend(self) -> None:
        """Append what the colours of `overlay` mean."""
        self.legend(
            {name: "#{:02x}{:02x}{:02x}".format(*rgb) for name, rgb in ERROR_COLOURS.items()}
        )

    def notes(self, notes: Sequence[str]) -> None:
        """Append what the reader should not overlook, in a box; nothing if there is nothing."""
        if notes:
            items = "".join(f"<li>{escaped(note)}</li>" for note in notes)
            self.add(Markup(f'<div class="notes"><ul>{items}</ul></div>'))

    def glossary(self, terms: Mapping[str, str]) -> None:
        """Append words and what they mean."""
        entries = [f"<dt>{escaped(t)}</dt><dd>{escaped(m)}</dd>" for t, m in terms.items()]
        self.add(Markup(f"<dl>{''.join(entries)}</dl>"))

    def html(self) -> str:
        """Return the page."""
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
            '<meta name="viewport" content="width=device-width">\n'
            f"<title>{escaped(self._title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
            + "\n".join(self._parts)
            + f'\n<p class="quiet">Written by DeepSeg {escaped(__version__)}.</p>\n'
            "</body>\n</html>\n"
        )

    def write(self, path: str) -> None:
        """Write the page to a file.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            # file names may hold bytes that are no text in any encoding
            with open(path, "w", encoding="utf-8", errors="replace", newline="\n") as file:
                file.write(self.html())
        except OSError as error:
            raise OutputError(
                f"The report {path} could not be written ({error.strerror}). Check that its disk "
                "has room and that you may write to its folder."
            ) from error


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
    safe = colour if COLOUR.fullmatch(colour) else NO_COLOUR
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


def png(rgb: Rgb) -> bytes:
    """Return a picture (rows, columns, 3) uint8 as a PNG file."""
    file = io.BytesIO()
    imsave(file, rgb, format="png")
    return file.getvalue()


def overlay(
    rgb: Rgb,
    reference: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    known: NDArray[np.bool_],
) -> Rgb:
    """Return a picture of what is right and wrong, (rows, columns, 3) uint8.

    ``rgb`` has shape (rows, columns, 3), the others (rows, columns); class 0 is background. What is
    right is tinted blue-green, a false alarm orange, what was missed magenta, a wrong category
    yellow: told apart by the colour-blind. Where nothing is known the picture is pale and grey;
    background on both sides stays as it is.
    """
    said, there, same = predicted > 0, reference > 0, predicted == reference
    picture = rgb.astype(np.float32)
    grey = picture.mean(axis=2, keepdims=True)  # (rows, columns, 1)
    picture = np.where(known[..., None], picture, 170.0 + grey / 4.0)
    outcomes = (said & same, said & ~there, ~said & there, said & there & ~same)
    for outcome, colour in zip(outcomes, ERROR_COLOURS.values(), strict=True):
        tinted = outcome & known
        # over grey ground the hue is the same everywhere
        picture[tinted] = (1.0 - TINT) * grey[tinted] + TINT * np.array(colour)
    return np.rint(picture).astype(np.uint8)


def line_chart(
    x: Sequence[float],
    lines: Mapping[str, Sequence[float | None]],
    labels: tuple[str, str],
    limits: tuple[float, float] | None = None,
    mark: tuple[float, str] | None = None,
) -> bytes:
    """Return a chart of lines over a common ``x`` as a PNG file; None leaves a gap.

    ``labels`` name the axes (x, y); ``limits`` bound the y axis; ``mark`` is a place on the x axis
    and what it is called, drawn as a dashed line (the epoch that was kept).
    """
    figure = Figure(figsize=(8.0, 3.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    drawn = [
        axes.plot(
            x,
            [math.nan if value is None else value for value in values],
            color=PALETTE[i % len(PALETTE)],
            linestyle=("-", "--", ":")[i // len(PALETTE) % 3],
            marker="o",
            markersize=3,
        )[0]
        for i, values in enumerate(lines.values())
    ]
    names = list(lines)
    if mark is not None:
        drawn.append(axes.axvline(mark[0], color="#777777", linestyle="--", linewidth=1))
        names.append(mark[1])
    axes.set(xlabel=labels[0], ylabel=labels[1])
    if limits is not None:
        axes.set_ylim(*limits)
    if all(float(value).is_integer() for value in x):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    # names are set later, since matplotlib hides entries that start with an underscore
    legend = figure.legend(drawn, [" "] * len(drawn), loc="outside right upper", frameon=False)
    for entry, name in zip(legend.get_texts(), names, strict=True):
        entry.set_text(name)
    for text in (*legend.get_texts(), axes.xaxis.label, axes.yaxis.label):
        text.set_parse_math(False)  # a $ is a $
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # letters that the font does not have
        figure.savefig(file, format="png")
    return file.getvalue()


def _is_number(cell: Cell) -> bool:
    if isinstance(cell, Markup):
        return 'class="bar"' in cell or 'class="change"' in cell
    return isinstance(cell, (int, float))


def _side(right: bool) -> str:
    return ' class="number"' if right else ""


def _row(cells: Sequence[Cell], right: Sequence[bool], kind: str = "") -> str:
    content = "".join(
        f"<td{_side(r)}>{shown(cell)}</td>" for cell, r in zip(cells, right, strict=True)
    )
    return f'<tr class="{kind}">{content}</tr>' if kind else f"<tr>{content}</tr>"
