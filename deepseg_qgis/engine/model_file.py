"""The model file: safetensors, with the card in its metadata.

No pickle, so opening a stranger's model runs nothing; and nothing is allocated before header, card
and the shapes of all tensors were found right. Format: https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from torch import nn

from deepseg_qgis.engine import networks
from deepseg_qgis.engine.model_card import ModelCard, from_json, to_json
from deepseg_qgis.engine.rasters import Raster
from deepseg_qgis.errors import ModelError, RasterError

CARD_KEY = "deepseg"
LARGEST_HEADER_BYTES = 1_000_000
DTYPES = {"F32": torch.float32, "I64": torch.int64}


@dataclass(frozen=True)
class Model:
    """A network with its card; ``fingerprint`` is the SHA-256 of the file's bytes, in hex."""

    network: nn.Module
    card: ModelCard
    fingerprint: str


def save(path: str, weights: dict[str, torch.Tensor], card: ModelCard) -> None:
    """Write a model file; the weights are on the CPU."""
    tensors = {name: tensor.detach().contiguous() for name, tensor in weights.items()}
    content = safetensors.torch.save(tensors, metadata={CARD_KEY: to_json(card)})
    with open(path, "wb") as file:  # not save_file, whose files only their owner may read
        file.write(content)


def load(path: str) -> Model:
    """Return the model in a file, in evaluation mode on the CPU.

    Raises:
        ModelError: the file is no model of DeepSeg's, or is damaged.
    """
    header = _header(path)
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not isinstance(metadata.get(CARD_KEY), str):
        raise _no_model(path, "it has no DeepSeg card")
    card = from_json(metadata[CARD_KEY])
    network = _outlined(card)
    _check_tensors(path, header, network.state_dict())
    try:
        weights = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise _no_model(path, f"its weights are damaged: {error}") from error
    if not all(torch.isfinite(tensor).all() for tensor in weights.values()):
        raise _no_model(path, "some of its weights are not numbers")
    network.load_state_dict(weights, assign=True)
    if any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers())):
        network = _built(card)  # it has tensors that no file holds, so it is made in full
        network.load_state_dict(weights)
    network = network.to(memory_format=torch.channels_last)
    return Model(network.eval(), card, _fingerprint(path))


def load_for(path: str, rasters: Sequence[Raster]) -> Model:
    """Return the model in a file, which is to run on these rasters.

    Raises:
        ModelError: the file is no model of DeepSeg's, or is damaged.
        RasterError: a raster is of another kind than those it was trained on.
    """
    model = load(path)
    for raster in rasters:
        check_fits(model.card, raster)
    return model


def check_fits(card: ModelCard, raster: Raster) -> None:
    """Check that a raster is of the kind that the model was trained on.

    Raises:
        RasterError: it has other bands or another data type.
    """
    if raster.bands != card.bands or raster.dtype != card.dtype:
        raise RasterError(
            f"The model expects {card.bands} band(s) of type {card.dtype} "
            f"({', '.join(card.band_names)}); {raster.name} has {raster.bands} of type "
            f"{raster.dtype} ({', '.join(raster.band_names)}). Choose a raster like the one it was "
            "trained on, or train a model on this kind of raster."
        )


def _outlined(card: ModelCard) -> nn.Module:
    """Return the network with shapes, but without memory where its library can do that."""
    try:
        with torch.device("meta"):
            return _built(card)
    except ModelError:  # a few transformers compute with numbers while they are built
        return _built(card)


def _built(card: ModelCard) -> nn.Module:
    return networks.build(card.architecture, card.encoder, card.bands, len(card.categories))


def _header(path: str) -> dict[str, Any]:
    """Return the header, its length checked before it is read."""
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(LARGEST_HEADER_BYTES, size - 8):
                raise _no_model(path, "it does not start like one")
            header = json.loads(file.read(length))
    except OSError as error:
        raise _no_model(path, f"it cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _no_model(path, "it does not start like one") from error
    if not isinstance(header, dict):
        raise _no_model(path, "it does not start like one")
    return header


def _check_tensors(path: str, header: dict[str, Any], expected: dict[str, torch.Tensor]) -> None:
    if set(header) != set(expected):
        raise _no_model(path, "its tensors are not those of the network that its card names")
    for name, tensor in expected.items():
        entry = header[name]
        right = (
            isinstance(entry, dict)
            and entry.get("shape") == list(tensor.shape)
            and DTYPES.get(str(entry.get("dtype"))) == tensor.dtype
        )
        if not right:
            raise _no_model(path, f"the tensor {name} has another shape or type than its network's")


def _fingerprint(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _no_model(path: str, what: str) -> ModelError:
    return ModelError(
        f"{path} is no model that DeepSeg can use: {what}. Choose a .safetensors file that "
        "DeepSeg's Train made."
    )
