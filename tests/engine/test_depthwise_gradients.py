"""Gradients of depthwise convolutions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deepseg_qgis.engine.learning.depthwise_gradients import DepthwiseGradients
from deepseg_qgis.engine.models import networks
from deepseg_qgis.engine.models.network_design import NetworkDesign


def gradients(
    layer: nn.Conv2d, values: torch.Tensor, *, bfloat16: bool, ours: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return output, and gradients of values and weight, of a sum of squares."""
    values = values.clone().requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        if ours:
            with DepthwiseGradients():
                output = layer(values)
        else:
            output = layer(values)
    output.float().square().sum().backward()
    assert values.grad is not None
    assert layer.weight.grad is not None
    return output.detach(), values.grad, layer.weight.grad


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [3, 5])
def test_depthwise_convolutions_have_the_gradients_of_float32(side: int, stride: int) -> None:
    torch.manual_seed(1)
    layer = nn.Conv2d(8, 8, side, stride, padding=side // 2, groups=8, bias=False)
    values = torch.randn(2, 8, 12, 12)
    expected = gradients(layer, values, bfloat16=False, ours=False)
    plain = gradients(layer, values, bfloat16=True, ours=False)
    ours = gradients(layer, values, bfloat16=True, ours=True)
    assert torch.equal(ours[0], plain[0])
    assert ours[0].dtype == torch.bfloat16
    for found, right in zip(ours[1:], expected[1:], strict=True):
        assert found.dtype == torch.float32
        assert (found - right).norm() < 0.01 * right.norm()


def test_other_convolutions_are_left_alone() -> None:
    torch.manual_seed(1)
    values = torch.randn(2, 8, 12, 12)
    for layer in (nn.Conv2d(8, 4, 3), nn.Conv2d(8, 8, 3, groups=4), nn.Conv2d(8, 8, 3, groups=8)):
        for bfloat16 in (False, True):
            plain = gradients(layer, values, bfloat16=bfloat16, ours=False)
            ours = gradients(layer, values, bfloat16=bfloat16, ours=True)
            assert all(torch.equal(*pair) for pair in zip(plain, ours, strict=True))


def test_a_network_of_depthwise_convolutions_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers that pad by themselves are found, too: all go through one function of torch."""
    from deepseg_qgis.engine.learning import depthwise_gradients

    seen = []
    convolution = depthwise_gradients._Depthwise.forward

    def forward(context: object, values: torch.Tensor, *rest: object) -> torch.Tensor:
        seen.append(values.shape[1])
        return convolution(context, values, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(depthwise_gradients._Depthwise, "forward", staticmethod(forward))
    network = networks.build(NetworkDesign("linknet", "timm-tf_efficientnet_lite0"), 3, 1)
    with torch.autocast("cpu", torch.bfloat16), DepthwiseGradients():
        network(torch.randn(1, 3, 64, 64))
    assert len(seen) == 16
