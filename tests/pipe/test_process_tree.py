"""A process yields with what it starts; what cannot be tried is laid out as Windows wants it."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import pytest
from deepseg_qgis.processing.engine import process_tree
from deepseg_qgis.processing.engine.process_tree import ProcessTree


@pytest.mark.skipif(sys.maxsize < 2**32, reason="the layout of 64-bit systems")
def test_the_limits_of_a_job_are_laid_out_as_in_winnt() -> None:
    limits = type(process_tree._extended_limits())
    assert ctypes.sizeof(limits) == 144
    assert limits.LimitFlags.offset == 16
    assert limits.IoInfo.offset == 64
    assert limits.ProcessMemoryLimit.offset == 112


@pytest.mark.skipif(os.name != "posix", reason="niceness is POSIX's")
@pytest.mark.parametrize("yielding", [False, True])
def test_a_program_yields_with_all_that_it_starts(yielding: bool, tmp_path: Path) -> None:
    grandchild = [sys.executable, "-c", "import os, time; time.sleep(0.2); print(os.nice(0))"]
    code = f"import subprocess; subprocess.run({grandchild!r})"
    command = [sys.executable, "-c", code]
    with ProcessTree(command, os.environ, str(tmp_path), yielding=yielding) as tree:
        assert tree.process.stdout is not None
        niceness = int(tree.process.stdout.readline())
        tree.process.stdout.close()
        assert tree.process.stderr is not None
        tree.process.stderr.close()
    assert niceness == (process_tree.NICENESS if yielding else os.nice(0))
