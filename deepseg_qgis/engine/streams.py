"""Stages of a pipeline, each in a thread of its own, with a bounded line in between."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

Item = TypeVar("Item")

GLANCE_S = 0.1
"""How often a stage that waits for room looks whether anybody still wants its work."""


@dataclass(frozen=True)
class _End:
    """The last thing in a line: the stage is done, or failed."""

    error: BaseException | None = None


def ahead(items: Generator[Item, None, None], depth: int, name: str) -> Generator[Item, None, None]:
    """Yield what a generator yields, made by a thread up to ``depth`` items ahead.

    What the generator raises comes out as it is. The thread has ended, and the generator is closed,
    once this one is exhausted, closed, or has raised.
    """
    line: queue.Queue[Any] = queue.Queue(depth)
    unwanted = threading.Event()
    thread = threading.Thread(target=_work, args=(items, line, unwanted), name=name, daemon=True)
    thread.start()
    try:
        while not isinstance(item := line.get(), _End):
            yield item
            del item  # nothing is held while the next one is waited for
        if item.error is not None:
            raise item.error
    finally:
        unwanted.set()
        thread.join()


def _work(
    items: Generator[Any, None, None], line: queue.Queue[Any], unwanted: threading.Event
) -> None:
    end = _End()
    try:
        with contextlib.closing(items):
            for item in items:
                if not _put(line, item, unwanted):
                    return
    except BaseException as error:  # noqa: BLE001 - it is raised where the items are used
        end = _End(error)
    _put(line, end, unwanted)


def _put(line: queue.Queue[Any], item: Any, unwanted: threading.Event) -> bool:
    """Put an item into the line as soon as there is room; return False if nobody wants it."""
    while not unwanted.is_set():
        with contextlib.suppress(queue.Full):
            line.put(item, timeout=GLANCE_S)
            return True
    return False
