"""How good a model gets from few polygons: DeepSeg, an older DeepSeg, and a plain script.

Each trains for the same minutes on the same annotated area and is tested on ground that is kept
back, through QGIS, at `evaluate`'s defaults. Every result is a line in FOLDER/results.jsonl as soon
as it is known, and what is there is not done again, so a run that was cut off goes on. Nothing else
should run beside it, unless each has cores of its own: `taskset -c 0 … --share 1/2` beside
`taskset -c 1 … --share 2/2` halves the time.

    .venv/bin/python benchmarks/learning_curves.py DATA --older CHECKOUT [--minutes 2]
        [--grounds banepa fields_us nuclei] [--polygons 25 100 400] [--seeds 1 2 3]
        [--contenders deepseg older plain] [--share 1/2] [--table]

DATA holds a folder for each ground. CHECKOUT is an older version with an environment of its own; it
trains as many epochs as fit into the minutes, which the log of a training of one epoch tells. 0
polygons are all there are. With several minutes (`--polygons 300 --minutes 1 3 5 10`) it tells how
soon a model is good. With several seeds, each annotates another place. --table only prints what is
known.
"""

import argparse
import csv
import itertools
import json
import operator
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from grounds import PLACES, Ground, ground

ROOT = Path(__file__).resolve().parents[1]
SCORES = ("f1", "mean_iou", "ap50", "pq", "count_error", "ap_small", "ap_medium", "ap_large")
SEVERAL_SEEDS = ("banepa",)
"""The other grounds have the first seed alone."""
GROUPED = ("ground", "polygons", "minutes", "contender")
CONTENDERS = ("deepseg", "older", "plain")
ALL = 10_000
PLENTY = 1000
"""Epochs, where the minutes end the training."""


def qgis(checkout: Path, algorithm: str, log: Path, **parameters: object) -> None:
    """Run an algorithm of a checkout; what it says goes to a file."""
    values = []
    for name, value in parameters.items():
        several = value if isinstance(value, tuple) else (value,)
        values += [f"{name}={each}" for each in several if each is not None]
    command = [checkout / "scripts" / "qgis_process", "run", f"deepseg:{algorithm}", "--", *values]
    with log.open("a", encoding="utf-8") as file:
        subprocess.run(command, check=True, stdout=file, stderr=subprocess.STDOUT)


def train_deepseg(checkout: Path, places: Ground, model: Path, seed: int, **more: object) -> None:
    """Train with DeepSeg's defaults, but for ``more``."""
    qgis(
        checkout,
        "train",
        model.with_suffix(".train.txt"),
        INPUT=places.train_rasters,
        **places.layers,
        AOI=places.train,
        SEED=seed,
        OUTPUT=model,
        OUTPUT_LOG=model.with_suffix(".csv"),
        **places.train_more,
        **more,
    )


def epochs_in(checkout: Path, places: Ground, model: Path, minutes: float) -> int:
    """Return how many epochs of an older version fit; a first training of one epoch tells."""
    log = model.with_suffix(".csv")
    train_deepseg(checkout, places, model, 1, EPOCHS=1)
    with log.open(encoding="utf-8") as file:
        seconds = float(next(csv.DictReader(file))["seconds"])
    log.unlink()
    return max(round(minutes * 60 / seconds), 1)


def trained(
    contender: str, places: Ground, model: Path, task: dict, given: argparse.Namespace
) -> None:
    """Train one model."""
    seed = task["seed"]
    if contender == "older":
        trial = model.with_suffix(".try.safetensors")
        epochs = epochs_in(given.older, places, trial, task["minutes"])
        train_deepseg(given.older, places, model, seed, EPOCHS=epochs)
    elif contender == "deepseg":
        minutes = {"EPOCHS": PLENTY, "MAX_MINUTES": task["minutes"]}
        train_deepseg(ROOT, places, model, seed, **minutes)
    else:
        script = ROOT / "benchmarks" / "plain_training.py"
        folder = given.data / task["ground"]
        options = {name: task[name] for name in ("seed", "polygons", "place")}
        flags = [f"--{name}={value}" for name, value in options.items()]
        minutes = f"--minutes={task['minutes']}"
        command = [sys.executable, script, task["ground"], folder, model, *flags, minutes]
        subprocess.run(command, check=True)


def tested(places: Ground, model: Path) -> dict[str, float]:
    """Return the scores of a model on the test ground."""
    scores = model.with_suffix(".json")
    qgis(
        ROOT,
        "evaluate",
        model.with_suffix(".test.txt"),
        INPUT=places.test_rasters,
        **places.layers,
        MODEL=model,
        AOI=places.test,
        OUTPUT_JSON=scores,
    )
    values = json.loads(scores.read_text(encoding="utf-8"))
    return {name: values[name] for name in SCORES}


def tasks(given: argparse.Namespace) -> list[dict]:
    """Return all there is to do; what says most comes first."""
    by_weight = sorted(given.polygons, key=lambda count: abs(np.log((count or ALL) / 100)))
    found = []
    for (number, seed), polygons, name, minutes, contender in itertools.product(
        enumerate(given.seeds), by_weight, given.grounds, given.minutes, given.contenders
    ):
        if number == 0 or name in SEVERAL_SEEDS:
            task = {"ground": name, "polygons": polygons, "seed": seed}
            task |= {"place": number % len(PLACES), "contender": contender, "minutes": minutes}
            found.append(task)
    return found


def table(results: list[dict]) -> str:
    """Return mean and half range over the seeds, a line for each ground and number of polygons."""
    lines = ["| " + " | ".join((*GROUPED, "seeds", *SCORES)) + " |"]
    lines.append("|---" * (len(GROUPED) + 1 + len(SCORES)) + "|")
    key_of = operator.itemgetter(*GROUPED)
    for key in sorted({key_of(each) for each in results}):
        group = [each for each in results if key_of(each) == key]
        cells = []
        for name in SCORES:
            values = [each[name] for each in group if each[name] is not None]
            spread = f" ± {np.ptp(values) / 2:.3f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.3f}{spread}" if values else "")
        lines.append("| " + " | ".join([*map(str, key), str(len(group)), *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Do what is not done yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--older", type=Path)
    parser.add_argument("--minutes", type=float, nargs="+", default=[2.0])
    parser.add_argument("--grounds", nargs="+", default=["banepa", "fields_us", "nuclei"])
    parser.add_argument("--polygons", type=int, nargs="+", default=[25, 100, 400])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--share", default="1/1", help="do every so many-th of the tasks alone")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "learning_curves")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "results.jsonl"
    known = [{name: each[name] for name in tasks(given)[0]} for each in read(log)]
    first, step = map(int, given.share.split("/"))
    for task in [] if given.table else tasks(given)[first - 1 :: step]:
        if task in known or (task["contender"] == "older" and given.older is None):
            continue
        name = "{ground}_{polygons}_{seed}_{minutes:g}_{contender}".format(**task)
        data, own = given.data.resolve() / task["ground"], folder / name
        places = ground(task["ground"], data, own, task["polygons"] or None, task["place"])
        model = own / "model.safetensors"
        model.unlink(missing_ok=True)
        started = time.monotonic()
        trained(task["contender"], places, model, task, given)
        result = {**task, **tested(places, model)}
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
        print(f"{name}: F1 {result['f1']:.3f} ({time.monotonic() - started:.0f} s)", flush=True)
    print(table(read(log)))


def read(log: Path) -> list[dict]:
    """Return the results so far."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main()
