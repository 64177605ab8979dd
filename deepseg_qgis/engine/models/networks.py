"""The networks: built by name from segmentation-models-pytorch, fed and read in one way.

Nothing is ever fetched from the network: weights come from training or from a model file.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from deepseg_qgis.catalogue import ARCHITECTURES, ENCODERS
from deepseg_qgis.engine.models.magnification import magnify
from deepseg_qgis.engine.models.network_design import DECODER_STEPS, NetworkDesign
from deepseg_qgis.errors import ModelError, ParameterError, counted

if TYPE_CHECKING:
    from deepseg_qgis.engine.files.rasters import Pixels

OPTIONS = {"dpt": {"dynamic_img_size": True}}
"""Vision transformers take pictures of one size alone unless told otherwise."""


OBJECT_HEADS = 2
"""Channels behind those of the categories, where objects are told apart: heights and edges."""


def channels_for(categories: int, objects: bool) -> int:
    """Return the number of output channels.

    One for one category, else one more for background; then those of `OBJECT_HEADS`, if wanted.
    """
    return (1 if categories == 1 else categories + 1) + (OBJECT_HEADS if objects else 0)


def build(
    design: NetworkDesign, bands: int, categories: int, *, objects: bool = False
) -> nn.Module:
    """Return a network (N, bands, H, W) → (N, channels, H, W) with random weights.

    With ``objects`` it has the heads that tell objects of one category apart.

    Raises:
        ModelError: a name is not on our list, or the parts do not go together.
    """
    architecture, encoder = design.architecture, design.encoder
    if architecture not in ARCHITECTURES or encoder not in ENCODERS:
        raise ModelError(
            f"Expected an architecture and an encoder of DeepSeg's list, got {architecture!r} with "
            f"{encoder!r}. Choose both from the lists of the Train dialog."
        )
    try:
        with warnings.catch_warnings():  # that some names will change one day is for us to know
            warnings.simplefilter("ignore", DeprecationWarning)
            network: nn.Module = smp.create_model(
                architecture,
                encoder_name=encoder,
                encoder_weights=None,
                in_channels=bands,
                classes=channels_for(categories, objects),
                **_options(design),
            )
    except (ValueError, KeyError, NotImplementedError, TypeError, RuntimeError) as error:
        raise ModelError(
            f"The architecture {architecture} cannot be used with the encoder {encoder} ({error}). "
            "Choose another encoder; resnet18 goes with nearly all of them."
        ) from error
    magnify(network, design.magnification)
    return network.to(memory_format=torch.channels_last)


def _options(design: NetworkDesign) -> dict[str, Any]:
    """Return what the library is told beside names and numbers of channels.

    Raises:
        ModelError: the decoder has other steps.
    """
    options: dict[str, Any] = dict(OPTIONS.get(design.architecture, {}))
    if design.decoder_channels:
        steps = DECODER_STEPS.get(design.architecture, 0)
        if len(design.decoder_channels) != steps:
            raise ModelError(
                f"Expected {steps} decoder widths for the architecture {design.architecture}, got "
                f"{len(design.decoder_channels)}. Train the model again."
            )
        options["decoder_channels"] = design.decoder_channels
    return options


def check_takes(network: nn.Module, bands: int, tile_size_px: int) -> None:
    """Check that a network can run on tiles of this size, by running it on one.

    Raises:
        ParameterError: it cannot.
    """
    tile = torch.zeros(1, bands, tile_size_px, tile_size_px)
    try:
        with torch.inference_mode():
            network.eval()(tile)
    except RuntimeError as error:
        raise ParameterError(
            f"This network cannot take tiles of {tile_size_px} px ({error}). Use 256 px, or "
            "another architecture."
        ) from error


def describe_device(device: torch.device) -> str:
    """Return the device in words for the log."""
    if device.type == "cuda":
        return f"GPU {torch.cuda.get_device_name(device)}"
    return f"{device.type.upper()} ({counted(torch.get_num_threads(), 'thread')})"


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; in software it would be slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)


def network_input(
    pixels: Pixels, mean: NDArray[np.float32], std: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return (bands, rows, columns) float32: normalised, 0 (the mean) where no data."""
    values = (pixels.values.astype(np.float32) - mean[:, None, None]) / std[:, None, None]
    return np.where(pixels.valid, values, np.float32(0.0))


def category_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Return the categories' probabilities (N, k, H, W) in 1/255 as uint8, background left out.

    Sigmoid for one category, softmax over background and categories otherwise. Decisions and
    scores are taken on these whole numbers, so that they cannot depend on blocks.
    """
    logits = logits.float()
    share = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)[:, 1:]
    return (share * 255.0).round().to(torch.uint8)


def object_planes(logits: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Return heights and certainties (N, 2, H, W) in 1/255 as uint8.

    Heights are high in the middle of an object and low along its edge: what the first head says,
    less where the second sees an edge, smoothed by ``kernel`` (K,) along columns and rows.
    Certainties say how far the heads agree on which of both it is: their difference.

    Args:
        logits: (N, 2, H, W), of the object heads.
        kernel: (K,) float32.
    """
    share = logits.float().sigmoid()
    middle, edge = share[:, :1], share[:, 1:]
    reach = len(kernel) // 2
    heights = middle * (1.0 - edge)
    heights = functional.pad(heights, (reach, reach, reach, reach), mode="replicate")
    heights = functional.conv2d(heights, kernel[None, None, :, None])
    heights = functional.conv2d(heights, kernel[None, None, None, :])
    planes = torch.cat([heights, (middle - edge).abs()], dim=1)
    return (planes * 255.0).round().to(torch.uint8)


def gaussian(deviation_px: float) -> torch.Tensor:
    """Return a Gaussian kernel (K,) that sums up to 1, cut off at three standard deviations."""
    reach = math.ceil(3.0 * deviation_px)
    away = torch.arange(-reach, reach + 1, dtype=torch.float32)
    weights = torch.exp(-0.5 * (away / max(deviation_px, 1e-3)) ** 2)
    return weights / weights.sum()


class RawNetwork(nn.Module):
    """A network from raw pixels to probabilities: all that predicting does to a pixel.

    Takes values (N, bands, H, W) in the raster's type and valid (N, 1, H, W), uint8 or bool;
    returns categories' probabilities (N, k, H, W) in 1/255 as uint8. With ``smoothing_px``, for a
    network with object heads, the two of `object_planes` come behind them, heights smoothed by a
    Gaussian of that standard deviation.
    """

    mean: torch.Tensor
    std: torch.Tensor
    kernel: torch.Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        smoothing_px: float | None = None,
    ) -> None:
        super().__init__()
        self.network, self.objects = network, smoothing_px is not None
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32)[:, None, None])
        self.register_buffer("kernel", gaussian(smoothing_px or 0.0))

    def forward(self, values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Normalise (0, the mean, where no data), run the network, round."""
        normalised = self.centred(values) / self.std
        normalised = torch.where(valid.bool(), normalised, torch.zeros_like(normalised))
        logits = self.network(normalised.contiguous(memory_format=torch.channels_last))
        if not self.objects:
            return category_probabilities(logits)
        categories = category_probabilities(logits[:, :-OBJECT_HEADS])
        return torch.cat([categories, object_planes(logits[:, -OBJECT_HEADS:], self.kernel)], dim=1)

    def centred(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values less the mean, float32."""
        return values.float() - self.mean
