"""What is learned in seconds: a light head on frozen features, or ordinary training that is ended.

    .venv/bin/python benchmarks/quick_model.py DATA [--grounds banepa kampala nuclei]
        [--polygons 10 20] [--seeds 1 2] [--seconds 20 40] [--contenders ordinary head]

DATA holds a folder for each ground (see `grounds.py`). All contenders see the same windows,
augmented alike, and compute on one thread; what counts is processor time, from the first window
read to the last step. `ordinary` is training as it is, ended there; `frozen` the same with an
encoder that stays as it came; `fixed` with its batch statistics alone fixed; `head` two layers of
1x1 convolutions on all stages of the frozen encoder, `logistic` one layer. A number behind the name
is the side of the windows. All have the same losses and outputs, and the test area is cut into
objects as `predict` does by default, at a probability of 0.5. A place of its own is annotated with
each seed. Nothing is validated, so all the polygons are learned from.
"""

import argparse
import copy
import itertools
import statistics
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import rasterio.features
import torch
from grounds import PLACES, Ground, ground, streamed
from torch import nn
from torch.nn import functional

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from example_jobs import train_job  # noqa: E402

from deepseg_qgis import jobs  # noqa: E402
from deepseg_qgis.engine.control import Control  # noqa: E402
from deepseg_qgis.engine.files.raster_sets import open_rasters  # noqa: E402
from deepseg_qgis.engine.files.rasters import Raster  # noqa: E402
from deepseg_qgis.engine.geometry.tiling import Window  # noqa: E402
from deepseg_qgis.engine.instances.finder import instances_at_once  # noqa: E402
from deepseg_qgis.engine.learning.allocator import keep_freed_memory  # noqa: E402
from deepseg_qgis.engine.learning.averaged_network import AveragedNetwork  # noqa: E402
from deepseg_qgis.engine.learning.instance_rule_search import DEFAULT_DEPTH  # noqa: E402
from deepseg_qgis.engine.learning.object_sizes import smoothing_for  # noqa: E402
from deepseg_qgis.engine.learning.process_group import ProcessGroup  # noqa: E402
from deepseg_qgis.engine.learning.starting_network import starting_network  # noqa: E402
from deepseg_qgis.engine.learning.trainer import Trainer  # noqa: E402
from deepseg_qgis.engine.learning.training_sample import TrainingBatch  # noqa: E402
from deepseg_qgis.engine.learning.training_set import load_training_set  # noqa: E402
from deepseg_qgis.engine.legend.legend import InstanceRule  # noqa: E402
from deepseg_qgis.engine.models import networks  # noqa: E402
from deepseg_qgis.engine.verbs import train  # noqa: E402

CONTENDERS = ("ordinary", "ordinary-128", "frozen", "frozen-128", "fixed-128", "head", "logistic")
SIDE_PX, BATCH = 256, 8
HEAD_BATCHES, POINTS, HIDDEN = 12, 1024, 64
"""Batches of windows that the head learns from, pixels of each window, and its hidden channels."""
HEAD_STEP_POINTS, HEAD_RATE, HEAD_DECAY = 4096, 2e-3, 1e-2
TILE_PX, MARGIN_PX = 512, 64
IOU = 0.5


@dataclass(frozen=True)
class Learner:
    """What every contender has: a network that has learned nothing, and its windows."""

    trainer: Trainer
    network: nn.Module
    magnification: int
    channels: int
    budgets: tuple[float, ...]


@dataclass(frozen=True)
class Snapshot:
    """A network as it is after so many seconds and steps."""

    network: nn.Module
    seconds: float
    steps: int


class Clock:
    """Takes a snapshot whenever one of the budgets of processor time is used up."""

    def __init__(self, budgets: tuple[float, ...]) -> None:
        self._left, self.snapshots = list(budgets), []
        self._started = time.process_time()

    def goes_on(self, network: nn.Module, steps: int) -> bool:
        """Whether there is time for another step; a snapshot is taken first if it is due."""
        used = time.process_time() - self._started
        if used >= self._left[0]:
            self.snapshots.append(Snapshot(copy.deepcopy(network), self._left.pop(0), steps))
        return bool(self._left)


