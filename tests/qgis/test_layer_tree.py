"""New layers do not hide each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from deepseg_qgis.processing.layers.layer_tree import place_in_layer_tree, show_legend
from desktop import Desktop
from qgis.core import QgsProject, QgsRasterLayer, QgsVectorLayer


def names(group: Any) -> list[str]:
    return [child.name() for child in group.children()]


@pytest.fixture
def make_layer(tmp_path: Path) -> Any:
    """Return a factory: a name in capitals becomes a raster, others polygons."""

    def make(name: str) -> Any:
        if not name.isupper():
            return QgsVectorLayer("Polygon?crs=EPSG:32633", name, "memory")
        path = tmp_path / f"{name}.tif"
        profile = {"driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "uint8"}
        with rasterio.open(
            path, "w", crs="EPSG:32633", transform=Affine(1, 0, 0, 0, -1, 4), **profile
        ) as dataset:
            dataset.write(np.ones((1, 4, 4), np.uint8))
        return QgsRasterLayer(str(path), name)

    return make


@pytest.mark.parametrize(
    ("before", "new", "after"),
    [
        ([], "NEW", ["NEW"]),
        ([], "new", ["new"]),
        (["a", "b"], "NEW", ["a", "b", "NEW"]),
        (["a", "B", "c"], "NEW", ["a", "NEW", "B", "c"]),
        (["B", "a"], "NEW", ["NEW", "B", "a"]),
        (["a", "B"], "new", ["new", "a", "B"]),
    ],
)
def test_rasters_stand_below_polygons_and_above_rasters(
    make_layer: Any, project: QgsProject, before: list[str], new: str, after: list[str]
) -> None:
    root = project.layerTreeRoot()
    for name in reversed(before):
        project.addMapLayer(make_layer(name))
    layer = project.addMapLayer(make_layer(new))
    place_in_layer_tree(layer, project)
    assert names(root) == after
    assert len(project.mapLayers()) == len(after)
    assert root.findLayer(layer.id()).itemVisibilityChecked()


def test_polygons_rise_above_the_rasters(make_layer: Any, project: QgsProject) -> None:
    for name in ("new", "B", "C"):
        project.addMapLayer(make_layer(name))
    (layer,) = project.mapLayersByName("new")
    place_in_layer_tree(layer, project, shown=False)
    assert names(project.layerTreeRoot()) == ["new", "C", "B"]
    assert not project.layerTreeRoot().findLayer(layer.id()).itemVisibilityChecked()


def test_categories_are_unfolded_for_the_list_of_layers_to_notice(
    make_layer: Any, project: QgsProject
) -> None:
    layer = project.addMapLayer(make_layer("new"))
    node = project.layerTreeRoot().findLayer(layer.id())
    assert node.isExpanded(), "though QGIS draws it folded"
    seen: list[bool] = []
    node.expandedChanged.connect(lambda _, expanded: seen.append(expanded))
    show_legend(layer, project)
    assert seen[-1:] == [True]
    show_legend(make_layer("nowhere"), project)


def test_groups_are_kept(make_layer: Any, project: QgsProject) -> None:
    root = project.layerTreeRoot()
    scenes = root.addGroup("scenes")
    results = root.addGroup("results")
    for group, name in ((scenes, "B"), (results, "a"), (root, "top")):
        group.addLayer(project.addMapLayer(make_layer(name), False))
    layers = [project.addMapLayer(make_layer(name), False) for name in ("NEW", "NEWER")]
    results.insertLayer(0, layers[0])
    root.insertLayer(3, layers[1])
    for layer in layers:
        place_in_layer_tree(layer, project)
    assert names(results) == ["a", "NEW"]
    assert names(root) == ["NEWER", "scenes", "results", "top"]


def test_a_layer_that_is_not_in_the_list_is_left_alone(
    make_layer: Any, project: QgsProject
) -> None:
    layer = project.addMapLayer(make_layer("NEW"), False)
    place_in_layer_tree(layer, project)
    assert names(project.layerTreeRoot()) == []


@pytest.mark.parametrize("desktop", [None, Desktop()], ids=["script", "window"])
def test_a_scene_does_not_hide_its_annotations_and_they_come_with_their_form(
    desktop: Desktop | None, tmp_path: Path, project: QgsProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    import processing

    monkeypatch.setattr("qgis.utils.iface", desktop)
    files = {  # QGIS calls layers by their file or by their label, as the user likes
        "ANNOTATIONS": "Annotations.gpkg",
        "OUTPUT": "Scene.tif",
        "TEST_AOI": "Test area.gpkg",
        "TRAINING_AOI": "Training area.gpkg",
    }
    where = {name: str(tmp_path / file) for name, file in files.items()}
    processing.runAndLoadResults("deepseg:demoscene", {"SIZE": 256, **where})
    found = names(project.layerTreeRoot())
    assert sorted(found) == ["Annotations", "Scene", "Test area", "Training area"]
    assert found[-1] == "Scene"
    (annotations,) = project.mapLayersByName("Annotations")
    index = annotations.fields().lookupField("category")
    assert annotations.editorWidgetSetup(index).type() == "ValueMap"
    assert annotations.editorWidgetSetup(annotations.fields().lookupField("fid")).type() == "Hidden"
    in_editing = [each for each in project.mapLayers().values() if is_edited(each)]
    assert in_editing == ([annotations] if desktop else [])
    assert desktop is None or desktop.active is annotations
    annotations.rollBack()


def is_edited(layer: Any) -> bool:
    return isinstance(layer, QgsVectorLayer) and layer.isEditable()
