"""Pretrained weights put into the encoder of a network, whatever its bands."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from deepseg_qgis.engine.files.raster_inputs.bands import Band
from deepseg_qgis.engine.models import networks
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.pretrained.band_adaptation import adapted_filters, matched_bands
from deepseg_qgis.engine.pretrained.encoder_weights import EncoderWeights
from deepseg_qgis.engine.pretrained.tensor_fitting import fit_tensors
from deepseg_qgis.errors import ModelError


def load_encoder(
    network: nn.Module, design: NetworkDesign, weights: EncoderWeights, bands: Sequence[Band]
) -> None:
    """Put weights into the encoder of a network that was built for a raster with these bands.

    Raises:
        ModelError: the weights are not those of this encoder, or not all of them are numbers.
    """
    state = encoder_state(network, design, weights, bands)
    network.get_submodule("encoder").load_state_dict(state, strict=False)


def encoder_state(
    network: nn.Module, design: NetworkDesign, weights: EncoderWeights, bands: Sequence[Band]
) -> dict[str, torch.Tensor]:
    """Return what `load_encoder` puts into the encoder: weights under its names, for its bands."""
    own: dict[str, torch.Tensor] = network.get_submodule("encoder").state_dict()
    inputs = _input_tensors(design, own, len(bands))
    fitting = fit_tensors(weights, own, inputs)
    state = {}
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
        state[name] = values
    return state


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
