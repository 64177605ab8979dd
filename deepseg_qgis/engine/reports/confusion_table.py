"""The confusion matrix on a page, as a heat map of row shares."""

from __future__ import annotations

from collections.abc import Sequence

from deepseg_qgis.engine.reports.markup import Markup, escaped

NAMED_COLUMNS = 8
"""A confusion matrix with more labels than this has numbers above its columns."""

RIGHT_SHADE = (0, 114, 178)
WRONG_SHADE = (230, 130, 0)
DARK = 0.75
"""From this share on a cell is so dark that its text is white."""


def confusion_table(labels: Sequence[str], matrix: Sequence[Sequence[float]], unit: str) -> Markup:
    """Return a table with a row for each label of the reference, of areas ``matrix``."""
    numbered = len(labels) > NAMED_COLUMNS
    kind = ' class="compact"' if numbered else ""
    above = [str(i) for i in range(len(labels))] if numbered else labels
    beside = [f"{i} · {label}" for i, label in enumerate(labels)] if numbered else labels
    head = "".join(f'<th class="number">{escaped(label)}</th>' for label in above)
    rows = "".join(
        f"<tr><th>{escaped(label)}</th>{_shades(row, i, labels, unit)}"
        f'<td class="number">{sum(row):,.0f}</td></tr>'
        for i, (label, row) in enumerate(zip(beside, matrix, strict=True))
    )
    return Markup(
        f'<div class="wide"><table{kind}><thead><tr><th>Reference ↓ &nbsp; predicted →</th>'
        f'{head}<th class="number">{escaped(unit)}</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _shades(row: Sequence[float], diagonal: int, labels: Sequence[str], unit: str) -> str:
    """Return the cells of one row, darker the larger their share of it."""
    total = sum(row)
    cells = []
    for i, count in enumerate(row):
        if count == 0:
            cells.append("<td></td>")
            continue
        share = count / total
        shade = RIGHT_SHADE if i == diagonal else WRONG_SHADE
        red, green, blue = (round(255 + share * (channel - 255)) for channel in shade)
        text = "#fff" if share >= DARK and i == diagonal else "#222"
        tip = escaped(f"{labels[diagonal]} taken for {labels[i]}: {count:,.0f} {unit}")
        cells.append(
            f'<td class="number shade" title="{tip}" '
            f'style="background:rgb({red},{green},{blue});color:{text}">{_percent(share)}</td>'
        )
    return "".join(cells)


def _percent(share: float) -> Markup:
    if share < 0.01:
        return Markup("&lt;1")
    return Markup("&gt;99" if 0.99 < share < 1.0 else f"{100 * share:.0f}")
