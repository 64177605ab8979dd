"""What the training of an initial model left: categories, matched by their names, and ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from deepseg_qgis.engine.annotations.continued_split import EarlierGround
from deepseg_qgis.engine.annotations.footprint_area import Footprint, footprint_area
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.legend.legend import PLAIN_COLOUR, Category, InstanceRule
from deepseg_qgis.errors import listed


@dataclass(frozen=True)
class EarlierTraining:
    """What a training before this one has left; nothing, where there was none.

    ``countable`` says of each of the ``categories`` whether it is countable;
    ``trained`` and ``validated`` are where it was trained and validated, on any raster;
    ``rule`` is what tells objects apart, in heights smoothed by ``smoothing_px``, None for neither.
    """

    categories: tuple[Category, ...] = ()
    countable: tuple[bool, ...] = ()
    trained: Footprint = ()
    validated: Footprint = ()
    rule: InstanceRule | None = None
    smoothing_px: float | None = None

    def instance_rule(self, names: Sequence[str]) -> InstanceRule | None:
        """Return the rule for categories of these names; depths of new ones are 0."""
        if self.rule is None:
            return None
        depths, least_px = (*self.rule.depths, 0), (*self.rule.least_px, 0)
        numbers = [-1 if source is None else source for source in self.sources(names)]
        return InstanceRule(
            tuple(depths[number] for number in numbers),
            tuple(least_px[number] for number in numbers),
        )

    def ground(self, raster: Raster) -> EarlierGround:
        """Return where on a raster it was trained and validated."""
        validated = footprint_area(self.validated, raster)
        return EarlierGround(footprint_area(self.trained, raster).without(validated), validated)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the categories."""
        return tuple(each.name for each in self.categories)

    def sources(self, names: Sequence[str]) -> tuple[int | None, ...]:
        """Return for each name which of the known categories it is, None for a new one.

        Where one name is gone and one is new, the category was renamed. Should it be another one
        after all, no more is lost than its head start.
        """
        known = {name: number for number, name in enumerate(self.names)}
        new, gone = [each for each in names if each not in known], set(self.names) - set(names)
        if len(new) == len(gone) == 1:
            known[new[0]] = known[gone.pop()]
        return tuple(known.get(name) for name in names)

    def is_countable(self, name: str, names: Sequence[str]) -> bool | None:
        """Return whether one of ``names`` was countable; None if it is new."""
        source = self.sources(names)[names.index(name)]
        return None if source is None else self.countable[source]

    def coloured(self, category: Category) -> Category:
        """Return a category in its known colour, if the layer gives it none."""
        colours = {each.name: each.colour for each in self.categories}
        if category.colour != PLAIN_COLOUR:
            return category
        return replace(category, colour=colours.get(category.name, category.colour))

    def log(self, names: Sequence[str], control: Control) -> None:
        """Tell what becomes of the known categories."""
        sources = self.sources(names)
        pairs = list(zip(names, sources, strict=True))
        stay = [name for name, source in pairs if name in self.names]
        renamed = [
            f"'{self.names[source]}' is now '{name}'"
            for name, source in pairs
            if source is not None and name not in self.names
        ]
        new = [name for name, source in pairs if source is None]
        gone = [name for i, name in enumerate(self.names) if i not in sources]
        facts = {
            "known": listed(stay),
            "renamed": ", ".join(renamed),
            "new": listed(new),
        }
        text = "; ".join(f"{what}: {which}" for what, which in facts.items() if which)
        control.log(f"Categories of the initial model: {text}.")
        if gone:
            control.warn(
                f"The annotations have no {listed(gone)}, so the new model will not find it. To "
                "keep a category of the initial model, keep at least one polygon of it in the "
                "layer; it may lie outside of the area of interest."
            )
