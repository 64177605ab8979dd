"""The demo's own pieces; that it works as a whole is shown by `make demo`."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

Ran = subprocess.CompletedProcess[str]
Script = Callable[[str], ModuleType]

FAKE_QGIS_PROCESS = r"""#!/bin/sh
printf '\n----------------\nInputs\n----------------\n\nINPUT:\ta.tif\nMODEL:\tb\n\n\n'
printf 'Reading größe.tif\n'
printf '0...10...20..WARNING:\tno area was given\n'
printf '.30...40...50.Predicting (about 10 s left)\n'
printf '..60...70...80...90.12 tiles\n..100 - done.\n'
echo '<string>:1: DeprecationWarning: setapi() is deprecated' >&2
echo 'Warning 1: This version of GeoPackage may only be partially supported' >&2
if [ "$2" = deepseg:fails ]; then
    printf 'ERROR:\tThe raster is missing.\nThe raster is missing.\n' >&2
    exit 3
fi
printf '\n----------------\nResults\n----------------\n\nMEAN_IOU:\t0.81\nOUTPUT:\t/a b/c=d.tif\n'
"""

steps = st.lists(
    st.one_of(
        st.floats(0, 100, allow_nan=False),
        st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1).map(
            lambda text: f"T{text}"
        ),
    )
)


def as_qgis_writes(said: list[float | str]) -> tuple[str, list[str], int]:
    """Return the stream of lines and progress, the lines, and the last tick (0 to 40, or -1)."""
    stream, last = "", -1
    for each in said:
        if isinstance(each, str):
            stream += each + "\n"
            continue
        while last < min(39, int(each / 2.5)):
            last += 1
            stream += str(last // 4 * 10) if last % 4 == 0 else "."
    return stream, [each for each in said if isinstance(each, str)], last


@given(steps, st.integers(1, 7))
def test_ticks_and_lines_are_told_apart_however_they_arrive(
    said: list[float | str], chunk: int
) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
    try:
        from ticks import Ticks
    finally:
        sys.path.pop(0)
    stream, lines, last = as_qgis_writes(said)
    ticks = Ticks()
    told = [
        line
        for start in range(0, len(stream), chunk)
        for line in ticks.feed(stream[start : start + chunk])
    ]
    assert told == lines
    assert ticks.percent == (None if last < 0 else last * 2.5)
    assert ticks.close() == []


@pytest.fixture
def algorithm(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that runs algorithms, with a QGIS that only pretends."""
    fake = tmp_path / "qgis_process"
    fake.write_text(FAKE_QGIS_PROCESS)
    fake.chmod(0o755)
    module = script("algorithm")
    monkeypatch.setattr(module, "QGIS_PROCESS", fake)
    return module


@pytest.mark.parametrize("terminals", [True, False])
def test_an_algorithm_is_told_readably(
    algorithm: ModuleType, script: Script, terminals: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not terminals:
        monkeypatch.setattr(algorithm.os, "openpty", _no_device)
    shown, log = io.StringIO(), io.StringIO()
    screen = script("screen").Screen(shown)
    results = algorithm.run_algorithm("deepseg:predict", {"INPUT": "a", "AOI": None}, screen, log)
    assert results == {"MEAN_IOU": "0.81", "OUTPUT": "/a b/c=d.tif"}
    assert shown.getvalue().splitlines() == [
        "  Reading größe.tif",
        "  warning: no area was given",
        "  12 tiles",
    ]
    assert "run deepseg:predict -- INPUT=a\n" in log.getvalue()
    assert "setapi" in log.getvalue()


def _no_device() -> None:
    raise OSError("No such device")


def test_a_failing_algorithm_stops_with_its_message_told_once(
    algorithm: ModuleType, script: Script
) -> None:
    shown = io.StringIO()
    screen = script("screen").Screen(shown)
    with pytest.raises(algorithm.StepError, match="exit code 3"):
        algorithm.run_algorithm("deepseg:fails", {}, screen, io.StringIO())
    assert shown.getvalue().count("The raster is missing.") == 1


def test_silence_is_broken_by_a_sign_of_life(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = script("screen")
    shown = io.StringIO()
    screen = module.Screen(shown)
    screen.progress(12.5, "Training")
    assert shown.getvalue() == ""
    now = time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + module.EVERY_S + 1)
    screen.progress(12.5, "Training")
    assert "12 %" in shown.getvalue()
    assert "Training" in shown.getvalue()


def test_own_data_has_no_test_area(script: Script, tmp_path: Path) -> None:
    raster, polygons = tmp_path / "a b.tif", tmp_path / "p.gpkg"
    raster.touch()
    polygons.touch()
    variables = {"RASTER": str(raster), "ANNOTATIONS": f"{polygons}|layername=x", "EPOCHS": "3"}
    ground = script("ground").ground_from(variables, tmp_path)
    assert (ground.raster, ground.annotations) == (str(raster), f"{polygons}|layername=x")
    assert (ground.test_aoi, ground.category_field, ground.epochs) == (None, None, 3)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RASTER": "missing.tif", "ANNOTATIONS": "b.gpkg"}, "RASTER=missing.tif: there is no"),
        ({"RASTER": "Makefile"}, "RASTER also needs ANNOTATIONS"),
        ({"RASTER": "Makefile", "ANNOTATIONS": "b.gpkg"}, "ANNOTATIONS=b.gpkg: there is no such"),
        ({"ANNOTATIONS": "Makefile"}, "without RASTER"),
        ({"EPOCHS": "many"}, "EPOCHS must be a whole number"),
    ],
)
def test_wrong_variables_are_explained(
    variables: dict[str, str], message: str, ran: Callable[..., Ran]
) -> None:
    empty = dict.fromkeys(("RASTER", "ANNOTATIONS", "AOI", "CATEGORY_FIELD", "EPOCHS"), "")
    demo = ran([sys.executable, "scripts/demo.py"], **{**empty, **variables})
    assert demo.returncode == 1
    assert message in demo.stderr
    assert "Traceback" not in demo.stderr


def test_the_table_adds_up(script: Script, tmp_path: Path) -> None:
    table = tmp_path / "statistics.csv"
    table.write_text(
        "source,category,count,area_m2,mean_m2,share_of_aoi\n"
        "s,building,1200,48000.4,40.0,0.1\ns,water,2,1000.2,500.1,\n"
    )
    closing = script("closing")
    rows = closing.table(table)
    assert rows[0] == ["category", "polygons", "area m²", "mean m²"]
    assert rows[-1] == ["all", "1,202", "49,001", ""]
    assert len({len(line) for line in closing.aligned(rows)}) == 1


def test_no_polygons_are_no_table(script: Script, tmp_path: Path) -> None:
    table = tmp_path / "statistics.csv"
    table.write_text("source,category,count,area_m2\n")
    assert script("closing").table(table) == []


def test_sizes_without_georeference_are_left_out(script: Script, tmp_path: Path) -> None:
    table = tmp_path / "statistics.csv"
    table.write_text("source,category,count,area_m2\ns,building,3,\n")
    assert script("closing").table(table) == [["category", "polygons"], ["building", "3"]]
