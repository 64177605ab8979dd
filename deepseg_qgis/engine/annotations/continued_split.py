"""Which ground is kept for validation when a model goes on learning: what was, and some of the new.

Ground that the model was trained on before would flatter its score, and ground that it was
validated on is never learned from, in no later round either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import shapely

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.errors import VectorError

Split = Callable[[Sequence[LabelledRaster]], list[LabelledRaster]]
"""Keeps a part of the ground of labelled rasters for validation."""


class EarlierGround(NamedTuple):
    """Where on a raster a model was trained and validated before; the two are disjoint."""

    trained: Area
    validated: Area


def keep_validated(
    labelled_rasters: Sequence[LabelledRaster], earlier: Sequence[EarlierGround], split: Split
) -> list[LabelledRaster]:
    """Return rasters split anew; what was validated on before is not learned from.

    Raises:
        VectorError: that leaves nothing to train on.
    """
    result = []
    for labelled, ground in zip(split(labelled_rasters), earlier, strict=True):
        training = labelled.training.without(ground.validated)
        withheld = ground.validated
        result.append(replace(labelled, training=training, validated_elsewhere=withheld))
    if not any(labelled.training.size_px for labelled in result):
        raise VectorError(
            "The model to continue from keeps all of the annotated ground for validation. "
            "Annotate other ground, too."
        )
    return result


def split_beside(
    labelled_rasters: Sequence[LabelledRaster],
    earlier: Sequence[EarlierGround],
    split: Split,
    least_px: float,
    control: Control,
) -> list[LabelledRaster]:
    """Return rasters with the earlier validation ground, and a part of the new, for validation.

    With less than ``least_px`` of new ground the earlier one is enough; where there is none of it,
    ground is taken that was trained on, and a warning is given.

    Raises:
        VectorError: nothing is left to train on.
    """
    pairs = list(zip(labelled_rasters, earlier, strict=True))
    kept = [ground.validated.within(labelled.training) for labelled, ground in pairs]
    fresh = [
        replace(
            labelled, training=labelled.training.without(ground.validated).without(ground.trained)
        )
        for labelled, ground in pairs
    ]
    if sum(labelled.training.size_px for labelled in fresh) >= least_px:
        chosen = [labelled.validation for labelled in split(fresh)]
    elif any(area.size_px for area in kept):
        chosen = [area.without(area) for area in kept]
    else:
        control.warn(
            "The model was trained on all of this ground before, so its validation score flatters "
            "it. Test it with 'Evaluate a model' on other ground."
        )
        chosen = [labelled.validation for labelled in split(labelled_rasters)]

    def divided(_: Sequence[LabelledRaster]) -> list[LabelledRaster]:
        result = []
        for labelled, old, new in zip(labelled_rasters, kept, chosen, strict=True):
            area = Area(shapely.union(old.geometry, new.geometry))
            training = labelled.training.without(area)
            result.append(replace(labelled, training=training, validation=area))
        return result

    return keep_validated(labelled_rasters, earlier, divided)
