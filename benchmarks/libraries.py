"""What libraries that DeepSeg does not use would take, beside the code that stands for them.

pip install ijson pandas defusedxml
.venv/bin/python benchmarks/libraries.py json      a COCO JSON file of 100 MB
.venv/bin/python benchmarks/libraries.py tables    a million polygons, summed by category
.venv/bin/python benchmarks/libraries.py xml       a VRT of 5,000 files
"""

import json
import random
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deepseg_qgis.engine.files.json_stream import elements  # noqa: E402
from deepseg_qgis.engine.scoring.category_statistics import CategoryStatistics  # noqa: E402

ANNOTATIONS = 200_000
POLYGONS = 1_000_000
CATEGORIES = np.array(["house", "tree", "road", "field", "water", "hedge", "car"], dtype=object)
VRT_SOURCE = (
    '<SimpleSource><SourceFilename relativeToVRT="1">{:06d}.tif</SourceFilename>'
    '<SourceBand>1</SourceBand><SourceProperties RasterXSize="5000" RasterYSize="5000"/>'
    '<SrcRect xOff="0" yOff="0" xSize="5000" ySize="5000"/>'
    '<DstRect xOff="0" yOff="0" xSize="5000" ySize="5000"/></SimpleSource>\n'
)


def timed(name, call):
    """Print the best processor time of three calls, and what a call returned."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        answer = call()
        seconds.append(time.process_time() - start)
    print(f"{name:40} {min(seconds):6.2f} s   {answer}")


def compare_json():
    """Count a file's images and annotations."""
    import ijson

    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coco.json"
        outline = [round(rng.random() * 512, 2) for _ in range(48)]
        images = [{"id": i, "file_name": f"{i}.tif"} for i in range(2000)]
        annotations = [
            {"id": i, "image_id": i % 2000, "category_id": 1, "segmentation": [outline]}
            for i in range(ANNOTATIONS)
        ]
        path.write_text(json.dumps({"images": images, "annotations": annotations}))
        print(f"{path.stat().st_size / 1e6:.0f} MB, ijson's backend {ijson.backend}")

        def in_file_order():
            with path.open("rb") as file:
                return sum(1 for _ in _built(ijson.parse(file, use_float=True)))

        def annotations_alone():
            with path.open("rb") as file:
                return sum(1 for _ in ijson.items(file, "annotations.item", use_float=True))

        members = ("images", "annotations")
        timed("json_stream", lambda: sum(1 for _ in elements(str(path), members)))
        timed("ijson, annotations alone", annotations_alone)
        timed("ijson, both in the file's order", in_file_order)


def _built(events):
    from ijson.common import ObjectBuilder

    builder = None
    for prefix, event, value in events:
        if prefix not in ("images.item", "annotations.item"):
            if builder is not None:
                builder.event(event, value)
            continue
        if event == "start_map":
            builder = ObjectBuilder()
        builder.event(event, value)
        if event == "end_map":
            yield builder.value
            builder = None


def compare_tables():
    """Sum areas by category; the answer is the first sum, to its last digit."""
    import pandas

    rng = np.random.default_rng(0)
    names = CATEGORIES[rng.integers(0, len(CATEGORIES), POLYGONS)]
    areas = rng.gamma(2, 40, POLYGONS)

    def ours():
        summary = CategoryStatistics()
        summary.add(names, names, areas, areas)
        return summary.table(None)["area_m2"][0]

    def with_pandas():
        frame = pandas.DataFrame({"category": names, "area": areas})
        return frame.groupby("category")["area"].agg(["size", "sum", "min", "max"])["sum"].iloc[0]

    def with_pyarrow():
        table = pa.table({"category": pa.array(names, pa.string()), "area": areas})
        grouped = table.group_by("category", use_threads=False)
        sums = grouped.aggregate([("area", each) for each in ("count", "sum", "min", "max")])
        return sums.sort_by("category")["area_sum"][0].as_py()

    timed("category_statistics", ours)
    timed("pandas' groupby", with_pandas)
    timed("pyarrow's group_by", with_pyarrow)


def compare_xml():
    """Parse a VRT."""
    import defusedxml.ElementTree

    sources = "".join(map(VRT_SOURCE.format, range(5000)))
    text = f"<VRTDataset><VRTRasterBand>{sources}</VRTRasterBand></VRTDataset>".encode()
    defused = defusedxml.ElementTree.fromstring
    timed("ElementTree", lambda: len(list(ElementTree.fromstring(text).iter())))
    timed("defusedxml", lambda: len(list(defused(text, forbid_dtd=True).iter())))


if __name__ == "__main__":
    {"json": compare_json, "tables": compare_tables, "xml": compare_xml}[sys.argv[1]]()
