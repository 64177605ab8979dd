"""Which values of label rasters are no category: void, as other programs mark what is not labelled.

A code is what `label_rasters` makes of a pixel's value. No I/O.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

HIGHEST = (127, 255, 32767, 65535, 2**31 - 1, 2**32 - 1, 2**63 - 1)
"""The highest numbers of the whole types: 255 is void in Cityscapes, PASCAL VOC and many others."""
SMALL = 63
"""Classes up to this number are counted one by one; above, they may be steps of grey."""
STEP = 1.5
"""Grey levels have equal steps: the highest is one of them if its step is at most so much wider."""

Codes = NDArray[np.int64]


def void_codes(codes: Codes, named: Collection[int], *, binary: bool) -> list[int]:
    """Return which of the codes (in order, without 0) mark what is not labelled.

    Those are negative numbers, and the highest number of a type where the others are small or
    stand close together. What has a name is a category; so is the only code there is, unless it is
    negative and the values were not said to be ``binary``.

    >>> void_codes(np.array([-1, 1, 2, 255]), [], binary=False)
    [-1, 255]
    >>> void_codes(np.array([127, 255]), [], binary=False)
    []
    """
    unnamed = [code for code in codes.tolist() if code not in named]
    if binary and len(codes) == 1:
        return []
    void = [code for code in unnamed if code < 0]
    positive = [code for code in codes.tolist() if code > 0]
    if len(positive) > 1 and positive[-1] in HIGHEST and positive[-1] in unnamed:
        others = np.array([0, *positive[:-1]], dtype=np.int64)
        apart = positive[-1] - others[-1] > STEP * np.diff(others).max()
        if apart and (others[-1] <= SMALL or len(others) > 3):
            void.append(positive[-1])
    return void


def as_grey(codes: Codes) -> Codes:
    """Return the values of codes of red, green and blue that are all grey; else the codes."""
    red, green, blue = codes >> 16, (codes >> 8) & 0xFF, codes & 0xFF
    return blue if len(codes) and bool(((red == green) & (green == blue)).all()) else codes
