"""Outputs appear whole or not at all."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.folder_output import FolderOutput
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.errors import OutputError, ResourceError


def test_everything_is_moved_into_place_at_the_end(tmp_path):
    final = tmp_path / "new" / "roads.shp"
    with Outputs(Control()) as outputs:
        part = outputs.path(str(final))
        for suffix in (".shp", ".dbf"):
            Path(part).with_suffix(suffix).write_text(suffix)
        assert not final.exists()
    assert sorted(os.listdir(final.parent)) == ["roads.dbf", "roads.shp"]


def test_an_error_leaves_nothing_and_keeps_what_was_there(tmp_path):
    final = tmp_path / "kept.txt"
    final.write_text("old")
    with contextlib.suppress(RuntimeError), Outputs(Control()) as outputs:
        Path(outputs.path(str(final))).write_text("half")
        raise RuntimeError
    assert os.listdir(tmp_path) == ["kept.txt"]
    assert final.read_text() == "old"


def test_what_was_placed_stays_whatever_comes_later(tmp_path):
    model, report = tmp_path / "model.bin", tmp_path / "report.html"
    control = Control()
    with contextlib.suppress(RuntimeError), Outputs(control) as outputs:
        for text in ("first", "second"):
            Path(outputs.path(str(model))).write_text(text)
            outputs.place(str(model))
            assert model.read_text() == text
        Path(outputs.path(str(model))).write_text("half")
        Path(outputs.path(str(report))).write_text("half")
        raise RuntimeError
    control.abandon()
    assert model.read_text() == "second"
    assert os.listdir(tmp_path) == ["model.bin"]


def test_what_cannot_be_placed_is_kept_and_the_error_says_where(tmp_path):
    final = tmp_path / "model.bin"
    outputs = Outputs(Control())
    Path(outputs.path(str(final))).write_text("whole")
    final.mkdir()
    (final / "file").touch()
    with pytest.raises(OutputError, match="was kept at") as told, outputs:
        outputs.place(str(final))
    kept = Path(str(told.value).split("kept at ")[1].split(": close")[0])
    assert kept.read_text() == "whole"


def test_an_error_names_the_place_that_was_asked_for(tmp_path):
    final = tmp_path / "roads.csv"
    outputs = Outputs(Control())
    part = outputs.path(str(final))
    with pytest.raises(OutputError) as told, outputs:
        raise OutputError(f"{part} could not be written (failed to open {part}).")
    assert str(told.value) == f"{final} could not be written (failed to open {final})."


def test_an_error_in_a_folder_names_the_folder_that_was_asked_for(tmp_path):
    final = tmp_path / "chips"
    with (
        pytest.raises(OutputError) as told,
        FolderOutput(str(final), os.listdir, Control()) as folder,
    ):
        raise OutputError(f"{folder.path / 'a.tif'} could not be written.")
    assert str(told.value) == f"{final / 'a.tif'} could not be written."
    assert os.listdir(tmp_path) == []


def test_a_vanished_parent_leaves_nothing(tmp_path):
    control = Control()
    outputs = Outputs(control)
    Path(outputs.path(str(tmp_path / "a.txt"))).write_text("half")
    control.part(0.0, 0.5).abandon()
    assert os.listdir(tmp_path) == []


def test_a_destination_that_cannot_be_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.gpkg").mkdir()
    with Outputs(Control()) as outputs:
        with pytest.raises(OutputError, match="is a folder"):
            outputs.path(str(tmp_path / "folder.gpkg"))
        with pytest.raises(OutputError, match="cannot be written"):
            outputs.path(str(tmp_path / "file" / "below.txt"))


def test_room_is_asked_for_beforehand(tmp_path):
    final = str(tmp_path / "large.tif")
    with Outputs(Control()) as outputs:
        outputs.path(final)
        with pytest.raises(ResourceError, match="Make room"):
            outputs.check_room(final, 10**18)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_half_written_files_are_private(tmp_path):
    with Outputs(Control()) as outputs:
        folder = os.path.dirname(outputs.path(str(tmp_path / "a.txt")))
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def leave_behind(final):
    """Write to a destination in another process, and die in the middle; return its pid."""
    code = (
        "import os, signal, sys\n"
        "from deepseg_qgis.engine.control import Control\n"
        "from deepseg_qgis.engine.files.outputs import Outputs\n"
        "open(Outputs(Control()).path(sys.argv[1]), 'w').write('half')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(final)], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX's")
def test_what_a_killed_process_left_goes_with_the_next_run_and_nothing_else_does(tmp_path):
    final, other = tmp_path / "a.gpkg", tmp_path / "b.gpkg"
    leave_behind(final)
    leave_behind(other)
    foreign = tmp_path / ".a.gpkg.theirs.part"
    foreign.mkdir()
    (foreign / "a.gpkg").write_text("finished")
    elsewhere = tmp_path / ".a.gpkg.elsewhere.part"
    elsewhere.mkdir()
    (elsewhere / ".owner").write_text("another computer, which writes to this network drive")
    dead = {name for name in os.listdir(tmp_path) if name.startswith(".a.")}
    dead -= {foreign.name, elsewhere.name}
    assert len(dead) == 1
    living = Outputs(Control())
    Path(living.path(str(final))).write_text("somebody else's, half")
    assert not dead & set(os.listdir(tmp_path))
    with Outputs(Control()) as outputs:
        Path(outputs.path(str(final))).write_text("whole")
    assert final.read_text() == "whole"
    left = {name.split(".")[1] for name in os.listdir(tmp_path) if name != "a.gpkg"}
    assert left == {"a", "b"}
    assert len(os.listdir(tmp_path)) == 5, "the file, b's folder, and three of a's"
    living.discard()
    assert len(os.listdir(tmp_path)) == 4


def test_a_destination_that_cannot_be_replaced_keeps_the_result_and_says_where(
    tmp_path, monkeypatch
):
    finals = [tmp_path / name for name in ("a.shp", "b.csv", "c.csv")]
    replace = os.replace

    def locked(source, target):
        if Path(target).name == "a.shp":
            raise PermissionError(13, "Permission denied", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", locked)

    def write():
        with Outputs(Control()) as outputs:
            for final in finals:
                Path(outputs.path(str(final))).write_text(final.name)

    with pytest.raises(OutputError, match="was kept at") as caught:
        write()
    monkeypatch.undo()
    kept = Path(str(caught.value).split("kept at ")[1].split(": close")[0])
    assert kept.read_text() == "a.shp"
    assert os.listdir(kept.parent) == ["a.shp"]
    assert [final.exists() for final in finals] == [False, True, True]
    with Outputs(Control()) as outputs:
        Path(outputs.path(str(finals[0]))).write_text("again")
    assert kept.exists(), "the user was told of it"


def test_what_is_being_moved_is_moved_to_the_end(tmp_path, monkeypatch):
    control = Control()
    finals = [tmp_path / name for name in ("a.csv", "b.csv")]
    replace, abandoning = os.replace, []

    def slow(source, target):
        if not abandoning:  # the parent vanishes in the middle
            abandoning.append(threading.Thread(target=control.abandon))
            abandoning[0].start()
            abandoning[0].join(0.2)
        replace(source, target)

    monkeypatch.setattr(os, "replace", slow)
    with Outputs(control) as outputs:
        for final in finals:
            Path(outputs.path(str(final))).write_text("whole")
    abandoning[0].join()
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "b.csv"]


def test_a_disk_that_fails_at_the_last_moment_leaves_nothing(tmp_path, monkeypatch):
    def full(_file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    final = tmp_path / "a.csv"
    final.write_text("old")
    with pytest.raises(OutputError, match="room"), Outputs(Control()) as outputs:
        Path(outputs.path(str(final))).write_text("new")
    assert os.listdir(tmp_path) == ["a.csv"]
    assert final.read_text() == "old"


@pytest.mark.parametrize(
    ("name", "gone", "kept"),
    [
        (
            "c.tif",
            ("c.tif.ovr", "c.tif.msk", "c.tif.aux.xml", "c.tif.ovr.aux.xml", "c.tfw", "c.tif.xml"),
            ("c.qml", "c.prj", "c.png.aux.xml", "c.tiff.ovr", "cc.tif.ovr", "c.gpkg-wal"),
        ),
        ("c.gpkg", ("c.gpkg-shm", "c.gpkg.aux.xml"), ("c.qix", "c.sqlite-shm", "c.tif.ovr")),
        ("c.csv", ("c.csvt",), ("c.dbf", "c.prj", "c.qmd")),
        ("c.geojson", ("c.geojson.aux.xml",), ("c.qix", "c.prj", "c.xml", "c.html")),
    ],
)
def test_what_belongs_to_a_replaced_file_goes_with_it_and_nothing_else(tmp_path, name, gone, kept):
    for each in (name, *gone, *kept):
        (tmp_path / each).write_text("old")
    with Outputs(Control()) as outputs:
        Path(outputs.path(str(tmp_path / name))).write_text("new")
        assert sorted(
            each for each in os.listdir(tmp_path) if not each.endswith(".part")
        ) == sorted([name, *gone, *kept])
    assert sorted(os.listdir(tmp_path)) == sorted([name, *kept])
    assert (tmp_path / name).read_text() == "new"
