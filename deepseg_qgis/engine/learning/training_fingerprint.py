"""What tells a training from every other one: two with one fingerprint make the same model."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator
from dataclasses import asdict, fields

import numpy as np
import shapely
from torch import nn

from deepseg_qgis import __version__
from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.learning.training_set import TrainingSet
from deepseg_qgis.engine.resuming.file_states import FileStates
from deepseg_qgis.jobs import TrainJob

FORMAT = 4
"""Raised whenever what a training does, or how its state is kept, changes within a version."""
ELSEWHERE = ("rasters", "annotations", "aoi", "validation_aoi", "resume", "tracking_uri")
"""Fields of a job whose content is in the training set, or that change no model."""
LIBRARIES = ("torch", "segmentation-models-pytorch", "timm", "numpy")


def fingerprint(job: TrainJob, training_set: TrainingSet, network: nn.Module) -> str | None:
    """Return the fingerprint of a training that starts with this network, 40 hex digits.

    None where a raster is no plain file: a change of it would not be noticed.
    """
    digest = hashlib.sha256()
    for labelled in training_set.labelled_rasters:
        states = FileStates.of(labelled.raster.files).states
        if not states:
            return None
        digest.update(repr(states).encode())
        for part in _content(labelled):
            digest.update(part)
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().numpy().tobytes())
    digest.update(json.dumps(_facts(job, training_set), sort_keys=True).encode())
    return digest.hexdigest()[:40]


def _facts(job: TrainJob, training_set: TrainingSet) -> dict[str, object]:
    names = [each.name for each in fields(job)]
    asked = [each for each in names if each not in ELSEWHERE and not each.startswith("output")]
    return {
        "format": FORMAT,
        "version": __version__,
        "libraries": [importlib.metadata.version(each) for each in LIBRARIES],
        "job": {each: getattr(job, each) for each in asked},
        "categories": [asdict(each) for each in training_set.categories],
        "countable": training_set.countable,
    }


def _content(labelled: LabelledRaster) -> Iterator[bytes]:
    """Yield what a raster's annotations and areas are, and what its values mean."""
    raster, annotated = labelled.raster, labelled.annotated
    yield repr((raster.meaning_hash, tuple(raster.grid.transform), raster.kind)).encode()
    yield b"".join(shapely.to_wkb(np.asarray(annotated.geometries)))
    yield annotated.classes.tobytes()
    for area in (labelled.training, labelled.withheld, labelled.unknown):
        yield shapely.to_wkb(area.geometry)
