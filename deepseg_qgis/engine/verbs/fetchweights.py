"""The verb ``fetchweights``: pretrained weights of an encoder, downloaded because a user asked."""

from __future__ import annotations

from typing import Any

from deepseg_qgis.catalogue import ENCODERS
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.pretrained.fetching import fetch_weights
from deepseg_qgis.engine.pretrained.weight_store import WeightStore, store_folder
from deepseg_qgis.errors import ParameterError
from deepseg_qgis.jobs import FetchWeightsJob


def run(job: FetchWeightsJob, control: Control) -> dict[str, Any]:
    """Download weights into the user's folder of weights; return the file's path as ``output``.

    Raises:
        DeepSegError: they are not known, cannot be downloaded or do not fit; nothing is written.
    """
    if job.encoder not in ENCODERS:
        raise ParameterError(f"There is no encoder {job.encoder!r}. Choose one from the list.")
    weights = fetch_weights(job.encoder, job.weights, control)
    path = WeightStore(store_folder()).write(job.encoder, weights, control)
    origin = weights.origin
    control.log(f"Saved {path}: {origin.name} weights from {origin.source} ({origin.licence}).")
    control.log("'Train a model' with this encoder uses them from now on, without a network.")
    return {"output": path}
