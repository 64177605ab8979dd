"""The engine's environment holds what is on the list, and nothing that QGIS made for itself."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from deepseg_qgis.processing.engine import environment as environment
from deepseg_qgis.processing.engine.environment import engine_variables, torchrun_options

from deepseg_qgis import errors, events

POLLUTION = {
    "PYTHONHOME": "/nowhere",
    "PYTHONPATH": "/nowhere",
    "PYTHONEXECUTABLE": "/nowhere/python",
    "PYTHONSTARTUP": "/nowhere/start.py",
    "PYTHONWARNINGS": "error",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PROJ_LIB": "/nowhere",
    "PROJ_DATA": "/nowhere",
    "PROJ_NETWORK": "ON",
    "GDAL_DATA": "/nowhere",
    "GDAL_DRIVER_PATH": "/nowhere",
    "GDAL_FILENAME_IS_UTF8": "NO",
    "QT_PLUGIN_PATH": "/nowhere",
    "QT_QPA_PLATFORM": "offscreen",
    "QGIS_PREFIX_PATH": "/nowhere",
    "LD_LIBRARY_PATH": "/nowhere",
    "LD_PRELOAD": "/nowhere/lib.so",
    "DYLD_LIBRARY_PATH": "/nowhere",
    "DYLD_INSERT_LIBRARIES": "/nowhere/lib.dylib",
    "O4W_QT_PREFIX": "/nowhere",
    "OSGEO4W_ROOT": "/nowhere/osgeo4w",
    "CONDA_PREFIX": "/nowhere/conda",
    "CONDA_DEFAULT_ENV": "qgis",
    "VIRTUAL_ENV": "/nowhere/venv",
    "SLURM_NTASKS": "4",
    "SLURM_JOB_ID": "1",
    "MASTER_ADDR": "nowhere",
    "WORLD_SIZE": "2",
    "TORCHELASTIC_RUN_ID": "another",
    "MPLBACKEND": "Qt5Agg",
    "XDG_DATA_DIRS": "/nowhere",
}
NEEDED = {
    "HOME": "/home/mapper",
    "TMPDIR": "/tmp",
    "LANG": "de_DE.UTF-8",
    "LC_NUMERIC": "de_DE.UTF-8",
    "https_proxy": "http://proxy:3128",
    "NO_PROXY": "localhost",
    "SSL_CERT_FILE": "/etc/ssl/ca.pem",
    "CUDA_VISIBLE_DEVICES": "1",
    "NCCL_SOCKET_IFNAME": "eth0",
    "GLOO_SOCKET_IFNAME": "eth0",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "MLFLOW_TRACKING_TOKEN": "secret",
    "GDAL_HTTP_HEADERS": "Authorization: me",
    "SystemRoot": r"C:\Windows",
    "LOCALAPPDATA": r"C:\Users\mapper\AppData\Local",
}


def test_pollution_is_left_out_and_what_is_needed_is_kept() -> None:
    passed = engine_variables({**POLLUTION, **NEEDED, "PATH": os.defpath})
    assert passed == {**NEEDED, "PATH": os.defpath}


def test_an_engine_lives_through_all_of_it(
    ask: Callable[..., events.Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in POLLUTION.items():
        monkeypatch.setenv(name, value)
    code = "import ssl, ctypes\nresult(variables=dict(os.environ), prefix=sys.prefix)"
    values = ask(code, variables=os.environ).values
    assert not set(POLLUTION) & set(values["variables"])
    assert values["prefix"] == sys.prefix


def test_downloads_follow_the_users_settings() -> None:
    variables = {
        "PIP_INDEX_URL": "https://packages.example",
        "HF_ENDPOINT": "https://mirror.example",
        "PATH": "/bin",
    }
    assert engine_variables(variables) == variables


def test_folders_of_qgis_leave_the_path() -> None:
    path = os.pathsep.join(["/opt/conda/bin", "/usr/bin", "", "/opt/condaless/bin", "/bin"])
    passed = engine_variables({"PATH": path, "CONDA_PREFIX": "/opt/conda"})
    assert passed["PATH"].split(os.pathsep) == ["/usr/bin", "/opt/condaless/bin", "/bin"]


def test_the_bundle_of_macos_leaves_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/Applications/QGIS.app/Contents/MacOS/QGIS")
    path = os.pathsep.join(["/Applications/QGIS.app/Contents/MacOS/bin", "/usr/bin"])
    assert engine_variables({"PATH": path})["PATH"] == "/usr/bin"


def test_options_of_torchrun_are_words_as_in_a_shell() -> None:
    given = "--standalone  --nproc-per-node 2 --log-dir '/tmp/a b'"
    options = ("--standalone", "--nproc-per-node", "2", "--log-dir", "/tmp/a b")
    assert torchrun_options({"DEEPSEG_TORCHRUN": given}) == options


def test_without_options_of_torchrun_one_process_trains() -> None:
    assert torchrun_options({}) == torchrun_options({"DEEPSEG_TORCHRUN": " "}) == ()


def test_an_odd_quotation_mark_in_the_options_of_torchrun_is_named() -> None:
    with pytest.raises(errors.ParameterError, match=r"DEEPSEG_TORCHRUN.*--nnodes '2.*No closing"):
        torchrun_options({"DEEPSEG_TORCHRUN": "--nnodes '2"})


def write_pointer(home: Path, python: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / environment.POINTER).write_text(json.dumps({"python": python, "recipe": ""}))


def test_the_variable_comes_first_then_the_setting_then_the_installed_one(tmp_path: Path) -> None:
    write_pointer(tmp_path, "engine-1/bin/python")
    home = {environment.HOME_VARIABLE: str(tmp_path)}
    installed = str(tmp_path / "engine-1" / "bin" / "python")
    everything = {**home, environment.PYTHON_VARIABLE: "/variable/python"}
    assert environment.chosen_python(everything, "/setting/python") == "/variable/python"
    assert environment.chosen_python(home, "/setting/python") == "/setting/python"
    assert environment.chosen_python(home, "") == installed
    assert environment.chosen_python({environment.HOME_VARIABLE: "/nowhere"}, "") is None


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"python": 3', "\x00"])
def test_a_broken_pointer_is_no_engine(content: str, tmp_path: Path) -> None:
    (tmp_path / environment.POINTER).write_text(content)
    assert environment.installed_python({environment.HOME_VARIABLE: str(tmp_path)}) is None


@pytest.mark.skipif(sys.platform != "linux", reason="the place on Linux")
def test_the_engine_lives_outside_of_the_profile() -> None:
    home = os.path.expanduser("~")
    assert environment.engine_home({}) == os.path.join(home, ".local/share/deepseg/engine")
    assert environment.engine_home({"XDG_DATA_HOME": "/data"}) == "/data/deepseg/engine"


def test_the_place_on_windows_and_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert environment.engine_home({}).endswith("Library/Application Support/DeepSeg/engine")
    monkeypatch.setattr(environment.os, "name", "nt")
    home = environment.engine_home({"LOCALAPPDATA": "/Users/mapper/AppData/Local"})
    assert home == "/Users/mapper/AppData/Local/DeepSeg/engine"