class Head(nn.Module):
    """A pixel's logits from the features of a frozen encoder, those of all stages side by side.

    A 1x1 convolution and an enlargement may change places, so each stage is convolved at its size.
    """

    def __init__(self, learner: Learner, hidden: int) -> None:
        super().__init__()
        encoder = learner.network.get_submodule("encoder")
        channels, wanted = encoder.out_channels, learner.channels
        self.encoder = [encoder]  # in a list: none of its own weights
        self._factor = learner.magnification
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(each, affine=False, momentum=None) for each in channels
        )
        self.first = nn.ModuleList(nn.Conv2d(each, hidden or wanted, 1) for each in channels)
        self.last = nn.Conv2d(hidden, wanted, 1) if hidden else None

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return the stages' features, the picture itself first."""
        if self._factor > 1:
            images = functional.interpolate(images, scale_factor=self._factor, mode="bilinear")
        return [each.float() for each in self.encoder[0](images)]

    def logits(self, stages: list[torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
        """Return (N, channels, *size) of the features of stages."""
        layers = zip(stages, self.norms, self.first, strict=True)
        total = sum(enlarged(first(norm(each)), size) for each, norm, first in layers)
        return total if self.last is None else self.last(total.relu())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits of pictures."""
        return self.logits(self.features(images), images.shape[-2:])


def enlarged(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return maps in another size, as they are if it is theirs."""
    if maps.shape[-2:] == size:
        return maps
    return functional.interpolate(maps, size, mode="bilinear")


def freeze(encoder: nn.Module, weights: bool = True) -> None:
    """Fix the batch statistics of an encoder for good, and its weights if that is wanted."""
    kind = type(encoder)
    still = {"train": lambda self, _mode=True: nn.Module.train(self, mode=False)}
    encoder.__class__ = type(kind.__name__, (kind,), still)
    encoder.eval()
    if weights:
        encoder.requires_grad_(requires_grad=False)


def trained(learner: Learner) -> list[Snapshot]:
    """Train in the ordinary loop until the time is over; return what was learned by then."""
    trainer, clock = learner.trainer, Clock(learner.budgets)

    def on_step(done: int, _loss: float) -> bool:
        return clock.goes_on(trainer.network, trainer.step) and done < trainer.steps

    for epoch in itertools.count():
        trainer.train_epoch(epoch, on_step)
        if len(clock.snapshots) == len(learner.budgets):
            return clock.snapshots
    raise AssertionError


def trained_head(learner: Learner, hidden: int) -> list[Snapshot]:
    """Train a head on features that are computed once; return what was learned by then."""
    clock = Clock(learner.budgets)
    freeze(learner.network.get_submodule("encoder"))
    head = Head(learner, hidden)
    stages, points = known_points(learner.trainer, head)
    for norm, each in zip(head.norms, stages, strict=True):
        norm(each[..., None, None])
    head.norms.eval()
    optimiser = torch.optim.AdamW(head.parameters(), lr=HEAD_RATE, weight_decay=HEAD_DECAY)
    average = AveragedNetwork(head)
    for step in itertools.count(1):
        drawn = torch.randint(len(stages[0]), (HEAD_STEP_POINTS,))
        logits = head.logits([each[drawn].T[None, :, None] for each in stages], (1, len(drawn)))
        some = (each if each is None else each[None, None, drawn.numpy()] for each in points)
        optimiser.zero_grad()
        learner.trainer._loss(logits, TrainingBatch(np.empty(0), *some)).backward()
        optimiser.step()
        average.update(head, step)
        if not clock.goes_on(average.network, step):
            return clock.snapshots
    raise AssertionError


@torch.no_grad()
def known_points(
    trainer: Trainer, head: Head
) -> tuple[list[torch.Tensor], list[np.ndarray | None]]:
    """Return features (points, channels) of each stage, and what they are to become (points,).

    The latter as in a `TrainingBatch`. Of random pixels of augmented windows.
    """
    stages, wanted = [], []
    for batch in itertools.islice(trainer._batches(0), HEAD_BATCHES):
        images = trainer._images(batch)
        with precision(trainer):
            maps = head.features(images)
        known = torch.from_numpy(batch.weight > 0).flatten(1) + 1e-9  # a window may have none
        drawn = torch.multinomial(known, POINTS, replacement=True)
        side = images.shape[-1]
        place = (torch.stack([drawn % side, drawn // side], dim=-1) + 0.5) / side * 2.0 - 1.0
        stages.append([at_points(each, place) for each in maps])
        owner, row, column = np.arange(len(drawn))[:, None], drawn // side, drawn % side
        planes = (batch.classes, batch.weight, batch.heights, batch.edges)
        wanted.append([each if each is None else each[owner, row, column] for each in planes])
    return (
        [torch.cat(each) for each in zip(*stages, strict=True)],
        [
            None if each[0] is None else np.concatenate(each).ravel()
            for each in zip(*wanted, strict=True)
        ],
    )


def at_points(maps: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return (N * points, channels) of maps at places (N, points, 2), each from -1 to 1."""
    found = functional.grid_sample(
        maps, places[:, None], padding_mode="border", align_corners=False
    )
    return found[:, :, 0].transpose(1, 2).flatten(0, 1)


def precision(trainer: Trainer) -> torch.autocast:
    """Return the context in which networks compute as they do in training."""
    return torch.autocast("cpu", torch.bfloat16, enabled=trainer.bfloat16)


@torch.inference_mode()
def planes(raw: networks.RawNetwork, trainer: Trainer, raster: Raster, area: Window) -> np.ndarray:
    """Return the planes of `RawNetwork` of an area, (planes, rows, columns) in 1/255."""
    found = None
    for row, column in itertools.product(
        range(0, area.height, TILE_PX), range(0, area.width, TILE_PX)
    ):
        tile = Window(area.row + row, area.column + column, TILE_PX, TILE_PX)
        pixels = raster.read(tile.grown(MARGIN_PX))
        with precision(trainer):
            given = (
                torch.from_numpy(pixels.values)[None],
                torch.from_numpy(pixels.valid)[None, None],
            )
            tile_planes = raw.eval()(*given)[0].numpy()[
                :, MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX
            ]
        if found is None:
            found = np.zeros((len(tile_planes), area.height, area.width), dtype=np.uint8)
        there = found[:, row : row + TILE_PX, column : column + TILE_PX]
        there[:] = tile_planes[:, : there.shape[1], : there.shape[2]]
    return found


def scores(found: np.ndarray, labels: np.ndarray, least_px: int) -> dict[str, float]:
    """Return pixel IoU, and precision, recall and F1 of objects, against (H, W) labels."""
    mask = found[0] > 127
    heights = found[1] if len(found) > 1 else np.zeros_like(found[0])
    rule = InstanceRule((DEFAULT_DEPTH,), (least_px,))  # of level heights: connected areas
    parts = instances_at_once(mask.astype(np.uint8), heights, rule)
    sizes, whole = np.bincount(parts.ravel()), np.bincount(labels.ravel())
    pairs, shared = np.unique(np.stack([labels, parts]).reshape(2, -1), axis=1, return_counts=True)
    union = whole[pairs[0]] + sizes[pairs[1]] - shared
    real = (pairs > 0).all(axis=0)
    right = int((shared[real] > IOU * union[real]).sum())  # above a half no two can share one
    proposed, there = np.count_nonzero(sizes[1:]), np.count_nonzero(whole[1:])
    return {
        "f1": 2 * right / max(1, proposed + there),
        "recall": right / there,
        "precision": right / max(1, proposed),
        "iou": (mask & (labels > 0)).sum() / (mask | (labels > 0)).sum(),
    }


def reference(where: Ground) -> tuple[Window, np.ndarray]:
    """Return the test area as a window, and the number of each of its pixels' polygon or 0."""
    with rasterio.open(where.test_rasters[0]) as dataset:
        transform, crs = dataset.transform, dataset.crs
    box = geopandas.read_file(where.test).to_crs(crs).total_bounds
    columns, rows = ~transform * (box[[0, 2]], box[[3, 1]])
    (left, right), (top, bottom) = np.rint(columns).astype(int), np.rint(rows).astype(int)
    window = Window(int(top), int(left), int(bottom - top), int(right - left))
    polygons = geopandas.read_file(where.annotations).to_crs(crs).geometry
    labels = rasterio.features.rasterize(
        ((polygon, number) for number, polygon in enumerate(polygons, 1)),
        (window.height, window.width),
        transform=transform * transform.translation(window.column, window.row),
        dtype="int32",
    )
    return window, labels


def job_of(where: Ground, folder: Path, seed: int, side: int) -> jobs.TrainJob:
    """Return the job of a training on a ground, with all else default."""
    return train_job(
        jobs.RasterSource(str(where.train_rasters[0].resolve()), "", where.name),
        streamed(where.annotations, folder),
        folder,
        aoi=streamed(where.train, folder),
        validation_aoi=streamed(where.test, folder),  # kept from training, and not looked at
        class_weighting="none",
        architecture=None,
        encoder=None,
        encoder_weights="auto",
        epochs=20,
        tile_size_px=side,
        batch_size=BATCH,
        learning_rate=1e-3,
        seed=seed,
    )


def measured(
    contender: str, where: Ground, folder: Path, seed: int, budgets: tuple[float, ...]
) -> Iterator[tuple[Snapshot, dict[str, float]]]:
    """Yield each snapshot of a contender with its scores."""
    kind, _, side = contender.partition("-")
    job = job_of(where, folder, seed, int(side or SIDE_PX))
    with open_rasters(job.rasters, Control()) as rasters:
        training_set = load_training_set(job, rasters, Control(), np.random.default_rng(seed))
        start = starting_network(job, training_set, None, Control())
        if kind in ("frozen", "fixed"):
            freeze(start.network.get_submodule("encoder"), weights=kind == "frozen")
        dataset = train._dataset(job, start, training_set)
        settings = train._settings(job, start, ProcessGroup())
        normalisation = dataset.normalisation()
        trainer = Trainer(start.network, dataset, normalisation, settings, Control())
        objects = any(training_set.countable)
        channels = networks.channels_for(1, objects)
        learner = Learner(trainer, start.network, start.design.magnification, channels, budgets)
        smoothing = smoothing_for(training_set.labelled_rasters, dataset.countable)
        window, labels = reference(where)
        for snapshot in LEARN.get(kind, trained)(learner):
            raw = networks.RawNetwork(
                snapshot.network,
                normalisation.mean.tolist(),
                normalisation.std.tolist(),
                smoothing_px=smoothing if objects else None,
            )
            found = planes(raw, trainer, rasters[0], window)
            yield snapshot, scores(found, labels, training_set.least_px[0])


LEARN: dict[str, Callable[[Learner], list[Snapshot]]] = {
    "head": lambda learner: trained_head(learner, HIDDEN),
    "logistic": lambda learner: trained_head(learner, 0),
}
"""The others are trained in the ordinary loop."""


def one(
    given: argparse.Namespace, run: tuple[int, int, str, str], budgets: tuple[float, ...]
) -> Iterator[tuple[Snapshot, dict[str, float]]]:
    """Yield each snapshot of a run (seed, polygons, ground, contender) with its scores."""
    seed, polygons, name, contender = run
    with tempfile.TemporaryDirectory() as text:
        folder, place = Path(text), (seed - 1) % len(PLACES)
        where = ground(name, given.data / name, folder, polygons, place)
        yield from measured(contender, where, folder, seed, budgets)


def main() -> None:
    """Measure, and print a line for each run and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--grounds", nargs="+", default=["banepa", "kampala", "nuclei"])
    parser.add_argument("--polygons", type=int, nargs="+", default=[10, 20])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, nargs="+", default=[20.0, 40.0])
    parser.add_argument("--contenders", nargs="+", default=CONTENDERS)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    keep_freed_memory()
    given.data = given.data.resolve()
    budgets = tuple(sorted(given.seconds))
    for contender in ("ordinary", "head"):  # else the first would pay for libraries being loaded
        list(one(given, (1, 20, given.grounds[0], contender), (1.0,)))
    means = defaultdict(list)
    for run in itertools.product(given.seeds, given.polygons, given.grounds, given.contenders):
        seed, polygons, name, contender = run
        for snapshot, found in one(given, run, budgets):
            means[contender, snapshot.seconds].append(found)
            line = ", ".join(f"{score} {value:.3f}" for score, value in found.items())
            print(
                f"{name}, {polygons} polygons, seed {seed}, {contender}, "
                f"{snapshot.seconds:g} s, {snapshot.steps} steps: {line}",
                flush=True,
            )
    print("| contender | seconds | F1 | recall | precision | IoU |\n|---|---|---|---|---|---|")
    for (contender, seconds), found in means.items():
        cells = (statistics.mean(each[score] for each in found) for score in found[0])
        row = " | ".join(f"{cell:.3f}" for cell in cells)
        print(f"| {contender} | {seconds:g} | {row} |")


if __name__ == "__main__":
    main()
