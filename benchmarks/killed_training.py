"""Whether trainings that were killed again and again end in the same file as one that was not.

    .venv/bin/python benchmarks/killed_training.py DATA [--seed 1] [--kills 20]

DATA holds the folder `nuclei` (see `grounds.py`). Trains a small model in an engine of its own, on
one thread, once to its end; then again and again, each run killed (SIGKILL) at a random moment and
continued by the next one, as RESUME does it. Every other kill comes in the half second after an
epoch, when model and state are written. Ends with exit code 1 if a finished model is another one,
or if anything is left in the cache or beside the model.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import NamedTuple

from grounds import ground, streamed

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from example_jobs import train_job  # noqa: E402

from deepseg_qgis import events, jobs  # noqa: E402

LAUNCH = ROOT / "deepseg_qgis" / "launch.py"
POLYGONS, EPOCHS = 100, 4
AFTER_EPOCH_S = 0.5
"""Model and state of an epoch are written in this time."""


class Run(NamedTuple):
    """One run of the engine: after how many epochs it went on, what it said last, and its end.

    ``continued`` is None where it was killed before it came to that.
    """

    continued: int | None
    last: str
    seconds: float
    finished: bool


class Kill:
    """Kills a run's whole process group, some time after its start or after one of its epochs."""

    def __init__(self, chance: random.Random, whole_s: float, after_epoch: bool) -> None:
        self._epoch = chance.randint(1, EPOCHS) if after_epoch else None
        self._wait_s = chance.uniform(0.0, AFTER_EPOCH_S if after_epoch else whole_s)

    def start(self, process: subprocess.Popen) -> None:
        """Set the time running, if no epoch is to be waited for."""
        if self._epoch is None:
            self._count(process)

    def hear(self, event: events.Event, process: subprocess.Popen) -> None:
        """Set the time running at the epoch waited for, or at a later one."""
        if isinstance(event, events.Epoch) and self._epoch and event.epoch >= self._epoch:
            self._epoch = None
            self._count(process)

    def _count(self, process: subprocess.Popen) -> None:
        timer = threading.Timer(self._wait_s, killed, [process])
        timer.daemon = True
        timer.start()


def killed(process: subprocess.Popen) -> None:
    """Kill the engine and whatever it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def made(data: Path, folder: Path) -> jobs.TrainJob:
    """Return the job of a small training on nuclei."""
    warnings.simplefilter("ignore")
    places = ground("nuclei", data / "nuclei", folder, POLYGONS)
    (path,) = places.train_rasters
    return train_job(
        jobs.RasterSource(str(path.resolve()), "", path.name),
        streamed(places.annotations, folder),
        folder / "out",
        aoi=streamed(places.train, folder),
        model_size="small",
        architecture=None,
        encoder=None,
        encoder_weights="auto",
        epochs=EPOCHS,
        tile_size_px=64,
        learning_rate=1e-3,
        resume=True,
        output_html=None,
    )


def run(job: jobs.TrainJob, folder: Path, kill: Kill | None) -> Run:
    """Run the engine on the job, as QGIS does, until it ends or is killed."""
    file = folder / "job.json"
    file.write_text(jobs.encode(job), encoding="utf-8")
    one_thread = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-I", "-X", "utf8", "-u", LAUNCH, file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **one_thread, "XDG_CACHE_HOME": str(folder / "cache")},
        start_new_session=True,
        text=True,
        encoding="utf-8",
    )
    if kill:
        kill.start(process)
    continued, last, finished = None, "start", False
    for line in process.stdout:
        if not line.endswith("}\n") or not line.startswith('{"event": '):
            continue
        event = events.decode(line)
        if kill:
            kill.hear(event, process)
        finished = finished or isinstance(event, events.Result)  # a later kill takes nothing
        if isinstance(event, events.Error):
            sys.exit(f"the training failed: {event.message}")
        if isinstance(event, events.Epoch):
            last = f"end of epoch {event.epoch}"
        text = getattr(event, "text", "")
        if text.startswith("Continuing a training"):
            continued = int(text.split(": ")[1].split(" of ")[0])
        if isinstance(event, events.Progress) and text.startswith("Epoch"):
            continued = continued or 0
        last = text.split(",")[0] if isinstance(event, events.Progress) and text else last
    process.communicate()
    return Run(continued, last, time.monotonic() - started, finished)


def sha256(job: jobs.TrainJob) -> str:
    """Return the hash of the finished model, which is taken away."""
    output = Path(job.output)
    found = hashlib.sha256(output.read_bytes()).hexdigest()
    output.unlink()
    return found


def left_behind(job: jobs.TrainJob, folder: Path) -> list[str]:
    """Return what a finished training has left in the cache or beside the model's place."""
    places = (folder / "cache" / "deepseg" / "trainings", Path(job.output).parent)
    return [str(each) for place in places if place.exists() for each in place.iterdir()]


def main() -> None:
    """Kill trainings and compare what they end in."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=20)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = made(given.data, folder)
        whole = run(job, folder, None)
        expected = sha256(job)
        print(f"uninterrupted, {whole.seconds:.0f} s: {expected}", flush=True)
        print("| run | goes on after epoch | ends | after | SHA-256 |\n|---|---|---|---|---|")
        wrong = kills = finished = number = 0
        is_finished = True  # a training: the next run begins another one
        while kills < given.kills or not is_finished:
            number += 1
            kill = Kill(chance, whole.seconds, kills % 2 == 1) if kills < given.kills else None
            ended = run(job, folder, kill)
            is_finished = ended.finished
            kills, finished = kills + (not is_finished), finished + is_finished
            found = sha256(job) if is_finished else ""
            left = left_behind(job, folder) if is_finished else []
            wrong += is_finished and (bool(left) or found != expected)
            told = "finished" if is_finished else f"killed: {ended.last}"
            same = "the same" if found == expected else found
            after = "" if ended.continued is None else ended.continued
            print(f"| {number} | {after} | {told} | {ended.seconds:.1f} s | {same} |")
            print("".join(f"  left behind: {each}\n" for each in left), end="", flush=True)
    print(f"{kills} kills; {finished} trainings finished, {wrong} of them not as uninterrupted")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
