"""Converted networks, kept between runs in the user's cache folder. No pickle.

An entry is a folder: the network as OpenVINO's `network.xml` and `network.bin`, and `about.json`
with what we know of it and the SHA-256 of both. It is written aside and renamed, so it is whole or
not there; one whose sums are wrong is deleted and made again. OpenVINO's compiled blobs are not
kept: reading one takes as long as compiling (0.3 s for a U-Net) and it fits one window alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deepseg_qgis.user_folders import cache_home

FORMAT_VERSION = 2
MOST_BYTES = 2 * 2**30
MOST_AGE_S = 90 * 24 * 3600
ABANDONED_S = 24 * 3600
NETWORK, WEIGHTS, ABOUT = "network.xml", "network.bin", "about.json"


@dataclass(frozen=True)
class CachedNetwork:
    """A converted network on disk, found whole; ``metadata`` is what was written with it."""

    network_path: str
    metadata: Mapping[str, Any]


def cache_folder(variables: Mapping[str, str] = os.environ) -> str:
    """Return DeepSeg's folder of networks in this user's cache."""
    return os.path.join(cache_home(variables), "deepseg", "networks")


def key(**parts: str | int | float) -> str:
    """Return the name of an entry: these parts tell it from all others."""
    text = json.dumps({**parts, "format": FORMAT_VERSION}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


class NetworkCache:
    """The folder of converted networks; only its user may look into it."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def find(self, name: str) -> CachedNetwork | None:
        """Return the entry of that name, None if there is none; a broken one is deleted."""
        place = os.path.join(self._folder, name)
        try:
            with open(os.path.join(place, ABOUT), encoding="utf-8") as file:
                content = json.load(file)
            if content["sums"] != _sums(place):
                raise ValueError
            metadata = dict(content["about"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            shutil.rmtree(place, ignore_errors=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(os.path.join(place, ABOUT))  # the last use counts for pruning
        return CachedNetwork(os.path.join(place, NETWORK), metadata)

    def write(
        self, name: str, save: Callable[[str], None], metadata: Mapping[str, Any]
    ) -> CachedNetwork:
        """Have ``save`` write a network to a path, and keep it under a name.

        Raises:
            OSError: the folder cannot be written.
        """
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        aside = tempfile.mkdtemp(prefix=".part-", dir=self._folder)  # for its owner only
        try:
            save(os.path.join(aside, NETWORK))
            with open(os.path.join(aside, ABOUT), "w", encoding="utf-8") as file:
                json.dump({"about": metadata, "sums": _sums(aside)}, file)
            place = os.path.join(self._folder, name)
            try:
                os.rename(aside, place)
            except OSError:
                if self.find(name) is None:  # otherwise somebody else made it meanwhile
                    shutil.rmtree(place, ignore_errors=True)
                    os.rename(aside, place)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        self._prune(keep=name)
        return CachedNetwork(os.path.join(place, NETWORK), metadata)

    def _prune(self, keep: str) -> None:
        """Delete what was not used for long, and the longest unused above `MOST_BYTES`."""
        now, total = time.time(), 0
        for used, place in sorted(self._entries(), reverse=True):
            age = now - used
            total += _size(place)
            part = os.path.basename(place).startswith(".part-")
            old = age > (ABANDONED_S if part else MOST_AGE_S)
            if (old or (total > MOST_BYTES and not part)) and os.path.basename(place) != keep:
                shutil.rmtree(place, ignore_errors=True)  # Windows keeps what another engine reads

    def _entries(self) -> list[tuple[float, str]]:
        found = []
        for entry in os.scandir(self._folder):
            with contextlib.suppress(OSError):
                about = os.path.join(entry.path, ABOUT)
                marked = about if os.path.exists(about) else entry.path
                found.append((os.path.getmtime(marked), entry.path))
        return found


def _sums(folder: str) -> dict[str, str]:
    sums = {}
    for name in (NETWORK, WEIGHTS):
        digest = hashlib.sha256()
        with open(os.path.join(folder, name), "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        sums[name] = digest.hexdigest()
    return sums


def _size(folder: str) -> int:
    total = 0
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            total += entry.stat().st_size
    return total
