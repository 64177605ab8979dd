"""Networks with heads that tell objects apart: what comes out of them, in torch and OpenVINO."""

import numpy as np
import openvino
import pytest
import torch
from torch import nn

from deepseg_qgis.engine.backends.openvino_conversion import convert
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.models import networks
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.models.networks import (
    OBJECT_HEADS,
    RawNetwork,
    channels_for,
    gaussian,
    object_planes,
)
from deepseg_qgis.engine.models.weights import Model

CATEGORIES = (Category("a", "#00aa11"), Category("b", "#aabbcc"))


class Bare(nn.Module):
    """Takes what it is given for its answer."""

    def forward(self, values):
        return values


def card(count, smoothing_px, dtype="uint8"):
    return ModelCard(
        architecture="linknet",
        encoder="mobilenet_v2",
        task="instance",
        categories=CATEGORIES[:count],
        band_names=("1", "2"),
        dtype=dtype,
        resolution_m=None,
        mean=(100.0, 90.0),
        std=(40.0, 50.0),
        tile_size_px=64,
        thresholds=(0.4, 0.3)[:count],
        countable=(True,) * count,
        depths=(58,) * count,
        least_px=(4,) * count,
        smoothing_px=smoothing_px,
    )


@pytest.mark.parametrize(("categories", "channels"), [(1, 1), (2, 3), (5, 6)])
def test_heads_come_behind_the_categories(categories, channels):
    assert channels_for(categories, objects=False) == channels
    assert channels_for(categories, objects=True) == channels + OBJECT_HEADS
    network = networks.build(
        NetworkDesign("linknet", "mobilenet_v2"), 2, categories, objects=True
    ).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 2, 64, 64)).shape == (1, channels + OBJECT_HEADS, 64, 64)


@pytest.mark.parametrize("deviation", [0.0, 0.3, 1.0, 4.0])
def test_the_kernel_is_a_gaussian(deviation):
    kernel = gaussian(deviation)
    assert float(kernel.sum()) == pytest.approx(1.0)
    assert torch.equal(kernel, kernel.flip(0))
    assert len(kernel) % 2 == 1
    away = torch.arange(len(kernel)) - len(kernel) // 2
    spread = float((kernel * away**2).sum()) ** 0.5
    if deviation >= 1:
        assert spread == pytest.approx(deviation, rel=0.03)
    else:
        assert spread <= deviation + 1e-6


def test_without_smoothing_heights_are_high_where_there_is_no_edge():
    sure = torch.tensor([[40.0, 40.0, -40.0, 0.0], [-40.0, 40.0, -40.0, 0.0]])
    found = object_planes(sure[None, :, None, :], gaussian(0.0))[:, :1]
    assert found.dtype == torch.uint8
    assert found[0, 0, 0].tolist() == [255, 0, 0, 64]


def test_certain_is_what_both_heads_agree_on():
    logits = torch.tensor([[40.0, -40.0, 0.0, 40.0], [-40.0, 40.0, 0.0, 40.0]])
    found = object_planes(logits[None, :, None, :], gaussian(0.0))[0, 1, 0]
    assert found.tolist() == [255, 255, 0, 0]


def test_smoothing_spreads_and_loses_nothing_and_keeps_the_level_at_the_border():
    logits = torch.full((1, 2, 41, 41), -40.0)
    logits[0, 0, 20, 20] = 40.0
    found = object_planes(logits, gaussian(1.0))[0, 0].float()
    assert found.argmax() == 20 * 41 + 20
    assert float(found.max()) == pytest.approx(255 / (2 * np.pi), rel=0.05)
    assert torch.equal(found, found.T)
    assert torch.equal(found, found.flip(0))
    flat = torch.full((1, 2, 9, 9), -40.0)
    flat[:, 0] = 40.0
    assert (object_planes(flat, gaussian(3.0))[:, :1] == 255).all()


def test_smoothing_is_the_one_that_scipy_knows():
    ndimage = pytest.importorskip("scipy.ndimage")
    logits = torch.randn(1, 2, 30, 50, generator=torch.Generator().manual_seed(0))
    share = logits.sigmoid().numpy()
    heights = (share[0, 0] * (1 - share[0, 1])).astype(np.float64)
    right = ndimage.gaussian_filter(heights, 1.5, mode="nearest", radius=5)
    found = object_planes(logits, gaussian(1.5))[0, 0].numpy() / 255
    assert np.abs(found - right).max() < 0.6 / 255


@pytest.mark.parametrize("categories", [1, 2])
def test_object_planes_come_behind_and_leave_the_others_as_they_are(categories):
    channels = channels_for(categories, objects=True)
    values = torch.randn(2, channels, 24, 32, generator=torch.Generator().manual_seed(1))
    valid = torch.ones(2, 1, 24, 32, dtype=torch.uint8)
    normalisation = ([0.0] * channels, [1.0] * channels)
    found = RawNetwork(Bare(), *normalisation, smoothing_px=1.0)(values, valid)
    assert found.shape == (2, categories + 2, 24, 32)
    assert found.dtype == torch.uint8
    plain = channels - OBJECT_HEADS
    rest = RawNetwork(Bare(), [0.0] * plain, [1.0] * plain)(values[:, :plain], valid)
    assert torch.equal(found[:, :-2], rest)
    assert torch.equal(found[:, -2:], object_planes(values[:, plain:], gaussian(1.0)))


@pytest.mark.parametrize(
    ("categories", "smoothing_px", "dtype"), [(1, 0.0, "uint8"), (2, 1.4, "float32")]
)
def test_openvino_says_what_torch_says_of_objects(categories, smoothing_px, dtype):
    torch.manual_seed(2)
    about = card(categories, smoothing_px, dtype)
    network = networks.build(
        NetworkDesign("linknet", "mobilenet_v2"), 2, categories, objects=True
    ).eval()
    with torch.no_grad():
        network.segmentation_head[0].weight *= 30  # so that answers differ from place to place
    graph, known = convert(Model(network, about, "0"))
    rng = np.random.default_rng(0)
    values = rng.normal(95, 45, (1, 2, 64, 96)).clip(0, 255).astype(dtype)
    valid = (rng.random((1, 1, 64, 96)) < 0.9).astype(np.uint8)
    raw = RawNetwork(network, about.mean, about.std, smoothing_px=smoothing_px).eval()
    with torch.inference_mode():
        right = raw(torch.from_numpy(values), torch.from_numpy(valid)).numpy()
    if known.subtracted:
        values = values - np.array(known.subtracted, dtype=np.float32)[None, :, None, None]
    compiled = openvino.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled([values, valid])[0]
    assert found.shape == right.shape == (1, categories + 2, 64, 96)
    assert np.ptp(right[:, -2]) > 30
    assert np.abs(found.astype(int) - right.astype(int)).max() <= 1
