"""How numba compiles the engine's inner loops: one decorator, typed, for all packages.

Kernels run without the interpreter's lock, and their machine code is kept beside the module or in
the user's cache folder. numba ignores their annotations; mypy reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile a function at its first call with each combination of argument types."""
    return cast("Function", njit(cache=True, nogil=True)(function))


def inlined(function: Function) -> Function:
    """Compile a small function into each kernel that calls it."""
    return cast("Function", njit(cache=True, nogil=True, inline="always")(function))
