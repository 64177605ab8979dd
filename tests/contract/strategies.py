"""Hypothesis strategies for whatever the contract's dataclasses hold."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = {
    int: st.integers(-(2**40), 2**40),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    str: TEXT,
    Any: st.one_of(st.none(), st.booleans(), st.integers(), TEXT),
}


def any_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for an annotated type."""
    if kind in SCALARS:
        return SCALARS[kind]
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        assert isinstance(kind, type)
        return st.builds(kind, **{each.name: any_of(hints[each.name]) for each in fields(kind)})
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Union:
        return st.one_of(*(st.none() if each is type(None) else any_of(each) for each in arguments))
    if origin is tuple:
        return st.lists(any_of(arguments[0]), max_size=3).map(tuple)
    assert origin is dict
    return st.dictionaries(TEXT, any_of(arguments[1]), max_size=3)
