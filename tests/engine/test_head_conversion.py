"""A head for other categories decides those that stay as it did before."""

import pytest
import torch

from deepseg_qgis.catalogue import ARCHITECTURES
from deepseg_qgis.engine.learning.head_conversion import (
    NEW_SHARE,
    HeadLayout,
    converted,
    head_name,
)
from deepseg_qgis.engine.models import networks
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.models.networks import OBJECT_HEADS, channels_for

FEATURES = torch.randn(64, 8, generator=torch.Generator().manual_seed(3)).double()


def head(categories, objects, seed=1):
    """Return (weight, bias) of a head as a linear layer, and its layout."""
    random = torch.Generator().manual_seed(seed)
    channels = channels_for(categories, objects)
    weight = torch.randn(channels, 8, generator=random).double()
    return weight, torch.randn(channels, generator=random).double(), HeadLayout(categories, objects)


def shares(weight, bias, objects):
    """Return (64, categories) the probabilities of the categories."""
    logits = FEATURES @ weight.T + bias
    logits = logits[:, : len(bias) - (OBJECT_HEADS if objects else 0)]
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)[:, 1:]


def after(weight, bias, layout, sources, objects):
    """Return (weight, bias) for other categories."""
    fresh = (torch.full((OBJECT_HEADS, 8), 7.0).double(), torch.full((OBJECT_HEADS,), 7.0).double())
    wanted = OBJECT_HEADS if objects else 0
    pairs = zip((weight, bias), fresh, strict=True)
    return tuple(converted(old, layout, sources, new[:wanted]) for old, new in pairs)


@pytest.mark.parametrize("objects", [False, True])
@pytest.mark.parametrize("categories", [1, 3])
def test_the_same_categories_keep_their_probabilities(categories, objects):
    weight, bias, layout = head(categories, objects)
    order = list(range(categories))[::-1]
    found = shares(*after(weight, bias, layout, order, objects), objects)
    torch.testing.assert_close(found, shares(weight, bias, objects)[:, order])


def test_a_new_category_starts_rare_and_leaves_decisions_alone():
    weight, bias, layout = head(1, objects=False)
    found = shares(*after(weight, bias, layout, [None, 0], False), False)
    before = shares(weight, bias, False)[:, 0]
    background = 1.0 - found.sum(dim=1)
    torch.testing.assert_close(found[:, 0], NEW_SHARE * background)
    torch.testing.assert_close(found[:, 1] / background, before / (1.0 - before))


def test_of_several_categories_one_keeps_its_odds_against_background():
    weight, bias, layout = head(3, objects=False)
    before = shares(weight, bias, False)
    background = 1.0 - before.sum(dim=1)
    found = shares(*after(weight, bias, layout, [1], False), False)[:, 0]
    torch.testing.assert_close(found, before[:, 1] / (before[:, 1] + background))


def test_objects_are_kept_added_and_dropped():
    weight, bias, layout = head(2, objects=True)
    kept, _ = after(weight, bias, layout, [0, 1], True)
    assert torch.equal(kept, weight)
    dropped, _ = after(weight, bias, layout, [0, 1], False)
    assert torch.equal(dropped, weight[:-OBJECT_HEADS])
    weight, bias, layout = head(2, objects=False)
    added, _ = after(weight, bias, layout, [0, 1], True)
    assert (added[-OBJECT_HEADS:] == 7.0).all()
    assert torch.equal(added[:-OBJECT_HEADS], weight)


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - {"dpt"}))
def test_the_head_of_every_architecture_is_found(architecture):
    with torch.device("meta"):
        network = networks.build(NetworkDesign(architecture, "resnet18"), 3, 4, objects=True)
    layer = network.get_submodule(head_name(network))
    assert layer.out_channels == channels_for(4, objects=True)
    assert layer.bias is not None
