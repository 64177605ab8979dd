"""Which tensors of a file belong to which of an encoder's: by name, below whatever prefix. No I/O.

Files call the same tensor ``conv1.weight``, ``encoder.conv1.weight`` or
``module.encoder_q.conv1.weight``; heads, decoders and projectors beside the encoder are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping

import torch

from deepseg_qgis.engine.pretrained.encoder_weights import EncoderWeights
from deepseg_qgis.errors import ModelError, listed

MOST_DIFFERENT = 0.1
"""The share of an encoder's tensors that a file may lack, and that it may have beside them."""
COUNTERS = "num_batches_tracked"
"""Tensors that say how long a batch normalisation was trained; many files leave them out."""
WRAPPER = "model."
"""What encoders of timm are called inside those of segmentation-models-pytorch."""
HEADS = re.compile(
    r"(^|\.)_?(fc\d*|head\w*|classifier|last_linear|projector|projection|predictor|decoder\w*"
    r"|segmentation_head|classification_head|dist_token|mask_token)(\.|$)"
)


def fit_tensors(
    weights: EncoderWeights, own: Mapping[str, torch.Tensor], inputs: Collection[str]
) -> dict[str, torch.Tensor]:
    """Return the weights under the names that they have in an encoder with tensors ``own``.

    ``inputs`` are those of its first layer, whose second dimension is that of bands and may differ.

    Raises:
        ModelError: too few fit, or too many are left over: they are of another encoder.
    """
    names = _names_in_order(weights, own) if weights.in_order else _names(weights, own)
    fitting = {
        name: weights.tensors[theirs]
        for name, theirs in names.items()
        if _is_alike(weights.tensors[theirs], own[name], name in inputs)
    }
    wanted = [name for name in own if not name.endswith(COUNTERS)]
    missing = [name for name in wanted if name not in fitting]
    if len(missing) > MOST_DIFFERENT * len(wanted):
        raise ModelError(
            f"{weights.origin.source} does not hold the weights of this encoder: "
            f"{len(wanted) - len(missing):,} of its {len(wanted):,} tensors fit, but not "
            f"{listed(missing[:3])}. Choose the encoder that the weights were made for, or 'auto' "
            "as the weights."
        )
    unused = _unused(weights, names)
    if len(unused) > MOST_DIFFERENT * len(wanted):
        raise ModelError(
            f"{weights.origin.source} holds the weights of a larger encoder: {len(unused):,} of "
            f"its tensors have no place in this one, such as {listed(unused[:3])}. Choose the "
            "encoder that the weights were made for, or 'auto' as the weights."
        )
    return fitting


def _names_in_order(weights: EncoderWeights, own: Mapping[str, torch.Tensor]) -> dict[str, str]:
    return dict(zip(own, weights.tensors, strict=False))


def _names(weights: EncoderWeights, own: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Return the names in the file by the encoder's."""
    prefix = _prefix(weights.tensors, own)
    names = {name: prefix + name.removeprefix(WRAPPER) for name in own}
    return {name: theirs for name, theirs in names.items() if theirs in weights.tensors}


def _prefix(tensors: Collection[str], own: Collection[str]) -> str:
    """Return what stands before most names of the encoder in a file."""
    ends = {name.removeprefix(WRAPPER) for name in own}
    seen: Counter[str] = Counter()
    for name in tensors:
        starts = (0, *(each.end() for each in re.finditer(r"\.", name)))
        seen.update(name[:start] for start in starts if name[start:] in ends)
    return seen.most_common(1)[0][0] if seen else ""


def _is_alike(theirs: torch.Tensor, own: torch.Tensor, is_input: bool) -> bool:
    """Whether both have the same shape and kind of numbers, whatever their precision."""
    shapes = [list(each.shape) for each in (theirs, own)]
    if is_input and len(shapes[0]) == len(shapes[1]):
        for shape in shapes:
            del shape[1]
    return shapes[0] == shapes[1] and theirs.is_floating_point() == own.is_floating_point()


def _unused(weights: EncoderWeights, names: Mapping[str, str]) -> list[str]:
    """Return the tensors beside the encoder's that are of no head, below the same prefix."""
    prefix = "" if weights.in_order else _prefix(weights.tensors, names)
    taken = set(names.values())
    return [
        name
        for name in weights.tensors
        if name.startswith(prefix)
        and name not in taken
        and not name.endswith(COUNTERS)
        and not HEADS.search(name.removeprefix(prefix))
    ]
