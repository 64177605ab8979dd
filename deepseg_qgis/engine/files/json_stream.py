"""Large JSON files, read element by element: memory is that of one element, which is bounded."""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from collections.abc import Callable, Collection, Iterator
from typing import Any, BinaryIO, NoReturn

from deepseg_qgis.engine.files.text_decoding import TextDecoder
from deepseg_qgis.errors import VectorError

CHUNK_BYTES = 1 << 18
MOST_CHARACTERS = 1 << 24
"""No element may be longer; Python makes up to 30 bytes of each of its characters."""
AHEAD = 64
"""A number may go on in the next chunk, unless so many characters follow its end."""
SPACE = " \t\n\r"


def elements(
    path: str, wanted: Collection[str], warn: Callable[[str], None] | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield (key, element) of the arrays called ``wanted`` in the object that the file holds.

    An object of that name counts as an array of one. They come in the file's order; all else is
    passed over. The file may be packed with gzip; ``warn`` is told of a doubtful encoding. Memory:
    one element of an array (or one other value), up to about 0.5 GB in a file that was made to do
    harm.

    Raises:
        VectorError: the file cannot be read, or is no such JSON.
    """
    try:
        with _opened(path) as file:
            yield from _members(_Text(path, file, warn or _nobody), wanted)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VectorError(
            f"{path} could not be read ({reason}). Expected a COCO JSON file; check the path, and "
            "that the file is complete."
        ) from error


def _nobody(_text: str) -> None: ...


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    with open(path, "rb") as file:
        start = file.read(4)
        file.seek(0)
        if start[:4] == b"PK\x03\x04":
            raise VectorError(
                f"{path} is a ZIP archive. Expected a COCO JSON file. Unpack it and choose "
                "the JSON file in it."
            )
        if start[:2] == b"\x1f\x8b":
            with gzip.open(file) as unpacked:
                yield unpacked  # type: ignore[misc]
        else:
            yield file


def _members(text: _Text, wanted: Collection[str]) -> Iterator[tuple[str, Any]]:
    text.expect("{", "an object with the members 'images', 'annotations' and 'categories'")
    seen: list[str] = []
    while text.peek() != "}":
        key = text.value()
        if not isinstance(key, str):
            text.refuse(f"a name of a member, found {str(key)[:40]!r}")
        seen.append(key[:40])
        text.expect(":", "a colon")
        if text.peek() == "[":
            for element in _array(text):
                if key in wanted:
                    yield key, element
        else:
            value = text.value()
            if key in wanted and isinstance(value, dict):
                yield key, value
        if text.peek() != "}":
            text.expect(",", "a comma or the end of the object")
    text.expect("}", "the end of the object")
    if text.peek() in ("{", "["):
        text.refuse("the end of the file, found a second JSON value (JSON Lines, or joined files)")
    if not set(seen) & set(wanted):
        found = ", ".join(map(repr, seen[:8])) or "nothing"
        text.refuse(f"the members 'images', 'annotations' and 'categories', found {found}")


def _array(text: _Text) -> Iterator[Any]:
    text.expect("[", "an array")
    while text.peek() != "]":
        yield text.value()
        if text.peek() != "]":
            text.expect(",", "a comma or the end of the array")
    text.expect("]", "the end of the array")


class _Text:
    """The text of a file, of which a stretch is in memory."""

    def __init__(self, path: str, file: BinaryIO, warn: Callable[[str], None]) -> None:
        self._path, self._file = path, file
        self._decoder = TextDecoder(warn)
        self._json = json.JSONDecoder()
        self._buffer = ""
        self._at = 0
        self._before = 0
        self._ended = False

    def peek(self) -> str:
        """Return the next character that is not white space; '' at the end."""
        while True:
            while self._at < len(self._buffer):
                if self._buffer[self._at] not in SPACE:
                    return self._buffer[self._at]
                self._at += 1
            if not self._more():
                return ""

    def expect(self, character: str, what: str) -> None:
        """Pass over a character.

        Raises:
            VectorError: another one is there.
        """
        found = self.peek()
        if found != character:
            self.refuse(f"{what}, found {found!r}" if found else f"{what}, found the end")
        self._at += 1

    def value(self) -> Any:
        """Return the value that begins here.

        Raises:
            VectorError: there is none, or it is too long or too deep.
        """
        self.peek()
        while True:
            enough = self._ended
            try:
                value, end = self._json.raw_decode(self._buffer, self._at)
                enough = enough or end + AHEAD <= len(self._buffer)
            except json.JSONDecodeError as error:
                if self._ended:
                    self.refuse(f"JSON, found something else ({error.msg})")
            except RecursionError:
                self.refuse("values some levels deep, found hundreds")
            except ValueError:  # a whole number of thousands of digits
                self.refuse("numbers, found one with too many digits")
            if enough:
                self._at = end
                return value
            if len(self._buffer) - self._at > MOST_CHARACTERS:
                self.refuse(f"elements of up to {MOST_CHARACTERS:,} characters, found a longer one")
            self._more()

    def refuse(self, what: str) -> NoReturn:
        """Raise the error that something else was expected here."""
        raise VectorError(
            f"{self._path} is not a COCO JSON file: near character {self._before + self._at:,} "
            f"expected {what}. Choose another file, or export it again."
        )

    def _more(self) -> bool:
        """Read on, as much as is there already, so that long values cost few attempts."""
        rest = self._buffer[self._at :]
        self._before += self._at
        read = self._file.read(max(CHUNK_BYTES, len(rest)))
        self._ended = not read
        self._buffer = rest + self._decoder.decode(read, self._ended)
        self._at = 0
        return not self._ended
