"""Decisions, against a plain reading of their definition."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deepseg_qgis.engine.legend.decisions import as_levels, decide

probabilities = hnp.arrays(np.uint8, (3, 4, 5))
thresholds = st.tuples(*[st.floats(0.0, 1.0)] * 3)


@given(probabilities, thresholds)
def test_the_most_probable_category_that_reaches_its_threshold_wins(found, limits):
    classes, chosen = decide(found, as_levels(limits))
    for row, column in np.ndindex(4, 5):
        pixel = found[:, row, column]
        passing = [i for i in range(3) if pixel[i] >= round(limits[i] * 255, 6)]
        if not passing:
            assert classes[row, column] == 0
            continue
        best = max(passing, key=lambda i: (pixel[i], -i))
        assert classes[row, column] == best + 1
        assert chosen[row, column] == pixel[best]
