"""A model's network: what goes into a model file and comes out of it.

No pickle, so opening a stranger's model runs nothing; and nothing is allocated before header, card
and the shapes of all tensors were found right. Needs torch; `model_file` reads all else without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from torch import nn

from deepseg_qgis.engine.models import model_file, networks
from deepseg_qgis.engine.models.model_card import ModelCard, to_json
from deepseg_qgis.engine.models.model_file import CARD_KEY, LARGEST_HEADER_BYTES, no_model
from deepseg_qgis.errors import ModelError

DTYPES = {"F32": torch.float32, "I64": torch.int64}


@dataclass(frozen=True)
class Model:
    """A network with its card; ``fingerprint`` is the SHA-256 of the file's bytes, in hex."""

    network: nn.Module
    card: ModelCard
    fingerprint: str


def save(path: str, weights: dict[str, torch.Tensor], card: ModelCard) -> str:
    """Write a model file and read its card back; return its fingerprint.

    The weights are on the CPU.

    Raises:
        ModelError: no algorithm could open the file.
        OSError: it cannot be written.
    """
    tensors = {name: tensor.detach().contiguous() for name, tensor in weights.items()}
    content = safetensors.torch.save(tensors, metadata={CARD_KEY: to_json(card)})
    header_bytes = int.from_bytes(content[:8], "little")
    if header_bytes > LARGEST_HEADER_BYTES:
        raise ModelError(
            f"The names of the categories and bands make the model's description "
            f"{header_bytes:,} bytes long; {LARGEST_HEADER_BYTES:,} are possible. Use shorter "
            "names, or fewer categories or bands."
        )
    with open(path, "wb") as file:  # not save_file, whose files only their owner may read
        file.write(content)
    return model_file.read(path).fingerprint


def load(path: str) -> Model:
    """Return the model in a file, in evaluation mode on the CPU.

    Raises:
        ModelError: the file is no model of DeepSeg's, or is damaged.
    """
    file = model_file.read(path)
    network = _outlined(file.card)
    _check_tensors(path, file.tensors, network.state_dict())
    try:
        weights = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise no_model(path, f"its weights are damaged: {error}") from error
    if not all(torch.isfinite(tensor).all() for tensor in weights.values()):
        raise no_model(path, "some of its weights are not numbers")
    network.load_state_dict(weights, assign=True)
    if any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers())):
        network = _built(file.card)  # it has tensors that no file holds, so it is made in full
        network.load_state_dict(weights)
    network = network.to(memory_format=torch.channels_last)
    return Model(network.eval(), file.card, file.fingerprint)


def _outlined(card: ModelCard) -> nn.Module:
    """Return the network with shapes, but without memory where its library can do that."""
    try:
        with torch.device("meta"):
            return _built(card)
    except ModelError:  # a few transformers compute with numbers while they are built
        return _built(card)


def _built(card: ModelCard) -> nn.Module:
    categories = len(card.categories)
    return networks.build(card.design, card.bands, categories, objects=card.legend.has_objects)


def _check_tensors(path: str, header: Mapping[str, Any], expected: dict[str, torch.Tensor]) -> None:
    if set(header) != set(expected):
        raise no_model(path, "its tensors are not those of the network that its card names")
    for name, tensor in expected.items():
        entry = header[name]
        right = (
            isinstance(entry, dict)
            and entry.get("shape") == list(tensor.shape)
            and DTYPES.get(str(entry.get("dtype"))) == tensor.dtype
        )
        if not right:
            raise no_model(path, f"the tensor {name} has another shape or type than its network's")
