"""What the network learns from: samples as they are read and augmented, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.files.rasters import Pixels
from deepseg_qgis.engine.learning.augmentation import SAME_LIGHT, PhotometricTransform, Warp
from deepseg_qgis.engine.learning.normalisation import Normalisation
from deepseg_qgis.engine.learning.targets import CONTACT_WEIGHT, ObjectTargets, object_targets
from deepseg_qgis.engine.learning.training_window import TrainingWindow
from deepseg_qgis.engine.models.networks import network_input


@dataclass(frozen=True)
class TrainingSample:
    """One window with its labels.

    ``pixels`` has values (bands, size, size) of any dtype and where they are valid; ``classes``
    (size, size) uint8 with 0 for background, and ``known`` where the classes count; ``targets`` of
    objects, if any category is countable. ``light`` is what the network will see it in, and
    ``class_weights`` (classes,) how much a pixel of each class counts; None for all alike.
    """

    pixels: Pixels
    classes: NDArray[np.uint8]
    known: NDArray[np.bool_]
    targets: ObjectTargets | None = None
    light: PhotometricTransform = SAME_LIGHT
    class_weights: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class TrainingBatch:
    """Samples as one: ``values`` (N, bands, H, W) float32, ``classes`` (N, H, W) int64.

    ``weight`` (N, H, W) float32 is how much a pixel counts, 0 where it is not known; ``heights``
    (N, H, W) float32 and ``edges`` (N, H, W) bool, or None.
    """

    values: NDArray[np.float32]
    classes: NDArray[np.int64]
    weight: NDArray[np.float32]
    heights: NDArray[np.float32] | None = None
    edges: NDArray[np.bool_] | None = None


def read(window: TrainingWindow, countable: NDArray[np.bool_] | None = None) -> TrainingSample:
    """Return the sample of a window, augmented; nothing of a validation area is in it.

    ``countable`` (categories,) says which categories consist of objects that are told apart.
    """
    labelled, geometry, size = window.labelled, window.geometry, window.window.height
    around = window.window.grown(geometry.margin_px(size))
    warp = geometry.warp(around.height, size)
    pixels = labelled.raster.read(around)
    valid = pixels.valid & ~labelled.withheld.mask(around)
    known = warp.all_true(valid & labelled.training.mask(around))
    values = np.where(valid, pixels.values, 0)
    targets = None
    if countable is not None and countable.any():
        targets = _warped(object_targets(labelled.annotated, countable, around), warp)
    return TrainingSample(
        Pixels(warp.bilinear(values), warp.all_true(valid)),
        warp.nearest(labelled.annotated.mask(around)),
        known,
        targets,
        window.light,
    )


def collate(samples: Sequence[TrainingSample], normalisation: Normalisation) -> TrainingBatch:
    """Return the samples as one batch, normalised."""
    targets = [each.targets for each in samples if each.targets is not None]
    return TrainingBatch(
        np.stack([_network_values(each, normalisation) for each in samples]),
        np.stack([each.classes.astype(np.int64) for each in samples]),
        np.stack([_weight(each) for each in samples]),
        np.stack([each.heights for each in targets]) if targets else None,
        np.stack([each.edges for each in targets]) if targets else None,
    )


def _warped(targets: ObjectTargets, warp: Warp) -> ObjectTargets:
    return ObjectTargets(
        warp.bilinear(targets.heights), warp.nearest(targets.edges), warp.nearest(targets.contacts)
    )


def _network_values(sample: TrainingSample, normalisation: Normalisation) -> NDArray[np.float32]:
    """Return (bands, rows, columns) float32: what the network sees, 0 where no data."""
    plain = network_input(sample.pixels, normalisation.mean, normalisation.std)
    return np.where(sample.pixels.valid, sample.light.apply(plain), np.float32(0.0))


def _weight(sample: TrainingSample) -> NDArray[np.float32]:
    """Return how much each pixel counts: more where it decides whether two objects are two."""
    weight = sample.known.astype(np.float32)
    if sample.class_weights is not None:
        weight *= sample.class_weights[sample.classes]
    if sample.targets is not None:
        weight[sample.targets.contacts] *= CONTACT_WEIGHT
    return weight
