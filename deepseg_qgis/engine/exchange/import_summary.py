"""What an import found: polygons by category, and what the log says of the annotations."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.examples import Examples


@dataclass
class ImportSummary:
    """Polygons by category, colours by category, and annotations by what is to be said of them.

    ``notes`` are worth a line, ``doubts`` were guessed, ``left_out`` could not be used.
    """

    categories: Counter[str] = field(default_factory=Counter)
    colours: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Examples] = field(default_factory=lambda: defaultdict(Examples))
    doubts: dict[str, Examples] = field(default_factory=lambda: defaultdict(Examples))
    left_out: dict[str, Examples] = field(default_factory=lambda: defaultdict(Examples))

    @property
    def count(self) -> int:
        """The number of polygons."""
        return sum(self.categories.values())

    def note(self, remarks: Iterable[str], title: str) -> None:
        """Count an annotation under each remark."""
        for remark in remarks:
            self.notes[remark].add(title)

    def doubt(self, remarks: Iterable[str], title: str) -> None:
        """Count an annotation of which something was guessed."""
        for remark in remarks:
            self.doubts[remark].add(title)

    def leave_out(self, reason: str, title: str) -> None:
        """Count an annotation that cannot be used."""
        self.left_out[reason].add(title)

    def log_remarks(self, control: Control) -> None:
        """Write notes, doubts and what was left out into the log."""
        for remark, examples in self.notes.items():
            control.log(f"Annotations {remark}: {examples.count:,}.")
        for remark, examples in self.doubts.items():
            control.warn(f"Annotations {remark}: {examples.count:,} ({examples}).")
        for reason, examples in self.left_out.items():
            control.warn(f"Annotations left out, {reason}: {examples.count:,} ({examples}).")
