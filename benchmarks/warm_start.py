"""What a round of more training gains on new ground, and what it forgets of the old.

Trains on the western part of one scene, then goes on from that model on the western part of
another one, whose polygons alone it is given. Both are tested on the eastern quarters of both.

    .venv/bin/python benchmarks/warm_start.py banepa/scene.tif banepa/buildings.gpkg \
        kampala/scene.tif kampala/buildings.gpkg --epochs 20 --more 4
"""

import argparse
import json
import time
from pathlib import Path

from held_out import ROOT, areas, run

SCORES = ("f1", "mean_iou", "count_error")


def main() -> None:
    """Train, go on, and test both models on both scenes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", type=Path, nargs=4, help="SCENE POLYGONS NEW_SCENE NEW_POLYGONS")
    parser.add_argument("--epochs", type=int, default=20, help="of the first round")
    parser.add_argument("--more", type=int, default=4, help="epochs of the second round")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "warm_start")
    wanted = parser.parse_args()
    paths = [path.resolve() for path in wanted.scenes]
    grounds = [dict(zip(("INPUT", "ANNOTATIONS"), pair, strict=True)) for pair in _pairs(paths)]
    folder = wanted.folder.resolve()
    parts = []
    for number, ground in enumerate(grounds):
        place = folder / str(number)
        place.mkdir(parents=True, exist_ok=True)
        parts.append(areas(ground["INPUT"], place))
    model: Path | None = None
    for number, (ground, (west, _)) in enumerate(zip(grounds, parts, strict=True)):
        output = folder / f"round_{number + 1}.safetensors"
        started = time.monotonic()
        run(
            "train",
            **ground,
            AOI=west,
            INITIAL_MODEL=model,
            EPOCHS=wanted.more if number else wanted.epochs,
            SEED=wanted.seed,
            OUTPUT=output,
        )
        model = output
        print(f"round {number + 1}: {time.monotonic() - started:.0f} s", flush=True)
        for tested, (other, (_, east)) in enumerate(zip(grounds, parts, strict=True)):
            scores = folder / f"round_{number + 1}_on_{tested + 1}.json"
            run("evaluate", **other, MODEL=model, AOI=east, OUTPUT_JSON=scores)
            values = json.loads(scores.read_text(encoding="utf-8"))
            text = ", ".join(f"{name} {values[name]:.3f}" for name in SCORES)
            print(f"  on the {('old', 'new')[tested]} ground: {text}", flush=True)


def _pairs(paths: list[Path]) -> list[tuple[Path, Path]]:
    return list(zip(paths[::2], paths[1::2], strict=True))


if __name__ == "__main__":
    main()
