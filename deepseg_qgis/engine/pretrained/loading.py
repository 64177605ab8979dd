"""Pretrained weights put into the encoder of a network, whatever its bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from deepseg_qgis.engine.files.raster_inputs.bands import Band
from deepseg_qgis.engine.models import networks
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.pretrained.band_adaptation import adapted_filters, matched_bands
from deepseg_qgis.engine.pretrained.encoder_weights import EncoderWeights
from deepseg_qgis.engine.pretrained.tensor_fitting import fit_tensors
from deepseg_qgis.errors import ModelError


class EncoderState(NamedTuple):
    """Weights under the names of an encoder, for its bands.

    ``new_bands`` are those that the weights do not know, which start from the mean of the others.
    """

    tensors: dict[str, torch.Tensor]
    new_bands: list[Band]


def load_encoder(
    network: nn.Module, design: NetworkDesign, weights: EncoderWeights, bands: Sequence[Band]
) -> EncoderState:
    """Put weights into the encoder of a network for a raster with these bands; return them.

    Raises:
        ModelError: the weights are not those of this encoder, or not all of them are numbers.
    """
    state = encoder_state(network, design, weights, bands)
    network.get_submodule("encoder").load_state_dict(state.tensors, strict=False)
    return state


def encoder_state(
    network: nn.Module, design: NetworkDesign, weights: EncoderWeights, bands: Sequence[Band]
) -> EncoderState:
    """Return what `load_encoder` puts into the encoder."""
    own: dict[str, torch.Tensor] = network.get_submodule("encoder").state_dict()
    inputs = _input_tensors(design, own, len(bands))
    fitting = fit_tensors(weights, own, inputs)
    state: dict[str, torch.Tensor] = {}
    new_bands: list[Band] = []
    for name, tensor in fitting.items():
        values = tensor.to(own[name].dtype)
        if not bool(torch.isfinite(values).all()):
            raise ModelError(
                f"{weights.origin.source} cannot be used: not all of its weights are finite "
                "numbers. Choose other weights, or 'none'."
            )
        if name in inputs:
            count = values.shape[1]
            sources = matched_bands(bands, weights.bands_of(count), count)
            values = adapted_filters(values, sources)
            new_bands = [
                band for band, source in zip(bands, sources, strict=True) if source is None
            ]
        state[name] = values
    return EncoderState(state, new_bands)


def _input_tensors(
    design: NetworkDesign, own: dict[str, torch.Tensor], bands: int
) -> frozenset[str]:
    """Return the names of the tensors that depend on the number of bands: those of the first layer.

    Compared with a network for one band more, since some encoders look at the picture twice.
    """
    other = _outlined(design, bands + 1).get_submodule("encoder").state_dict()
    return frozenset(name for name, each in own.items() if each.shape != other[name].shape)


def _outlined(design: NetworkDesign, bands: int) -> nn.Module:
    """Return a network with shapes, but without memory where its library can do that."""
    try:
        with torch.device("meta"):
            return networks.build(design, bands, 1)
    except ModelError:  # a few transformers compute with numbers while they are built
        return networks.build(design, bands, 1)
