"""Pretrained weights in the encoder of a network, whatever the bands of the raster."""

import pytest
import torch

from deepseg_qgis.engine.files.raster_inputs.bands import Band, named
from deepseg_qgis.engine.models import networks
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.pretrained.band_adaptation import adapted_filters, matched_bands
from deepseg_qgis.engine.pretrained.encoder_weights import (
    RED_GREEN_BLUE,
    EncoderWeights,
    WeightsOrigin,
)
from deepseg_qgis.engine.pretrained.loading import load_encoder
from deepseg_qgis.engine.pretrained.package_weights import PACKAGES, package_weights
from deepseg_qgis.errors import ModelError

LITE0 = "timm-tf_efficientnet_lite0"
RESNET = NetworkDesign("linknet", "resnet18")
RED, GREEN, BLUE, NIR = (named(each) for each in ("red", "green", "blue", "nir"))
UNKNOWN = [Band(f"band {number}") for number in range(1, 14)]


def weights_of(network, **changes):
    """Return the weights of a network's encoder, as a file of it would have them."""
    given = {
        "tensors": network.encoder.state_dict(),
        "origin": WeightsOrigin("made up", "/a/file.safetensors"),
        "bands": RED_GREEN_BLUE,
    }
    return EncoderWeights(**{**given, **changes})


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(7)
    return networks.build(RESNET, 3, 1)


def equal(network, other, without=()):
    """Whether the encoders of two networks have the same tensors."""
    one, two = network.encoder.state_dict(), other.encoder.state_dict()
    return all(torch.equal(one[name], two[name]) for name in one if name not in without)


@pytest.mark.parametrize(
    ("bands", "known", "count", "places"),
    [
        ([RED, GREEN, BLUE], RED_GREEN_BLUE, 3, [0, 1, 2]),
        ([BLUE, GREEN, RED], RED_GREEN_BLUE, 3, [2, 1, 0]),
        ([BLUE, GREEN, RED, NIR], RED_GREEN_BLUE, 3, [2, 1, 0, None]),
        ([NIR, RED, GREEN], RED_GREEN_BLUE, 3, [None, 0, 1]),
        (UNKNOWN[:3], RED_GREEN_BLUE, 3, [0, 1, 2]),
        (UNKNOWN[:4], RED_GREEN_BLUE, 3, [None] * 4),
        (UNKNOWN[:1], RED_GREEN_BLUE, 3, [None]),
        (UNKNOWN, (), 13, list(range(13))),
        ([RED, GREEN, BLUE], (), 13, [None] * 3),
        ([named("B4"), named("B8A")], (named("B4"), named("B8"), named("B08A")), 3, [0, 2]),
        ([Band("x", "", 0.84)], (Band("a", "", 0.66), Band("b", "", 0.83)), 2, [1]),
        ([NIR, NIR, NIR], RED_GREEN_BLUE, 3, [None] * 3),
    ],
)
def test_bands_are_known_by_what_they_show(bands, known, count, places):
    assert matched_bands(bands, known, count) == places


def test_filters_follow_their_bands_and_the_response_keeps_its_size():
    filters = torch.randn(8, 3, 5, 5)
    assert torch.equal(adapted_filters(filters, [2, 1, 0]), filters.flip(1))
    one = adapted_filters(filters, [None])
    assert torch.allclose(one[:, 0], filters.sum(dim=1), atol=1e-6)
    four = adapted_filters(filters, [0, 1, 2, None])
    assert torch.allclose(four.sum(dim=1), filters.sum(dim=1), atol=1e-5)
    assert torch.allclose(four[:, 1], filters[:, 1] * 0.75)


def test_weights_reach_every_tensor_of_the_encoder_and_none_of_the_decoder(source):
    network = networks.build(RESNET, 3, 1)
    before = {name: each.clone() for name, each in network.decoder.state_dict().items()}
    assert not equal(network, source)
    state = load_encoder(network, RESNET, weights_of(source), [RED, GREEN, BLUE])
    assert state.new_bands == []
    assert equal(network, source)
    assert all(
        torch.equal(each, before[name]) for name, each in network.decoder.state_dict().items()
    )


