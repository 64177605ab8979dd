"""Which bands of a raster are those that a network, or another raster, has. No I/O.

Bands are told by their names, by their wavelengths or by their colours. What is not named is taken
in the order of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deepseg_qgis.engine.files.raster_inputs.bands import Band

NEAR_UM = 0.015
"""Central wavelengths of one band differ that much between sensors of one family."""

Keys = Callable[[Band], str]


def matching_bands(wanted: Sequence[Band], found: Sequence[Band]) -> tuple[int, ...] | None:
    """Return the number of the found band for each wanted one; None where they do not go together.

    Without names that both sides know, the order of the file counts.
    """
    if _is_grey(found) and _are_colours(wanted):
        return (0, 0, 0)
    ways = (_by_all_colours, _by_name, _by_wavelength, _by_colour)
    chosen = next(filter(None, (way(wanted, found) for way in ways)), None)
    if chosen is None and len(wanted) == len(found) and not _contradict(wanted, found):
        chosen = tuple(range(len(found)))
    return chosen


def differ_in_name(wanted: Sequence[Band], found: Sequence[Band]) -> bool:
    """Whether both sides name their bands, but otherwise, so that nobody knows if they are alike.

    For bands that are taken in the order of the file.
    """
    pairs = list(zip(wanted, found, strict=True))
    if not all(one.key and other.key for one, other in pairs):
        return False
    return any(not _alike(one, other) for one, other in pairs)


def _alike(one: Band, other: Band) -> bool:
    same_colour = one.colour != "" and one.colour == other.colour
    return one.key == other.key or same_colour or _are_near(one, other)


def _by_all_colours(wanted: Sequence[Band], found: Sequence[Band]) -> tuple[int, ...] | None:
    """Return the bands by colour, where every wanted one is there, and once.

    That comes first: a ``Band 1 - red`` may be the first band of any raster.
    """
    looked_for, there = ([band.colour for band in each] for each in (wanted, found))
    unique = all(each and looked_for.count(each) == there.count(each) == 1 for each in looked_for)
    return tuple(there.index(each) for each in looked_for) if unique else None


def _by_name(wanted: Sequence[Band], found: Sequence[Band]) -> tuple[int, ...] | None:
    return _by_key(wanted, found, lambda band: band.key)


def _by_colour(wanted: Sequence[Band], found: Sequence[Band]) -> tuple[int, ...] | None:
    return _by_key(wanted, found, lambda band: band.colour)


def _by_key(wanted: Sequence[Band], found: Sequence[Band], key: Keys) -> tuple[int, ...] | None:
    """Return the bands by a key; those that have none on either side fill what is left, in order.

    None where no key is shared, or where what is left does not go together.
    """
    looked_for, there = [key(band) for band in wanted], [key(band) for band in found]
    chosen: list[int | None] = []
    for each in looked_for:
        once = each != "" and looked_for.count(each) == there.count(each) == 1
        chosen.append(there.index(each) if once else None)
    used = {place for place in chosen if place is not None}
    missing = [number for number, place in enumerate(chosen) if place is None]
    left = [number for number in range(len(found)) if number not in used]
    if not used or (missing and len(missing) != len(left)):
        return None
    for number, place in zip(missing, left, strict=False):
        if looked_for[number] and there[place] and looked_for[number] != there[place]:
            return None
        chosen[number] = place
    return tuple(place for place in chosen if place is not None)


def _by_wavelength(wanted: Sequence[Band], found: Sequence[Band]) -> tuple[int, ...] | None:
    """Return the band of the nearest wavelength for each, if all have one and none is far."""
    if any(band.wavelength_um is None for band in (*wanted, *found)):
        return None
    chosen = []
    for each in wanted:
        far = [abs((band.wavelength_um or 0.0) - (each.wavelength_um or 0.0)) for band in found]
        chosen.append(far.index(min(far)))
    near = all(_are_near(each, found[place]) for each, place in zip(wanted, chosen, strict=True))
    return tuple(chosen) if near and len(set(chosen)) == len(chosen) else None


def _are_near(one: Band, other: Band) -> bool:
    if one.wavelength_um is None or other.wavelength_um is None:
        return False
    return abs(one.wavelength_um - other.wavelength_um) <= NEAR_UM


def _contradict(wanted: Sequence[Band], found: Sequence[Band]) -> bool:
    """Whether the order of the file is known to be wrong."""
    keys = [band.key for band in wanted]
    for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
        if one.colour and other.colour and one.colour != other.colour:
            return True
        if other.key and other.key in keys and keys[number] != other.key:
            return True
    return False


def _is_grey(found: Sequence[Band]) -> bool:
    return len(found) == 1 and found[0].palette != ()


def _are_colours(wanted: Sequence[Band]) -> bool:
    return [band.colour for band in wanted] == ["red", "green", "blue"]
