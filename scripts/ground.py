"""What the demo runs on: the made-up scene, or the user's own data. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SCENE_SIZE_PX = 1536
TILE_SIZE_PX = 128
EPOCHS = 10
"""These three are chosen so that the demo takes few minutes: three on two cores."""
EPOCHS_ON_OWN_DATA = 20


class InputError(Exception):
    """A variable given to make cannot be used."""


@dataclass(frozen=True)
class Ground:
    """A raster with annotations; ``test_aoi`` None means that no ground is left for a test."""

    raster: str
    annotations: str
    category_field: str | None
    aoi: str | None
    test_aoi: str | None
    epochs: int
    tile_size_px: int | None
    made_up: bool


def ground_from(given: Mapping[str, str], folder: Path) -> Ground:
    """Return what make's variables ask for; without RASTER a scene that is to be in ``folder``.

    Raises:
        InputError: a variable cannot be used.
    """
    if given.get("RASTER"):
        return _own(given)
    for name in ("ANNOTATIONS", "CATEGORY_FIELD", "AOI"):
        if given.get(name):
            raise InputError(
                f"{name} was given without RASTER. The demo on your own data is: "
                "make demo RASTER=a.tif ANNOTATIONS=b.gpkg"
            )
    return Ground(
        raster=str(folder / "scene.tif"),
        annotations=str(folder / "annotations.gpkg"),
        category_field="category",
        aoi=str(folder / "training_area.gpkg"),
        test_aoi=str(folder / "test_area.gpkg"),
        epochs=_epochs(given, EPOCHS),
        tile_size_px=TILE_SIZE_PX,
        made_up=True,
    )


def _own(given: Mapping[str, str]) -> Ground:
    if not given.get("ANNOTATIONS"):
        raise InputError(
            "RASTER also needs ANNOTATIONS, a file of polygons drawn over it: "
            "make demo RASTER=a.tif ANNOTATIONS=b.gpkg"
        )
    return Ground(
        raster=_existing("RASTER", given["RASTER"]),
        annotations=_existing("ANNOTATIONS", given["ANNOTATIONS"]),
        category_field=given.get("CATEGORY_FIELD") or None,
        aoi=_existing("AOI", given["AOI"]) if given.get("AOI") else None,
        test_aoi=None,
        epochs=_epochs(given, EPOCHS_ON_OWN_DATA),
        tile_size_px=None,
        made_up=False,
    )


def _epochs(given: Mapping[str, str], default: int) -> int:
    text = given.get("EPOCHS") or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"EPOCHS must be a whole number from 1 on, not '{text}'.")
    return int(text)


def _existing(name: str, value: str) -> str:
    """Return the absolute path of a file that a variable names; '|layername=…' may follow it."""
    if value.startswith("/vsi") or "://" in value:
        return value
    file, bar, layer = value.partition("|")
    path = Path(file).expanduser().absolute()
    if not path.is_file():
        raise InputError(
            f"{name}={value}: there is no such file. It was looked for at {path}; paths are "
            "relative to the folder where make runs, or absolute."
        )
    return f"{path}{bar}{layer}"
