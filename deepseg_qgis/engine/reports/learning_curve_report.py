"""The page of a learning curve: the curve, and in one sentence what more polygons would bring."""

from __future__ import annotations

from deepseg_qgis.engine.reports.charts import curve_chart
from deepseg_qgis.engine.reports.markup import Cell
from deepseg_qgis.engine.reports.page import Page
from deepseg_qgis.engine.scoring.learning_curve import FEWEST_OBJECTS, Estimate, LearningCurve
from deepseg_qgis.errors import counted

VERDICTS = {
    "more": "Drawing more helps.",
    "enough": "More polygons of this kind will hardly help. Look at the errors instead.",
    "unknown": "The trainings cannot tell whether more polygons help.",
}


def measure(curve: LearningCurve) -> str:
    """Return what the scores are."""
    return "F1" if curve.is_f1 else "mean IoU"


def sentence(curve: LearningCurve) -> str:
    """Return what twice as many polygons are expected to bring, and what to do."""
    last = curve.scores[-1]
    verdict = VERDICTS[curve.verdict]
    if curve.objects < FEWEST_OBJECTS:
        return (
            f"{verdict} The validation ground holds {counted(curve.objects, 'polygon')}; at least "
            f"{FEWEST_OBJECTS} are needed. Draw more, or a larger validation area."
        )
    return (
        f"With twice as many polygons, expect {measure(curve)} {_text(curve.expected)} instead of "
        f"{last.value:.2f} (gain {_gain(curve.gain)}). {verdict}"
    )


def write(path: str, curve: LearningCurve, text: str, annotations: str) -> None:
    """Write the page.

    Raises:
        OutputError: it cannot be written.
    """
    page = Page("Learning curve", f"Annotations {annotations}")
    page.notes([text])
    name = measure(curve)
    page.headlines(
        [
            (f"{name} now", curve.scores[-1].value, "On the validation ground."),
            (f"{name} with twice as many", curve.expected.value, "Expected."),
        ]
    )
    page.heading("Curve")
    numbers = [float(each) for each in curve.annotations]
    further = [numbers[-1], 2.0 * numbers[-1]]
    scores, expected = curve.scores, curve.expected
    last = scores[-1]
    page.picture(
        curve_chart(
            {
                name: (numbers, [each.value for each in scores]),
                "expected": (further, [last.value, expected.value]),
            },
            ("polygons to learn from", name),
            (0.0, 1.0),
            bands={
                name: ([each.low for each in scores], [each.high for each in scores]),
                "expected": ([last.low, expected.low], [last.high, expected.high]),
            },
        ),
        "Shaded: where the score lies in nine of ten cases, were ground and training others.",
    )
    rows: list[list[Cell]] = [
        [f"{number:,}", f"{each.value:.3f}", f"{each.low:.3f} to {each.high:.3f}"]
        for number, each in zip(curve.annotations, scores, strict=True)
    ]
    bounds = f"{expected.low:.3f} to {expected.high:.3f}"
    rows.append([f"{2 * curve.annotations[-1]:,} (expected)", f"{expected.value:.3f}", bounds])
    page.table(["Polygons", name, "In nine of ten cases"], rows)
    page.write(path)


def _text(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def _gain(estimate: Estimate) -> str:
    return f"{estimate.value:+.2f}, {estimate.low:+.2f} to {estimate.high:+.2f}"
