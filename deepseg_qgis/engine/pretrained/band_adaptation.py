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

SAME_WAVELENGTH_UM = 0.02
"""Bands of two sensors that show the same light differ by less."""


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

    ``known`` describes these (empty: nobody knows). Bands are the same by wavelength, name or
    colour. Where either side tells nothing, as many as the weights have are theirs in order.
    """
    if len(bands) == count and not (_tell(bands) and _tell(known)):
        return list(range(count))
    found: list[int | None] = []
    for band in bands:
        free = [place for place in range(len(known)) if place not in found]
        found.append(_place(band, known, free))
    return found


def _place(band: Band, known: Sequence[Band], free: Sequence[int]) -> int | None:
    """Return where a band is among the known ones that no other band has taken."""
    same = [place for place in free if _can_be(band, known[place])]
    by_name = [place for place in same if band.key and band.key == known[place].key]
    by_light = [place for place in same if _is_same_light(band, known[place])]
    return next(iter([*by_name, *by_light]), None)


def _can_be(one: Band, other: Band) -> bool:
    """Whether nothing that is known of two bands says that they show different light."""
    return not (one.colour and other.colour) or one.colour == other.colour


def _is_same_light(one: Band, other: Band) -> bool:
    if one.wavelength_um is not None and other.wavelength_um is not None:
        return abs(one.wavelength_um - other.wavelength_um) < SAME_WAVELENGTH_UM
    return bool(one.colour) and one.colour == other.colour


def _tell(bands: Sequence[Band]) -> bool:
    return any(band.colour or band.wavelength_um or band.key for band in bands)
