"""The first layer of a pretrained encoder, for other bands than those that it was trained on.

No I/O. An encoder that learned on red, green and blue knows what to do with the red band of any
raster, wherever it stands in the file; of a band that it never saw it knows nothing, and the mean
of its filters is the best start (Carreira, Zisserman, Quo Vadis, Action Recognition?, CVPR 2017,
inflate filters of one kind of input for another in the same way).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from deepseg_qgis.engine.files.raster_inputs.bands import Band

SAME_WAVELENGTH = 0.02
"""In micrometres; bands of two sensors that show the same light differ by less."""


def adapted_filters(filters: torch.Tensor, sources: Sequence[int | None]) -> torch.Tensor:
    """Return filters (out, k, rows, columns) for other bands, as (out, n, rows, columns).

    ``sources`` says for each of the n bands which of the k it is, None for one that is not among
    them: it starts from the mean. All are scaled by k/n, so that a picture that is equally bright
    in all bands gives a response of the same size.
    """
    mean = filters.mean(dim=1)
    columns = [mean if source is None else filters[:, source] for source in sources]
    return torch.stack(columns, dim=1) * (filters.shape[1] / len(sources))


def matched_bands(bands: Sequence[Band], known: Sequence[Band], count: int) -> list[int | None]:
    """Return for each band of a raster its place among the ``count`` bands of the weights, or None.

    ``known`` describes these (empty: nobody knows). Bands are the same by name, colour or
    wavelength. Where that tells nothing of any band, as many as the weights have are theirs in
    order.
    """
    found: list[int | None] = []
    for band in bands:
        free = [place for place in range(len(known)) if place not in found]
        found.append(next((place for place in free if _is_same(band, known[place])), None))
    if len(bands) == count and all(place is None for place in found) and not _tell(bands, known):
        return list(range(count))
    return found


def _is_same(one: Band, other: Band) -> bool:
    if one.key and one.key == other.key:
        return True
    if one.wavelength_um is not None and other.wavelength_um is not None:
        return abs(one.wavelength_um - other.wavelength_um) < SAME_WAVELENGTH
    return bool(one.colour) and one.colour == other.colour


def _tell(bands: Sequence[Band], known: Sequence[Band]) -> bool:
    """Whether both sides say what their bands show, so that not to match means to differ."""
    return all(any(band.colour or band.wavelength_um for band in side) for side in (bands, known))
