"""Networks that see a raster larger than it is: the same grid, the same weights, the same card."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
import torch
from example_jobs import train_job
from torch import nn
from torch.nn import functional

from deepseg_qgis.engine.backends.openvino_conversion import convert
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.models import model_file, networks, weights
from deepseg_qgis.engine.models.magnification import magnify
from deepseg_qgis.engine.models.model_card import ModelCard, from_json, to_json
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.models.networks import RawNetwork
from deepseg_qgis.engine.models.weights import Model
from deepseg_qgis.engine.verbs import train
from deepseg_qgis.errors import ModelError

DESIGN = NetworkDesign("linknet", "mobilenet_v2")
CARD = ModelCard(
    architecture=DESIGN.architecture,
    encoder=DESIGN.encoder,
    task="instance",
    categories=(Category("dot", "#00aa11"),),
    band_names=("1", "2"),
    dtype="uint8",
    resolution_m=None,
    mean=(100.0, 90.0),
    std=(40.0, 50.0),
    tile_size_px=64,
    thresholds=(0.5,),
    countable=(True,),
    depths=(30,),
    least_px=(2,),
    smoothing_px=0.7,
    magnification=2,
)


def built(magnification):
    torch.manual_seed(3)
    return networks.build(replace(DESIGN, magnification=magnification), 2, 1, objects=True).eval()


def test_objects_stay_where_they_are():
    """A network that says what it sees: magnified and averaged, no edge moves by half a pixel."""
    mask = torch.zeros(1, 1, 40, 56)
    for row, column, height, width in ((3, 5, 4, 4), (12, 20, 9, 3), (25, 0, 15, 30)):
        mask[..., row : row + height, column : column + width] = 1.0
    network = nn.Identity()
    magnify(network, 2)
    assert torch.equal(network(mask) > 0.5, mask > 0.5)
    assert torch.equal(network(mask.flip(3)), network(mask).flip(3))


def test_the_network_sees_it_larger_with_the_same_weights():
    plain, magnified = built(1), built(2)
    assert list(plain.state_dict()) == list(magnified.state_dict())
    magnified.load_state_dict(plain.state_dict())
    values = torch.randn(1, 2, 32, 64)
    with torch.inference_mode():
        larger = functional.interpolate(values, scale_factor=2.0, mode="bilinear")
        expected = functional.avg_pool2d(plain(larger), 2)
        found = magnified(values)
    assert found.shape == (1, 3, 32, 64)
    assert torch.allclose(found, expected, atol=1e-5)


def test_openvino_says_what_torch_says():
    network = built(2)
    with torch.no_grad():
        network.segmentation_head[0].weight *= 30  # so that answers differ from place to place
    graph, _ = convert(Model(network, CARD, "0"))  # it compares the two, and raises
    assert graph.output(0).get_partial_shape()[1].get_length() == 3


def test_a_card_remembers_it_and_bad_ones_are_refused(tmp_path):
    assert from_json(to_json(CARD)) == CARD
    before = to_json(CARD).replace('"magnification": 2, ', "")
    assert "magnification" not in before
    assert from_json(before).magnification == 1, "cards from before it was there"
    for bad in ("0", "5", "1e9", '"2"', "null"):
        with pytest.raises(ModelError, match="magnification"):
            from_json(to_json(CARD).replace('"magnification": 2', f'"magnification": {bad}'))
    path = str(tmp_path / "m.safetensors")
    weights.save(path, built(2).state_dict(), CARD)
    values = torch.zeros(1, 2, 32, 32, dtype=torch.uint8)
    valid = torch.ones(1, 1, 32, 32, dtype=torch.uint8)
    network = weights.load(path).network
    raw = RawNetwork(network, CARD.mean, CARD.std, smoothing_px=CARD.smoothing)
    assert raw(values, valid).shape == (1, 3, 32, 32)


def test_training_magnifies_small_objects(make_raster, make_layer, tmp_path, short_epochs):
    places = [(row, column) for row in range(6, 120, 14) for column in range(6, 150, 14)]
    image = np.full((3, 128, 160), 60, dtype=np.uint8)
    for row, column in places:
        image[:, row : row + 7, column : column + 7] += 110
    ground = [
        shapely.box(5e5 + c / 2, 5.5e6 - (r + 7) / 2, 5e5 + (c + 7) / 2, 5.5e6 - r / 2)
        for r, c in places
    ]
    layer = make_layer(ground, ["dot"] * len(ground), name="dots")
    job = train_job(make_raster(image), layer, tmp_path, output_html=None, epochs=1)
    train.run(replace(job, task="instance"), Control())
    card = model_file.read(job.output).card
    assert (card.magnification, card.tile_size_px) == (2, 64)
    with torch.inference_mode():
        found = weights.load(job.output).network(torch.zeros(1, 3, 32, 32))
    assert found.shape == (1, 3, 32, 32)
