"""Bounds and choices: what both sides read."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from deepseg_qgis import bounds, choices
from deepseg_qgis.bounds import Bounds

ALL = [(name, each) for name, each in vars(bounds).items() if isinstance(each, Bounds)]
CHOICES = [(name, each) for name, each in vars(choices).items() if isinstance(each, tuple)]


def test_bounds_are_included() -> None:
    fraction = Bounds(0.0, 1.0)
    assert 0.0 in fraction
    assert 1.0 in fraction
    assert -1e-9 not in fraction
    assert 1.0 + 1e-9 not in fraction


def test_a_side_that_is_not_given_is_open() -> None:
    assert 10**9 in Bounds(1)
    assert 0 not in Bounds(1)
    assert -(10**9) in Bounds(most=0)


def test_not_a_number_is_within_no_bounds() -> None:
    assert math.nan not in Bounds()


@pytest.mark.parametrize(("name", "each"), ALL)
def test_each_lets_something_through(name: str, each: Bounds) -> None:
    assert each.least < each.most, name


@pytest.mark.parametrize(("name", "words"), CHOICES)
def test_each_word_stands_once_and_auto_first(name: str, words: tuple[str, ...]) -> None:
    assert len(set(words)) == len(words), name
    assert "auto" not in words[1:], name


def test_tiles_of_networks_have_sides_in_steps() -> None:
    for size in (bounds.TILE_SIZE_PX, bounds.PREDICTION_TILE_SIZE_PX):
        assert size.least % bounds.TILE_SIZE_STEP_PX == 0
    assert bounds.TILE_SIZE_PX.most % bounds.TILE_SIZE_STEP_PX == 0


def test_python39_reads_them(in_python39: Callable[..., str]) -> None:
    program = (
        "from deepseg_qgis import bounds, choices\n"
        "print(8192 in bounds.TILE_SIZE_PX, 8193 in bounds.TILE_SIZE_PX, *choices.TASKS)"
    )
    assert in_python39(program) == "True False auto semantic instance panoptic\n"
