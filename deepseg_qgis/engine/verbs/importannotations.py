"""The verb ``importannotations``: annotations of other programs as polygons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange import (
    coco,
    coco_tables,
    label_naming,
    label_places,
    label_rasters,
)
from deepseg_qgis.engine.exchange.imported import Piece, Place, Tally, clean_name, write
from deepseg_qgis.engine.exchange.label_places import Label
from deepseg_qgis.engine.exchange.label_rasters import Naming
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.errors import ParameterError, VectorError, counted
from deepseg_qgis.jobs import ImportAnnotationsJob

SURVEY_SHARE = 0.4
"""The first part of the work on label rasters, as a share of the progress bar."""


def run(job: ImportAnnotationsJob, control: Control) -> dict[str, Any]:
    """Write the polygons; return ``output``, ``count`` and the ``categories`` with known colours.

    Raises:
        DeepSegError: something cannot be used, or the user stopped; nothing is written then.
    """
    tally = Tally()
    with Outputs(control, job) as outputs:
        path = outputs.path(job.output)
        places = [Place.of(source) for source in job.rasters]
        if job.format == "coco":
            _write_coco(job, path, places, tally, control)
        elif job.format in ("label_raster", "mask_folder"):
            _write_labels(job, path, places, tally, control)
        else:
            raise ParameterError(f"Expected a format that DeepSeg reads, got {job.format!r}.")
        tally.tell(control)
        if tally.count == 0:
            _tell_nothing(job, tally, control)
    counts = ", ".join(f"{name} {count:,}" for name, count in tally.categories.most_common(20))
    if counts:
        more = ", …" * (len(tally.categories) > 20)
        control.log(f"{counted(tally.count, 'polygon')}: {counts}{more}.")
    return {
        "output": job.output,
        "count": tally.count,
        "categories": [
            {"name": name, "colour": tally.colours.get(name, "")}
            for name in sorted(tally.categories)
        ],
    }


def _tell_nothing(job: ImportAnnotationsJob, tally: Tally, control: Control) -> None:
    """Warn that the layer is empty.

    Raises:
        VectorError: there was something, and none of it could be used.
    """
    if tally.left_out.keys() - {coco.ELSEWHERE}:
        raise VectorError(
            f"No polygon was found in {job.annotations}. Check that the file, its format and "
            "the rasters belong together; the log says what was left out."
        )
    control.warn(
        f"{job.annotations} has nothing annotated on these rasters: the layer is empty. Check that "
        "the file, its format and the rasters belong together if you expected polygons."
    )


def _write_coco(
    job: ImportAnnotationsJob, path: str, places: Sequence[Place], tally: Tally, control: Control
) -> None:
    if not places:
        raise ParameterError(
            "COCO annotations are in pixels of their images. Choose the rasters that they are of."
        )
    tables = coco_tables.read_tables(job.annotations, places, control)
    used = list({image.place.path: image.place for image in tables.images.values()}.values())
    tally.colours.update(tables.colours)
    category = _plain_category(job)
    pieces = coco.read_annotations(job.annotations, tables, tally, control, category)
    write(path, pieces, used, tally, control)


def _plain_category(job: ImportAnnotationsJob) -> str:
    return job.category or clean_name(Path(job.annotations).stem) or "object"


def _write_labels(
    job: ImportAnnotationsJob, path: str, places: Sequence[Place], tally: Tally, control: Control
) -> None:
    labels = label_places.labels_of(job, places, control)
    surveyed = []
    for number, label in enumerate(labels):
        start, end = number / len(labels), (number + 1) / len(labels)
        with Raster(label.source, stored=True) as raster:
            share = control.part(SURVEY_SHARE * start, SURVEY_SHARE * end)
            surveyed.append(label_naming.survey(raster, share))
    plain = _plain_category(job)
    categories = [label.category or plain for label in labels]
    naming = label_naming.named(surveyed, job.values, categories, control)
    first_ids = _first_ids(labels)
    for name, colour in naming.colours.items():
        tally.colours.setdefault(name, colour)

    def pieces() -> Iterator[Piece]:
        rest = control.part(SURVEY_SHARE, 1.0)
        for number, label in enumerate(labels):
            share = rest.part(number / len(labels), (number + 1) / len(labels))
            found, names = naming.found[number], naming.namings[number]
            own = label.number if len(found.codes) == 1 else None
            if own is not None:  # all that is set is one object
                names = Naming(None, (names.names or {}).get(int(found.codes[0]), names.category))
            with Raster(label.source, stored=True) as raster:
                for piece in label_rasters.outlined(raster, found, names, label.place, share):
                    yield piece.renumbered(first_ids[number], own)

    write(path, pieces(), [label.place for label in labels], tally, control)


def _first_ids(labels: Sequence[Label]) -> list[int]:
    """Return what to add to the ids of each label raster, so that they differ within a raster."""
    used: Counter[str] = Counter()
    result = []
    for label in labels:
        result.append(used[label.place.name])
        used[label.place.name] += label.place.grid.width * label.place.grid.height
    return result
