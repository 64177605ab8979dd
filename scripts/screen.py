"""What a long command shows: lines that stay, and one that says how far it is.

On a terminal the last line is redrawn in place; elsewhere (a log, CI) it is printed now and then,
so that there is a sign of life either way. Standard library only.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from typing import TextIO

BAR_LENGTH = 20
EVERY_S = 10.0
"""How often a log gets a line about the progress."""


class Screen:
    """Writes to a terminal or a log."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._started = time.monotonic()
        self._last_sign = self._started
        self._drawn = False

    def heading(self, text: str) -> None:
        """Start a new step; its clock starts at zero."""
        self._started = self._last_sign = time.monotonic()
        self._write(f"\n\033[1m{text}\033[0m" if self._terminal else f"\n{text}")

    def line(self, text: str) -> None:
        """Write a line that stays, folded to the width of a terminal."""
        width = shutil.get_terminal_size().columns - 2
        folded = self._terminal and len(text) > width
        for piece in textwrap.wrap(text, width, break_long_words=False) if folded else [text]:
            self._write(f"  {piece}".rstrip())

    def progress(self, percent: float | None, text: str = "") -> None:
        """Show how far the step is; call it every second or so, and as often as you like."""
        if self._terminal:
            self._draw(percent, text)
        elif time.monotonic() - self._last_sign >= EVERY_S:
            done = "" if percent is None else f"{percent:3.0f} %, "
            self._write(f"  … {done}{self.seconds:.0f} s  {text}".rstrip())

    @property
    def seconds(self) -> float:
        """The time since the last heading."""
        return time.monotonic() - self._started

    def _draw(self, percent: float | None, text: str) -> None:
        filled = round(BAR_LENGTH * (percent or 0.0) / 100.0)
        bar = "━" * filled + "┄" * (BAR_LENGTH - filled)
        share = "    " if percent is None else f"{percent:3.0f}%"
        shown = f"  {bar} {share} {self.seconds:4.0f} s  {text}"
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f"\r\033[K{shown[:width]}")
        self._stream.flush()
        self._drawn = True

    def _write(self, text: str) -> None:
        clear = "\r\033[K" if self._drawn else ""
        self._drawn = False
        self._last_sign = time.monotonic()
        self._stream.write(f"{clear}{text}\n")
        self._stream.flush()
