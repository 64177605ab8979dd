"""Events are one line each, whatever they hold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseg_qgis import events
from deepseg_qgis.errors import ContractError
from tests.contract.strategies import any_of

KINDS = (
    events.Hello,
    events.Progress,
    events.Log,
    events.Epoch,
    events.Result,
    events.Error,
)


@given(st.one_of(*map(any_of, KINDS)))
def test_an_event_comes_out_as_it_went_in(event: events.Event) -> None:
    assert events.decode(events.encode(event)) == event


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_an_event_is_one_line(text: str) -> None:
    assert b"\n" not in events.encode(events.Log(text)).encode("utf-8")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_travel_as_nothing(number: float) -> None:
    values = {"map": number, "each": [1.0, number], "deep": {"a": (number, "b")}}
    event = events.decode(events.encode(events.Result(values)))
    assert event == events.Result({"map": None, "each": [1.0, None], "deep": {"a": [None, "b"]}})


def test_what_a_newer_engine_adds_is_overlooked() -> None:
    line = json.dumps({"event": "log", "text": "a", "level": "info", "colour": "red"})
    assert events.decode(line) == events.Log("a")


@pytest.mark.parametrize(
    "line", ["", "hello", "{}", "[1]", "null", '{"event": "cry"}', '{"event": "log"}', '{"event":']
)
def test_anything_else_is_refused(line: str) -> None:
    with pytest.raises(ContractError, match="Set up the engine"):
        events.decode(line)


def test_python39_reads_and_writes_the_same(in_python39: Callable[..., str]) -> None:
    scores, ious = {"Straße": None, "b": 0.5}, {"Straße": 0.5, "b": None}
    event = events.Epoch(1, 20, 0.5, None, 0.25, scores, ious, 1e-3, 2.5, True)
    program = (
        "from deepseg_qgis import events\n"
        "print(ascii(events.encode(events.decode(sys.argv[1]))), end='')"
    )
    assert events.decode(eval(in_python39(program, events.encode(event)))) == event
