"""Two processes that torchrun starts train the network that one trains; if one fails, both end."""

import contextlib
import math
import os
import socket
import subprocess
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

EQUAL_GRADIENTS, EQUAL_WEIGHTS = 1e-5, 0.1
"""Of the norm of the gradients of the first step, and of the way of the weights in three steps.

Adam moves each weight as far, however small its gradient is, and so enlarges what rounding does.
Measured are 1e-6 and 0.03; with another number of threads one process is at 0.03 and 0.4.
"""
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
    if rank == {rank} and len(steps) == {step}:
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
        named = dict((name, each.grad) for name, each in self._network.module.named_parameters())
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
    )


@pytest.fixture
def door(tmp_path):
    """Return a function that writes the door of an engine that is changed in some way."""

    def write(change):
        path = tmp_path / "door.py"
        path.write_text(DOOR.format(launch=str(LAUNCH), folder=str(LAUNCH.parent), change=change))
        return str(path)

    return write


@pytest.fixture
def run_two(door, tmp_path):
    """Return a function that does a job in two processes; in some way."""
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)

    def run(
        job, change, torchrun=TORCHRUN, on_event=lambda _event: None, stop_wanted=lambda: False
    ):
        program = EngineProgram(
            sys.executable, door(change), engine_variables(os.environ), torchrun=torchrun
        )
        return run_job(job, program, JobObserver(on_event, stop_wanted), str(folder))

    return run


@pytest.fixture
def one_thread():
    """Compute as torchrun's processes do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def norm(tensors):
    """Return the norm of all tensors of a dict together."""
    return math.hypot(*(float(each.norm()) for each in tensors.values()))


def distance(first, second):
    """Return the norm of the difference of two dicts of tensors, over the names of the second."""
    return norm({name: first[name] - each for name, each in second.items()})


@contextlib.contextmanager
def another_computer(door, torchrun):
    """Have torchrun start a process that follows, by hand."""
    program = EngineProgram(sys.executable, door, {}, torchrun=torchrun)
    command, variables = program.command("--follow"), engine_variables(os.environ)
    with subprocess.Popen(command, env={**variables, "OMP_NUM_THREADS": "1"}) as process:
        try:
            yield
        finally:
            process.terminate()


def nodes():
    """Return the options of torchrun on two computers, which both are this one."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shared = ("--nnodes", "2", "--master-addr", "localhost", "--master-port", str(port))
    return (*shared, "--node-rank", "0"), (*shared, "--node-rank", "1")


@pytest.mark.usefixtures("one_thread")
def test_two_train_the_network_that_one_trains_in_two_parts(
    job, door, run_two, monkeypatch, tmp_path
):
    """Batch normalisation sees the same tiles then; only the order of sums differs."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    kept, seen = tmp_path / "gradients.safetensors", {}
    change = KEEP_GRADIENTS.format(path=str(kept))
    here, there = nodes()
    with another_computer(door(change), there):
        run_two(job, change, here)
    gradients_of_two, of_two = map(safetensors.torch.load_file, (kept, job.output))

    class TwoParts(micro_batches.MicroBatches):
        def __init__(self, *given):
            super().__init__(*given)
            self.parts = 2
            seen["start"] = {name: each.detach().clone() for name, each in self._named()}

        def add(self, *given):
            found = super().add(*given)
            seen.setdefault("gradients", {name: each.grad.clone() for name, each in self._named()})
            return found

        def _named(self):
            network = self._network.module
            return [(n, each) for n, each in network.named_parameters() if each.requires_grad]

    monkeypatch.setattr(trainer, "MicroBatches", TwoParts)
    monkeypatch.setattr(networks, "has_fast_bfloat16", lambda _device: False)
    train.run(job, Control())
    of_one = safetensors.torch.load_file(job.output)
    start, gradients = seen["start"], seen["gradients"]
    assert gradients.keys() == gradients_of_two.keys()
    assert distance(gradients, gradients_of_two) < EQUAL_GRADIENTS * norm(gradients)
    moved = distance(of_one, start)
    trained = {name: of_two[name] for name in start}  # without running statistics
    assert distance(of_one, trained) < EQUAL_WEIGHTS * moved


def test_short_of_memory_and_stopped_they_keep_a_model(job, run_two):
    heard = []
    result = run_two(
        replace(job, epochs=5),
        SPOIL.format(rank=1, step=2, spoil="raise MemoryError"),
        on_event=heard.append,
        stop_wanted=lambda: any("Epoch 2" in getattr(each, "text", "") for each in heard),
    )
    assert result.partial
    assert result.values["epochs_run"] == 2
    assert Path(job.output).exists()
    texts = [each.text for each in heard if isinstance(each, Log)]
    assert any("Training goes on with 32 at a time" in text for text in texts)


def test_a_process_that_fails_ends_both(job, run_two):
    spoil = SPOIL.format(rank=1, step=2, spoil="raise ValueError('no such thing')")
    with pytest.raises(DeepSegError, match=r"Process 2 of 2 failed: .*no such thing"):
        run_two(job, spoil)
    assert not list(Path(job.output).parent.glob("*")), "no file is left, whole or in parts"


def test_after_a_process_was_killed_the_model_so_far_stays_and_training_continues(job, run_two):
    job = replace(job, epochs=2, resume=True)
    spoil = SPOIL.format(rank=1, step=5, spoil="os.kill(os.getpid(), 9)")
    with pytest.raises(DeepSegError, match="one of its 2 processes is gone"):
        run_two(job, spoil)
    assert safetensors.torch.load_file(job.output), "the model after the first epoch"
    heard = []
    result = train.run(job, Control(heard.append))
    assert result["epochs_run"] == 2
    texts = [each.text for each in heard if isinstance(each, Log)]
    assert any("interrupted: 1 of 2 epochs done" in text for text in texts)


def test_who_follows_is_told_when_nobody_leads():
    command = [sys.executable, "-I", str(LAUNCH), "--follow"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot lead the training" in done.stderr
