"""Where new layers stand in the list of layers: what is transparent above what is not.

QGIS adds the results of an algorithm in the order of their file names, so that a raster may hide
the polygons that were found on it.
"""

from __future__ import annotations

from qgis.core import (
    QgsLayerTreeGroup,
    QgsLayerTreeLayer,
    QgsLayerTreeNode,
    QgsMapLayer,
    QgsProject,
    QgsRasterLayer,
)


def place_in_layer_tree(layer: QgsMapLayer, project: QgsProject, *, shown: bool = True) -> None:
    """Move a new layer to its place in its group: polygons above the rasters, a raster below them.

    A raster stands above the other rasters, so that the one it was made from does not hide it. If
    not ``shown``, its box is not ticked.
    """
    node = project.layerTreeRoot().findLayer(layer.id())
    if node is None:  # a script adds it later, where it likes
        return
    node.setItemVisibilityChecked(shown)
    group = node.parent()
    assert isinstance(group, QgsLayerTreeGroup)  # nothing else holds layers
    siblings = [child for child in group.children() if not _is_of(child, layer)]
    rasters = (i for i, child in enumerate(siblings) if _holds_raster(child))
    first = next(rasters, len(siblings))
    now = [_is_of(child, layer) for child in group.children()].index(True)
    if now == first or (now < first and not isinstance(layer, QgsRasterLayer)):
        return
    # the copy comes first: a layer that is nowhere in the list leaves the project
    group.insertChildNode(first + (now < first), node.clone())
    group.removeChildNode(node)


def show_legend(layer: QgsMapLayer, project: QgsProject) -> None:
    """Show a new layer's categories in the list of layers."""
    node = project.layerTreeRoot().findLayer(layer.id())
    if node is not None:
        # QGIS draws the layer folded, since it had no categories yet, but holds it for unfolded
        node.setExpanded(False)
        node.setExpanded(True)


def _is_of(node: QgsLayerTreeNode, layer: QgsMapLayer) -> bool:
    return isinstance(node, QgsLayerTreeLayer) and node.layerId() == layer.id()


def _holds_raster(node: QgsLayerTreeNode) -> bool:
    nodes = node.findLayers() if isinstance(node, QgsLayerTreeGroup) else [node]
    layers = [each.layer() for each in nodes if isinstance(each, QgsLayerTreeLayer)]
    return any(isinstance(layer, QgsRasterLayer) for layer in layers)
