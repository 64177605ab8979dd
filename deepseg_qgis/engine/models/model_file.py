"""The model file: safetensors, with the card in its metadata. Read here without torch.

Nothing in the file is believed: the header's length is checked before it is read, the card field by
field. No raster and no geometry is needed for it. Format:
https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepseg_qgis.disk_files import sha256_of
from deepseg_qgis.engine.models.model_card import ModelCard, from_json
from deepseg_qgis.errors import ModelError

CARD_KEY = "deepseg"
MODEL = "The model"
"""What messages call it."""
LARGEST_HEADER_BYTES = 1_000_000


@dataclass(frozen=True)
class ModelFile:
    """What a model file says of itself, before its network is built.

    ``tensors`` is the header's entry for each tensor, not checked yet (`weights.load` does);
    ``fingerprint`` is the SHA-256 of the file's bytes, in hex.
    """

    path: str
    card: ModelCard
    fingerprint: str
    tensors: Mapping[str, Any]


def read(path: str) -> ModelFile:
    """Return the card and fingerprint of a model file.

    Raises:
        ModelError: the file is no model of DeepSeg's.
    """
    header = _header(path)
    card = _card(path, header)
    return ModelFile(path, card, sha256_of(path), header)


def read_card(path: str) -> ModelCard:
    """Return the card alone: of the file no more than its header is read.

    Raises:
        ModelError: the file is no model of DeepSeg's.
    """
    return _card(path, _header(path))


def _card(path: str, header: dict[str, Any]) -> ModelCard:
    """Take the card out of a header."""
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not isinstance(metadata.get(CARD_KEY), str):
        raise no_model(path, "it has no DeepSeg card")
    return from_json(metadata[CARD_KEY])


def _header(path: str) -> dict[str, Any]:
    """Return the header, its length checked before it is read."""
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(LARGEST_HEADER_BYTES, size - 8):
                raise no_model(path, "it does not start like one")
            header = json.loads(file.read(length))
    except OSError as error:
        raise no_model(path, f"it cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise no_model(path, "it does not start like one") from error
    if not isinstance(header, dict):
        raise no_model(path, "it does not start like one")
    return header


def no_model(path: str, what: str) -> ModelError:
    """Return the error that says why a file is no model."""
    return ModelError(
        f"{path} is no model that DeepSeg can use: {what}. Choose a .safetensors file that "
        "DeepSeg's Train made."
    )
