"""A model is evaluated raster after raster, with one class map at a time."""

import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import shapely

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.evaluating import model_evaluation
from deepseg_qgis.engine.inference.class_maps import ClassMap
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.models import networks, weights
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.verbs import evaluate
from deepseg_qgis.errors import ParameterError
from deepseg_qgis.jobs import EvaluateJob


@pytest.fixture
def model(tmp_path):
    path = str(tmp_path / "m.safetensors")
    card = ModelCard(
        architecture="linknet",
        encoder="mobilenet_v2",
        task="semantic",
        categories=tuple(Category(name, "#aa0000") for name in ("house", "x", "y")),
        band_names=("band 1",),
        dtype="uint8",
        resolution_m=0.5,
        mean=(100.0,),
        std=(20.0,),
        tile_size_px=64,
        thresholds=(0.5, 0.5, 0.5),
    )
    weights.save(
        path, networks.build(NetworkDesign("linknet", "mobilenet_v2"), 1, 3).state_dict(), card
    )
    return path


@pytest.fixture
def two_rasters(make_raster):
    values = np.full((1, 40, 40), 9, np.uint8)
    return tuple(make_raster(values + i, name=f"{i}.tif") for i in range(2))


@pytest.fixture
def ready(monkeypatch):
    """No network is made ready: what it would say is made up."""
    made = []
    monkeypatch.setattr(
        evaluate,
        "model_predictor",
        lambda model, *_: made.append(1) or SimpleNamespace(legend=model.card.legend),
    )
    return made


def job(rasters, model, layer, folder):
    return EvaluateJob(
        rasters, model, layer, None, None, 0.5, "cpu", None, str(folder / "report.html")
    )


def test_one_class_map_is_there_at_a_time(
    two_rasters, model, make_layer, tmp_path, ready, monkeypatch
):
    maps = []

    def made_up(_predictor, raster, area, _control):
        assert all(each() is None for each in maps)
        region = area.window(raster.grid.window)
        blank = np.zeros((region.height, region.width), dtype=np.uint8)
        maps.append(weakref.ref(blank))
        return ClassMap(region, blank, np.zeros_like(blank), np.ones_like(blank, dtype=bool))

    monkeypatch.setattr(model_evaluation, "class_map", made_up)
    layer = make_layer([shapely.box(500_002, 5_499_985, 500_009, 5_499_995)], ["house"])
    evaluate.run(job(two_rasters, model, layer, tmp_path), Control())
    assert len(maps) == 2
    assert (tmp_path / "report.html").read_text("utf-8").count("data:image") == 2


def test_too_many_categories_are_noticed_before_any_prediction(
    two_rasters, model, make_layer, tmp_path, ready
):
    # as many as annotations may have; with two more of the model's there is one too many
    shapes = [shapely.box(500_000 + i, 5_499_985, 500_001 + i, 5_499_995) for i in range(20)] * 13
    layer = make_layer(shapes[:254], ["house", *(f"c{i}" for i in range(253))])
    with pytest.raises(ParameterError, match="up to 255 categories"):
        evaluate.run(job(two_rasters, model, layer, tmp_path), Control())
    assert not ready
