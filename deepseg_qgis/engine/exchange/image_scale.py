"""Whether a picture is another one in a different resolution. No I/O."""

from __future__ import annotations

LARGEST_SCALE = 8.0
"""Pictures are not enlarged more than that for annotation."""

Size = tuple[int, int]


def scale_of(one: Size, other: Size) -> tuple[float, float] | None:
    """Return what takes pixel coordinates of a picture to the other; None if it is another picture.

    Sizes are (width, height). The sides' ratio must agree, as far as it can where the smaller
    picture's sides were rounded: up to a pixel.

    >>> scale_of((150, 100), (300, 200)), scale_of((61, 40), (60, 40))
    ((2.0, 2.0), None)
    """
    if min(*one, *other) <= 0 or max(one[0] / other[0], one[1] / other[1]) > LARGEST_SCALE:
        return None
    if one == other:
        return 1.0, 1.0
    small, large = (one, other) if one[0] < other[0] else (other, one)
    if small[0] >= large[0] or small[1] >= large[1]:
        return None
    by_width = abs(large[1] * small[0] / large[0] - small[1])
    by_height = abs(large[0] * small[1] / large[1] - small[0])
    if min(by_width, by_height) > 1.0:
        return None
    return other[0] / one[0], other[1] / one[1]
