"""Sidecars: the files beside another one that belong to it, such as its index or world file.

CONTRACT: standard library only; runs on Python 3.9.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from deepseg_qgis.formats import NAME_SIDECARS, STEM_SIDECARS


def sidecars(path: str) -> list[str]:
    """Return the files that are there and belong to ``path`` alone, whether that is there or not.

    Nobody but it can use them, and what they say of an older file is wrong of a newer one.
    """
    return [each for each, other in _beside(path).items() if other is None]


def shared_sidecars(path: str) -> dict[str, str]:
    """Return the files that would belong to ``path``, and belong to another file that is there."""
    return {each: other for each, other in _beside(path).items() if other is not None}


def _beside(path: str) -> dict[str, str | None]:
    """Return the files that could belong to ``path``, and what else each of them belongs to."""
    folder, name = os.path.split(path)
    stem, ending = os.path.splitext(name)
    kind = ending.lower()
    try:
        names = sorted(os.listdir(folder or os.curdir))
    except OSError:
        return {}
    found = [
        each
        for each in names
        if _follows(each, name, NAME_SIDECARS[""] + NAME_SIDECARS.get(kind, ()))
        or _follows(each, stem, STEM_SIDECARS.get(kind, ()))
    ]
    others = {each.lower(): each for each in names if each not in (name, *found)}
    return {os.path.join(folder, each): _other_owner(each, others) for each in found}


def _other_owner(name: str, others: Mapping[str, str]) -> str | None:
    return next(
        (others[each.lower()] for each in sidecar_owners(name) if each.lower() in others), None
    )


def _follows(name: str, start: str, endings: tuple[str, ...]) -> bool:
    return name.startswith(start) and name[len(start) :].lower() in endings


def sidecar_owners(path: str) -> Iterator[str]:
    """Yield the files that ``path`` would belong to, there or not; of styles none."""
    lower = path.lower()
    for kind, endings in NAME_SIDECARS.items():
        for ending in endings:
            owner = path[: -len(ending)]
            if lower.endswith(kind + ending) and os.path.basename(owner):
                yield owner
    for kind, endings in STEM_SIDECARS.items():
        for ending in endings:
            if lower.endswith(ending):
                yield path[: -len(ending)] + kind
