"""Objects of a region from decided cores: told apart where that is wanted, with their outlines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.instances.splitter import Splitter
from deepseg_qgis.engine.instances.watershed import by_class, instances_of
from deepseg_qgis.engine.legend.legend import InstanceRule
from deepseg_qgis.engine.vectorising.blocks import Pixels
from deepseg_qgis.engine.vectorising.components import Components
from deepseg_qgis.engine.vectorising.objects import PolygonOptions
from deepseg_qgis.engine.vectorising.vectoriser import Vectoriser


class Finder(AbstractContextManager["Finder"]):
    """Finds the objects of a region, whose cores come row by row of a complete grid.

    Objects are the 4-connected parts of a class. With an ``instance_rule``, parts of countable
    categories are split by their heights, and what has fewer pixels than ``least_px`` is no object.
    What comes out is the same whatever the grid. A context manager; see `Splitter` and `Vectoriser`
    for memory and errors.
    """

    def __init__(
        self, region: Window, instance_rule: InstanceRule | None, options: PolygonOptions
    ) -> None:
        self._stack = ExitStack()
        self._instance_rule = instance_rule
        self.left_out = 0
        """How many objects were smaller than their category's least size, so far."""
        self._splitter: Splitter | None = None
        if instance_rule and any(instance_rule.depths):
            self._splitter = self._stack.enter_context(Splitter(region, instance_rule.depths))
        self._vectoriser = self._stack.enter_context(Vectoriser(region, options))

    @property
    def cut_objects(self) -> int:
        """How many objects were so large that they were cut along the lattice."""
        return self._vectoriser.cut_objects

    def add(
        self,
        core: Window,
        classes: Pixels | None,
        probabilities: Pixels | None,
        heights: Pixels | None = None,
    ) -> Iterator[Components]:
        """Take the next core; yield the objects that are complete now, some at a time.

        The iterator must be read to its end before the next core comes.

        Args:
            core: the next of the grid, row by row.
            classes: (rows, columns), 0 for background; None where all is.
            probabilities: (rows, columns), of each pixel's class, in 1/255.
            heights: (rows, columns), high in the middle of an object; only for telling apart.
        """
        if self._splitter is None:
            yield self._large(self._vectoriser.add(core, classes, probabilities))
            return
        for part in self._splitter.add(core, classes, probabilities, heights):
            found = self._vectoriser.add(part.core, part.classes, part.probabilities)
            categories = self._splitter.categories[found.classes]  # instead of slots
            yield self._large(replace(found, classes=categories))

    def check_complete(self) -> None:
        """Check, after the last core, that every pixel of every class was in an object.

        Raises:
            DeepSegError: it was not, which would be a fault of this package.
        """
        if self._splitter is not None:
            self._splitter.check_complete()
        self._vectoriser.check_complete()

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def _large(self, objects: Components) -> Components:
        """Return objects with those that are too small left out."""
        if self._instance_rule is None:
            return objects
        large = objects.sizes_px >= by_class(self._instance_rule.least_px)[objects.classes]
        self.left_out += int((~large).sum())
        return objects if large.all() else objects.chosen(np.flatnonzero(large))


def instances_at_once(
    classes: Pixels, heights: Pixels, instance_rule: InstanceRule
) -> NDArray[np.int32]:
    """Return the number of each pixel's object, 0 for none, of maps at hand as a whole.

    Only categories that have a depth have any. Numbers are as in `watershed.instances_of`; those of
    objects that are too small are left out.
    """
    labels = instances_of(classes, heights, instance_rule.depths)
    sizes = np.bincount(labels.ravel())
    large = sizes[labels] >= by_class(instance_rule.least_px)[classes]
    return np.where(large, labels, np.int32(0))


def objects_at_once(
    maps: tuple[Pixels, Pixels, NDArray[np.uint8] | None],
    region: Window,
    instance_rule: InstanceRule | None,
) -> Components:
    """Return the objects of classes, probabilities and heights at hand as a whole, by first pixel.

    ``maps`` are (rows, columns) each, as `Finder.add` takes them; outlines are exact.
    """
    with Finder(region, instance_rule, PolygonOptions()) as finder:
        (found,) = finder.add(region, *maps)  # a complete grid of one core
        finder.check_complete()
    return found.chosen(np.lexsort((found.first_columns, found.first_rows)))
