"""Text of files whose encoding nobody states, decoded as it comes in."""

from __future__ import annotations

import codecs
from collections.abc import Callable

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    b"{\x00": "utf-16-le",
    b"\x00{": "utf-16-be",
}
"""First bytes of a JSON object, and its encoding; UTF-32's marks begin like UTF-16's."""
WESTERN = "cp1252"


class TextDecoder:
    """Decodes stretches of bytes: Unicode by its first bytes, else UTF-8, else Windows-1252.

    A byte that is not UTF-8 means Windows-1252 if all was ASCII before it, and damage otherwise.
    ``warn`` is told of both.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._decoder: codecs.IncrementalDecoder | None = None
        self._rest = b""
        self._started = False
        self._plain = True

    def decode(self, data: bytes, final: bool) -> str:
        """Return the text of the next bytes, as far as they are whole characters."""
        if not self._started:
            self._started = True
            encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), None)
            if encoding is not None:
                self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        if self._decoder is not None:
            return self._decoder.decode(data, final)
        data = self._rest + data
        try:
            text, used = codecs.utf_8_decode(data, "strict", final)
        except UnicodeDecodeError as error:
            self._plain = self._plain and data[: error.start].isascii()
            return self._guessing().decode(data, final)
        self._rest = data[used:]
        self._plain = self._plain and text.isascii()
        return text

    def _guessing(self) -> codecs.IncrementalDecoder:
        if self._plain:
            self._warn(
                "The file is not in UTF-8. Its names are read as Windows-1252 (Western European). "
                "If letters look wrong, save the file as UTF-8 and import it again."
            )
        else:
            self._warn(
                "Some bytes of the file are damaged: they are no UTF-8, and names may have a � "
                "instead. Export the file again."
            )
        encoding = WESTERN if self._plain else "utf-8"
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        return self._decoder
