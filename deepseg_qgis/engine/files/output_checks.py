"""The one check that a run loses nothing of the user's: before any work, for every verb.

No output may be an input, belong to one, be another output, or hold more than its own layer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields

from deepseg_qgis import jobs
from deepseg_qgis.disk_files import FileIdentity, file_identity
from deepseg_qgis.engine.files.rasters import files_of
from deepseg_qgis.errors import OutputError
from deepseg_qgis.formats import CONTAINERS, POLYGONS, STYLES, TABLES, WRITTEN
from deepseg_qgis.jobs import Job, RasterSource, SampleSource, VectorSource
from deepseg_qgis.overwriting import check_replaceable
from deepseg_qgis.sidecars import sidecar_owners, sidecars

FORMATS: dict[object, tuple[str, ...]] = {
    jobs.OutputFile: (),
    jobs.OutputLayer: POLYGONS,
    jobs.OutputTable: TABLES,
}
"""The endings that an output of each kind may have; () stands for all but containers."""

READ_IN_FOLDERS = (".safetensors", ".json")
"""Of a folder that is given as such, the files with these endings are read."""


def check_outputs(job: Job) -> None:
    """Check all outputs of a job against its inputs, each other, and what is on the disk.

    Raises:
        OutputError: something would be lost, or the format is unknown.
    """
    inputs = _Inputs(job)
    outputs = [
        (name, path, endings)
        for kind, endings in FORMATS.items()
        for name, path in jobs.paths(job, kind).items()
    ]
    folders = jobs.paths(job, jobs.OutputFolder)
    taken: dict[FileIdentity, str] = {}
    for name, path, endings in outputs:
        _check_format(path, endings)
        inputs.check(name, path)
        for place in {file_identity(each) for each in (path, *_parts(path))}:
            if place in taken:
                raise OutputError(
                    f"{taken[place].upper()} and {name.upper()} would be written to the same file, "
                    f"{path}. Choose a name of its own for each."
                )
            taken[place] = name
        check_replaceable(path)
    for name, folder in folders.items():
        inputs.check_folder(name, folder, [path for _, path, _ in outputs])


class _Inputs:
    """The files that a job reads, and what they are to the user."""

    def __init__(self, job: Job) -> None:
        self._files: dict[FileIdentity, str] = {}
        self._stems: dict[FileIdentity, str] = {}
        self._folders: dict[str, str] = {}
        for label, path in _read_by(job):
            self._files.setdefault(file_identity(path), label)
            self._stems.setdefault(file_identity(_stem(path)), label)
            self._folders.setdefault(os.path.dirname(os.path.realpath(path)), label)

    def check(self, name: str, path: str) -> None:
        """Check that an output, with all that is replaced together with it, is none of these."""
        for each in (path, *_parts(path)):
            label = self._owner(each)
            if label is not None:
                raise OutputError(
                    f"{name.upper()} would replace {each}, which belongs to {label} that this run "
                    "reads. Choose another file name."
                )

    def _owner(self, path: str) -> str | None:
        places = [file_identity(path), *map(file_identity, sidecar_owners(path))]
        if path.lower().endswith(STYLES):
            return self._files.get(places[0]) or self._stems.get(file_identity(_stem(path)))
        return next((self._files[place] for place in places if place in self._files), None)

    def check_folder(self, name: str, folder: str, outputs: list[str]) -> None:
        """Check that a folder that is written as a whole holds no input and no other output."""
        within = {os.path.realpath(path): path for path in outputs}
        for held, what in (*self._folders.items(), *within.items()):
            if file_identity(folder) in map(file_identity, _upwards(held)):
                raise OutputError(
                    f"{name.upper()}, {folder}, would replace the folder of {what}. Choose another "
                    "folder."
                )


def _read_by(job: Job) -> Iterator[tuple[str, str]]:
    """Yield what a job reads: what it is to the user, and the path of each file."""
    for name, path in jobs.paths(job, jobs.InputPath).items():
        yield f"the {name}", path
    for folder in jobs.paths(job, jobs.InputFolder).values():
        yield from (
            (f"the folder {folder}", each)
            for each in _inside(folder)
            if each.lower().endswith(READ_IN_FOLDERS)
        )
    for field in fields(job):
        value = getattr(job, field.name)
        for source in value if isinstance(value, tuple) else (value,):
            if isinstance(source, RasterSource):
                yield from ((f"the raster {source.name}", each) for each in files_of(source.path))
            elif isinstance(source, (VectorSource, SampleSource)):
                streamed = (source.path,) if isinstance(source, VectorSource) else ()
                for path in (*streamed, *source.files):
                    yield from ((f"the layer '{source.name}'", each) for each in _inside(path))


def _inside(path: str) -> Iterator[str]:
    """Yield a file, or the files of a folder that is a layer's."""
    yield path
    for folder, _, names in os.walk(path):
        yield from (os.path.join(folder, name) for name in names)


def _check_format(path: str, endings: tuple[str, ...]) -> None:
    ending = os.path.splitext(path)[1][1:].lower()
    if endings and ending not in endings:
        raise OutputError(
            f"{path}: expected a file name that ends in {', '.join(f'.{each}' for each in endings)}"
            f", got {f'.{ending}' if ending else 'none of them'}. Choose one of these formats."
        )
    if not endings and ending in CONTAINERS:
        raise OutputError(
            f"{path}: .{ending} is for layers and tables alone, and this output is neither. Choose "
            "another ending."
        )


def _stem(path: str) -> str:
    return f"{os.path.splitext(path)[0]}."


def _upwards(folder: str) -> Iterator[str]:
    yield folder
    while os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
        yield folder


def _parts(path: str) -> list[str]:
    """Return what is replaced or written together with an output."""
    stem, ending = os.path.splitext(path)
    written = [stem + each for each in WRITTEN.get(ending.lower(), ())]
    return list(dict.fromkeys([*sidecars(path), *written]))
