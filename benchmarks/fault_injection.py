"""What is left of a prediction when something ends it: kills, full disks, files that vanish.

    .venv/bin/python benchmarks/fault_injection.py [--seed 1] [--count 20] [--only engine,parent]

Makes a small scene and a model in a temporary folder, predicts it once without a disturbance, and
then again and again with one each time: kill -9 of the engine, kill -9 of the process that stands
for QGIS, a full disk under the output, under the journals and under temporary files, a raster that
is deleted or cut while it is read, a destination that cannot be replaced in the end. After each it
is checked that nothing stands at the destination, or what stood there before, that nothing else was
left, and that the next run gives the undisturbed result byte for byte. POSIX; small disks need root
on Linux, else they are left out. Ends with exit code 1 if anything was not as it must be.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deepseg_qgis import events, jobs  # noqa: E402

LAUNCH = ROOT / "deepseg_qgis" / "launch.py"
HEIGHT, WIDTH = 1500, 2000
OLD = b"what stood there before"
PARENT = """
import sys
from deepseg_qgis import jobs
from deepseg_qgis.processing.engine.client import EngineProgram, JobObserver, run_job
import os
folder, launch = sys.argv[1:]
program = EngineProgram(sys.executable, launch, dict(os.environ))
job = jobs.decode(open(os.path.join(os.path.dirname(folder), "qgis.json")).read())
run_job(job, program, JobObserver(lambda event: None, lambda: False), folder)
"""


@dataclass
class Place:
    """The folders of all runs, the job, and the hash of what must come out."""

    root: Path
    job: jobs.PredictJob
    right: str = ""
    seconds: float = 0.0
    size: int = 0

    @property
    def out(self) -> Path:
        """Where the output goes; nothing else lies there."""
        return Path(self.job.output).parent

    @property
    def environment(self) -> dict[str, str]:
        """The engine's own cache and temporary folder."""
        own = {"XDG_CACHE_HOME": str(self.root / "cache"), "TMPDIR": str(self.root / "tmp")}
        return {**os.environ, **own, "OMP_WAIT_POLICY": "PASSIVE"}

    def journals(self) -> list[str]:
        """Return the names of the journals there are."""
        folder = self.root / "cache" / "deepseg" / "journals"
        return os.listdir(folder) if folder.is_dir() else []


class WrongError(Exception):
    """Something was not as it must be."""


