"""The verb ``sampledesign``: random places on a map, for somebody to say what is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deepseg_qgis import bounds
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files import vectors
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.sampling.category_maps import open_map
from deepseg_qgis.engine.sampling.strata import Stratum, tell
from deepseg_qgis.engine.scoring.sample_size import advised_size, allocated, expected_half_width
from deepseg_qgis.errors import OutputError, ParameterError, counted, listed
from deepseg_qgis.jobs import (
    MAP_FIELD,
    REFERENCE_FIELD,
    SHARE_FIELD,
    STRATUM_AREA_FIELD,
    SampleDesignJob,
)

FIELDS = {
    "id": pa.int64(),
    MAP_FIELD: pa.string(),
    REFERENCE_FIELD: pa.string(),
    SHARE_FIELD: pa.float64(),
    STRATUM_AREA_FIELD: pa.float64(),
}

Sizes = NDArray[np.int64]


def run(job: SampleDesignJob, control: Control) -> dict[str, Any]:
    """Write the points; return the output, ``count``, ``half_width`` and ``categories``.

    ``half_width`` is that of the 95 % interval of the overall accuracy, if user's accuracies are
    as expected.

    Raises:
        DeepSegError: something cannot be used, or the user stopped; nothing is written then.
    """
    _check(job)
    with Outputs(control, job) as outputs:
        path = outputs.path(job.output)
        with open_map(job, control.part(0.0, 0.4)) as category_map:
            strata = category_map.strata
            tell(strata, control)
            sizes, half_width = _sizes(job, strata, control)
            rng = np.random.default_rng(job.seed)
            reading = control.part(0.4, 0.9)
            reading.progress(0.0, "Drawing points")
            places = category_map.draw(sizes.tolist(), rng)
            crs = category_map.crs
        sizes = np.array([len(each) for each in places])
        stratum = np.repeat(np.arange(len(strata)), sizes)
        order = rng.permutation(len(stratum))  # the order must not tell the map's category
        columns = _columns([strata[number] for number in stratum[order]])
        vectors.write_points(path, np.concatenate(places)[order], columns, FIELDS, crs)
    return {
        "output": job.output,
        "count": len(stratum),
        "half_width": half_width,
        "categories": [asdict(each.category) for each in strata],
    }


def _check(job: SampleDesignJob) -> None:
    numbers = {
        "The wanted half width": (job.target, bounds.HALF_WIDTH),
        "The expected accuracy": (job.expected_accuracy, bounds.EXPECTED_ACCURACY),
        "The number of points for each category": (job.min_points, bounds.STRATUM_POINTS),
        "The seed": (job.seed, bounds.SEED),
    }
    if job.sample_size is not None:
        numbers["The sample size"] = (job.sample_size, bounds.SAMPLE_SIZE)
    for name, value in job.expected_accuracies.items():
        numbers[f"The expected accuracy of '{name}'"] = (value, bounds.EXPECTED_ACCURACY)
    for name, (value, limits) in numbers.items():
        if value not in limits:
            raise ParameterError(
                f"{name} must be from {limits.least:g} to {limits.most:g}, got {value:g}."
            )
    if Path(job.output).suffix.lower() != ".gpkg":
        raise OutputError(
            f"{job.output}: a sample is a layer to fill in. Choose a name that ends in .gpkg "
            "(GeoPackage); others shorten its fields, or cannot be edited."
        )


def _sizes(
    job: SampleDesignJob, strata: Sequence[Stratum], control: Control
) -> tuple[Sizes, float]:
    """Return the points of each stratum, and how well the overall accuracy will be known."""
    unknown = sorted(set(job.expected_accuracies) - {each.name for each in strata})
    if unknown:
        raise ParameterError(
            f"Expected accuracies: the map has no category {listed(unknown)}. Its categories are "
            f"{listed([each.name for each in strata])}."
        )
    weights = np.array([each.share for each in strata])
    accuracies = np.array(
        [job.expected_accuracies.get(each.name, job.expected_accuracy) for each in strata]
    )
    advised = advised_size(weights, accuracies, job.target)
    control.log(
        f"To know the overall accuracy to within ± {100.0 * job.target:g} %, "
        f"{counted(advised, 'point')} are enough if the map is as good as expected."
    )
    total = job.sample_size or max(advised, job.min_points * len(strata))
    sizes = allocated(total, weights, job.min_points)
    for number, each in enumerate(strata):
        if each.most_points is not None and each.most_points < sizes[number]:
            sizes[number] = each.most_points
            control.warn(f"'{each.name}' has {each.most_points:,} pixels: all of them are drawn.")
    half_width = expected_half_width(weights, accuracies, sizes)
    shared = ", ".join(f"{n:,} {each.name}" for n, each in zip(sizes, strata, strict=True))
    control.log(
        f"{counted(int(sizes.sum()), 'point')}: {shared}. Expect the overall accuracy to within "
        f"± {100.0 * half_width:.1f} %."
    )
    return sizes, half_width


def _columns(strata: Sequence[Stratum]) -> dict[str, Sequence[object]]:
    """Return the columns of points, given the stratum of each."""
    return {
        "id": list(range(1, len(strata) + 1)),
        MAP_FIELD: [each.name for each in strata],
        REFERENCE_FIELD: [None] * len(strata),
        SHARE_FIELD: [each.share for each in strata],
        STRATUM_AREA_FIELD: [each.area_m2 for each in strata],
    }
