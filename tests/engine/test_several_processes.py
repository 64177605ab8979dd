"""Two processes that torchrun starts train the same network as one; a failure of one ends both."""

import contextlib
import math
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from deepseg_qgis.processing.engine.client import EngineProgram, JobObserver, run_job
from deepseg_qgis.processing.engine.environment import engine_variables
from example_jobs import train_job

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.learning import micro_batches, trainer
from deepseg_qgis.engine.models import networks
from deepseg_qgis.engine.verbs import train
from deepseg_qgis.errors import DeepSegError
from deepseg_qgis.events import Log

pytestmark = pytest.mark.slow

LAUNCH = Path(__file__).resolve().parents[2] / "deepseg_qgis" / "launch.py"
TORCHRUN = ("--standalone", "--nproc-per-node", "2")
DOOR = """
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("launch", {launch!r})
launch = importlib.util.module_from_spec(spec)
spec.loader.exec_module(launch)
launch.load_package({folder!r})
from deepseg_qgis.engine.learning.micro_batches import MicroBatches
from deepseg_qgis.engine.models import networks
networks.has_fast_bfloat16 = lambda device: False  # its rounding would hide what differs
rank, steps = int(os.environ["RANK"]), []
added = MicroBatches._added, MicroBatches.add
{change}
sys.exit(launch.main())
"""
"""A door of the engine whose processes behave in another way."""
SPOIL = """
def spoilt(self, images, loss):
    steps.append(len(images))
    if rank == 1 and len(steps) == 2:
        {spoil}
    return added[0](self, images, loss)

MicroBatches._added = spoilt
"""
KEEP_GRADIENTS = """
import safetensors.torch
def keeping(self, images, loss):
    found = added[1](self, images, loss)
    steps.append(found)
    if rank == 0 and len(steps) == 1:
        named = dict((name, each.grad) for name, each in self._network.named_parameters())
        whole = dict((name, each.contiguous()) for name, each in named.items() if each is not None)
        safetensors.torch.save_file(whole, {path!r})
    return found

MicroBatches.add = keeping
"""


@pytest.fixture
def job(discs, tmp_path):
    """Return a job of one epoch of three batches, of which a process gets 64 and one 63 windows."""
    raster, layer = discs
    return train_job(
        raster,
        layer,
        tmp_path / "out",
        task="instance",
        output_html=None,
        tile_size_px=32,
        batch_size=127,
        epochs=1,
        resume=True,
    )


@pytest.fixture
def run_two(tmp_path):
    """Return a function that does a job in two processes; in some way."""
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)

    def run(job, change, on_event=lambda _event: None, stop_wanted=lambda: False):
        door = tmp_path / "door.py"
        door.write_text(DOOR.format(launch=str(LAUNCH), folder=str(LAUNCH.parent), change=change))
        variables = {**engine_variables(os.environ), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        program = EngineProgram(sys.executable, str(door), variables, torchrun=TORCHRUN)
        return run_job(job, program, JobObserver(on_event, stop_wanted), str(folder))

    return run


@contextlib.contextmanager
def one_thread():
    """Compute as torchrun's processes do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def test_two_compute_the_gradients_that_one_computes_in_two_parts(
    job, run_two, monkeypatch, tmp_path
):
    """Batch normalisation sees the same tiles then; only the order of sums differs.

    Another number of threads makes more of a difference than another number of processes.
    The weights after a step say less: Adam moves each as far, however small its gradient is.
    """
    of_two, of_one = tmp_path / "two.safetensors", {}
    run_two(job, KEEP_GRADIENTS.format(path=str(of_two)))

    class TwoParts(micro_batches.MicroBatches):
        def __init__(self, *given):
            super().__init__(*given)
            self.parts = 2

        def add(self, *given):
            found = super().add(*given)
            for name, each in self._network.named_parameters():
                if each.grad is not None:
                    of_one.setdefault(name, each.grad.clone())
            return found

    monkeypatch.setattr(trainer, "MicroBatches", TwoParts)
    monkeypatch.setattr(networks, "has_fast_bfloat16", lambda _device: False)
    with one_thread():
        train.run(replace(job, resume=False), Control())
    two = safetensors.torch.load_file(of_two)
    assert of_one.keys() == two.keys()
    norm = math.hypot(*(float(each.norm()) for each in of_one.values()))
    far = math.hypot(*(float((two[name] - each).norm()) for name, each in of_one.items()))
    assert far < 1e-5 * norm


def test_short_of_memory_and_stopped_they_keep_a_model(job, run_two):
    heard = []
    result = run_two(
        replace(job, epochs=5),
        SPOIL.format(spoil="raise MemoryError"),
        on_event=heard.append,
        stop_wanted=lambda: any("Epoch 2" in getattr(each, "text", "") for each in heard),
    )
    assert result.partial
    assert result.values["epochs_run"] == 2
    assert Path(job.output).exists()
    texts = [each.text for each in heard if isinstance(each, Log)]
    assert any("Training goes on with 32 at a time" in text for text in texts)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("raise ValueError('no such thing')", "processes failed.*Process 1.*no such thing"),
        ("os.kill(os.getpid(), 9)", "processes of the training is gone"),
    ],
)
def test_a_process_that_fails_ends_both(job, run_two, spoil, said):
    with pytest.raises(DeepSegError, match=said):
        run_two(job, SPOIL.format(spoil=spoil))
    assert not list(Path(job.output).parent.glob("*")), "no file is left, whole or in parts"
