"""Several processes that train one network, started by torchrun.

The first one leads. It alone reads the user's wishes, validates, writes, and owns the optimiser;
the others follow: they compute the gradients of their part of each batch with the weights that it
sends. So nothing is decided twice, and no state has to be kept equal. Whatever fails in a process
is told to all before the next exchange, so that none waits for one that has given up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
from torch import distributed, nn

from deepseg_qgis import jobs
from deepseg_qgis.engine.faults import is_out_of_memory, reason
from deepseg_qgis.engine.learning.process_group import (
    FEWEST_TILES,
    NO_EPOCH,
    Order,
    ProcessGroup,
)
from deepseg_qgis.engine.torchrun import ProcessPlace, process_place
from deepseg_qgis.errors import DeepSegError, ParameterError, ResourceError, counted
from deepseg_qgis.jobs import TrainJob

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

LONGEST_WAIT = timedelta(hours=12)
"""For the leader, which validates meanwhile. A process that is gone is noticed at once."""
LAST_WAIT = timedelta(seconds=30)
"""For the leader to tell of an error, before torchrun ends all processes."""
JOB, FAILURE, END = "job", "failure", "end"
"""Keys of the store that all processes see."""
WENT_WELL, OUT_OF_MEMORY, FAILED = 0, 1, 2


class OutOfMemoryElsewhereError(MemoryError):
    """Another process ran out of memory in this step."""


class SeveralProcesses(ProcessGroup):
    """Processes started by torchrun, which talk through torch.distributed.

    ``store`` is seen by all processes.
    """

    def __init__(self, store: Store, place: ProcessPlace) -> None:
        self.place, self._store = place, store
        self._is_known = False  # whether the others know what failed

    def part(self, items: range) -> list[int]:
        """Return the part of a batch that is this process's, as a micro-batch is cut."""
        shares = torch.arange(len(items)).tensor_split(self.place.size)
        return [items[number] for number in shares[self.place.rank].tolist()]

    def device(self, kind: str) -> torch.device:
        """Return the device of a kind for this process: each takes a GPU of its own.

        Raises:
            ResourceError: this computer has fewer GPUs.
        """
        if kind != "cuda":
            return torch.device(kind)
        gpus = torch.cuda.device_count()
        if self.place.local_rank >= gpus:
            raise ResourceError(
                f"This computer has {counted(gpus, 'GPU')} for more processes. Use "
                "'--nproc-per-node gpu' in DEEPSEG_TORCHRUN."
            )
        torch.cuda.set_device(self.place.local_rank)
        return torch.device(kind, self.place.local_rank)

    def compare(self, facts: torch.Tensor) -> None:
        """Check that all processes have the same facts of the training."""
        self._agree(WENT_WELL)
        with self._talking():
            leaders = facts.clone()
            distributed.broadcast(leaders, 0)
            equal = torch.tensor([float(torch.allclose(leaders, facts, rtol=1e-6))])
            distributed.all_reduce(equal, distributed.ReduceOp.MIN)
        if not equal.item():
            self._is_known = True
            raise ParameterError(
                "The computers do not train on the same thing: the rasters, annotations, devices "
                "or versions of DeepSeg differ. Give all of them the same files and engine."
            )

    def begin(self, order: Order, network: nn.Module) -> None:
        """Tell the others what to do, and send them the weights."""
        weights = _flat(network.parameters())
        with self._talking():
            distributed.broadcast(torch.tensor(order), 0)
            distributed.broadcast(weights, 0)

    def orders(self, network: nn.Module) -> Iterator[Order]:
        """Yield the leader's orders, with its weights in the network, until it is done."""
        while True:
            with self._talking():
                numbers = torch.zeros(len(Order._fields), dtype=torch.int64)
                distributed.broadcast(numbers, 0)
                order = Order(*numbers.tolist())
                if order.epoch == NO_EPOCH:
                    return
                weights = _flat(network.parameters())
                distributed.broadcast(weights, 0)
                _put(weights, list(network.parameters()))
            yield order

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Do in the block what all processes do, and leave it when all have done it."""
        try:
            yield
        except (OutOfMemoryElsewhereError, DeepSegError):
            raise
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            with contextlib.suppress(OutOfMemoryElsewhereError):
                self._agree(OUT_OF_MEMORY)
            raise
        self._agree(WENT_WELL)

    def total(self, sums: torch.Tensor) -> torch.Tensor:
        """Return the sum over all processes of a vector, whose gradient stays this process's."""
        self._agree(WENT_WELL)
        with self._talking():
            own = sums.detach()
            others = own.clone()
            distributed.all_reduce(others)
        return sums + (others - own)

    def add_gradients(self, network: nn.Module) -> None:
        """Give the leader's network the sum of all gradients."""
        gradients = [each.grad for each in network.parameters() if each.grad is not None]
        flat = _flat(gradients)
        with self._talking():
            distributed.reduce(flat, 0)
        if not self.place.follows:
            _put(flat, gradients)

    def leave(self, error: Exception | None) -> None:
        """Part from the others, whatever happened here."""
        with contextlib.suppress(DeepSegError, MemoryError, RuntimeError):
            if not self.place.follows:
                if error is None:
                    distributed.broadcast(torch.tensor(Order(NO_EPOCH, 0, 0)), 0)
                self._store.set(END, "")
            elif error is not None:
                self._report(error)
                self._store.wait([END], LAST_WAIT)
        distributed.destroy_process_group()

    def _report(self, error: Exception) -> None:
        """Tell the others what failed here, unless they know."""
        if not self._is_known:
            said = str(error) if isinstance(error, DeepSegError) else repr(error)
            number = self.place.rank + 1
            self._store.set(FAILURE, f"Process {number} of {self.place.size} failed: {said}")
            with contextlib.suppress(DeepSegError):
                self._agree(FAILED)

    def _agree(self, outcome: int) -> None:
        """Tell the others how it went here, and raise if it went worse somewhere.

        Raises:
            OutOfMemoryElsewhereError: a process ran out of memory.
            DeepSegError: a process failed, or is gone.
        """
        worst = torch.tensor([outcome])
        with self._talking():
            distributed.all_reduce(worst, distributed.ReduceOp.MAX)
        if worst.item() == OUT_OF_MEMORY:
            raise OutOfMemoryElsewhereError("out of memory in another process")
        if worst.item() == FAILED:
            self._is_known = True
            raise DeepSegError(f"Training ended. {self._store.get(FAILURE).decode()}")

    @contextlib.contextmanager
    def _talking(self) -> Iterator[None]:
        """Turn what torch says of a process that is gone into words."""
        try:
            yield
        except RuntimeError as error:
            self._is_known = True
            raise DeepSegError(
                f"Training ended, because one of its {self.place.size} processes is gone "
                f"({reason(error)}). Run it again: with 'Resume' it goes on after its last epoch."
            ) from error


