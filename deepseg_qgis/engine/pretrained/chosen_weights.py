"""Which weights an encoder starts from: what a user asks for, out of what this computer has."""

from __future__ import annotations

import os

from deepseg_qgis.choices import AUTO, NO_WEIGHTS
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.pretrained.encoder_weights import EncoderWeights
from deepseg_qgis.engine.pretrained.library_weights import IMAGENET, known_names
from deepseg_qgis.engine.pretrained.package_weights import package_weights
from deepseg_qgis.engine.pretrained.weight_files import read_weights
from deepseg_qgis.engine.pretrained.weight_store import WeightStore, store_folder
from deepseg_qgis.errors import ParameterError
from deepseg_qgis.formats import WEIGHTS

HOW_TO_FETCH = "'Fetch encoder weights' (deepseg:fetchweights) downloads them"


def chosen_weights(encoder: str, choice: str, control: Control) -> EncoderWeights | None:
    """Return the weights that ``choice`` asks for, None for random ones. Never from the network.

    ``choice`` is ``auto`` (what is there), ``none``, the name of weights, or a file.

    Raises:
        ParameterError: there are no such weights on this computer.
        ModelError: the file cannot be used.
    """
    if choice == NO_WEIGHTS:
        return None
    weights = _automatic(encoder) if choice == AUTO else _named(encoder, choice)
    if weights is not None:
        origin = weights.origin
        control.log(f"The encoder starts from {origin.name} weights ({origin.source}).")
    elif known_names(encoder):
        control.log(
            f"No pretrained weights for {encoder} are on this computer, so training starts from "
            f"random ones and needs more polygons. {HOW_TO_FETCH}."
        )
    else:
        control.log(f"There are no pretrained weights for {encoder}: it starts from random ones.")
    return weights


def _automatic(encoder: str) -> EncoderWeights | None:
    """Return ImageNet weights where they are on this computer, else others that were fetched."""
    store = WeightStore(store_folder())
    names = store.names(encoder)
    if IMAGENET in names:
        return store.read(encoder, IMAGENET)
    packaged = package_weights(encoder)
    if packaged is None and names:
        return store.read(encoder, names[0])
    return packaged


def _named(encoder: str, choice: str) -> EncoderWeights:
    if choice.lower().endswith(WEIGHTS):
        if not os.path.isfile(choice):
            raise ParameterError(
                f"The file of encoder weights {choice} is not there. Check the path, or use 'auto'."
            )
        return read_weights(choice)
    store = WeightStore(store_folder())
    if choice in store.names(encoder):
        return store.read(encoder, choice)
    packaged = package_weights(encoder) if choice == IMAGENET else None
    if packaged is not None:
        return packaged
    known = known_names(encoder)
    if choice in known:
        raise ParameterError(
            f"The weights {choice!r} of the encoder {encoder} are not on this computer. "
            f"{HOW_TO_FETCH} (ENCODER={encoder}, WEIGHTS={choice}). Or use 'auto' or 'none'."
        )
    words = ", ".join([AUTO, NO_WEIGHTS, *known])
    raise ParameterError(
        f"There are no weights {choice!r} for the encoder {encoder}. Choose one of: {words}; or a "
        f"file ({', '.join(WEIGHTS)})."
    )
