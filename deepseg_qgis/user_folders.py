"""Where a user's caches and data lie, by the rules of each system.

CONTRACT: standard library only; runs on Python 3.9.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping


def cache_home(variables: Mapping[str, str] = os.environ) -> str:
    """Return the folder for what can be made again."""
    return _place(variables, "Library/Caches", "XDG_CACHE_HOME", ".cache")


def data_home(variables: Mapping[str, str] = os.environ) -> str:
    """Return the folder for what programs keep."""
    return _place(variables, "Library/Application Support", "XDG_DATA_HOME", ".local/share")


def own_data_folder(variables: Mapping[str, str] = os.environ) -> str:
    """Return DeepSeg's folder among this user's data, outside of QGIS's profile."""
    own_name = "DeepSeg" if os.name == "nt" or sys.platform == "darwin" else "deepseg"
    return os.path.join(data_home(variables), own_name)


def _place(variables: Mapping[str, str], on_macos: str, variable: str, elsewhere: str) -> str:
    home = os.path.expanduser("~")
    if os.name == "nt":
        return variables.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
    if sys.platform == "darwin":
        return os.path.join(home, on_macos)
    return variables.get(variable) or os.path.join(home, elsewhere)
