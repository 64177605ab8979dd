"""What a picture was called before other programs changed its name. No I/O.

Annotation programs put folders, hashes and endings around a name, encode it for URLs, or write its
letters in another Unicode form. `original_names` undoes that, step by step: the fewer steps, the
better the match.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import NamedTuple
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


def normalised(text: str) -> str:
    """Return a text in which Unicode forms, and large and small letters, are alike."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


class PathParts(NamedTuple):
    """A path in `normalised` form; ``folders`` has the nearest first."""

    stem: str
    folders: tuple[str, ...]
    extension: str


def path_parts(path: str) -> PathParts:
    r"""Return the parts of a path, whose folders are separated by / or \.

    >>> path_parts("Maps/Scene 1.TIF")
    PathParts(stem='scene 1', folders=('maps',), extension='tif')
    """
    parts = [part for part in re.split(r"[\\/]+", normalised(path)) if part] or [""]
    stem, dot, extension = parts[-1].rpartition(".")
    if not dot:
        stem, extension = extension, ""
    return PathParts(stem, tuple(reversed(parts[:-1])), extension)


def original_names(name: str) -> Iterator[tuple[int, PathParts]]:
    """Yield (steps, parts) of what a name may have been, the likeliest first.

    >>> [parts.stem for _, parts in original_names("cb0618f6-my%20scene_mask.png")][-1]
    'my scene'
    """
    seen: set[tuple[str, ...]] = set()
    texts = _decoded(name) if len(name) <= LONGEST_NAME else [name]
    todo = [(int(i > 0), path_parts(text)) for i, text in enumerate(texts)]
    while todo:
        todo.sort(key=lambda candidate: candidate[0])
        steps, parts = todo.pop(0)
        if (parts.stem, *parts.folders) in seen:
            continue
        seen.add((parts.stem, *parts.folders))
        yield steps, parts
        if steps < MOST_STEPS and len(parts.stem) <= LONGEST_NAME:
            rests = (strip(parts.stem) for strip in STRIPS)
            todo += [(steps + 1, parts._replace(stem=rest)) for rest in rests if rest]


def slug(stem: str) -> str:
    """Return a stem in which all separators are alike, and letters have no accents.

    Uploads replace blanks and brackets, and make letters plain.

    >>> slug("m\u00e1laga (1)"), slug("malaga_1")
    ('malaga-1', 'malaga-1')
    """
    if not stem.isascii():
        plain = ACCENTS.sub("", unicodedata.normalize("NFD", stem))
        stem = unicodedata.normalize("NFC", plain)
    return SEPARATORS.sub("-", stem).strip("-")


def shortened_slugs(stem: str) -> Iterator[str]:
    """Yield what is left of a `slug` stem without its first or last words, the longest first.

    Words with digits stay: they tell one picture from another.

    >>> list(shortened_slugs("proj-x-scene-1"))
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
    repaired = repaired_mojibake(name)
    return texts if repaired is None else [*texts, repaired]


def repaired_mojibake(text: str) -> str | None:
    """Return a text that was UTF-8 and read as something else; None if it was not.

    >>> repaired_mojibake("Stra\u00c3\u0178e") == "Stra\u00dfe", repaired_mojibake("Stra\u00dfe")
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
