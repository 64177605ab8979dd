"""How often the 95 % intervals of areas and accuracies hold the truth.

Draws samples from maps whose errors are known, 1,000 for each map, as `sampledesign` would: of the
advised size, with at least 50 points for each category. Prints for each figure how often its
interval holds the truth, and how often value ± 1.96 standard errors does.

    .venv/bin/python benchmarks/area_coverage.py [--runs 1000] [--seed 0]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from deepseg_qgis.engine.scoring.sample_size import advised_size, allocated  # noqa: E402
from deepseg_qgis.engine.scoring.stratified_estimation import (  # noqa: E402
    Estimate,
    StratifiedSample,
)

FEWEST_POINTS = 50
EXPECTED_ACCURACY, TARGET = 0.8, 0.05
"""As the dialog proposes them."""
HOLDS = (0.93, 0.97)


class Ground(NamedTuple):
    """A map: each stratum's share of the ground, and how its own ground is parted (rows)."""

    weights: NDArray[np.float64]
    truth: NDArray[np.float64]
    sizes: NDArray[np.int64] | None = None


def ground(
    weights: list[float], truth: list[list[float]], sizes: list[int] | None = None
) -> Ground:
    """Return a map; without sizes the advised ones are drawn."""
    return Ground(
        np.array(weights),
        np.array(truth, dtype=float) / np.sum(truth, axis=1, keepdims=True),
        None if sizes is None else np.array(sizes),
    )


GROUNDS = {
    "example of Olofsson et al.": ground(
        [0.02, 0.015, 0.32, 0.645],
        [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]],
        [75, 75, 165, 325],
    ),
    "houses on 30 % of the ground": ground([0.3, 0.7], [[0.85, 0.15], [0.08, 0.92]]),
    "houses on 10 %": ground([0.1, 0.9], [[0.8, 0.2], [0.03, 0.97]]),
    "houses on 5 %": ground([0.05, 0.95], [[0.8, 0.2], [0.01, 0.99]]),
    "houses on 2 %, one in ten overlooked": ground([0.02, 0.98], [[0.9, 0.1], [0.002, 0.998]]),
    "three categories": ground(
        [0.1, 0.2, 0.7], [[0.8, 0.1, 0.1], [0.05, 0.85, 0.1], [0.03, 0.05, 0.92]]
    ),
}


def figures(sample: StratifiedSample) -> dict[str, list[Estimate | None]]:
    """Return all that is estimated from a sample."""
    categories = range(len(sample.weights))
    return {
        "area": [sample.area_share(each) for each in categories],
        "overall accuracy": [sample.overall_accuracy],
        "user's accuracy": [sample.users_accuracy(each) for each in categories],
        "producer's accuracy": [sample.producers_accuracy(each) for each in categories],
    }


def true_figures(of: Ground) -> dict[str, NDArray[np.float64]]:
    """Return the same as it is."""
    areas = of.weights @ of.truth
    right = np.diagonal(of.truth)
    return {
        "area": areas,
        "overall accuracy": np.array([of.weights @ right]),
        "user's accuracy": right,
        "producer's accuracy": of.weights * right / areas,
    }


def coverage(of: Ground, runs: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """Return for each figure (2, categories): how often each kind of interval holds the truth."""
    rng = np.random.default_rng(seed)
    sizes = of.sizes
    if sizes is None:
        expected = np.full(len(of.weights), EXPECTED_ACCURACY)
        advised = advised_size(of.weights, expected, TARGET)
        sizes = allocated(advised, of.weights, FEWEST_POINTS)
    truth = true_figures(of)
    held: dict[str, list[list[list[bool]]]] = defaultdict(list)
    for _ in range(runs):
        counts = np.array([rng.multinomial(n, row) for n, row in zip(sizes, of.truth, strict=True)])
        for name, estimates in figures(StratifiedSample(counts, of.weights)).items():
            pairs = list(zip(estimates, truth[name], strict=True))
            held[name].append(
                [
                    [e is not None and e.low <= t <= e.high for e, t in pairs],
                    [e is not None and abs(e.value - t) <= e.half_width for e, t in pairs],
                ]
            )
    return {name: np.mean(values, axis=0) for name, values in held.items()}


def main() -> None:
    """Print how often intervals hold the truth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    everything: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    for name, each in GROUNDS.items():
        print(name)
        for figure, values in coverage(each, options.runs, options.seed).items():
            everything[figure].append(values)
            intervals, plain = (" ".join(f"{100 * v:5.1f}" for v in row) for row in values)
            print(f"  {figure:20} interval {intervals}   ± 1.96 SE {plain}")
    print("all maps: lowest, mean and highest")
    for figure, parts in everything.items():
        together = 100 * np.concatenate(parts, axis=1)
        interval, plain = (f"{r.min():.1f} {r.mean():.1f} {r.max():.1f}" for r in together)
        print(f"  {figure:20} interval {interval}   ± 1.96 SE {plain}")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
