"""Torch runs batches, and halves them when memory runs out."""

from collections import Counter

import numpy as np
import pytest
import torch

from deepseg_qgis.engine.backends.backend import probabilities
from deepseg_qgis.engine.backends.torch_backend import TorchSession
from deepseg_qgis.engine.files.rasters import Pixels
from deepseg_qgis.errors import ResourceError


class Greedy(torch.nn.Module):
    """Answers with the first band; runs out of memory above two windows."""

    def __init__(self, most):
        super().__init__()
        self.most, self.sizes = most, []

    def forward(self, values, valid):
        self.sizes.append(len(values))
        if len(values) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return values[:, :1].to(torch.uint8)


def test_batches_are_halved_for_good_when_memory_runs_out():
    valid = np.ones((32, 32), dtype=bool)
    pixels = [Pixels(np.full((1, 32, 32), i, dtype=np.uint8), valid) for i in range(10)]
    network = Greedy(2)
    session = TorchSession(network, torch.device("cpu"), False, 10)
    found = probabilities(session, pixels)
    assert found[:, 0, 0, 0].tolist() == list(range(10))
    assert session.batch_size == 2
    assert Counter(network.sizes) == {10: 1, 5: 1, 2: 5}
    with pytest.raises(ResourceError, match="smaller tile size"):
        probabilities(TorchSession(Greedy(0), torch.device("cpu"), False, 4), pixels)
