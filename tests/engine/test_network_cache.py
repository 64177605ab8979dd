"""The cache of converted networks: whole or not there, and it does not grow for ever."""

import os
import stat
from pathlib import Path

import pytest

from deepseg_qgis.engine.backends import network_cache
from deepseg_qgis.engine.backends.network_cache import NetworkCache, cache_folder, key
from deepseg_qgis.user_folders import cache_home


def saver(content=b"weights"):
    def save(path):
        Path(path).write_bytes(b"<net/>")
        Path(path).with_suffix(".bin").write_bytes(content)

    return save


@pytest.fixture
def networks(tmp_path):
    return NetworkCache(str(tmp_path / "networks"))


def test_what_is_written_is_found(networks, tmp_path):
    written = networks.write("a", saver(), {"elements_per_px": 64.0})
    found = networks.find("a")
    assert found == written
    assert networks.find("b") is None
    assert [path.name for path in (tmp_path / "networks").iterdir()] == ["a"]
    if os.name == "posix":
        assert stat.S_IMODE(os.stat(tmp_path / "networks").st_mode) == 0o700


@pytest.mark.parametrize(
    "name", [network_cache.NETWORK, network_cache.WEIGHTS, network_cache.ABOUT]
)
@pytest.mark.parametrize("how", ["cut", "garbage", "gone"])
def test_a_broken_entry_counts_as_none_and_can_be_made_again(networks, name, how):
    place = Path(networks.write("a", saver(), {}).network_path).parent / name
    content = place.read_bytes()
    if how == "gone":
        place.unlink()
    else:
        place.write_bytes(content[:-1] if how == "cut" else b"\x00" * len(content))
    assert networks.find("a") is None
    again = networks.write("a", saver(), {})
    assert networks.find("a") == again


def test_a_save_that_fails_leaves_nothing(networks, tmp_path):
    def fails(path):
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        networks.write("a", fails, {})
    assert list((tmp_path / "networks").iterdir()) == []


def test_the_longest_unused_go_first(networks, monkeypatch, tmp_path):
    entries = {}
    for age, name in ((3, "a"), (2, "b"), (1, "c")):
        entries[name] = networks.write(name, saver(bytes(1000)), {})
        about = Path(entries[name].network_path).with_name(network_cache.ABOUT)
        os.utime(about, (about.stat().st_mtime - 1000 * age,) * 2)
    networks.find("a")  # used just now
    monkeypatch.setattr(network_cache, "MOST_BYTES", 4000)
    networks.write("d", saver(bytes(1000)), {})
    assert {path.name for path in (tmp_path / "networks").iterdir()} == {"a", "c", "d"}
    monkeypatch.setattr(network_cache, "MOST_AGE_S", 500)
    networks.write("e", saver(), {})
    assert networks.find("c") is None
    assert networks.find("a") == entries["a"]


def test_the_folder_is_the_users_own():
    for variables in ({}, {"XDG_CACHE_HOME": "/x", "LOCALAPPDATA": "/x"}):
        expected = os.path.join(cache_home(variables), "deepseg", "networks")
        assert cache_folder(variables) == expected


def test_each_part_of_a_key_counts():
    assert key(model="a", openvino="1") == key(openvino="1", model="a")
    assert len({key(model="a"), key(model="b"), key(model="a", precision="int8")}) == 3
