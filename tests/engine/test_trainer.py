"""The training loop: the same gradients in parts, and back to a state and on from it."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.learning import training_dataset
from deepseg_qgis.engine.learning.micro_batches import MicroBatches
from deepseg_qgis.engine.learning.trainer import Trainer, TrainingSettings
from deepseg_qgis.engine.models import networks
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.errors import ResourceError

SETTINGS = TrainingSettings(
    NetworkDesign("linknet", "mobilenet_v2"), 3, 32, 8, 1e-3, None, None, "cpu"
)


class Scarce(nn.Module):
    """A network that torch has memory for only up to so many tiles at a time."""

    def __init__(self, most):
        super().__init__()
        self.most, self.seen = most, []
        self.layers = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Dropout(0.3), nn.Conv2d(4, 1, 3))

    def forward(self, images):
        if len(images) > self.most:
            torch.empty(2**60)  # what torch raises where no memory is left
        self.seen.append(len(images))
        return self.layers(images)


def dice(logits):
    """Return a loss that is no sum over the tiles."""
    share, wanted = logits.sigmoid(), torch.linspace(0, 1, logits.numel()).reshape(logits.shape)
    return 1.0 - 2.0 * (share * wanted).sum() / (share + wanted).sum()


def gradients(most, tiles):
    """Return loss and gradients of a batch, and the texts that were logged."""
    torch.manual_seed(4)
    network, texts = Scarce(most), []
    fabric = Fabric(accelerator="cpu", devices=1)
    wrapped = fabric.setup_module(network)
    batches = MicroBatches(fabric, wrapped, Control(lambda event: texts.append(event.text)))
    images = torch.randn(tiles, 2, 12, 12)
    network.layers[1].eval()
    loss = batches.backward(images, dice)
    return loss, [each.grad for each in network.parameters()], texts, network.seen


@pytest.mark.parametrize(("most", "tiles", "seen"), [(4, 8, 4), (2, 8, 2), (3, 7, 3)])
def test_short_of_memory_the_loss_and_its_gradients_stay_the_same(most, tiles, seen):
    whole, expected, nothing, _ = gradients(tiles, tiles)
    loss, found, texts, parts = gradients(most, tiles)
    assert loss == pytest.approx(whole, rel=1e-6)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)
    assert max(parts) == seen
    assert not nothing
    assert f"with {seen} at a time" in texts[-1]


LIMITED = """
import resource
import torch
from lightning_fabric import Fabric
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.learning.micro_batches import MicroBatches
from deepseg_qgis.engine.models import networks
from deepseg_qgis.engine.models.network_design import NetworkDesign

torch.set_num_threads(1)
fabric = Fabric(accelerator="cpu", devices=1)
network = fabric.setup_module(networks.build(NetworkDesign("linknet", "mobilenet_v2"), 3, 1))
batches = MicroBatches(fabric, network, Control())


def train_on(tiles):
    batches.backward(torch.randn(tiles, 3, 256, 256), lambda logits: logits.square().mean())


train_on(2)
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 400_000_000,) * 2)
train_on(16)
print(batches.parts)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_where_the_system_gives_no_more_memory_training_goes_on_in_parts():
    done = subprocess.run(
        [sys.executable, "-c", LIMITED], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) > 1


def test_dropout_draws_the_same_in_both_passes():
    drawn = []
    torch.manual_seed(0)
    network = Scarce(2)
    network.layers[1].register_forward_hook(lambda _module, _given, out: drawn.append(out == 0))
    fabric = Fabric(accelerator="cpu", devices=1)
    MicroBatches(fabric, fabric.setup_module(network), Control()).backward(
        torch.randn(4, 2, 12, 12), dice
    )
    first, second = drawn[:2], drawn[2:]
    assert len(second) == 2
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_where_two_tiles_are_too_many_the_error_says_what_to_do():
    with pytest.raises(ResourceError, match=r"even on 2 at a time.*smaller tile size"):
        gradients(1, 8)


@pytest.fixture
def trainer(labelled_discs, short_epochs):
    """Return a function that makes a trainer of two steps an epoch."""
    dataset = training_dataset.training_dataset([labelled_discs[0]], [False], 32, 8, 1)
    dataset = replace(dataset, windows=16)

    def make(seed=1, encoder="mobilenet_v2"):
        torch.manual_seed(seed)
        network = networks.build(NetworkDesign("linknet", encoder), 3, 1)
        return Trainer(network, dataset, dataset.normalisation(), SETTINGS, Control())

    return make


def weights_after(trainer, *epochs):
    losses = [trainer.train_epoch(epoch, lambda done, _loss: done < 2) for epoch in epochs]
    assert np.isfinite(losses).all()
    return {name: each.clone() for name, each in trainer.network.state_dict().items()}


def test_from_a_state_another_trainer_goes_on_with_the_same_steps(trainer):
    first = trainer()
    weights_after(first, 0)
    state = first.state()
    expected = weights_after(first, 1)
    other = trainer(seed=2)
    weights_after(other, 5)
    other.restore(state)
    found = weights_after(other, 1)
    assert all(torch.equal(found[name], each) for name, each in expected.items())
    assert (other.step, other.learning_rate) == (first.step, first.learning_rate)


def test_the_state_of_another_network_is_refused(trainer):
    state = trainer().state()
    with pytest.raises(ValueError, match="not the state of this"):
        trainer(encoder="resnet18").restore(state)


def test_a_weight_that_is_no_number_ends_the_epoch_as_diverged(trainer):
    broken = trainer()

    def spoil(done, _loss):
        if done == 2:
            next(broken._module.parameters()).data[0] = float("nan")
        return True

    assert broken.train_epoch(0, spoil) == float("inf")