def made(root: Path) -> Place:
    """Return a place with a scene and a model of random weights."""
    import torch

    from deepseg_qgis.engine.legend.legend import Category
    from deepseg_qgis.engine.models import networks, weights
    from deepseg_qgis.engine.models.model_card import ModelCard
    from deepseg_qgis.engine.models.network_design import NetworkDesign

    for name in ("out", "tmp", "cache"):
        (root / name).mkdir()
    noise = np.random.default_rng(0).normal(size=(HEIGHT // 20, WIDTH // 20))
    values = (noise.repeat(20, 0).repeat(20, 1) * 60 + 110).clip(1, 255).astype(np.uint8)
    with rasterio.open(
        *(root / "scene.tif", "w"),
        driver="GTiff",
        count=1,
        height=HEIGHT,
        width=WIDTH,
        dtype="uint8",
        crs="EPSG:32633",
        transform=Affine(0.5, 0, 5e5, 0, -0.5, 55e5),
        tiled=True,
    ) as dataset:
        dataset.write(values[None])
    torch.manual_seed(3)
    card = ModelCard(
        architecture="unet",
        encoder="resnet18",
        task="semantic",
        categories=(Category("a", "#00aa11"), Category("b", "#aabbcc")),
        band_names=("1",),
        dtype="uint8",
        resolution_m=None,
        mean=(100.0,),
        std=(40.0,),
        tile_size_px=64,
        thresholds=(0.34, 0.34),
    )
    model = str(root / "m.safetensors")
    weights.save(model, networks.build(NetworkDesign("unet", "resnet18"), 1, 2).state_dict(), card)
    values = dict.fromkeys(field.name for field in fields(jobs.PredictJob))
    values |= {
        "rasters": (jobs.RasterSource(str(root / "scene.tif"), "", "scene.tif"),),
        "mosaic": False,
        "model": model,
        "tile_size_px": 256,
        "overlap_px": 64,
        "min_area": 0.0,
        "simplify_px": 1.0,
        "outlines": "plain",
        "precision": "auto",
        "device": "cpu",
        "resume": True,
        "output": str(root / "out" / "found.geojson"),
    }
    return Place(root, jobs.PredictJob(**values))


def started(place: Place, job: jobs.PredictJob | None = None, **variables: str) -> subprocess.Popen:
    """Start an engine on the job, as QGIS does."""
    folder = Path(tempfile.mkdtemp(dir=place.root))
    file = folder / "job.json"
    file.write_text(jobs.encode(job or place.job), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-I", "-X", "utf8", "-u", LAUNCH, file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**place.environment, **variables},
        text=True,
        encoding="utf-8",
    )


def outcome(process: subprocess.Popen) -> events.Result | events.Error | None:
    """Return the engine's last word, None if it was killed."""
    assert process.stdout is not None
    said = process.stdout.read()  # its input stays open meanwhile: the end of that is QGIS's end
    process.communicate()
    lines = [
        line for line in said.splitlines() if line.startswith('{"event": "') and line[-1] == "}"
    ]
    last = events.decode(lines[-1]) if lines else None
    return last if isinstance(last, (events.Result, events.Error)) else None


def undisturbed(place: Place) -> None:
    """Run to the end; the first time keep what comes out, then check that it is the same."""
    result = outcome(started(place))
    if not isinstance(result, events.Result):
        raise WrongError(f"a run without disturbance ended with {result}")
    found = hashlib.sha256(Path(place.job.output).read_bytes()).hexdigest()
    place.right = place.right or found
    place.size = os.path.getsize(place.job.output)
    if found != place.right:
        raise WrongError("the result is another one than that of an uninterrupted run")
    if place.journals():
        raise WrongError(f"journals stayed after success: {place.journals()}")
    check_left(place, {Path(place.job.output).name})
    os.remove(place.job.output)


def check_left(place: Place, names: set[str], parts: bool = False) -> None:
    """Check that nothing else lies beside the output."""
    left = {name for name in os.listdir(place.out) if not (parts and name.endswith(".part"))}
    if left - names:
        raise WrongError(f"left beside the output: {left - names}")


def check_destination(place: Place, old: bool, parts: bool) -> str:
    """Check what stands at the destination after a disturbance; return what it is."""
    output = Path(place.job.output)
    check_left(place, {output.name}, parts)
    if not output.exists():
        if old:
            raise WrongError("the file that stood at the destination is gone")
        return "nothing"
    content = output.read_bytes()
    if old and content == OLD:
        return "the old file"
    if hashlib.sha256(content).hexdigest() != place.right:
        raise WrongError("half a result stands at the destination")
    return "the whole result"


def killed(place: Place, chance: random.Random, parent: bool) -> str:
    """Kill the engine, or its parent, at a random moment, and continue; return what was left."""
    old = chance.random() < 0.5
    if old:
        Path(place.job.output).write_bytes(OLD)
    moment = chance.uniform(0.0, place.seconds)
    if parent:
        kill_parent(place, moment)
    else:
        process = started(place)
        time.sleep(moment)
        process.kill()
        process.communicate()
    left = check_destination(place, old, parts=not parent)
    kept = "with a journal" if place.journals() else "without a journal"
    if left == "the whole result":
        os.remove(place.job.output)
    undisturbed(place)
    return f"{left}, {kept}"


def kill_parent(place: Place, moment: float) -> None:
    """Kill the process that stands for QGIS; return when its engine is gone."""
    import psutil

    folder = Path(tempfile.mkdtemp(dir=place.root / "tmp"))
    (folder.parent / "qgis.json").write_text(jobs.encode(place.job), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, folder, LAUNCH], env=place.environment, cwd=ROOT
    )
    time.sleep(moment)
    with contextlib.suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        _, alive = psutil.wait_procs(children, timeout=10)
        if alive:
            raise WrongError("the engine outlived its parent")
    process.wait()
    if any((folder / name).exists() for name in ("job.json",)):
        # before the engine listens nobody is there to delete it; it is QGIS's temporary folder
        shutil.rmtree(folder)


def vanished(place: Place, chance: random.Random) -> str:
    """Delete or cut the raster at a random moment; return how the run ended."""
    original = Path(place.job.rasters[0].path)
    path = place.root / "vanishing.tif"
    shutil.copy2(original, path)
    source = replace(place.job.rasters[0], path=str(path))
    process = started(place, replace(place.job, rasters=(source,)))
    time.sleep(chance.uniform(0.2, 0.9) * place.seconds)
    cut = chance.random() < 0.5
    if cut:
        os.truncate(path, chance.randrange(original.stat().st_size))
    else:
        path.unlink()
    end = outcome(process)
    path.unlink(missing_ok=True)
    what = "cut" if cut else "deleted"
    if isinstance(end, events.Error):
        if end.kind != "RasterError":
            raise WrongError(f"{what}: {end.kind}: {end.message}")
        check_left(place, set())
        for name in place.journals():
            os.remove(place.root / "cache" / "deepseg" / "journals" / name)
        return f"{what}: RasterError"
    check_destination(place, old=False, parts=False)
    os.remove(place.job.output)
    return f"{what}: too late to matter"


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """Mount a disk of that size over a folder."""
    option = f"size={kilobytes}k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", option, "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def may_mount(folder: Path) -> bool:
    """Whether small disks can be mounted."""
    try:
        with small_disk(folder, 64):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def full_output(place: Place, chance: random.Random) -> str:
    """Predict onto a disk that is too small; return how it ended."""
    with small_disk(place.out, chance.randrange(8, place.size // 1100)):
        end = outcome(started(place))
        if not (isinstance(end, events.Error) and "room" in end.message):
            raise WrongError(f"a full disk ended with {end}")
        check_left(place, set())
    undisturbed(place)
    return f"{end.kind}: nothing left, continued"


def full_cache(place: Place, chance: random.Random) -> str:
    """Predict with a disk for journals that fills up; the result must not suffer."""
    folder = place.root / "cache" / "deepseg" / "journals"
    folder.mkdir(parents=True, exist_ok=True)
    with small_disk(folder, chance.randrange(8, 400)):
        undisturbed(place)
    return "no journal, the right result"


def full_temporary(place: Place, _: random.Random) -> str:
    """Predict with a disk for temporary files that is full."""
    with small_disk(place.root / "tmp", 4):
        undisturbed(place)
    return "the right result"


def not_replaceable(place: Place, _: random.Random) -> str:
    """Put something at the destination meanwhile that cannot be replaced."""
    process = started(place)
    while not os.listdir(place.out):
        time.sleep(0.01)
    output = Path(place.job.output)
    output.mkdir()
    (output / "file").touch()
    end = outcome(process)
    if not (isinstance(end, events.Error) and "was kept at " in end.message):
        raise WrongError(f"a destination in use ended with {end}")
    kept = Path(end.message.split("was kept at ")[1].split(": close")[0])
    if hashlib.sha256(kept.read_bytes()).hexdigest() != place.right:
        raise WrongError("what was kept is not the whole result")
    shutil.rmtree(kept.parent)
    shutil.rmtree(output)
    for name in place.journals():
        os.remove(place.root / "cache" / "deepseg" / "journals" / name)
    return "OutputError: the finished result was kept"


def two_at_once(place: Place, _: random.Random) -> str:
    """Predict twice at once with a cold cache, to two places."""
    shutil.rmtree(place.root / "cache")
    outputs = [place.out / f"{number}.geojson" for number in (1, 2)]
    resume = [replace(place.job, output=str(path), resume=False) for path in outputs]
    processes = [started(place, job) for job in resume]
    ends = [None, None]

    def wait(number: int) -> None:
        ends[number] = outcome(processes[number])

    threads = [threading.Thread(target=wait, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = [json.loads(path.read_text())["features"] for path in outputs]
    for path in outputs:
        path.unlink()
    if not all(isinstance(end, events.Result) for end in ends) or texts[0] != texts[1]:
        raise WrongError(f"two at once ended with {ends}")
    undisturbed(place)
    return "both right"


def main() -> None:
    """Disturb, check and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--only", default="", help="names of disturbances, with commas")
    given = parser.parse_args()
    faults: dict[str, Callable[[Place, random.Random], str]] = {
        "engine": lambda place, chance: killed(place, chance, parent=False),
        "parent": lambda place, chance: killed(place, chance, parent=True),
        "source": vanished,
        "destination": not_replaceable,
        "output_disk": full_output,
        "cache_disk": full_cache,
        "temporary_disk": full_temporary,
        "two": two_at_once,
    }
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        place = made(Path(name))
        undisturbed(place)
        start = time.perf_counter()
        undisturbed(place)
        place.seconds = time.perf_counter() - start
        print(f"an undisturbed run takes {place.seconds:.1f} s", flush=True)
        mounts = may_mount(place.root / "tmp")
        for kind in given.only.split(",") if given.only else faults:
            if kind.endswith("_disk") and not mounts:
                print(f"{kind}: left out, small disks cannot be mounted here")
                continue
            chance = random.Random(f"{given.seed} {kind}")
            ends: Counter[str] = Counter()
            for _ in range(given.count if kind in ("engine", "parent", "source") else 3):
                try:
                    ends[faults[kind](place, chance)] += 1
                except WrongError as error:
                    ends[f"WRONG: {error}"] += 1
                    wrong += 1
                    shutil.rmtree(place.out)
                    place.out.mkdir()
            for end, times in sorted(ends.items()):
                print(f"{kind}: {times} × {end}", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
