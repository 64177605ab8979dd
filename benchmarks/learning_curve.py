"""Whether a learning curve keeps what it promises: twice as many polygons, really drawn.

Runs `deepseg:learningcurve` on a square of a scene with N polygons, trains on that square and on
one with twice as many, tests both on the eastern quarter, and prints the gains, expected and real.

    .venv/bin/python benchmarks/learning_curve.py banepa/scene.tif banepa/buildings.gpkg
"""

import argparse
import csv
import json
from pathlib import Path

import geopandas
import numpy as np
import shapely
from held_out import ROOT, areas, run


def square(polygons: Path, west: Path, count: int, path: Path) -> Path:
    """Write the square in the middle of an area that holds so many polygons; return its path."""
    area = geopandas.read_file(west)
    ground = geopandas.read_file(polygons).to_crs(area.crs)
    whole = area.geometry.iloc[0]
    points = ground.representative_point()
    inside = points[points.within(whole)]
    if len(inside) < count:
        raise SystemExit(f"the western part holds {len(inside)} polygons, expected {count}")
    middle = whole.centroid
    away = np.maximum(np.abs(inside.x - middle.x), np.abs(inside.y - middle.y))
    side = float(np.sort(away)[count - 1])
    box = shapely.box(middle.x - side, middle.y - side, middle.x + side, middle.y + side)
    geopandas.GeoDataFrame(geometry=[box.intersection(whole)], crs=area.crs).to_file(path)
    return path


def main() -> None:
    """Expect a gain, and measure it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", type=Path)
    parser.add_argument("polygons_layer", type=Path)
    parser.add_argument("--polygons", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "learning_curve")
    wanted = parser.parse_args()
    folder = wanted.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    scene, layer = wanted.scene.resolve(), wanted.polygons_layer.resolve()
    west, east = areas(scene, folder)
    data = {"INPUT": scene, "ANNOTATIONS": layer}
    learning = {"EPOCHS": wanted.epochs, "SEED": wanted.seed}
    squares = [
        square(layer, west, count, folder / f"square_{count}.gpkg")
        for count in (wanted.polygons, 2 * wanted.polygons)
    ]
    table = folder / "curve.csv"
    run("learningcurve", **data, **learning, AOI=squares[0], OUTPUT=table)
    for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines()):
        print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    found = []
    for number, area in enumerate(squares):
        model = folder / f"model_{number}.safetensors"
        scores = model.with_suffix(".json")
        run("train", **data, **learning, AOI=area, OUTPUT=model)
        run("evaluate", **data, MODEL=model, AOI=east, OUTPUT_JSON=scores)
        found.append(json.loads(scores.read_text(encoding="utf-8"))["f1"])
    print(f"really: F1 {found[0]:.3f}, with twice as many {found[1]:.3f}", flush=True)


if __name__ == "__main__":
    main()
