"""A page that stands for itself, for all reports.

It is one HTML file without scripts, styles or pictures from elsewhere, plain enough for old
browsers and for paper.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.image import imsave
from numpy.typing import NDArray

from deepseg_qgis import __version__
from deepseg_qgis.engine.reports.markup import Cell, Markup, escaped, is_number, shown, swatch
from deepseg_qgis.errors import OutputError

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
.differs { background: #fff0c2; padding: 1px 4px; }
.notes { border-left: 5px solid #d55e00; background: #fdf3ea; padding: 8px 16px; margin: 14px 0; }
.notes ul { margin: 0; padding-left: 18px; }
.picture { margin: 14px 0 20px; }
.picture img { max-width: 100%; border: 1px solid #bbb; display: block; }
dt { font-weight: bold; margin-top: 8px; }
dd { margin: 0 0 0 22px; }
body, .bar, .bar div, .swatch, .notes, .shade, .differs { -webkit-print-color-adjust: exact;
  print-color-adjust: exact; }
tr, .picture, .notes, dd { page-break-inside: avoid; }
h2, thead, .quiet, .legend { page-break-after: avoid; }
@media print { body { margin: 0; max-width: none; font-size: 12px; }
  .wide { overflow: visible; } th, td { padding: 3px 5px; } thead th { font-size: 11px; }
  .bar { width: 44px; } }
"""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Even a text that escaped escaping could load nothing."""


Rgb = NDArray[np.uint8]
"""A picture, (rows, columns, 3)."""


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
        right = [any(is_number(row[i]) for row in rows) for i in range(len(head))]
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
        """Append a picture: a PNG file's bytes, or RGB."""
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


def png(rgb: Rgb) -> bytes:
    """Return a picture as a PNG file."""
    file = io.BytesIO()
    imsave(file, rgb, format="png")
    return file.getvalue()


def _side(right: bool) -> str:
    return ' class="number"' if right else ""


def _row(cells: Sequence[Cell], right: Sequence[bool], kind: str = "") -> str:
    content = "".join(
        f"<td{_side(r)}>{shown(cell)}</td>" for cell, r in zip(cells, right, strict=True)
    )
    return f'<tr class="{kind}">{content}</tr>' if kind else f"<tr>{content}</tr>"
