"""Reading ahead in a thread of its own."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

AHEAD = 2

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item]
) -> Generator[Result, None, None]:
    """Yield ``read`` of each item in order, read by another thread a few items ahead.

    The thread ends when the generator is exhausted or closed; its errors come out as they are.
    """
    waiting = iter(items)
    pool = ThreadPoolExecutor(1, thread_name_prefix="reader")
    try:
        pending = deque(pool.submit(read, item) for item in itertools.islice(waiting, AHEAD))
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(read, item) for item in itertools.islice(waiting, 1))
            yield result
            del result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
