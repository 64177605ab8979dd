"""What a picture was called before other programs changed its name. No I/O.

Annotation programs put folders, hashes and endings around a name, encode it for URLs, or write its
letters in another Unicode form. `spellings` undoes that, step by step: fewer steps, better match.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, unquote

LONGEST_NAME = 1000
"""Of longer names nothing is undone: no file system has them."""
MOST_STEPS = 4
MOST_WORDS = 20

PICTURE = r"(?:tiff?|png|jpe?g|jp2|bmp|gif|webp|img|vrt|ecw|nef)"
MASK = (
    r"(?:masks?|labels?|labell?ed|gt|ground[-_]?truth|seg|segs|segmentation|annotations?|classes|"
    r"labelids|labeltrainids|instanceids|instances?)"
)
SUFFIX_OF_MASK = re.compile(rf"(.+?)[-_. ]{MASK}")
PREFIX_OF_MASK = re.compile(rf"{MASK}[-_. ](.+)")
INNER_EXTENSION = re.compile(rf"(.+)\.{PICTURE}")
ROBOFLOW = re.compile(rf"(.+?)(?:_{PICTURE})*\.rf\.[0-9a-z]{{8,}}")
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
HASH = rf"(?:{UUID}|[0-9a-f]{{32,64}}|(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{{7,31}})"
"""Of the shorter ones only those of letters and digits are known from words and numbers."""
EIGHT = r"(?!(?:19|20)[0-9]{6}[-_])[0-9a-f]{8}"
"""Label Studio's, which may be digits alone; but a date is another picture of the same place."""
CLOCK = r"1[0-9]{9}(?:[0-9]{3})?"
"""Seconds or milliseconds since 1970, which some servers put before a name."""
HASH_BEFORE = re.compile(rf"(?:{HASH}|{EIGHT}|{CLOCK})[-_](.+)")
HASH_AFTER = re.compile(rf"(.+)[-_.]{HASH}")
ESCAPED = re.compile(r"#U([0-9a-fA-F]{4})")
ACCENTS = re.compile(r"(?<=[a-z])[\u0300-\u036f]+")
SEPARATORS = re.compile(r"[\W_]+")
MISREAD_AS = ("cp1252", "latin-1", "cp437")
"""Encodings in which programs read UTF-8 by mistake; cp437 is that of ZIP archives."""


def folded(text: str) -> str:
    """Return a text in which Unicode forms, and large and small letters, are alike."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def trail_of(path: str) -> tuple[list[str], str]:
    """Return the folded stem and the folders above it, the nearest first, and the extension.

    >>> trail_of("Maps/Scene 1.TIF")
    (['scene 1', 'maps'], 'tif')
    """
    parts = [part for part in re.split(r"[\\/]+", folded(path)) if part] or [""]
    stem, dot, extension = parts[-1].rpartition(".")
    if not dot:
        stem, extension = extension, ""
    return [stem, *reversed(parts[:-1])], extension


def spellings(name: str) -> Iterator[tuple[int, list[str], str]]:
    """Yield (steps, trail, extension) of what a name may have been, the likeliest first.

    >>> [trail[0] for _, trail, _ in spellings("cb0618f6-my%20scene_mask.png")][-1]
    'my scene'
    """
    seen: set[str] = set()
    texts = _decoded(name) if len(name) <= LONGEST_NAME else [name]
    todo = [(int(i > 0), *trail_of(text)) for i, text in enumerate(texts)]
    while todo:
        todo.sort(key=lambda each: each[0])
        steps, trail, extension = todo.pop(0)
        key = "/".join(trail)
        if key in seen:
            continue
        seen.add(key)
        yield steps, trail, extension
        if steps < MOST_STEPS and len(trail[0]) <= LONGEST_NAME:
            for strip in STRIPS:
                rest = strip(trail[0])
                if rest:
                    todo.append((steps + 1, [rest, *trail[1:]], extension))


def loose(stem: str) -> str:
    """Return a stem in which all separators are alike, and letters have no accents.

    Uploads replace blanks and brackets, and make letters plain.

    >>> loose("m\u00e1laga (1)"), loose("malaga_1")
    ('malaga-1', 'malaga-1')
    """
    if not stem.isascii():
        plain = ACCENTS.sub("", unicodedata.normalize("NFD", stem))
        stem = unicodedata.normalize("NFC", plain)
    return SEPARATORS.sub("-", stem).strip("-")


def without_words(stem: str) -> Iterator[str]:
    """Yield what is left of a `loose` stem without its first or last words, the longest first.

    Words with digits stay: they tell one picture from another.

    >>> list(without_words("proj-x-scene-1"))
    ['x-scene-1', 'scene-1', '1']
    """
    words = stem.split("-")[:MOST_WORDS]
    for dropped in range(1, len(words)):
        first, last = words[:dropped], words[-dropped:]
        for gone, left in ((first, words[dropped:]), (last, words[:-dropped])):
            if not any(character.isdigit() for word in gone for character in word):
                yield "-".join(left)


def _decoded(name: str) -> list[str]:
    """Return a name as it stands, then what it says as a URL, or with its letters mended."""
    texts = [name]
    if "?" in name:
        before, _, query = name.partition("?")
        texts += [value for _, value in parse_qsl(query) if "." in value] + [before]
    if "%" in name:
        texts += [unquote(text) for text in texts] + [unquote(unquote(name))]
    if "&" in name:
        texts.append(html.unescape(name))
    if ESCAPED.search(name):
        texts.append(ESCAPED.sub(lambda match: chr(int(match[1], 16)), name))
    mended = mended_letters(name)
    return texts if mended is None else [*texts, mended]


def mended_letters(text: str) -> str | None:
    """Return a text that was UTF-8 and read as something else; None if it was not.

    >>> mended_letters("Stra\u00c3\u0178e") == "Stra\u00dfe", mended_letters("Stra\u00dfe")
    (True, None)
    """
    if text.isascii():
        return None
    for encoding in MISREAD_AS:
        try:
            return text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return None


def _stripping(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def strip(stem: str) -> str:
        match = pattern.fullmatch(stem)
        return match[1] if match else ""

    return strip


STRIPS = [
    _stripping(pattern)
    for pattern in (
        SUFFIX_OF_MASK,
        PREFIX_OF_MASK,
        INNER_EXTENSION,
        ROBOFLOW,
        HASH_BEFORE,
        HASH_AFTER,
    )
]
