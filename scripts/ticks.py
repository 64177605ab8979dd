"""Tell QGIS's progress from its words.

``qgis_process`` writes progress as ``0...10...20`` into the same stream as its lines, without a
line's end: ``0..a line of the log`` and then ``.10...20`` on the next. The ticks come in a fixed
order (a number every 10 %, a dot every 2.5 %), which is how they are told apart from text.
"""

from __future__ import annotations

TICK_PERCENT = 2.5
TICKS = [str(i // 4 * 10) if i % 4 == 0 else "." for i in range(41)]
"""``0 . . . 10 . . . 20`` to ``100``."""
END = " - done."


class Ticks:
    """Takes a stream apart, chunk by chunk."""

    def __init__(self) -> None:
        self.percent: float | None = None
        self._next = 0
        self._rest = ""

    def feed(self, text: str) -> list[str]:
        """Take the next chunk of the stream; return the lines that it completes, without ticks."""
        self._rest += text
        *lines, self._rest = self._rest.split("\n")
        told = [line for line in (self._without_ticks(line, True) for line in lines) if line]
        self._rest = self._without_ticks(self._rest, False)
        return told

    def close(self) -> list[str]:
        """Return what is left at the end of the stream."""
        rest, self._rest = self._rest, ""
        return [rest] if rest else []

    def _without_ticks(self, line: str, whole: bool) -> str:
        line = line.rstrip("\r")
        while line.startswith(TICKS[self._next]):
            tick = TICKS[self._next]
            if tick.isdigit() and whole and self._is_text(line[len(tick) :]):
                break
            line = line[len(tick) :]
            self.percent = self._next * TICK_PERCENT
            self._next = (self._next + 1) % len(TICKS)  # after 100 a new run may begin
            if self._next == 0:
                line = line.removeprefix(END)
        return line

    @staticmethod
    def _is_text(following: str) -> bool:
        """Whether a number begins a line of text ('10 tiles') rather than being a tick."""
        return following.startswith((" ", "%", ",")) and not following.startswith(END)
