"""Pixels of a window: polygons with their materials under light, shade and a camera. No I/O.

A pixel shows the polygon that holds its centre. Memory: about 60 bytes a pixel of the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.demo_scene.block import Block
from deepseg_qgis.demo_scene.colours import GRASS
from deepseg_qgis.demo_scene.lattice import Lattice
from deepseg_qgis.demo_scene.layers import (
    CATEGORIES,
    DETAIL,
    GROUND,
    Layer,
    Material,
    touching_bounds,
)
from deepseg_qgis.demo_scene.shading import crown_light, road_light, roof_light, row_light
from deepseg_qgis.demo_scene.textures import Textures
from deepseg_qgis.engine.geometry.areas import burnt
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.engine.geometry.tiling import Window

Image = NDArray[np.float32]

MARGIN_PX = 3
"""Blurs look so far beyond the window."""
GRASS_MATERIAL = Material(np.array(GRASS[0], dtype=np.float64), 0.055, 0.06, 0.07)
SHADE = tuple(np.float32(share) for share in (0.50, 0.46, 0.38))
"""How much darker red, green and blue are in the shade, which is lit by the blue sky."""
GAIN, HAZE = 1.1, 8.0
"""The camera's exposure, and the light that the air between adds."""
NOISE, COLOUR_NOISE = 2.6, 2.0
"""Standard deviations of the sensor's noise, from 0 to 255: in brightness, and in each band."""


