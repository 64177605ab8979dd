"""Run one algorithm through ``scripts/qgis_process``, with its progress on the screen.

POSIX only, as make is: a pseudo-terminal keeps QGIS from holding its lines back.
"""

from __future__ import annotations

import codecs
import os
import re
import selectors
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from screen import Screen
from ticks import Ticks

QGIS_PROCESS = Path(__file__).resolve().parent / "qgis_process"
VALUE = re.compile(r"([A-Za-z0-9_]+):\t(.*)")
RULE = "-" * 16
NOISE = re.compile(
    r"(ERROR|Warning) \d+: |ERROR: Status \d+: "  # GDAL and MDAL, to themselves
    r"|.*DeprecationWarning: setapi\(\)|QStandardPaths: "
)
"""What QGIS's libraries say on standard error; it is kept in the log."""
PASSING = re.compile(r".* \(about .+ left\)|Epoch \d+ of \d+, .*")
"""What is said again and again; it belongs into the line of progress."""
SIGN_OF_LIFE_S = 1.0
PATIENCE_S = 15.0
"""How long QGIS may take to end after its last word, or after Ctrl-C."""


class StepError(Exception):
    """An algorithm ended with an exit code other than 0; its own message was shown."""


class Answer:
    """What qgis_process says, line by line: its inputs, the log, its results."""

    def __init__(self, screen: Screen) -> None:
        self.results: dict[str, str] = {}
        self.latest = ""
        """What is being done right now, if that was said."""
        self._screen = screen
        self._section = ""
        self._told: set[str] = set()

    def line(self, line: str) -> None:
        """Take a line of standard output."""
        value = VALUE.fullmatch(line)
        if line in ("Inputs", "Results"):
            self._section = line
        elif line == RULE or not line:
            return
        elif self._section == "Results":
            self.results |= {value[1]: value[2]} if value else {}
        elif self._section == "Inputs" and value and value[1] != "WARNING":
            return
        else:
            self._section = "Log"
            self._tell(line.replace("WARNING:\t", "warning: "))

    def error(self, line: str) -> None:
        """Take a line of standard error."""
        if line.strip() and not NOISE.match(line):
            self._tell(line.replace("ERROR:\t", "").strip())

    def _tell(self, line: str) -> None:
        if PASSING.fullmatch(line):
            self.latest = line
        elif line not in self._told:  # QGIS writes errors twice
            self.latest = ""
            self._told.add(line)
            self._screen.line(line)


def run_algorithm(
    algorithm: str, parameters: Mapping[str, object], screen: Screen, log: TextIO
) -> dict[str, str]:
    """Run an algorithm to its end; return its results, by output name.

    ``log`` gets everything that QGIS says. Ctrl-C reaches QGIS, which is given time to end.

    Raises:
        StepError: the exit code was not 0.
    """
    given = [f"{name}={value}" for name, value in parameters.items() if value is not None]
    command = [str(QGIS_PROCESS), "run", algorithm, "--", *given]
    log.write(f"\n$ {' '.join(command)}\n")
    ours, theirs = _channel()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE
    )
    os.close(theirs)
    assert process.stderr is not None
    answer = Answer(screen)
    try:
        _relay(ours, process.stderr.fileno(), answer, screen, log)
    finally:
        code = _end(process)
        process.stderr.close()
        os.close(ours)
        log.flush()
    if code != 0:
        raise StepError(f"{algorithm} ended with exit code {code}")
    return answer.results


def _channel() -> tuple[int, int]:
    """Return the ends to read and to write: a pseudo-terminal, or a pipe where there are none."""
    try:
        return os.openpty()
    except OSError:  # a bare chroot
        return os.pipe()


def _relay(output: int, errors: int, answer: Answer, screen: Screen, log: TextIO) -> None:
    """Pass on both streams until they end, with a sign of life every second."""
    ticks = Ticks()
    pending = ""
    decoders = {fd: codecs.getincrementaldecoder("utf-8")("replace") for fd in (output, errors)}
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        selector.register(errors, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select(SIGN_OF_LIFE_S):
                read = _read(key.fd)
                if not read:
                    selector.unregister(key.fd)
                text = decoders[key.fd].decode(read)
                log.write(text)
                if key.fd == output:
                    for line in ticks.feed(text):
                        answer.line(line)
                else:
                    *lines, pending = (pending + text).split("\n")
                    for line in lines:
                        answer.error(line)
            screen.progress(ticks.percent, answer.latest)
    for line in ticks.close():
        answer.line(line)
    answer.error(pending)


def _read(descriptor: int) -> bytes:
    """Return what there is to read; nothing at the end (a pseudo-terminal ends with an error)."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def _end(process: subprocess.Popen[bytes]) -> int:
    """Return the exit code of a process that is ending; make it end if it does not."""
    try:
        return process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
