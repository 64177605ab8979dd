"""Folders of runs: private, on a disk, and gone when their run is, however it ended."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from deepseg_qgis.processing.engine.private_folders import (
    PrivateFolder,
    is_in_memory,
    parent_folder,
)

MOUNTS = """\
/dev/vda1 / ext4 rw,relatime 0 0
tmpfs /tmp tmpfs rw,size=8G 0 0
/dev/vdb1 /tmp/on\\040disk ext4 rw 0 0
ramfs /media/ram ramfs rw 0 0
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps files in memory")


def test_a_folder_is_private_and_goes(tmp_path: Path) -> None:
    folder = PrivateFolder(str(tmp_path / "new"))
    path = Path(folder.path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700 or os.name != "posix"
    (path / "layer.gpkg").write_bytes(b"x")
    folder.remove()
    assert not path.exists()


@linux
@pytest.mark.parametrize(
    ("folder", "memory"),
    [
        ("/tmp", True),
        ("/tmp/a/b", True),
        ("/tmpfiles", False),
        ("/home/mapper", False),
        ("/tmp/on disk/a", False),
        ("/media/ram", True),
    ],
)
def test_what_takes_memory_is_known(tmp_path: Path, folder: str, memory: bool) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    assert is_in_memory(folder, str(mounts)) is memory
    assert not is_in_memory(folder, str(tmp_path / "no list"))


@linux
def test_where_the_temporary_folder_is_memory_the_cache_is_taken() -> None:
    in_memory = "/dev/shm"
    if not is_in_memory(in_memory):
        pytest.skip("nothing is in memory here")
    home = {"XDG_CACHE_HOME": "/home/mapper/cache"}
    assert parent_folder(in_memory, False, home) == "/home/mapper/cache/deepseg/temporary"
    assert parent_folder(in_memory, True, home) == in_memory
    assert parent_folder(in_memory, False, {**home, "TMPDIR": in_memory}) == in_memory


def test_a_disk_is_taken_as_it_is(tmp_path: Path) -> None:
    if not is_in_memory(str(tmp_path)):
        assert parent_folder(str(tmp_path), False, {}) == str(tmp_path)


def test_what_a_killed_run_left_goes_with_the_next_and_nothing_else(tmp_path: Path) -> None:
    program = (
        "from deepseg_qgis.processing.engine.private_folders import PrivateFolder; import os\n"
        f"print(PrivateFolder({str(tmp_path)!r}).path, flush=True); os._exit(9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    left = Path(done.stdout.strip())
    assert left.is_dir()
    alive = PrivateFolder(str(tmp_path))
    stranger = tmp_path / "deepseg-of somebody else"
    stranger.mkdir()
    last = PrivateFolder(str(tmp_path))
    assert not left.exists()
    assert Path(alive.path).is_dir()
    assert stranger.is_dir()
    alive.remove()
    last.remove()
