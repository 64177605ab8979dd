"""Files of weights that anybody may have made: safetensors, and torch's ``.pth`` and ``.pt``.

Nothing in a file is believed or run. Of torch's pickles only tensors are read (``weights_only``);
whether they are an encoder's is found by `tensor_fitting`, before any of them is copied.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import safetensors
import torch

from deepseg_qgis.disk_files import sha256_of
from deepseg_qgis.engine.files.raster_inputs.bands import Band, named
from deepseg_qgis.engine.pretrained.encoder_weights import (
    EncoderWeights,
    WeightsOrigin,
)
from deepseg_qgis.errors import ModelError
from deepseg_qgis.formats import WEIGHTS

LARGEST_BYTES = 8 * 2**30
METADATA_KEY = "deepseg_encoder"
LONGEST_METADATA = 100_000
"""In characters."""
DEEPEST = 3
"""So many dictionaries within each other lead to the tensors of a checkpoint."""


def read_weights(path: str) -> EncoderWeights:
    """Return the weights in a file; their tensors are not checked against any encoder yet.

    Raises:
        ModelError: it cannot be read, holds no tensors, or anything but tensors.
    """
    try:
        size = os.path.getsize(path)
        if size > LARGEST_BYTES:
            raise no_weights(path, f"it is larger than {LARGEST_BYTES // 2**30} GB")
        origin = WeightsOrigin(
            os.path.basename(path), f"the file {os.path.basename(path)}", sha256=sha256_of(path)
        )
    except OSError as error:
        raise no_weights(path, f"it cannot be read: {error.strerror}") from error
    if path.lower().endswith(".safetensors"):
        return _from_safetensors(path, origin)
    return EncoderWeights(_from_pickle(path), origin)


def _from_safetensors(path: str, origin: WeightsOrigin) -> EncoderWeights:
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise no_weights(path, "it is damaged, or no safetensors file") from error
    about = _about(metadata.get(METADATA_KEY, ""))
    texts = {
        name: str(about[name])[:200]
        for name in ("name", "source", "licence", "sha256")
        if isinstance(about.get(name), str)
    }
    return EncoderWeights(
        tensors, WeightsOrigin(**{**vars(origin), **texts}), tuple(_bands(about.get("bands")))
    )


def _about(text: str) -> Mapping[str, Any]:
    """Return what a file says of itself, nothing where that is no JSON object."""
    try:
        content = json.loads(text) if 0 < len(text) < LONGEST_METADATA else {}
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _bands(entries: Any) -> Iterator[Band]:
    """Yield the bands that a file names, such as 'B4' or 'red', in order."""
    for entry in entries if isinstance(entries, list) else []:
        yield named(str(entry)[:100])


def _from_pickle(path: str) -> dict[str, torch.Tensor]:
    _check_archive(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise no_weights(
            path,
            "it is damaged, or holds more than tensors, which DeepSeg does not open. Have its "
            "author save the tensors alone (torch.save(network.state_dict(), …), or safetensors)",
        ) from error
    tensors = max(_collections(content, DEEPEST), key=len, default={})
    if not tensors:
        raise no_weights(path, "it holds no tensors by name")
    return tensors


def _check_archive(path: str) -> None:
    """Check that unpacking a file takes no more memory than its bytes.

    Raises:
        ModelError: parts of it are compressed, which torch never does.
    """
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise no_weights(path, "it is damaged") from error
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise no_weights(path, "parts of it are compressed")


def _collections(content: Any, depth: int) -> Iterator[dict[str, torch.Tensor]]:
    """Yield the plain tensors in each dictionary of a checkpoint, the outer ones first."""
    if not isinstance(content, Mapping) or depth == 0:
        return
    yield {name: each for name, each in content.items() if isinstance(name, str) and _plain(each)}
    for each in content.values():
        yield from _collections(each, depth - 1)


def _plain(value: Any) -> bool:
    """Whether a value is a tensor of numbers in memory, as weights are."""
    return (
        isinstance(value, torch.Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and not value.is_complex()
    )


def no_weights(path: str, what: str) -> ModelError:
    """Return the error that says why a file cannot be used as weights."""
    return ModelError(
        f"{path} cannot be used as weights of an encoder: {what}. Choose another file "
        f"({', '.join(WEIGHTS)}), or 'auto'."
    )
