"""Training goes on from a model: what it knew stays, by the names of its categories."""

import json
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
import torch
from example_jobs import Watched, train_job

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.learning import starting_network
from deepseg_qgis.engine.learning.earlier_training import EarlierTraining
from deepseg_qgis.engine.learning.initial_model import continued_network
from deepseg_qgis.engine.legend.legend import PLAIN_COLOUR, Category, InstanceRule
from deepseg_qgis.engine.models import model_file, weights
from deepseg_qgis.engine.verbs import train
from deepseg_qgis.errors import ModelError, ParameterError, RasterError

KNOWN = EarlierTraining((Category("road", "#111111"), Category("house", "#222222")), (False, True))


def test_categories_are_matched_by_their_names():
    assert KNOWN.sources(["house", "road"]) == (1, 0)
    assert KNOWN.sources(["house", "pond", "road"]) == (1, None, 0)
    assert KNOWN.sources(["house"]) == (1,)
    assert KNOWN.sources(["pond", "tree"]) == (None, None)


def test_one_gone_and_one_new_is_a_renamed_category():
    names = ["building", "road"]
    assert KNOWN.sources(names) == (1, 0)
    assert KNOWN.is_countable("building", names) is True
    assert KNOWN.is_countable("pond", ["house", "pond", "road"]) is None
    control = Watched()
    KNOWN.log(names, control)
    assert control.texts == [
        "Categories of the initial model: known: 'road'; renamed: 'house' is now 'building'."
    ]


def test_the_rule_of_known_categories_is_the_usual_one():
    rule = InstanceRule((0, 36), (0, 120))
    earlier = replace(KNOWN, rule=rule)
    assert earlier.instance_rule(["house", "pond", "road"]) == InstanceRule((36, 0, 0), (120, 0, 0))
    assert EarlierTraining().instance_rule(["house"]) is None


def test_what_is_gone_is_warned_of():
    control = Watched()
    KNOWN.log(["road"], control)
    assert "have no 'house'" in control.texts[-1]


def test_a_category_keeps_its_colour_unless_the_layer_has_another():
    assert KNOWN.coloured(Category("house", PLAIN_COLOUR)).colour == "#222222"
    assert KNOWN.coloured(Category("house", "#abcdef")).colour == "#abcdef"
    assert KNOWN.coloured(Category("pond", PLAIN_COLOUR)).colour == PLAIN_COLOUR


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("first")


@pytest.fixture
def first(discs, folder, short_epochs):
    """Return (raster, layer, job) of an instance model of one short epoch, trained once."""
    raster, layer = discs
    job = train_job(raster, layer, folder, epochs=1, output_html=None, task="instance")
    if not Path(job.output).exists():
        train.run(job, Control())
    return raster, layer, job


def ground(footprint):
    (entry,) = footprint
    return shapely.from_geojson(json.dumps(entry["area"]))


def continuing(first, tmp_path, **changes):
    _, layer, job = first
    output = str(tmp_path / "second.safetensors")
    second = replace(job, annotations=layer, initial_model=job.output, output=output, **changes)
    return replace(second, encoder=None, architecture=None, task="auto")


def test_the_second_round_starts_where_the_first_ended(first, tmp_path, monkeypatch):
    monkeypatch.setattr(starting_network, "CONTINUED_RATE", 1e-9)
    job = continuing(first, tmp_path)
    control = Watched()
    train.run(job, control)
    before, now = weights.load(job.initial_model), weights.load(job.output)
    assert (now.card.architecture, now.card.encoder) == ("linknet", "mobilenet_v2")
    assert now.card.mean == before.card.mean
    assert now.card.smoothing_px == before.card.smoothing_px
    assert now.card.depths == before.card.depths, "no other one is clearly better"
    assert now.card.countable == (True,), "the discs lie apart, but were told apart before"
    assert now.card.training["initial_model"] == "model.safetensors"
    assert now.card.training["initial_model_sha256"] == before.fingerprint
    assert now.card.training["rounds"] == 2
    assert ground(now.card.validation_footprint).equals(ground(before.card.validation_footprint))
    assert ground(now.card.footprint).equals(ground(before.card.footprint))
    assert not ground(now.card.validation_footprint).is_empty
    assert now.card.validation_score == pytest.approx(before.card.validation_score, abs=0.02)
    score = before.card.validation_score
    assert f"The model to continue from has a validation score of {score:.3f}." in control.texts
    pairs = zip(before.network.parameters(), now.network.parameters(), strict=True)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in pairs)


def test_a_new_category_comes_in_and_a_known_one_stays_though_it_is_out_of_the_area(
    first, tmp_path, make_layer
):
    raster, layer, _ = first
    polygons = list(geopandas.read_file(layer.path).geometry)
    names = np.where(np.array([each.centroid.x for each in polygons]) < 500_040, "disc", "moon")
    area = make_layer([polygons[-1].union(polygons[-2]).envelope.buffer(8)], name="aoi")
    both = make_layer(polygons, list(names), name="both", colours={"moon": "#00ff00"})
    control = Watched()
    job = continuing((raster, both, first[2]), tmp_path, aoi=area, tile_size_px=32)
    train.run(job, control)
    card = model_file.read(job.output).card
    assert [each.name for each in card.categories] == ["disc", "moon"]
    assert card.categories[0].colour == model_file.read(job.initial_model).card.categories[0].colour
    assert any("No polygon of 'disc' to train on" in text for text in control.texts)
    assert "Categories of the initial model: known: 'disc'; new: 'moon'." in control.texts


def test_polygons_without_category_field_are_what_the_model_knows(first, tmp_path, make_layer):
    raster, layer, _ = first
    plain = make_layer(list(geopandas.read_file(layer.path).geometry), name="new polygons")
    job = continuing((raster, plain, first[2]), tmp_path)
    train.run(job, Control())
    assert [each.name for each in model_file.read(job.output).card.categories] == ["disc"]


def test_other_bands_are_refused(first, make_raster, tmp_path):
    _, layer, job = first
    grey = make_raster(np.ones((1, 160, 160), dtype=np.uint8), name="grey.tif")
    with pytest.raises(RasterError, match="The model to continue from"):
        train.run(continuing((grey, layer, job), tmp_path, rasters=(grey,)), Control())


def test_another_network_is_refused(first, tmp_path):
    job = continuing(first, tmp_path)
    with pytest.raises(ParameterError, match="Encoder: the model to continue from has mobilenet"):
        train.run(replace(job, encoder="resnet18"), Control())
    with pytest.raises(ParameterError, match=r"Architecture: .* you chose unet"):
        train.run(replace(job, architecture="unet"), Control())
    with pytest.raises(ParameterError, match="expected 'auto'"):
        train.run(replace(job, encoder_weights="imagenet"), Control())


def test_what_is_no_model_is_refused(first, tmp_path):
    (tmp_path / "no.safetensors").write_text("nothing")
    job = replace(continuing(first, tmp_path), initial_model=str(tmp_path / "no.safetensors"))
    with pytest.raises(ModelError, match="no model"):
        train.run(job, Control())
    assert not Path(job.output).exists()


def test_a_continued_network_shares_no_memory_with_the_model(first):
    model = weights.load(first[2].output)
    network = continued_network(model, [0, None], True)
    before = {name: each.clone() for name, each in model.network.state_dict().items()}
    with torch.no_grad():
        for each in network.parameters():
            each.zero_()
    for name, each in model.network.state_dict().items():
        assert torch.equal(each, before[name])
