"""Values that cannot be used are refused before anything is done, in words of the dialog."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qgis.core import QgsProcessingException

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def good(raster: Callable[..., str], tmp_path: Path) -> dict[str, Any]:
    """Values that `train` takes."""
    annotations = tmp_path / "a.geojson"
    annotations.write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {},'
        '"geometry": {"type": "Polygon", "coordinates": [[[87,27],[87,28],[88,28],[87,27]]]}}]}'
    )
    return {"INPUT": [raster()], "ANNOTATIONS": str(annotations)}


def test_good_values_pass(run: Run, engine: Any, good: dict[str, Any]) -> None:
    assert "OUTPUT" in run("train", **good)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("INPUT", ["/nowhere/a.tif"], "Rasters: /nowhere/a.tif could not be opened as a raster"),
        ("INPUT", "/nowhere/a.tif", "Rasters: /nowhere/a.tif could not be opened as a raster"),
        ("ANNOTATIONS", "/nowhere/a.gpkg", "Annotations: /nowhere/a.gpkg could not be opened"),
        ("AOI", "/nowhere/a.gpkg", "Area of interest.*: /nowhere/a.gpkg could not be opened"),
        ("ARCHITECTURE", "vnet", r"Architecture.*: expected one of these words, got vnet: unet, "),
        ("ARCHITECTURE", 0, r"Architecture.*: expected one of these words, got 0: unet, "),
        ("EPOCHS", 0, "Epochs: expected a number of at least 1, got 0"),
        ("VALIDATION_FRACTION", 1.5, "expected a number from 0.01 to 0.89, got 1.5"),
        ("INPUT", None, "INPUT"),
        ("EPOHCS", 3, r"There is no parameter EPOHCS\. Did you mean EPOCHS\?"),
        ("epochs", 3, r"There is no parameter epochs\. Did you mean EPOCHS\?"),
        ("COFFEE", "black", "There is no parameter COFFEE. Expected one of INPUT, .*SEED"),
    ],
)
def test_others_are_explained(
    run: Run, engine: Any, good: dict[str, Any], name: str, value: Any, message: str
) -> None:
    with pytest.raises(QgsProcessingException, match=message):
        run("train", **{**good, name: value})


@pytest.mark.parametrize("value", ["notes.txt", "m.pth"])
def test_a_model_of_another_kind(
    run: Run, engine: Any, raster: Callable[..., str], value: str
) -> None:
    message = rf"Model: expected a file that ends in \.safetensors, got {value}"
    with pytest.raises(QgsProcessingException, match=message):
        run("predict", INPUT=[raster()], MODEL=value)
