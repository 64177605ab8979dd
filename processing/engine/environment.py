"""What an engine process is given to live in: which Python, and which environment variables.

No QGIS in here. QGIS and its launchers set variables for their own libraries that break those of
the engine (`PYTHONHOME`, `PROJ_LIB`, `GDAL_DATA`, `LD_LIBRARY_PATH`, `LD_PRELOAD`, …), and nobody
can list them all. So the engine gets those that are on a list, and no others.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping

from deepseg_qgis.errors import ParameterError
from deepseg_qgis.user_folders import own_data_folder

PYTHON_VARIABLE = "DEEPSEG_ENGINE_PYTHON"
HOME_VARIABLE = "DEEPSEG_ENGINE_HOME"
TORCHRUN_VARIABLE = "DEEPSEG_TORCHRUN"
"""Options of torchrun, for training with several processes."""

_NAMES = """
HOME USER LOGNAME USERNAME USERPROFILE USERDOMAIN HOMEDRIVE HOMEPATH APPDATA LOCALAPPDATA
PROGRAMDATA ALLUSERSPROFILE XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
TMPDIR TEMP TMP
SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT OS PROCESSOR_ARCHITECTURE PROCESSOR_IDENTIFIER
NUMBER_OF_PROCESSORS PROGRAMFILES PROGRAMFILES(X86) PROGRAMW6432 COMMONPROGRAMFILES
LANG LANGUAGE TZ
HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY HF_ENDPOINT
SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER NVIDIA_VISIBLE_DEVICES HIP_VISIBLE_DEVICES
ROCR_VISIBLE_DEVICES OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS
GOOGLE_APPLICATION_CREDENTIALS CPL_AWS_CREDENTIALS_FILE CPL_GS_CREDENTIALS_FILE NETRC
GDAL_HTTP_AUTH GDAL_HTTP_USERPWD GDAL_HTTP_BEARER GDAL_HTTP_HEADERS GDAL_HTTP_HEADER_FILE
GDAL_HTTP_COOKIE GDAL_HTTP_PROXY GDAL_HTTP_PROXYUSERPWD GDAL_HTTP_PROXYAUTH
"""
PASSED_ON = frozenset(_NAMES.split())
"""Home, temp, system, locale, proxies, a mirror of weights, certificates, devices, and what GDAL's
network paths need to be let in; compared in capitals, as Windows does and as proxies are found in
both ways."""

PASSED_ON_PREFIXES = (
    *("LC_", "AWS_", "AZURE_", "GS_", "OSS_", "SWIFT_", "OS_", "PYTORCH_", "PIP_"),
    *("MLFLOW_TRACKING_", "NCCL_", "GLOO_"),
)
"""Locale, credentials of object stores (`OS_` and `SWIFT_`: OpenStack), torch's own settings, pip's
(its index, certificates and cache are the user's business), credentials of MLflow servers, and the
network between computers that train together."""

QGIS_FOLDERS = ("OSGEO4W_ROOT", "CONDA_PREFIX", "VIRTUAL_ENV", "APPDIR", "SNAP")
"""Variables that name folders whose programs belong to QGIS's environment, not to the engine's."""

POINTER = "current.json"
"""In the engine's home: which of its environments is complete, written last of all."""


def engine_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Return those of ``variables`` that the engine gets, PATH without QGIS's folders."""
    passed = {
        name: value
        for name, value in variables.items()
        if name.upper() in PASSED_ON or name.upper().startswith(PASSED_ON_PREFIXES)
    }
    return {**passed, "PATH": _engine_path(variables)}


def torchrun_options(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the options of torchrun, if any; without, one process trains alone.

    Raises:
        ParameterError: a quotation mark is not closed.
    """
    options = variables.get(TORCHRUN_VARIABLE, "")
    try:
        return tuple(shlex.split(options))
    except ValueError as error:
        raise ParameterError(
            f"{TORCHRUN_VARIABLE} holds options of torchrun, such as '--standalone "
            f"--nproc-per-node gpu'; '{options}' cannot be read as such ({error}). Correct it, or "
            "remove it to train in one process."
        ) from error


def _engine_path(variables: Mapping[str, str]) -> str:
    own = [_comparable(folder) for folder in _qgis_folders(variables)]
    entries = variables.get("PATH", variables.get("Path", os.defpath)).split(os.pathsep)
    return os.pathsep.join(
        entry
        for entry in entries
        if entry and not any(_comparable(entry).startswith(folder) for folder in own)
    )


def _qgis_folders(variables: Mapping[str, str]) -> Iterator[str]:
    yield from (variables[name] for name in QGIS_FOLDERS if variables.get(name))
    if os.name == "nt":
        yield sys.exec_prefix
    bundle, found, _ = sys.executable.partition(".app" + os.sep)
    if found:
        yield bundle + ".app"


def _comparable(folder: str) -> str:
    """Return a folder in one spelling, with a separator at its end."""
    return os.path.join(os.path.normcase(os.path.abspath(folder)), "")


def chosen_python(variables: Mapping[str, str], setting: str) -> str | None:
    """Return the Python that was chosen for the engine (it may not exist), or None.

    In this order: the environment variable, the setting of the provider, the environment that
    'Set up the engine' made. Cheap, since QGIS asks for every entry of its toolbox.
    """
    python = variables.get(PYTHON_VARIABLE) or setting or installed_python(variables)
    return os.path.abspath(os.path.expanduser(python)) if python else None


def installed_python(variables: Mapping[str, str]) -> str | None:
    """Return the Python of the complete environment in the engine's home, if there is one."""
    home = engine_home(variables)
    try:
        with open(os.path.join(home, POINTER), encoding="utf-8") as file:
            return os.path.join(home, str(json.load(file)["python"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def engine_home(variables: Mapping[str, str]) -> str:
    """Return where engine environments live: outside of QGIS's profile, once for each user."""
    if variables.get(HOME_VARIABLE):
        return os.path.abspath(variables[HOME_VARIABLE])
    return os.path.join(own_data_folder(variables), "engine")
