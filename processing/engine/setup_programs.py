"""The programs that a set-up runs, such as pip; what they print is logged. No QGIS in here."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from deepseg_qgis.processing.engine.pip_commands import program_error
from deepseg_qgis.processing.engine.process_tree import ProcessTree, do_nothing, read_lines

from deepseg_qgis.errors import EngineError, Stopped

POLL_S = 0.02
SIGN_OF_LIFE_S = 15.0
LINES_KEPT = 40


@dataclass(frozen=True)
class SetupObserver:
    """Who is told how it goes, and says when to stop.

    ``meanwhile`` is called many times a second while a program runs.
    """

    log: Callable[[str], None]
    progress: Callable[[float, str], None]
    stop_wanted: Callable[[], bool]
    meanwhile: Callable[[], None] = do_nothing


class SetupPrograms:
    """Runs programs one after the other, with these environment variables, in a folder."""

    def __init__(self, variables: Mapping[str, str], folder: str, observer: SetupObserver) -> None:
        self._variables, self._folder, self._observer = variables, folder, observer

    def run(
        self,
        command: Sequence[str],
        purpose: str,
        fraction: Callable[[str], float] | None = None,
    ) -> list[str]:
        """Run a program with its output in the log; return the lines of its standard output.

        ``fraction`` tells from a line how far the work is.
        """
        printed: list[str] = []
        lines: deque[str] = deque(maxlen=LINES_KEPT)
        done = 0.0
        with self._started(command, purpose) as tree:
            for line, waited in _lines_of(tree, printed.append):
                self._observer.meanwhile()
                if self._observer.stop_wanted():
                    raise Stopped("Stopped. The engine that was there before is unchanged.")
                if line is None:
                    last = lines[-1][:60] if lines else purpose
                    self._observer.progress(done, f"Still working ({waited:.0f} s): {last}")
                elif line:
                    lines.append(line)
                    if fraction:
                        self._observer.log(line)
                        done = fraction(line)
                        self._observer.progress(done, "Installing libraries")
            code = tree.process.wait()
        if code != 0:
            raise program_error(purpose, code, list(lines))
        return printed

    def _started(self, command: Sequence[str], purpose: str) -> ProcessTree:
        try:
            return ProcessTree(command, self._variables, self._folder, self._observer.meanwhile)
        except OSError as error:
            raise EngineError(
                f"It was not possible to {purpose}: {command[0]} could not be started "
                f"({error.strerror}). Choose another Python under 'Python'."
            ) from error


def _lines_of(
    tree: ProcessTree, on_printed: Callable[[str], None]
) -> Iterator[tuple[str | None, float]]:
    """Yield (line, 0), ('', 0) often while there is none, (None, seconds) as a sign of life.

    Lines of standard output go to ``on_printed`` as well.
    """
    lines: queue.Queue[str | None] = queue.Queue()
    assert tree.process.stdin is not None
    assert tree.process.stdout is not None
    assert tree.process.stderr is not None
    tree.process.stdin.close()

    def printed(line: str) -> None:
        on_printed(line)
        lines.put(line)

    read_lines(tree.process.stdout, printed, lambda: lines.put(None))
    read_lines(tree.process.stderr, lines.put, lambda: lines.put(None))
    open_pipes = 2
    quiet_since = signed = time.monotonic()
    while open_pipes:
        now = time.monotonic()
        try:
            line = lines.get(timeout=POLL_S)
        except queue.Empty:
            if now - signed >= SIGN_OF_LIFE_S:
                signed = now
                yield None, now - quiet_since
            else:
                yield "", 0.0
            continue
        if line is None:
            open_pipes -= 1
        else:
            quiet_since = signed = now
            yield line.strip(), 0.0
