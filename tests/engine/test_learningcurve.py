"""Growing subsets, a model of each, and what they tell of twice as many polygons."""

import csv
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from example_jobs import Watched, learning_curve_job

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.learning import nested_subsets as subsets
from deepseg_qgis.engine.learning.nested_subsets import nested_subsets
from deepseg_qgis.engine.verbs import learningcurve
from deepseg_qgis.errors import ParameterError, Stopped, VectorError
from deepseg_qgis.events import Epoch

SIDE = 320


def test_subsets_grow_and_hold_each_other(make_raster):
    columns, rows = (each.ravel() for each in np.mgrid[4:SIDE:16, 4:SIDE:16])
    squares = shapely.box(columns, rows, columns + 8, rows + 8)
    annotated = AnnotatedArea(squares, np.ones(len(squares), dtype=np.uint8))
    whole = Area.of_windows([Window(0, 0, SIDE, SIDE)])
    with Raster(make_raster(np.ones((1, SIDE, SIDE), dtype=np.uint8))) as raster:
        labelled = LabelledRaster(raster, annotated, whole, Area.of_windows([]))
        found = nested_subsets([labelled], 4, 64, 1, np.random.default_rng(1))
    sizes = [subset.areas[0].size_px for subset in found]
    shares = np.array(sizes) / SIDE**2
    assert shares == pytest.approx([0.25, 0.4, 0.63, 1.0], abs=0.1)
    assert [subset.polygons for subset in found] == pytest.approx(shares * len(squares), abs=30)
    for smaller, larger in itertools.pairwise(found):
        shared = smaller.areas[0].within(larger.areas[0]).size_px
        assert shared == pytest.approx(smaller.areas[0].size_px)


@pytest.fixture
def job(discs, tmp_path, short_epochs):
    """Return the job of three trainings of an epoch of a few steps."""
    raster, layer = discs
    return learning_curve_job(raster, layer, tmp_path)


@pytest.mark.slow
def test_a_curve_from_end_to_end(job, monkeypatch):
    monkeypatch.setattr(subsets, "FEWEST_OBJECTS", 1)
    epochs, control = [], Watched()
    control.epoch = epochs.append
    result = learningcurve.run(job, control)
    assert 0.0 <= result["expected_gain"] <= 1.0
    rows = list(csv.DictReader(Path(job.output).read_text(encoding="utf-8").splitlines()))
    assert [row["kind"] for row in rows] == ["measured", "measured", "measured", "expected"]
    numbers = [int(row["polygons"]) for row in rows]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 2 * numbers[-2]
    assert {row["measure"] for row in rows} == {"F1"}
    for row in rows:
        assert 0.0 <= float(row["low"]) <= float(row["score"]) <= float(row["high"]) <= 1.0
    assert [each.epoch for each in epochs] == [1, 1, 1]
    assert all(isinstance(each, Epoch) for each in epochs)
    assert any("cannot tell" in text and "holds" in text for text in control.texts)
    assert "cannot tell" in Path(job.output_html).read_text(encoding="utf-8")
    assert sorted(path.name for path in Path(job.output).parent.iterdir()) == [
        "curve.csv",
        "curve.csvt",
        "curve.html",
        "discs.gpkg",
        "discs.tif",
    ]


def test_too_few_polygons_are_refused(job):
    with pytest.raises(VectorError, match="too little to be divided"):
        learningcurve.run(job, Control())
    assert not Path(job.output).exists()


def test_stop_leaves_nothing(job, monkeypatch):
    monkeypatch.setattr(subsets, "FEWEST_OBJECTS", 1)
    control = Control()
    control.stop()
    with pytest.raises(Stopped):
        learningcurve.run(job, control)
    assert not Path(job.output).exists()


def test_other_numbers_of_subsets_are_refused(job):
    with pytest.raises(ParameterError, match="Expected 3 to 8 subsets, got 2"):
        learningcurve.run(replace(job, subsets=2), Control())
