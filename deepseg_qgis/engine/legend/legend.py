"""A legend: what the numbers in a class map mean, and how planes become classes. No I/O.

A model's card, a raster of predictions or a method without any model can each fill one. This is the
lowest floor of the engine: it imports the standard library and the contract alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from deepseg_qgis.bounds import THRESHOLD
from deepseg_qgis.errors import ParameterError

MOST_CATEGORIES = 254
"""Classes are stored in a byte, and 0 is background."""
LONGEST_NAME = 1000
"""Of a category, in characters."""
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
"""Of a category."""
PLAIN_COLOUR = "#808080"
OBJECT_PLANES = ("height", "certainty")
"""What is said of each pixel where objects are told apart, behind the probabilities."""


@dataclass(frozen=True)
class Category:
    """A category and the colour (``#rrggbb``) it is drawn in."""

    name: str
    colour: str


@dataclass(frozen=True)
class InstanceRule:
    """What an object of each category is; one entry for each.

    ``depths`` says how far (in 1/255) the height of an object must stand out where it touches
    another one, 0 for categories that are not countable: their objects are connected areas.
    ``least_px`` says how many pixels an object has at least.
    """

    depths: tuple[int, ...]
    least_px: tuple[int, ...]


@dataclass(frozen=True)
class Legend:
    """The categories of a class map, class 1 first, and how they are decided.

    ``thresholds`` are from 0 to 1, one for each category; without an ``instance_rule`` objects are
    the connected areas of a category, however small.
    """

    categories: tuple[Category, ...]
    thresholds: tuple[float, ...]
    instance_rule: InstanceRule | None = None

    @property
    def has_objects(self) -> bool:
        """Whether objects of a category are told apart where they touch."""
        return any(self.countable)

    @property
    def countable(self) -> tuple[bool, ...]:
        """For each category, whether its objects are told apart."""
        if self.instance_rule is None:
            return (False,) * len(self.categories)
        return tuple(depth > 0 for depth in self.instance_rule.depths)

    @property
    def planes(self) -> tuple[str, ...]:
        """What is said of each pixel, in this order: first the probability of each category."""
        names = tuple(category.name for category in self.categories)
        return (*names, *OBJECT_PLANES) if self.has_objects else names

    def with_threshold(self, given: float | None) -> Legend:
        """Return it with one threshold for all categories; None leaves each its own."""
        if given is None:
            return self
        return replace(self, thresholds=(given,) * len(self.categories))


def task_of(countable: Sequence[bool]) -> str:
    """Return the task that goes with countable categories: all, some or none."""
    if all(countable):
        return "instance"
    return "panoptic" if any(countable) else "semantic"


def check_threshold(threshold: float | None) -> None:
    """Check a threshold; None stands for each category's own.

    Raises:
        ParameterError: it is out of bounds.
    """
    if threshold is not None and threshold not in THRESHOLD:
        raise ParameterError(f"The threshold must be from 0 to 1, got {threshold:g}.")
