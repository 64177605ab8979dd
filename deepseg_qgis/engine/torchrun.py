"""Which of the processes that torchrun started this one is."""

from __future__ import annotations

import os
from typing import NamedTuple


class ProcessPlace(NamedTuple):
    """Number ``rank`` of ``size`` processes, and ``local_rank`` of those on this computer."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def follows(self) -> bool:
        """Whether another process, the first one, says what to do."""
        return self.rank > 0


def process_place() -> ProcessPlace:
    """Return this process's place; a process that torchrun did not start is alone.

    Cluster software sets variables of the same names, so torchrun's own one is asked for, too.
    """
    variables = os.environ
    if "TORCHELASTIC_RUN_ID" not in variables:
        return ProcessPlace()
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    return ProcessPlace(*(int(variables[name]) for name in names))
