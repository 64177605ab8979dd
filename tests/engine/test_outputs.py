"""Outputs appear whole or not at all."""

import contextlib
import os
import stat
from pathlib import Path

import pytest

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.outputs import Outputs
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
            outputs.need(final, 10**18)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_half_written_files_are_private(tmp_path):
    with Outputs(Control()) as outputs:
        folder = os.path.dirname(outputs.path(str(tmp_path / "a.txt")))
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
