"""What the losses say of right and wrong answers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseg_qgis.engine.learning.losses import object_loss, segmentation_loss

SHAPE = (2, 8, 10)


def wanted(seed=0, share=0.3):
    """Return (heights, edges): heights of 0 or 1, so that certain answers can be right."""
    generator = torch.Generator().manual_seed(seed)
    heights = (torch.rand(SHAPE, generator=generator) < 0.5).float()
    return heights, torch.rand(SHAPE, generator=generator) < share


def sure(heights, edges):
    """Return the logits of a network that is sure of this."""
    return torch.stack([heights * 2 - 1, edges.float() * 2 - 1], dim=1) * 40


EVERYWHERE = torch.ones(SHAPE, dtype=torch.bool)


def test_right_answers_cost_nothing_and_wrong_ones_much():
    heights, edges = wanted()
    right = sure(heights, edges)
    assert float(object_loss(right, heights, edges, EVERYWHERE)) == pytest.approx(0.0, abs=1e-3)
    assert float(object_loss(-right, heights, edges, EVERYWHERE)) > 10
    for head in (0, 1):
        half = right.clone()
        half[:, head] *= -1
        assert float(object_loss(half, heights, edges, EVERYWHERE)) > 5, "both heads count"


def test_heights_between_nought_and_one_are_best_met_as_they_are():
    heights = torch.full(SHAPE, 0.3)
    edges = torch.zeros(SHAPE, dtype=torch.bool)

    def loss(height):
        level = torch.logit(torch.tensor(height))
        logits = torch.stack([level.expand(SHAPE), torch.full(SHAPE, -40.0)], dim=1)
        return float(object_loss(logits, heights, edges, EVERYWHERE))

    assert loss(0.3) < min(loss(0.25), loss(0.35)) < max(loss(0.05), loss(0.8))


@settings(max_examples=30)
@given(st.integers(0, 999), st.floats(0.05, 0.95))
def test_what_is_not_known_does_not_count(seed, share):
    generator = torch.Generator().manual_seed(seed)
    known = torch.rand(SHAPE, generator=generator) < share
    logits = torch.randn((2, 2, *SHAPE[1:]), generator=generator)
    heights, edges = wanted(seed)
    loss = object_loss(logits, heights, edges, known)
    other_heights = torch.where(known, heights, 1 - heights)
    other_edges = torch.where(known, edges, ~edges)
    other_logits = torch.where(known[:, None], logits, -3 * logits)
    assert float(object_loss(other_logits, other_heights, other_edges, known)) == float(loss)


def test_nothing_known_gives_nought_and_no_gradient():
    heights, edges = wanted()
    logits = torch.randn(2, 2, *SHAPE[1:], requires_grad=True)
    loss = object_loss(logits, heights, edges, ~EVERYWHERE)
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert not logits.grad.any()


def test_following_the_gradient_leads_to_the_right_answer():
    heights, edges = wanted(3)
    logits = torch.zeros(2, 2, *SHAPE[1:], requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.5)
    for _ in range(40):
        optimiser.zero_grad()
        object_loss(logits, heights, edges, EVERYWHERE).backward()
        optimiser.step()
    share = logits.detach().sigmoid()
    assert torch.equal(share[:, 0] > 0.5, heights > 0.5)
    assert torch.equal(share[:, 1] > 0.5, edges)


@pytest.mark.parametrize("channels", [1, 4])
def test_unknown_pixels_have_no_say_in_the_loss(channels):
    torch.manual_seed(0)
    logits = torch.randn(2, channels, 8, 8, requires_grad=True)
    classes = torch.randint(0, max(2, channels), (2, 8, 8))
    known = torch.rand(2, 8, 8) < 0.5
    loss = segmentation_loss(logits, classes, known)
    loss.backward()
    gradient = logits.grad.abs().sum(dim=1)
    assert (gradient[~known] == 0).all()
    assert (gradient[known] > 0).all()
    other = torch.where(known, classes, (classes + 1) % max(2, channels))
    assert segmentation_loss(logits, other, known).item() == pytest.approx(loss.item())


def test_a_perfect_answer_costs_nothing():
    classes = torch.randint(0, 3, (1, 8, 8))
    logits = torch.nn.functional.one_hot(classes, 3).permute(0, 3, 1, 2).float() * 40 - 20
    known = torch.ones(1, 8, 8, dtype=torch.bool)
    assert segmentation_loss(logits, classes, known).item() == pytest.approx(0.0, abs=1e-3)
