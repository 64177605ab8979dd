"""The algorithm ``deepseg:fetchweights``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from deepseg_qgis.processing.algorithms.engine_algorithm import EngineAlgorithm
from deepseg_qgis.processing.algorithms.parameters import Parameters, choice, text
from deepseg_qgis.processing.layers.destinations import Destinations
from deepseg_qgis.processing.layers.inputs import Inputs

from deepseg_qgis.catalogue import ENCODERS
from deepseg_qgis.jobs import FetchWeightsJob

IMAGENET = "imagenet"


class FetchWeights(EngineAlgorithm):
    """Download pretrained weights of an encoder."""

    ID = "fetchweights"
    TITLE = "Fetch encoder weights"
    GROUP = "Models"
    SUMMARY = "Download pretrained weights, so that training with another encoder needs less data"
    TAGS = "download,pretrained,ImageNet,backbone,transfer learning,train,fine-tuning"
    HELP = """
    Downloads pretrained weights of an encoder, once. 'Train a model' then starts from them instead
    of from random numbers, and learns more from few polygons.

    You need a network connection. The weights of the default encoder came with the engine; others
    have 10 MB to 3 GB. Most encoders have 'imagenet' weights, some others as well (such as 'ssl',
    'swsl', 'advprop' or 'noisy-student'): an unknown name lists what there is.

    You get a file in a folder of your user, outside of QGIS's profile. Its checksum and its fit to
    the encoder are checked first.

    The weights have licences of their own, which the source tells. Models that start from them say
    where they came from.

    Tip: train once with the default encoder before you try others. With satellite bands, weights
    that were trained on satellite images can be named as a file in 'Train a model'.
    """
    FILE_OUTPUTS: ClassVar[Mapping[str, str]] = {"OUTPUT": "Weights"}

    def parameters(self) -> Parameters:
        """Return the parameters, in the order of the dialog."""
        return [
            choice("ENCODER", "Encoder", ENCODERS, "resnet18"),
            text("WEIGHTS", "Name of the weights", IMAGENET),
        ]

    def job(self, inputs: Inputs, destinations: Destinations) -> FetchWeightsJob:  # noqa: ARG002
        """Return what the engine is asked to do."""
        return FetchWeightsJob(
            encoder=inputs.choice("ENCODER"),
            weights=inputs.optional_text("WEIGHTS") or IMAGENET,
        )
