"""Which run is best, as far as runs can be compared at all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from deepseg_qgis.engine.experiments.runs import Run
from deepseg_qgis.errors import counted

Scored = list[tuple[float, Run]]


@dataclass(frozen=True)
class BestRun:
    """The best run of a group by ``measure`` (as people read it), and ``reason``, a sentence."""

    run: Run
    group: tuple[Run, ...]
    measure: str
    score: float
    reason: str


def best_run(runs: Sequence[Run]) -> BestRun | None:
    """Return the best run; None if no model has a score.

    Scores on the same test area come first, if at least two runs have them. Validation scores are
    compared within the largest set of runs validated on the same ground for the same categories.
    """
    return _best_tested(runs) or _best_validated(runs)


def score_on_test_area(run: Run) -> tuple[str, float] | None:
    """Return what an evaluation is ranked by and the score: F1, else IoU."""
    scores = run.evaluation.scores if run.evaluation else {}
    for name, measure in (("f1", "test F1"), ("mean_iou", "test IoU")):
        score = scores.get(name)
        if score is not None:
            return measure, score
    return None


def validation_score(run: Run) -> float | None:
    """Return the score on the areas kept from training."""
    return run.card.validation_score if run.card else None


def ranked(runs: Sequence[Run], best: BestRun | None) -> list[Run]:
    """Return the runs, the best first: those that can be compared with it, then the others."""

    def rank(run: Run) -> tuple[bool, float, float]:
        tested, validated = score_on_test_area(run), validation_score(run)
        return (
            best is not None and run in best.group,
            tested[1] if tested else -1.0,
            -1.0 if validated is None else validated,
        )

    return sorted(runs, key=rank, reverse=True)


def _best_tested(runs: Sequence[Run]) -> BestRun | None:
    groups: dict[tuple[str, str], Scored] = defaultdict(list)
    for run in runs:
        tested = score_on_test_area(run)
        if run.evaluation and tested:
            groups[tested[0], run.evaluation.area].append((tested[1], run))
    if not groups:
        return None
    (measure, area), group = max(groups.items(), key=lambda each: _size(each[1]))
    if len(group) < 2:
        return None
    score, run = max(group, key=_score)
    return BestRun(
        run, _runs(group), measure, score, f"Best of the {len(group)} models tested on {area}."
    )


def _best_validated(runs: Sequence[Run]) -> BestRun | None:
    groups: dict[str, Scored] = defaultdict(list)
    for run in runs:
        score = validation_score(run)
        if score is not None:
            groups[run.ground].append((score, run))
    if not groups:
        return None
    group = max(groups.values(), key=_size)
    score, run = max(group, key=_score)
    reason = f"Best of {counted(len(group), 'model')} validated on the same ground."
    return BestRun(run, _runs(group), "validation score", score, reason)


def _score(scored: tuple[float, Run]) -> float:
    return scored[0]


def _runs(group: Scored) -> tuple[Run, ...]:
    return tuple(run for _, run in group)


def _size(group: Scored) -> tuple[int, float]:
    """Return what the largest group has most of; of equal ones the better is larger."""
    return len(group), max(map(_score, group))