def test_a_raster_of_blue_green_and_red_gets_the_same_answer(source):
    network = networks.build(RESNET, 3, 1)
    load_encoder(network, RESNET, weights_of(source), [BLUE, GREEN, RED])
    picture = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        right, flipped = source.encoder.eval()(picture), network.encoder.eval()(picture.flip(1))
    for one, other in zip(right[1:], flipped[1:], strict=True):
        assert torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("bands", [1, 4, 16])
def test_only_the_first_layer_depends_on_the_bands(source, bands):
    """Also with as many bands as a layer inside of the network has channels."""
    network = networks.build(RESNET, bands, 1)
    state = load_encoder(network, RESNET, weights_of(source), UNKNOWN[:1] * bands)
    assert len(state.new_bands) == bands
    assert equal(network, source, without=("conv1.weight",))
    mean = source.encoder.conv1.weight.mean(dim=1)
    for band in range(bands):
        assert torch.allclose(network.encoder.conv1.weight[:, band], mean * 3 / bands, atol=1e-6)


@pytest.mark.parametrize("prefix", ["", "encoder.", "module.encoder_q.", "model."])
def test_names_fit_below_any_prefix_and_heads_are_left_out(source, prefix):
    tensors = {prefix + name: each for name, each in source.encoder.state_dict().items()}
    tensors |= {f"{prefix}fc.weight": torch.zeros(5, 5), "other.thing": torch.zeros(3)}
    network = networks.build(RESNET, 3, 1)
    load_encoder(network, RESNET, weights_of(source, tensors=tensors), [RED, GREEN, BLUE])
    assert equal(network, source)


def test_half_precision_and_missing_counters_will_do(source):
    tensors = {
        name: each.to(torch.float16) if each.is_floating_point() else each
        for name, each in source.encoder.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    network = networks.build(RESNET, 3, 1)
    load_encoder(network, RESNET, weights_of(source, tensors=tensors), [RED, GREEN, BLUE])
    mine = network.encoder.conv1.weight
    assert mine.dtype == torch.float32
    assert torch.allclose(mine, source.encoder.conv1.weight, atol=1e-3)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [("resnet34", "larger encoder"), ("resnet50", "does not hold"), ("vgg11", "0 of its")],
)
def test_weights_of_another_encoder_are_refused(source, encoder, message):
    """Also those of ResNet-34, which has every tensor that ResNet-18 has."""
    other = networks.build(NetworkDesign("fpn", encoder), 3, 1)
    before = {name: each.clone() for name, each in source.encoder.state_dict().items()}
    with pytest.raises(ModelError, match=message):
        load_encoder(source, RESNET, weights_of(other), [RED, GREEN, BLUE])
    assert all(
        torch.equal(each, before[name]) for name, each in source.encoder.state_dict().items()
    )


def test_numbers_that_are_none_are_refused(source):
    tensors = dict(source.encoder.state_dict())
    tensors["layer4.0.conv1.weight"] = torch.full_like(tensors["layer4.0.conv1.weight"], torch.nan)
    network = networks.build(RESNET, 3, 1)
    with pytest.raises(ModelError, match="not all of its weights are finite"):
        load_encoder(network, RESNET, weights_of(source, tensors=tensors), [RED, GREEN, BLUE])


@pytest.mark.parametrize("encoder", PACKAGES)
def test_the_weights_of_a_package_fit_its_encoder(encoder):
    weights = package_weights(encoder)
    if weights is None:
        pytest.skip(f"{PACKAGES[encoder].distribution} is not installed")
    design = NetworkDesign("unet", encoder)
    network = networks.build(design, 3, 1)
    load_encoder(network, design, weights, [RED, GREEN, BLUE])
    mine = network.encoder.state_dict()
    assert len(mine) == len(weights.tensors)
    for one, other in zip(mine.values(), weights.tensors.values(), strict=True):
        assert torch.equal(one, other)
