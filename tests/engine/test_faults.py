"""What is left of a prediction when something ends it; in full by the benchmark of that name."""

import subprocess
import sys
from pathlib import Path

import pytest

KINDS = "engine,parent,source,destination,output_disk,cache_disk,two"
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fault_injection.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="kill -9 and small disks")
def test_nothing_is_lost_and_nothing_lies():
    done = subprocess.run(
        [sys.executable, SCRIPT, "--count", "1", "--seed", "5", "--only", KINDS],
        capture_output=True,
        text=True,
        timeout=900,  # beside other heavy work 600 s were not enough
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
