"""The weights of encoders that were downloaded: a folder of the user's, outside of QGIS's profile.

One safetensors file for each encoder and name of weights, its tensors called as in the encoder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import safetensors.torch
import torch

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.pretrained.encoder_weights import EncoderWeights
from deepseg_qgis.engine.pretrained.weight_files import METADATA_KEY, read_weights
from deepseg_qgis.errors import ModelError
from deepseg_qgis.user_folders import own_data_folder

ENDING = ".safetensors"


def store_folder(variables: Mapping[str, str] = os.environ) -> str:
    """Return DeepSeg's folder of weights among this user's data."""
    return os.path.join(own_data_folder(variables), "encoders")


class WeightStore:
    """The weights in a folder, by encoder and name."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def path(self, encoder: str, name: str) -> str:
        """Return where weights are or will be; both names are of closed lists."""
        return os.path.join(self._folder, encoder, name + ENDING)

    def names(self, encoder: str) -> list[str]:
        """Return the names of the weights that are there for an encoder."""
        try:
            files = sorted(os.listdir(os.path.join(self._folder, encoder)))
        except OSError:
            return []
        return [file.removesuffix(ENDING) for file in files if file.endswith(ENDING)]

    def read(self, encoder: str, name: str) -> EncoderWeights:
        """Return weights that are there.

        Raises:
            ModelError: the file is damaged.
        """
        path = self.path(encoder, name)
        try:
            return read_weights(path)
        except ModelError as error:
            raise ModelError(
                f"The weights in {path} are damaged. Run 'Fetch encoder weights' again "
                f"(deepseg:fetchweights, ENCODER={encoder}, WEIGHTS={name}), or delete the file."
            ) from error

    def write(self, encoder: str, weights: EncoderWeights, control: Control) -> str:
        """Keep weights, whole or not at all; return the file's path.

        Raises:
            OutputError: it cannot be written.
        """
        path = self.path(encoder, weights.origin.name)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with Outputs(control) as outputs, open(outputs.path(path), "wb") as file:
            file.write(_content(encoder, weights))
        return path


def _content(encoder: str, weights: EncoderWeights) -> bytes:
    """Return weights as the bytes of a safetensors file."""
    about = {
        **vars(weights.origin),
        "encoder": encoder,
        "bands": [band.name for band in weights.bands],
    }
    tensors: dict[str, torch.Tensor] = {
        name: each.contiguous() for name, each in weights.tensors.items()
    }
    content: bytes = safetensors.torch.save(tensors, {METADATA_KEY: json.dumps(about)})
    return content
