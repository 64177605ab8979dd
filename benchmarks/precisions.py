"""How well the backends and precisions agree on a scene, as IoU and objects of what they find.

    .venv/bin/python benchmarks/precisions.py SCENE.tif MODEL.safetensors

Runs the whole scene in float32 on torch, and in float32, bfloat16 and int8 on OpenVINO, and prints
the mask IoU of each with float32 (pixels with a category, which must be the same one): OpenVINO's
float32 with torch's, the others with OpenVINO's. If the model tells objects apart, also the F1 of
the objects of each as measured with float32's, at an IoU of 0.5.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deepseg_qgis.engine.backends.backend import Backend  # noqa: E402
from deepseg_qgis.engine.backends.model_source import ModelSource  # noqa: E402
from deepseg_qgis.engine.control import Control  # noqa: E402
from deepseg_qgis.engine.files.rasters import Raster  # noqa: E402
from deepseg_qgis.engine.geometry.areas import Area, box  # noqa: E402
from deepseg_qgis.engine.inference.class_maps import ClassMap, class_map  # noqa: E402
from deepseg_qgis.engine.inference.model_predictor import PredictionSettings, model_predictor  # noqa: E402
from deepseg_qgis.engine.instances.finder import instances_at_once  # noqa: E402
from deepseg_qgis.engine.legend.legend import InstanceRule  # noqa: E402
from deepseg_qgis.engine.models import model_file  # noqa: E402
from deepseg_qgis.engine.scoring.label_overlaps import LabelOverlaps  # noqa: E402
from deepseg_qgis.errors import DeepSegError  # noqa: E402
from deepseg_qgis.events import Event, Log  # noqa: E402
from deepseg_qgis.jobs import RasterSource  # noqa: E402

TILE_PX, OVERLAP_PX = 1024, 128
"""The same windows for all, so that only the arithmetic differs."""


class _Torch(ModelSource):
    """Always torch."""

    def _default_backend(self) -> Backend:
        return self._torch_backend()


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Return the IoU of pixels with a category, which must be the same one."""
    either = (one > 0) | (other > 0)
    return float(((one == other) & either).sum() / max(1, either.sum()))


def objects_f1(one: ClassMap, other: ClassMap, instance_rule: InstanceRule) -> float:
    """Return the F1 of one map's objects as measured with the other's."""
    maps = [
        (instances_at_once(each.classes, each.heights, instance_rule), each.classes)
        for each in (one, other)
    ]
    matched, *counts = LabelOverlaps.of(*maps).counts
    return 2 * matched / max(1, sum(counts))


def tell(event: Event) -> None:
    """Show the log."""
    if isinstance(event, Log):
        print(event.text, file=sys.stderr)


def main() -> None:
    """Run all and print the agreements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene")
    parser.add_argument("model")
    given = parser.parse_args()
    control = Control(tell)
    found = {}
    with Raster(RasterSource(given.scene, "", "scene")) as raster:
        model = model_file.read(given.model)
        area = Area(box(raster.grid.window))
        for name in ("torch", "float32", "bfloat16", "int8"):
            precision = "float32" if name == "torch" else name
            settings = PredictionSettings("cpu", precision, TILE_PX, OVERLAP_PX)
            predictor = model_predictor(model, settings, control)
            if name == "torch":
                predictor._source = _Torch(model, "cpu", precision, None, control)
            try:
                found[name] = class_map(predictor, raster, area, Control())
            except DeepSegError as error:
                print(f"{name}: {error}")
    instance_rule = model.card.legend.instance_rule
    for name, other in (("float32", "torch"), ("bfloat16", "float32"), ("int8", "float32")):
        text = f"{name} and {other}: IoU {iou(found[name].classes, found[other].classes):.7f}"
        if instance_rule:
            text += f", F1 of objects {objects_f1(found[name], found[other], instance_rule):.4f}"
        print(text)


if __name__ == "__main__":
    main()
