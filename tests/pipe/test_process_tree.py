"""What cannot be tried here is at least laid out as Windows wants it."""

from __future__ import annotations

import ctypes
import sys

import pytest
from deepseg_qgis.processing import process_tree


@pytest.mark.skipif(sys.maxsize < 2**32, reason="the layout of 64-bit systems")
def test_the_limits_of_a_job_are_laid_out_as_in_winnt() -> None:
    limits = type(process_tree._extended_limits())
    assert ctypes.sizeof(limits) == 144
    assert limits.LimitFlags.offset == 16
    assert limits.IoInfo.offset == 64
    assert limits.ProcessMemoryLimit.offset == 112
