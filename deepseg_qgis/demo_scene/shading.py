"""How roofs, crowns, roads and crops catch the light. No I/O.

Each function takes ``pixels`` (flat indexes into a window, shape (n,)) and returns for each a
brightness: what to add to it, or for crowns a factor. ``owners`` (n,) has the row of ``parameters``
that each pixel shows; `deepseg_qgis.demo_scene.layers.PARAMETER_COUNTS` says what is in a row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.demo_scene.lattice import Line
from deepseg_qgis.engine.geometry.tiling import Window

Brightness = NDArray[np.float32]
Indexes = NDArray[np.int64]

TO_SUN = np.array([-0.87, -0.5])
RIDGE_PX = 1.1
WALL_PX, WALL_SHADE = 1.2, 1.0
"""Walls between the houses of a row show as a dark line, some 60 cm wide with its shade."""
TRAMLINE_ROWS = 9
"""Every so many rows a tractor has left its tracks."""
DASH_PX = 48
"""A dash and a gap of a road's middle line."""


def roof_light(
    parameters: NDArray[np.float64], pixels: Indexes, owners: Indexes, window: Window
) -> Brightness:
    """Return the light on roofs: bright halves and dark halves, ridges, rows of tiles and walls.

    A roof of two wings is where either of them is higher.
    """
    x, y = _places(pixels, window)
    slope = parameters[owners, 14].astype(np.float32)
    first, light = _wing(_local(parameters[:, :7], window)[owners], x, y)
    second, other = _wing(_local(parameters[:, 7:14], window)[owners], x, y)
    light = np.where(second > first, other, light)
    height = np.maximum(first, second)
    tiles = np.float32(0.03) * np.sin(height * np.float32(1.9))
    gutter = np.float32(-0.07) * (height < 1.0)
    return np.asarray(light * slope + tiles + gutter, dtype=np.float32)


def crown_light(
    parameters: NDArray[np.float64], pixels: Indexes, owners: Indexes, window: Window
) -> Brightness:
    """Return the factor of light on crowns, as on half balls."""
    x, y = _places(pixels, window)
    crowns = _local(parameters, window)[owners]
    right, down = (x - crowns[:, 0]) / crowns[:, 2], (y - crowns[:, 1]) / crowns[:, 2]
    up = np.sqrt(np.maximum(0.0, 1.0 - right * right - down * down))
    towards = right * np.float32(TO_SUN[0]) + down * np.float32(TO_SUN[1])
    return np.asarray(0.66 + 0.36 * up + 0.34 * towards, dtype=np.float32)


def row_light(
    parameters: NDArray[np.float64],
    pixels: Indexes,
    owners: Indexes,
    window: Window,
    wobble: Brightness,
) -> Brightness:
    """Return the light on the rows of fields; ``wobble`` (n,) bends and fades them."""
    x, y = _places(pixels, window)
    across, distance = parameters[:, :2], parameters[:, 2]
    # counted in rows from the world's origin, less a whole number to stay exact in float32
    origin = (across @ np.array([window.column, window.row])) / distance % TRAMLINE_ROWS
    table = np.column_stack([across / distance[:, None], origin, parameters[:, 3]]).astype(
        np.float32
    )
    right, down, start, strength = table[owners].T
    row = x * right + y * down + start + wobble * np.float32(0.12)
    waves = np.sin(row * np.float32(2.0 * np.pi)) * (strength * (1.0 + 0.35 * wobble))
    tracks = np.abs(row % TRAMLINE_ROWS - np.float32(1.0)) < 0.4
    return np.asarray(waves - np.float32(0.09) * tracks, dtype=np.float32)


def road_light(line: Line, pixels: Indexes, window: Window) -> Brightness:
    """Return the light on a road (tracks, kerbs, a dashed middle line) or on a river's edges."""
    x, y = _places(pixels, window)
    along, across = (y, x) if line.vertical else (x, y)
    start, length = (window.row, window.height) if line.vertical else (window.column, window.width)
    places = np.arange(start, start + length, dtype=np.float64) + 0.5
    origin = window.column if line.vertical else window.row
    middle = (line.at(places) - origin).astype(np.float32)
    straight = (1.0 / np.hypot(1.0, line.slope(places))).astype(np.float32)
    step = along.astype(np.int64)
    off = np.abs((across - middle[step]) * straight[step])
    if line.river:
        return np.asarray(0.16 * (off / np.float32(line.half_width)) ** 4, dtype=np.float32)
    kerb = off > line.half_width - 2.2
    tracks = np.exp(-((off / np.float32(line.half_width) - 0.42) ** 2) / 0.02)
    if not line.paved:
        return np.asarray(0.05 * tracks - 0.07 * kerb - 0.08 * (off < 2.0), dtype=np.float32)
    dash = (off < 0.9) & (places[step] % DASH_PX < DASH_PX / 2)
    return np.asarray(0.11 * kerb - 0.05 * tracks + 0.42 * dash, dtype=np.float32)


def _places(pixels: Indexes, window: Window) -> tuple[Brightness, Brightness]:
    """Return x and y of pixels' centres, counted from the window's corner."""
    row, column = np.divmod(pixels, window.width)
    return column.astype(np.float32) + np.float32(0.5), row.astype(np.float32) + np.float32(0.5)


def _local(parameters: NDArray[np.float64], window: Window) -> NDArray[np.float32]:
    """Return parameters whose first two, x and y, count from the window's corner."""
    local = parameters.copy()
    local[:, :2] -= [window.column, window.row]
    return np.asarray(local, dtype=np.float32)


def _wing(wing: NDArray[np.float32], x: Brightness, y: Brightness) -> tuple[Brightness, Brightness]:
    """Return the height of a wing's roof above its eaves (px at 45°; -1 outside) and its light."""
    centre_x, centre_y, ridge_x, ridge_y, length, width, hipped = wing.T
    right, down = x - centre_x, y - centre_y
    along = right * ridge_x + down * ridge_y
    across = down * ridge_x - right * ridge_y
    sun_along = ridge_x * np.float32(TO_SUN[0]) + ridge_y * np.float32(TO_SUN[1])
    sun_across = ridge_x * np.float32(TO_SUN[1]) - ridge_y * np.float32(TO_SUN[0])
    height = width - np.abs(across)
    light = np.clip(across / np.float32(RIDGE_PX), -1.0, 1.0) * sun_across
    end = length - np.abs(along)
    light = light - np.float32(WALL_SHADE) * (end < WALL_PX) * (hipped == 0)
    hip = (hipped > 0) & (end < height)
    height, light = np.where(hip, end, height), np.where(hip, np.sign(along) * sun_along, light)
    return np.where(end < -0.7, np.float32(-1.0), height), light