@contextlib.contextmanager
def leading(job: TrainJob) -> Iterator[ProcessGroup]:
    """Lead the processes of a training; alone where torchrun has started no others.

    Raises:
        ParameterError: the batches are too small to be shared.
    """
    if process_place().size == 1:
        yield ProcessGroup()
        return
    if job.batch_size < FEWEST_TILES * process_place().size:
        raise ParameterError(
            f"A batch of {job.batch_size} tiles is too small for {process_place().size} processes: "
            f"each needs {FEWEST_TILES} tiles. Use a larger batch size or fewer processes."
        )
    with _joined(job) as (group, _):
        yield group


@contextlib.contextmanager
def following() -> Iterator[tuple[SeveralProcesses, TrainJob]]:
    """Follow the leader of a training, which says what the job is."""
    with _joined(None) as (group, job):
        yield group, job


@contextlib.contextmanager
def _joined(job: TrainJob | None) -> Iterator[tuple[SeveralProcesses, TrainJob]]:
    from torch.distributed.distributed_c10d import PrefixStore  # not in every build of torch
    from torch.distributed.rendezvous import rendezvous

    place = process_place()
    store, _, _ = next(rendezvous("env://", timeout=LONGEST_WAIT))
    own = PrefixStore("deepseg", store)
    if job is not None:
        own.set(JOB, jobs.encode(job))
    else:
        decoded = jobs.decode(own.get(JOB).decode())
        assert isinstance(decoded, TrainJob)  # no other is led
        job = decoded
    has_nccl = torch.cuda.is_available() and distributed.is_nccl_available()
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if has_nccl else "gloo",
        store=PrefixStore("group", store),
        rank=place.rank,
        world_size=place.size,
        timeout=LONGEST_WAIT,
    )
    group = SeveralProcesses(own, place)
    try:
        yield group, job
    except Exception as error:
        group.leave(error)
        raise
    group.leave(None)


def _flat(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return all elements as one vector, in the order of the indices, not of the memory."""
    return torch.cat([each.detach().reshape(-1) for each in tensors])


@torch.no_grad()
def _put(flat: torch.Tensor, tensors: Sequence[torch.Tensor]) -> None:
    """Fill tensors with the elements of a vector that `_flat` returned."""
    parts = torch.split(flat, [each.numel() for each in tensors])
    for each, part in zip(tensors, parts, strict=True):
        each.copy_(part.view(each.shape))