@dataclass
class _Canvas:
    """A window while it is drawn.

    ``labels`` (rows, columns) is 0 for open ground, else 1 + the index in ``drawn``: the joined
    layers of all categories, those of one category from ``starts[i]`` on.
    """

    window: Window
    layers: dict[str, Layer]
    drawn: Layer = field(init=False)
    starts: NDArray[np.int64] = field(init=False)
    labels: NDArray[np.int32] = field(init=False)

    def __post_init__(self) -> None:
        layers = [self.layers[name] for name in CATEGORIES]
        polygons = np.concatenate([layer.polygons for layer in layers])
        materials = np.concatenate([layer.materials for layer in layers])
        self.drawn = Layer(polygons, materials, np.empty((len(polygons), 0)))
        self.starts = np.cumsum([0] + [len(layer) for layer in layers])
        self.labels = polygon_numbers(polygons, self.window)

    def pixels_of(self, category: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return flat indexes of a category's pixels, and which of its polygons each shows."""
        i = CATEGORIES.index(category)
        flat = self.labels.ravel()
        pixels = np.flatnonzero((flat > self.starts[i]) & (flat <= self.starts[i + 1]))
        return pixels, flat[pixels].astype(np.int64) - 1 - self.starts[i]


class Painter:
    """Draws any window of the world of a seed."""

    def __init__(self, lattice: Lattice, seed: int) -> None:
        self._lattice = lattice
        self._textures = Textures(seed)

    def paint(self, window: Window, blocks: Sequence[Block]) -> NDArray[np.uint8]:
        """Return red, green and blue of a window, shape (3, rows, columns).

        ``blocks`` are all those that may show in it.
        """
        grown = window.grown(MARGIN_PX)
        canvas = _Canvas(grown, _layers(blocks, grown))
        image, light = self._surfaces(canvas)
        self._light(canvas, light)
        detail = canvas.layers[DETAIL]
        shown = polygon_numbers(detail.polygons, grown).ravel()
        pixels = np.flatnonzero(shown)
        image.reshape(3, -1)[:, pixels] = detail.materials[shown[pixels] - 1, :3].T
        light.ravel()[pixels] = 1.0
        shade = _shade(canvas, blocks)
        for band, strength in zip(image, SHADE, strict=True):
            band *= light
            band -= band * (shade * strength)
        return self._exposed(image, window)

    def _surfaces(self, canvas: _Canvas) -> tuple[Image, Image]:
        """Return colours (3, rows, columns) and the brightness of their texture (around 1)."""
        window, ground = canvas.window, canvas.layers[GROUND]
        materials = np.concatenate(
            [GRASS_MATERIAL.row()[None], ground.materials, canvas.drawn.materials]
        )
        opacity = np.concatenate(
            [[0.0], ground.parameters[:, 0], np.ones(len(canvas.drawn))]
        ).astype(np.float32)
        index = polygon_numbers(ground.polygons, window).astype(np.intp)
        np.copyto(index, canvas.labels.astype(np.intp) + len(ground), where=canvas.labels > 0)
        image = self._grass(window)
        clear = (1.0 - opacity).take(index)
        for band, colours in zip(image, (materials[:, :3] * opacity[:, None]).T, strict=True):
            band *= clear
            band += colours.take(index)
        light = np.ones(index.shape, dtype=np.float32)
        for column, name in enumerate(("grain", "clumps", "patches"), start=3):
            light += materials[:, column].take(index) * self._textures.fine(name, window)
        return image, light

    def _grass(self, window: Window) -> Image:
        grass, dry, lush = np.array(GRASS, dtype=np.float32)
        dry_share, lush_share = self._share(0, window), self._share(1, window)
        image = np.empty((3, *dry_share.shape), dtype=np.float32)
        for i, band in enumerate(image):
            np.multiply(dry_share, dry[i] - grass[i], out=band)
            band += lush_share * (lush[i] - grass[i])
            band += grass[i]
        return image

    def _share(self, number: int, window: Window) -> Image:
        """Return how dry or lush the grass is, from 0 to 1."""
        coarse = self._textures.coarse(number, window) * 0.4
        coarse += self._textures.fine("patches", window, 500 * number + 100) * np.float32(0.16)
        return np.clip(coarse + np.float32(0.2), 0.0, 1.0, out=coarse)

    def _light(self, canvas: _Canvas, light: Image) -> None:
        """Let roofs, crowns, roads and crops catch the light, in place."""
        flat, window = light.ravel(), canvas.window
        pixels, owners = canvas.pixels_of("building")
        flat[pixels] += roof_light(canvas.layers["building"].parameters, pixels, owners, window)
        pixels, owners = canvas.pixels_of("tree")
        flat[pixels] *= crown_light(canvas.layers["tree"].parameters, pixels, owners, window)
        pixels, owners = canvas.pixels_of("field")
        wobble = self._textures.fine("patches", window, 300).ravel()
        wobble = np.ascontiguousarray(wobble)[pixels] if len(pixels) else wobble[:0]
        flat[pixels] += row_light(canvas.layers["field"].parameters, pixels, owners, window, wobble)
        for name in ("road", "water"):
            layer = canvas.layers[name]
            pixels, owners = canvas.pixels_of(name)
            keys = layer.parameters[:, 0]
            for key in np.unique(keys[np.isfinite(keys)]):
                own = pixels[(keys == key)[owners]]
                flat[own] += road_light(self._lattice.line(int(key)), own, window)

    def _exposed(self, image: Image, window: Window) -> NDArray[np.uint8]:
        """Return what a camera makes of it: slightly blurred, noisy, in whole numbers."""
        cut = MARGIN_PX - 1
        bands = np.ascontiguousarray(_blurred(image)[:, cut:-cut, cut:-cut])
        bands *= np.float32(GAIN)
        grey = self._textures.fine("noise", window, 77) * np.float32(NOISE) + np.float32(HAZE)
        for i, band in enumerate(bands):
            band += grey
            band += self._textures.fine("noise", window, 211 * (i + 1)) * np.float32(COLOUR_NOISE)
        np.rint(bands, out=bands)
        return np.clip(bands, 0.0, 255.0, out=bands).astype(np.uint8)


def polygon_numbers(geometries: Geometries, window: Window) -> NDArray[np.int32]:
    """Return 1 + the index of the polygon that holds each pixel's centre (the last), else 0."""
    return burnt(geometries, np.arange(1, len(geometries) + 1, dtype=np.int32), window)


def _layers(blocks: Sequence[Block], window: Window) -> dict[str, Layer]:
    return {
        name: Layer.joined([block.layers[name].near(window) for block in blocks])
        for name in blocks[0].layers
    }


def _shade(canvas: _Canvas, blocks: Sequence[Block]) -> Image:
    """Return where buildings and trees take the sun away, from 0 to 1, soft at the edge."""
    shade = np.zeros(canvas.labels.shape, dtype=np.float32)
    for name, geometries in (
        ("building", [block.building_shadows for block in blocks]),
        ("tree", [block.tree_shadows for block in blocks]),
    ):
        every = np.concatenate(geometries)
        near = every[touching_bounds(every, canvas.window)]
        dark = polygon_numbers(near, canvas.window) > 0
        dark.ravel()[canvas.pixels_of(name)[0]] = False
        np.maximum(shade, dark, out=shade)
    return _blurred(np.pad(shade, 1, mode="edge"))


def _blurred(image: Image) -> Image:
    """Return the image (..., rows, columns) under the weights 1, 2, 1 down and across.

    It loses a pixel on each side.
    """
    down = image[..., 1:-1, :] * np.float32(2.0)
    down += image[..., :-2, :]
    down += image[..., 2:, :]
    across = down[..., 1:-1] * np.float32(2.0)
    across += down[..., :-2]
    across += down[..., 2:]
    across *= np.float32(1.0 / 16.0)
    return np.asarray(across)
