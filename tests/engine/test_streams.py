"""Stages in threads: in order, bounded, and gone when nobody wants them."""

import threading

import pytest

from deepseg_qgis.engine.streams import ahead


def counted(most, made, closed):
    try:
        for number in range(most):
            made.append(number)
            yield number
    finally:
        closed.append(True)


def test_items_come_in_order_and_the_source_is_closed():
    made, closed = [], []
    assert list(ahead(counted(50, made, closed), 2, "stage")) == list(range(50))
    assert closed == [True]


def test_no_more_than_the_line_holds_is_made_ahead():
    made, closed = [], []
    stage = ahead(counted(50, made, closed), 2, "stage")
    assert next(stage) == 0
    for _ in range(100):
        if len(made) > 4:
            break
        threading.Event().wait(0.001)
    assert len(made) <= 4
    stage.close()
    assert closed == [True]
    assert not [thread for thread in threading.enumerate() if thread.name == "stage"]


def test_errors_come_out_as_they_are():
    def failing():
        yield 1
        raise KeyError("the source")

    stage = ahead(failing(), 2, "stage")
    assert next(stage) == 1
    with pytest.raises(KeyError, match="the source"):
        next(stage)


def test_stages_can_stand_one_behind_the_other():
    made, closed = [], []

    def doubled(items):
        for item in items:
            yield 2 * item

    inner = ahead(counted(1000, made, closed), 2, "inner")
    outer = ahead(doubled(inner), 2, "outer")
    assert [next(outer) for _ in range(3)] == [0, 2, 4]
    outer.close()
    inner.close()
    assert closed == [True]
