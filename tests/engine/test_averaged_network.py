"""The average of a network's weights over its last steps."""

import pytest
import torch
from torch import nn

from deepseg_qgis.engine.learning.averaged_network import MEMORY, AveragedNetwork


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))


def moved(network, by):
    with torch.no_grad():
        for weight in network.parameters():
            weight += by


def test_it_is_that_of_the_last_steps_and_leaves_the_network_alone():
    network = small_network()
    averaged = AveragedNetwork(network)
    bias = network[0].bias.detach().clone()
    for step in range(1, 1001):
        moved(network, 1.0)
        averaged.update(network, step)
        if step == 1:
            assert torch.equal(averaged.network[0].bias, network[0].bias)
    assert network[0].bias.detach() == pytest.approx(bias + 1000.0)
    behind = (network[0].bias - averaged.network[0].bias).detach()
    assert behind == pytest.approx(torch.full((2,), MEMORY / (1 - MEMORY)), rel=0.01)


def test_in_the_first_steps_it_is_of_fewer():
    network = small_network()
    averaged = AveragedNetwork(network)
    for step in range(1, 11):
        moved(network, 1.0)
        averaged.update(network, step)
    behind = (network[0].bias - averaged.network[0].bias).detach()
    assert (behind > 0.5).all()
    assert (behind < 5.0).all()


def test_batch_statistics_are_averaged_and_their_count_is_taken():
    network = small_network()
    averaged = AveragedNetwork(network)
    network(torch.ones(2, 1, 4, 4))
    averaged.update(network, 1)
    for name, value in network.state_dict().items():
        assert torch.equal(averaged.network.state_dict()[name], value), name
    assert not averaged.network.training
    assert not any(each.requires_grad for each in averaged.network.parameters())
