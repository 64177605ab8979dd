"""Gradients of depthwise convolutions in float32 where a CPU computes the rest in bfloat16.

The CPU library has no fast bfloat16 code for them: those of strided ones take 20 to 100 times as
long as in float32, those of 5 × 5 kernels four times, together more than half of a training step
of the EfficientNet and MobileNet families.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

DEVICE = "cpu"


class DepthwiseGradients(TorchFunctionMode):
    """While it is entered, depthwise convolutions have float32 gradients.

    It changes nothing but what autocast runs on the CPU, and nothing about what comes out of a
    convolution.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run what torch was asked to run, a depthwise convolution in our way."""
        if function is functional.conv2d and torch.is_autocast_enabled(DEVICE):
            return _convolution(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def _convolution(
    values: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> torch.Tensor:
    """Return `torch.nn.functional.conv2d` of these, with our gradients if it is depthwise."""
    depthwise = groups > 1 and groups == values.shape[1] and values.device.type == DEVICE
    if not depthwise or bias is not None or isinstance(padding, str):
        return functional.conv2d(values, weight, bias, stride, padding, dilation, groups)
    values = values.to(torch.get_autocast_dtype(DEVICE))
    shape = [_pair(each) for each in (stride, padding, dilation)]
    result: torch.Tensor = _Depthwise.apply(values, weight, *shape)
    return result


def _pair(value: int | Sequence[int]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution of (N, C, H, W) with (C, 1, h, w), forward in the values' type."""

    @staticmethod
    def forward(
        context: Any,
        values: torch.Tensor,
        weight: torch.Tensor,
        stride: list[int],
        padding: list[int],
        dilation: list[int],
    ) -> torch.Tensor:
        context.save_for_backward(values, weight)
        context.shape = stride, padding, dilation
        weight = weight.to(values.dtype)
        return functional.conv2d(values, weight, None, stride, padding, dilation, values.shape[1])

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        values, weight = context.saved_tensors
        stride, padding, dilation = context.shape
        wanted = [*context.needs_input_grad[:2], False]
        of_values, of_weight, _ = torch.ops.aten.convolution_backward(
            *(each.float() for each in (gradients[0], values, weight)),
            [0],
            stride,
            padding,
            dilation,
            False,
            [0, 0],
            values.shape[1],
            wanted,
        )
        of_values = None if of_values is None else of_values.to(values.dtype)
        return of_values, of_weight, None, None, None
