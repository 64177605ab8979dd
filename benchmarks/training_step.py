"""The time of a training step on this processor, with freed memory kept and not.

Each in processes of its own, in turn; the ratio of the medians is what counts.

    .venv/bin/python benchmarks/training_step.py
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BATCH, SIDE_PX, STEPS = 8, 256, 6


def step_seconds(keep: bool) -> float:
    """Return the median time of a step of the default network, in this process."""
    sys.path.insert(0, str(ROOT))
    import torch

    from deepseg_qgis.engine.learning.allocator import keep_freed_memory
    from deepseg_qgis.engine.learning.depthwise_gradients import DepthwiseGradients
    from deepseg_qgis.engine.learning.losses import object_loss, segmentation_loss
    from deepseg_qgis.engine.learning.trainer import MAX_GRADIENT_NORM
    from deepseg_qgis.engine.models import networks
    from deepseg_qgis.engine.models.network_design import SIZES

    if keep:
        keep_freed_memory()
    network = networks.build(SIZES["medium"], 3, 1, objects=True)
    optimiser = torch.optim.AdamW(network.parameters(), fused=True)
    images = torch.randn(BATCH, 3, SIDE_PX, SIDE_PX).contiguous(memory_format=torch.channels_last)
    heights = torch.rand(BATCH, SIDE_PX, SIDE_PX)
    classes, edges, weight = (heights > 0.5).long(), heights > 0.8, torch.ones_like(heights)
    fast = networks.has_fast_bfloat16(torch.device("cpu"))
    times = []
    for _ in range(STEPS + 2):
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=fast), DepthwiseGradients():
            logits = network(images)
        logits = logits.float()
        loss = segmentation_loss(logits[:, :-2], classes, weight)
        loss = loss + object_loss(logits[:, -2:], heights, edges, weight)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
        optimiser.step()
        times.append(time.perf_counter() - started)
    return statistics.median(times[2:])


def main() -> None:
    """Measure both in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=("kept", "given_back"), help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.one:
        print(step_seconds(wanted.one == "kept"))
        return
    found: dict[str, list[float]] = {"kept": [], "given_back": []}
    for _ in range(wanted.rounds):
        for name, times in found.items():
            command = [sys.executable, __file__, "--one", name]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            times.append(float(done.stdout))
    kept, given_back = (statistics.median(times) for times in found.values())
    print(
        f"a step of {BATCH} windows of {SIDE_PX} px: memory kept {kept:.3f} s, given back "
        f"{given_back:.3f} s, ratio {kept / given_back:.2f}"
    )


if __name__ == "__main__":
    main()
