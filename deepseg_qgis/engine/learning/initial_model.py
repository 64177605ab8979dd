"""The model that a training continues: what of it stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from deepseg_qgis.choices import AUTO, NO_WEIGHTS
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.learning.earlier_training import EarlierTraining
from deepseg_qgis.engine.learning.head_conversion import HeadLayout, converted, head_name
from deepseg_qgis.engine.learning.normalisation import Normalisation
from deepseg_qgis.engine.models import networks, weights
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.models.networks import OBJECT_HEADS
from deepseg_qgis.engine.models.weights import Model
from deepseg_qgis.errors import ParameterError
from deepseg_qgis.jobs import TrainJob

INITIAL_MODEL = "The model to continue from"
"""What messages call it."""
CONTINUED_RATE = 0.3
"""A network that has learned goes on with so large a share of the learning rate."""


@dataclass(frozen=True)
class InitialModel:
    """A model to go on from, by its file's name; `network_for` gives its network."""

    name: str
    model: Model

    @classmethod
    def read(cls, path: str, control: Control) -> InitialModel:
        """Return the model in a file.

        Raises:
            ModelError: the file is no model of DeepSeg's.
        """
        control.log(f"Reading the model to continue from, {path}")
        model = weights.load(path)
        control.log(f"Its network stays, whatever the model size says: {model.card.design}.")
        return cls(Path(path).name, model)

    def check(self, job: TrainJob) -> None:
        """Check that the job asks for no other network.

        Raises:
            ParameterError: it does.
        """
        design = self.card.design
        asked = {
            "Architecture": (job.architecture, design.architecture),
            "Encoder": (job.encoder, design.encoder),
        }
        for label, (wanted, own) in asked.items():
            if wanted not in (None, own):
                raise ParameterError(
                    f"{label}: the model to continue from has {own}, you chose {wanted}. Leave it "
                    "empty, or train a new model without 'Model to continue from'."
                )
        if job.encoder_weights not in (AUTO, NO_WEIGHTS):
            raise ParameterError(
                f"Pretrained encoder weights: expected '{AUTO}' with a model to continue from, "
                f"since that has an encoder that has learned, got {job.encoder_weights!r}."
            )

    @property
    def card(self) -> ModelCard:
        """What the model says of itself."""
        return self.model.card

    @property
    def earlier_training(self) -> EarlierTraining:
        """What its training left."""
        card = self.card
        return EarlierTraining(
            card.categories,
            card.legend.countable,
            card.footprint,
            card.validation_footprint,
            card.legend.instance_rule,
            card.smoothing,
        )

    @property
    def normalisation(self) -> Normalisation:
        """What its network was trained with, and has to be shown from then on."""
        mean, std = (np.array(each, dtype=np.float32) for each in (self.card.mean, self.card.std))
        return Normalisation(mean, std)

    @property
    def provenance(self) -> dict[str, str | int]:
        """What the card of a model that continues it says of it; licences are handed on."""
        rounds = self.card.training.get("rounds", 1)
        origin = {
            name: value
            for name, value in self.card.training.items()
            if name.startswith("encoder_weights") and isinstance(value, str)
        }
        return {
            **origin,
            "initial_model": self.name,
            "initial_model_sha256": self.model.fingerprint,
            "rounds": rounds + 1 if isinstance(rounds, int) else 2,
        }

    def network_for(self, names: Sequence[str], objects: bool) -> nn.Module:
        """Return a copy of its network for categories of these names.

        ``objects`` says whether any of them is countable.
        """
        return continued_network(self.model, self.earlier_training.sources(names), objects)


def continued_network(model: Model, sources: Sequence[int | None], objects: bool) -> nn.Module:
    """Return the network of a model for other categories; it shares no memory with the model's.

    Args:
        model: whose network is to be continued.
        sources: for each category which one of the model's categories it is, None for a new one.
        objects: whether any category is countable.
    """
    card = model.card
    network = networks.build(card.design, card.bands, len(sources), objects=objects)
    fresh = network.state_dict()
    state = {name: each.clone() for name, each in model.network.state_dict().items()}
    layout = HeadLayout(len(card.categories), card.legend.has_objects)
    for part in ("weight", "bias"):
        name = f"{head_name(network)}.{part}"
        new_objects = fresh[name][-OBJECT_HEADS:] if objects else fresh[name][:0]
        state[name] = converted(state[name], layout, sources, new_objects)
    network.load_state_dict(state)
    return network.to(memory_format=torch.channels_last)
