"""A user's folders lie where each system wants them."""

from __future__ import annotations

import os
import sys

import pytest

from deepseg_qgis.user_folders import cache_home, data_home

HOME = os.path.expanduser("~")


@pytest.mark.parametrize(
    ("name", "platform", "variables", "cache", "data"),
    [
        ("posix", "linux", {}, f"{HOME}/.cache", f"{HOME}/.local/share"),
        ("posix", "linux", {"XDG_CACHE_HOME": "/c", "XDG_DATA_HOME": "/d"}, "/c", "/d"),
        ("posix", "linux", {"XDG_CACHE_HOME": "", "XDG_DATA_HOME": ""}, f"{HOME}/.cache", None),
        ("posix", "darwin", {"XDG_CACHE_HOME": "/c"}, f"{HOME}/Library/Caches", None),
        ("posix", "darwin", {}, None, f"{HOME}/Library/Application Support"),
        ("nt", "win32", {"LOCALAPPDATA": "/Users/mapper/Local"}, *["/Users/mapper/Local"] * 2),
    ],
)
def test_caches_and_data_lie_where_the_system_wants_them(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    platform: str,
    variables: dict[str, str],
    cache: str | None,
    data: str | None,
) -> None:
    monkeypatch.setattr(os, "name", name)
    monkeypatch.setattr(sys, "platform", platform)
    found = cache_home(variables), data_home(variables)
    monkeypatch.undo()  # pytest's own paths go by the system, too
    assert cache in (None, found[0])
    assert data in (None, found[1])
