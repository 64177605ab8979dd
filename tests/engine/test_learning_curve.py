"""What a learning curve says, and how sure it is."""

from dataclasses import replace

import numpy as np
import pytest

from deepseg_qgis.engine.reports import learning_curve_report
from deepseg_qgis.engine.scoring import learning_curve as curves
from deepseg_qgis.engine.scoring.learning_curve import Estimate, LearningCurve, learning_curve


def places_with(score, count=40, objects=1000):
    """Return (places, 1, 3) counts of an F1, the same at every place."""
    right = round(score * objects)
    return np.tile([[[right, objects - right, objects - right]]], (count, 1, 1))


@pytest.fixture
def exact(monkeypatch):
    monkeypatch.setattr(curves, "TRAINING_NOISE", 0.0)


def curve(numbers, places, objects=100, is_f1=True):
    return learning_curve(numbers, places, objects, is_f1, np.random.default_rng(1))


def test_errors_that_fall_by_a_power_law_go_on_to_do_so(exact):
    numbers = (25, 50, 100, 200)
    scores = [1.0 - 2.0 * n**-0.3 for n in numbers]
    found = curve(numbers, [places_with(score) for score in scores])
    assert [each.value for each in found.scores] == pytest.approx(scores, abs=1e-3)
    assert found.expected.value == pytest.approx(1.0 - 2.0 * 400**-0.3, abs=2e-3)
    assert found.gain.value == pytest.approx(found.expected.value - scores[-1], abs=2e-3)
    assert found.gain.low == pytest.approx(found.gain.high, abs=1e-6), "all places are alike"
    assert found.verdict == "more"


def test_a_flat_curve_is_enough(exact):
    found = curve((25, 50, 100), [places_with(0.8)] * 3)
    assert found.gain.value == pytest.approx(0.0, abs=1e-9)
    assert found.verdict == "enough"


def test_scores_that_fall_promise_no_loss(exact):
    found = curve((25, 50, 100), [places_with(each) for each in (0.8, 0.7, 0.6)])
    assert found.gain.value == 0.0


def test_trainings_that_differ_by_chance_widen_the_bounds():
    found = curve((25, 50, 100), [places_with(each) for each in (0.6, 0.65, 0.69)])
    assert found.gain.high - found.gain.low > 0.01
    assert found.gain.low <= found.gain.value <= found.gain.high


def test_fewer_places_say_less():
    rng = np.random.default_rng(4)

    def width(count):
        places = []
        for score in (0.5, 0.6, 0.7):
            right = rng.binomial(5, score, size=count)
            places.append(np.stack([right, 5 - right, 5 - right], axis=1)[:, None])
        estimate = curve((25, 50, 100), places).scores[-1]
        return estimate.high - estimate.low

    assert width(4) > 1.5 * width(100)


def test_the_mean_iou_is_over_the_categories_that_occur(exact):
    place = np.array([[[6, 2, 2], [1, 0, 1], [0, 0, 0]]])
    found = curve((1, 2, 4), [place] * 3, is_f1=False)
    assert found.scores[0].value == pytest.approx((0.6 + 0.5) / 2)


CURVE = LearningCurve(
    (25, 50, 100),
    (Estimate(0.5, 0.4, 0.6), Estimate(0.6, 0.5, 0.7), Estimate(0.66, 0.6, 0.7)),
    Estimate(0.71, 0.66, 0.75),
    Estimate(0.05, 0.02, 0.08),
    40,
    True,
)


def test_the_sentence_says_what_to_do():
    assert learning_curve_report.sentence(CURVE) == (
        "With twice as many polygons, expect F1 0.71 (0.66 to 0.75) instead of 0.66 "
        "(gain +0.05, +0.02 to +0.08). Drawing more helps."
    )
    enough = replace(CURVE, gain=Estimate(0.005, 0.0, 0.01), is_f1=False)
    assert learning_curve_report.sentence(enough).endswith("Look at the errors instead.")
    assert "mean IoU" in learning_curve_report.sentence(enough)
    unsure = replace(CURVE, gain=Estimate(0.02, -0.01, 0.08))
    assert "cannot tell" in learning_curve_report.sentence(unsure)
    few = replace(CURVE, objects=7)
    assert "holds 7 polygons; at least 20 are needed" in learning_curve_report.sentence(few)


def test_the_page_has_curve_sentence_and_table(tmp_path):
    path = tmp_path / "curve.html"
    text = learning_curve_report.sentence(CURVE)
    learning_curve_report.write(str(path), CURVE, text, "<houses>")
    html = path.read_text(encoding="utf-8")
    assert "instead of 0.66" in html
    assert "&lt;houses&gt;" in html
    assert "200 (expected)" in html
    assert "data:image/png" in html
