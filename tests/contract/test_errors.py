"""Errors keep their kind on the way, and the tree that is drawn is the tree that is."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from deepseg_qgis import errors
from deepseg_qgis.errors import DeepSegError


def every(kind: type[DeepSegError]) -> list[type[DeepSegError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in every(child))]


@pytest.mark.parametrize("kind", every(DeepSegError))
def test_an_error_is_found_by_its_name(kind: type[DeepSegError]) -> None:
    error = errors.by_name(kind.__name__, "what to do")
    assert type(error) is kind
    assert str(error) == "what to do"


@pytest.mark.parametrize("name", ["", "ValueError", "SystemExit", "by_name", "Exception"])
def test_unknown_kinds_become_the_root(name: str) -> None:
    assert type(errors.by_name(name, "m")) is DeepSegError


def test_the_tree_in_the_docstring_is_right() -> None:
    assert errors.__doc__ is not None
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__)) | {"DeepSegError"}
    assert drawn == {kind.__name__ for kind in every(DeepSegError)}


def test_of_very_many_names_a_message_lists_the_first() -> None:
    names = [str(number) for number in range(23)]
    assert errors.listed(names[:2]) == "'0', '1'"
    assert errors.listed(names[:20]).endswith(", '19'")
    assert errors.listed(names).endswith(", '19' and 3 more")


def test_what_is_counted_has_the_right_form() -> None:
    assert errors.counted(0, "polygon") == "0 polygons"
    assert errors.counted(1, "polygon") == "1 polygon"
    assert errors.counted(2_000, "category", "categories") == "2,000 categories"
    assert errors.counted(1, "category", "categories") == "1 category"


def test_python39_has_them_too(in_python39: Callable[..., str]) -> None:
    program = (
        "from deepseg_qgis.errors import by_name; print(type(by_name('Stopped', '')).__name__)"
    )
    assert in_python39(program) == "Stopped\n"
