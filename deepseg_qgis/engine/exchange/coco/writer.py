"""COCO files that are written annotation by annotation.

The format: https://cocodataset.org/#format-data. Ids count from 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeVar

from deepseg_qgis.errors import OutputError

LONGEST_MASK = 2**32 - 1
"""pycocotools counts the pixels of an image in 32 bits."""

Writer = TypeVar("Writer", bound="CocoWriter")


class CocoWriter:
    """A COCO file whose annotations come one by one; a context manager.

    ``members`` of the file are written before the annotations, those of `later_members` after them.

    Raises:
        OutputError: the file cannot be made.
    """

    def __init__(
        self, path: str, members: Mapping[str, object], *, ensure_ascii: bool = False
    ) -> None:
        self.annotations = 0
        try:
            self._file = open(path, "wb")  # noqa: SIM115 - closed on exit
        except OSError as error:
            raise OutputError(
                f"{path} could not be written ({error.strerror}). Choose another place."
            ) from error
        text = json.dumps(members, ensure_ascii=ensure_ascii)
        self._file.write(f'{text[:-1]}, "annotations": ['.encode())

    def write(self, annotations: Sequence[str]) -> None:
        """Write annotations, each a JSON object as text."""
        if annotations:
            separator = ",\n" if self.annotations else "\n"
            self._file.write((separator + ",\n".join(annotations)).encode())
            self.annotations += len(annotations)

    def later_members(self) -> Mapping[str, object]:
        """Return what follows the annotations."""
        return {}

    def finish(self) -> None:
        """Write the end of the file."""
        members = "".join(
            f", {json.dumps(name)}: {json.dumps(value)}"
            for name, value in self.later_members().items()
        )
        with self._file:
            self._file.write(f"\n]{members}}}\n".encode())

    def __enter__(self: Writer) -> Writer:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None and not self._file.closed:
            self.finish()
        self._file.close()
