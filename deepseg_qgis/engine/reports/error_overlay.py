"""What is right and wrong in a class map, drawn over a picture. No I/O."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ERROR_COLOURS = {
    "right": (0, 170, 200),
    "false alarm": (240, 115, 25),
    "missed": (170, 5, 130),
    "wrong category": (252, 240, 0),
}
"""What the tints of an error picture mean, as RGB. Over grey ground of any brightness they differ
from it and from each other by at least 14 (ΔE of CIE 1976), for each kind of colour-blindness."""

TINT = 0.6
"""How much of an error picture's colour covers the ground."""

ERROR_LEGEND = {
    name: f"#{red:02x}{green:02x}{blue:02x}" for name, (red, green, blue) in ERROR_COLOURS.items()
}
"""The same as ``#rrggbb``."""


def error_overlay(
    rgb: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    known: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    """Return a picture of what is right and wrong, (rows, columns, 3) uint8.

    ``rgb`` has shape (rows, columns, 3), the others (rows, columns); class 0 is background. What is
    right is tinted blue-green, a false alarm orange, what was missed magenta, a wrong category
    yellow: told apart by the colour-blind. Where nothing is known the picture is pale and grey;
    background on both sides stays as it is.
    """
    said, there, same = predicted > 0, reference > 0, predicted == reference
    picture = rgb.astype(np.float32)
    grey = picture.mean(axis=2, keepdims=True)  # (rows, columns, 1)
    picture = np.where(known[..., None], picture, 170.0 + grey / 4.0)
    outcomes = (said & same, said & ~there, ~said & there, said & there & ~same)
    for outcome, colour in zip(outcomes, ERROR_COLOURS.values(), strict=True):
        tinted = outcome & known
        # over grey ground the hue is the same everywhere
        picture[tinted] = (1.0 - TINT) * grey[tinted] + TINT * np.array(colour)
    return np.rint(picture).astype(np.uint8)
