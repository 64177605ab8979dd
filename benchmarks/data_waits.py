"""What the reading of training windows adds to a step: the whole loop against batches in memory.

    .venv/bin/python benchmarks/data_waits.py DATA [--grounds banepa nuclei] [--polygons 400]

Trains the default network with all else default on each ground. Epochs alternate: one as every
training has it, with the reader's thread beside the network, and one whose batches were read before
it began. Prints the wall time and the processor time of a step of both, and of the reading alone;
medians over the epochs. Nothing else should run beside it.
"""

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from grounds import ground, streamed

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the engine is started
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from example_jobs import train_job  # noqa: E402

from deepseg_qgis import jobs  # noqa: E402
from deepseg_qgis.engine.control import Control  # noqa: E402
from deepseg_qgis.engine.learning.trainer import Trainer  # noqa: E402
from deepseg_qgis.engine.verbs import train  # noqa: E402

PAIRS = 3
"""So many epochs are measured in each way, after one that is not."""


class Measured:
    """Takes the place of `Trainer.train_epoch`; keeps seconds a step, wall and processor."""

    def __init__(self) -> None:
        self.plain, self.batches = Trainer.train_epoch, Trainer._batches
        self.found: dict[str, list[tuple[float, float]]] = {"whole": [], "bare": [], "read": []}

    def train_epoch(
        self, trainer: Trainer, epoch: int, on_step: Callable[[int, float], bool]
    ) -> float:
        """Train an epoch in one way or the other."""
        if epoch == 0:
            return self.plain(trainer, epoch, on_step)
        if epoch % 2:
            return self._timed("whole", trainer.steps, lambda: self.plain(trainer, epoch, on_step))
        read = self._timed("read", trainer.steps, lambda: list(self.batches(trainer, epoch)))
        trainer._batches = lambda _epoch: iter(read)
        try:
            return self._timed("bare", trainer.steps, lambda: self.plain(trainer, epoch, on_step))
        finally:
            del trainer._batches

    def _timed(self, name: str, steps: int, work: Callable):
        wall, processor = time.perf_counter(), time.process_time()
        result = work()
        self.found[name].append(
            ((time.perf_counter() - wall) / steps, (time.process_time() - processor) / steps)
        )
        return result

    def line(self, name: str) -> str:
        """Return the medians, and how much more the whole loop takes than the bare step."""
        wall, processor = (
            {
                each: statistics.median(pair[n] for pair in pairs)
                for each, pairs in self.found.items()
            }
            for n in (0, 1)
        )
        cells: Iterable[str] = itertools.chain.from_iterable(
            (
                *(f"{seconds[each]:.3f} s" for each in ("bare", "whole", "read")),
                f"{seconds['whole'] / seconds['bare'] - 1:+.1%}",
            )
            for seconds in (wall, processor)
        )
        return f"| {name} | " + " | ".join(cells) + " |"


def job_of(name: str, data: Path, folder: Path, polygons: int) -> jobs.TrainJob:
    """Return the job of a training with all else default."""
    places = ground(name, data / name, folder, polygons)
    rasters = tuple(
        jobs.RasterSource(str(each.resolve()), "", each.name) for each in places.train_rasters
    )
    return train_job(
        rasters[0],
        streamed(places.annotations, folder),
        folder,
        rasters=rasters,
        aoi=streamed(places.train, folder),
        architecture=None,
        encoder=None,
        encoder_weights="auto",
        class_weighting="none",
        epochs=1 + 2 * PAIRS,
        tile_size_px=256,
        learning_rate=1e-3,
        output_html=None,
    )


def main() -> None:
    """Measure each ground."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--grounds", nargs="+", default=["banepa", "nuclei"])
    parser.add_argument("--polygons", type=int, default=400)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| ground | wall: bare | whole | read | more | processor: bare | whole | read | more |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in given.grounds:
        measured = Measured()
        Trainer.train_epoch = lambda *each, it=measured: it.train_epoch(*each)
        with tempfile.TemporaryDirectory() as folder:
            train.run(job_of(name, given.data, Path(folder), given.polygons), Control())
        Trainer.train_epoch = measured.plain
        print(measured.line(name), flush=True)


if __name__ == "__main__":
    main()
