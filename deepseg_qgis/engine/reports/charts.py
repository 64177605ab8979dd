"""Charts of lines, as PNG files."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""M. Okabe and K. Ito, Color Universal Design (2008): told apart by the colour-blind."""

Curve = tuple[Sequence[float], Sequence[float | None]]
"""The x and y of a line; None leaves a gap."""
Band = tuple[Sequence[float], Sequence[float]]
"""Between what a line lies, shaded: from the low to the high values, at the line's x."""


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
    return curve_chart({name: (x, values) for name, values in lines.items()}, labels, limits, mark)


def curve_chart(
    curves: Mapping[str, Curve],
    labels: tuple[str, str],
    limits: tuple[float, float] | None = None,
    mark: tuple[float, str] | None = None,
    bands: Mapping[str, Band] | None = None,
) -> bytes:
    """Return the same of lines that each have an x of their own, and ``bands`` by their names."""
    figure = Figure(figsize=(8.0, 3.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    drawn = [_line(axes, x, y, number) for number, (x, y) in enumerate(curves.values())]
    names = list(curves)
    for name, (low, high) in (bands or {}).items():
        number = names.index(name)
        axes.fill_between(curves[name][0], low, high, color=_colour(number), alpha=0.2, linewidth=0)
    if mark is not None:
        drawn.append(axes.axvline(mark[0], color="#777777", linestyle="--", linewidth=1))
        names.append(mark[1])
    axes.set(xlabel=labels[0], ylabel=labels[1])
    if limits is not None:
        axes.set_ylim(*limits)
    if all(float(value).is_integer() for x, _ in curves.values() for value in x):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    _add_legend(figure, axes, drawn, names)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # letters that the font does not have
        figure.savefig(file, format="png")
    return file.getvalue()


def _colour(number: int) -> str:
    return PALETTE[number % len(PALETTE)]


def _line(axes: Axes, x: Sequence[float], values: Sequence[float | None], number: int) -> Artist:
    """Draw a line that differs from those with other numbers."""
    (line,) = axes.plot(
        x,
        [math.nan if value is None else value for value in values],
        color=_colour(number),
        linestyle=("-", "--", ":")[number // len(PALETTE) % 3],
        marker="o",
        markersize=3,
    )
    return line


def _add_legend(figure: Figure, axes: Axes, drawn: Sequence[Artist], names: Sequence[str]) -> None:
    # names are set later, since matplotlib hides entries that start with an underscore
    legend = figure.legend(drawn, [" "] * len(drawn), loc="outside right upper", frameon=False)
    for entry, name in zip(legend.get_texts(), names, strict=True):
        entry.set_text(name)
    for text in (*legend.get_texts(), axes.xaxis.label, axes.yaxis.label):
        text.set_parse_math(False)  # a $ is a $
