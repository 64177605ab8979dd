"""The network that training starts from: random weights, a pretrained encoder, or a whole model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from deepseg_qgis.choices import NO_WEIGHTS
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.raster_inputs.bands import Band
from deepseg_qgis.engine.learning.earlier_training import EarlierTraining
from deepseg_qgis.engine.learning.initial_model import CONTINUED_RATE, InitialModel
from deepseg_qgis.engine.learning.normalisation import Normalisation
from deepseg_qgis.engine.learning.object_sizes import magnification_for
from deepseg_qgis.engine.learning.training_set import TrainingSet
from deepseg_qgis.engine.models import networks
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.pretrained.chosen_weights import chosen_weights
from deepseg_qgis.engine.pretrained.encoder_weights import EncoderWeights
from deepseg_qgis.engine.pretrained.loading import load_encoder
from deepseg_qgis.errors import listed
from deepseg_qgis.jobs import TrainJob


@dataclass(frozen=True)
class StartingNetwork:
    """A network before its first step; ``facts`` are what a card keeps of where it comes from.

    ``rate_share`` is the share of the learning rate that it takes; ``normalisation`` what it has
    to be shown, None for that of the training pixels; ``earlier`` the training that it had before.
    """

    network: nn.Module
    design: NetworkDesign
    facts: Mapping[str, str | int]
    rate_share: float = 1.0
    normalisation: Normalisation | None = None
    earlier: EarlierTraining = field(default_factory=EarlierTraining)


def starting_network(
    job: TrainJob, training_set: TrainingSet, initial: InitialModel | None, control: Control
) -> StartingNetwork:
    """Return the network that a training starts from; the job's seed draws its random weights.

    With an ``initial`` model it is that one's, for the categories of the training set.

    Raises:
        ParameterError: it does not take tiles of that size, or there are no such weights.
        ModelError: the weights cannot be used.
    """
    bands = training_set.labelled_rasters[0].raster.kind.bands
    torch.manual_seed(job.seed)
    if initial is not None:
        return _continued(job, training_set, initial)
    design = _design(job, training_set, control)
    network = networks.build(
        design,
        len(bands),
        len(training_set.categories),
        objects=any(training_set.countable),
    )
    networks.check_takes(network, len(bands), job.tile_size_px // design.magnification)
    weights = chosen_weights(design.encoder, job.encoder_weights, control)
    if weights is None:
        return StartingNetwork(network, design, {"encoder_weights": NO_WEIGHTS})
    _load(network, design, weights, bands, control)
    return StartingNetwork(network, design, weights.origin.facts)


def _continued(job: TrainJob, training_set: TrainingSet, initial: InitialModel) -> StartingNetwork:
    """Return the network of a model, which has learned already."""
    names = [category.name for category in training_set.categories]
    network = initial.network_for(names, any(training_set.countable))
    card = initial.card
    networks.check_takes(network, card.bands, job.tile_size_px // card.magnification)
    return StartingNetwork(
        network,
        card.design,
        initial.provenance,
        rate_share=CONTINUED_RATE,
        normalisation=initial.normalisation,
        earlier=initial.earlier_training,
    )


def _design(job: TrainJob, training_set: TrainingSet, control: Control) -> NetworkDesign:
    """Return the design that is asked for, magnified as the sizes of the objects ask."""
    magnification = magnification_for(training_set.labelled_rasters, job.tile_size_px)
    if magnification > 1:
        control.log(
            f"Many objects are small: the network looks at them {magnification} times as large. "
            f"Prediction takes {magnification**2} times as long for it."
        )
    return replace(NetworkDesign.of(job), magnification=magnification)


def _load(
    network: nn.Module,
    design: NetworkDesign,
    weights: EncoderWeights,
    bands: Sequence[Band],
    control: Control,
) -> None:
    """Put weights into the encoder, without drawing a random number."""
    with torch.random.fork_rng(devices=[]):
        state = load_encoder(network, design, weights, bands)
    if state.new_bands:
        names = listed([band.name for band in state.new_bands])
        control.log(f"The weights do not know the bands {names}: these start from their mean.")
