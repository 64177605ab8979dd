"""DeepSeg from end to end, through QGIS: train, evaluate, predict, count, and draw a map.

Called by ``make demo``, whose variables arrive in the environment: RASTER, ANNOTATIONS,
CATEGORY_FIELD, AOI and EPOCHS run it on your own data, OUTPUT names another folder than demo/.
Without RASTER it makes up a scene and tests the model on ground that it never saw. Standard
library only; every step is an algorithm that ``scripts/qgis_process`` runs.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

from algorithm import StepError, run_algorithm
from closing import Closing
from ground import SCENE_SIZE_PX, Ground, InputError, ground_from
from screen import Screen

ROOT = Path(__file__).resolve().parents[1]
MAP_PICTURE = Path(__file__).resolve().with_name("map_picture.py")
INTERRUPTED = 130


class Demo:
    """The steps, with all their files in one folder."""

    def __init__(self, ground: Ground, folder: Path, screen: Screen) -> None:
        self._ground = ground
        self._folder = folder
        self._screen = screen
        self._polygons = "polygons.geojson"
        self._step_number = 0
        self._step_count = 5 if ground.made_up else 4

    def run(self) -> None:
        """Run all steps.

        Raises:
            StepError: an algorithm failed.
        """
        if self._ground.made_up:
            self._make_up()
        self._train()
        scores = self._evaluate()
        self._predict()
        self._statistics()
        self._screen.heading("Draw the map")
        self._draw()
        tested = self._ground.test_aoi is not None
        Closing(self._folder, self._screen).tell(scores, tested, self._polygons)

    def _make_up(self) -> None:
        self._step(
            "demoscene",
            "Make up an aerial picture with exact annotations",
            SIZE=SCENE_SIZE_PX,
            OUTPUT=self._ground.raster,
            ANNOTATIONS=self._ground.annotations,
            TRAINING_AOI=self._ground.aoi,
            TEST_AOI=self._ground.test_aoi,
        )

    def _train(self) -> None:
        self._step(
            "train",
            "Train a model from the polygons" + (" in the training area" * self._ground.made_up),
            INPUT=self._ground.raster,
            ANNOTATIONS=self._ground.annotations,
            CATEGORY_FIELD=self._ground.category_field,
            AOI=self._ground.aoi,
            EPOCHS=self._ground.epochs,
            TILE_SIZE=self._ground.tile_size_px,
            OUTPUT=self._path("model.safetensors"),
            OUTPUT_VALIDATION=self._path("validation_areas.gpkg"),
            OUTPUT_HTML=self._path("training.html"),
            OUTPUT_LOG=self._path("training.csv"),
        )

    def _evaluate(self) -> dict[str, str]:
        where = "the test area, which it never saw"
        if not self._ground.test_aoi:
            where = "its validation areas (there is no separate test area)"
        return self._step(
            "evaluate",
            f"Evaluate the model on {where}",
            INPUT=self._ground.raster,
            MODEL=self._path("model.safetensors"),
            ANNOTATIONS=self._ground.annotations,
            CATEGORY_FIELD=self._ground.category_field,
            AOI=self._ground.test_aoi or self._path("validation_areas.gpkg"),
            OUTPUT_JSON=self._path("evaluation.json"),
            OUTPUT_HTML=self._path("evaluation.html"),
        )

    def _predict(self) -> None:
        if not self._has_crs():
            self._polygons = "polygons.gpkg"  # a GeoJSON always counts as WGS 84
        self._step(
            "predict",
            "Predict polygons over the whole raster",
            INPUT=self._ground.raster,
            MODEL=self._path("model.safetensors"),
            OUTPUT=self._path(self._polygons),
        )

    def _statistics(self) -> None:
        self._step(
            "statistics",
            "Count and measure the polygons",
            INPUT=self._path(self._polygons),
            CATEGORY_FIELD="category",
            OUTPUT=self._path("statistics.csv"),
            OUTPUT_HTML=self._path("statistics.html"),
        )

    def _draw(self) -> None:
        """Draw the map; without one the demo is still worth having."""
        Path(self._path("map.png")).unlink(missing_ok=True)
        areas = [self._ground.test_aoi] if self._ground.test_aoi else []
        files = [self._path(name) for name in (self._polygons, "model.safetensors", "map.png")]
        command = [sys.executable, str(MAP_PICTURE), self._ground.raster, *files, *areas]
        variables = {
            "QT_QPA_PLATFORM": "offscreen",
            "XDG_RUNTIME_DIR": str(ROOT / "build" / "run"),
            "QGIS_CUSTOM_CONFIG_PATH": str(ROOT / "build" / "qgis-profile"),
            "GDAL_PAM_ENABLED": "NO",  # no .aux.xml beside somebody's raster
        }
        done = subprocess.run(
            command,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with open(self._path("log.txt"), "a", encoding="utf-8") as log:
            log.write(f"\n$ {' '.join(command)}\n{done.stdout}")
        if done.returncode != 0:
            self._screen.line(f"No map could be drawn; see {self._path('log.txt')}.")

    def _has_crs(self) -> bool:
        """Whether QGIS knows the raster's CRS (one without an authority's code does not count)."""
        with open(self._path("log.txt"), "a", encoding="utf-8") as log:
            asked = {"INPUT": self._ground.raster}
            quiet = Screen(io.StringIO())
            known = run_algorithm("native:rasterlayerproperties", asked, quiet, log)
        return bool(known.get("CRS_AUTHID"))

    def _step(self, algorithm: str, title: str, **parameters: object) -> dict[str, str]:
        self._step_number += 1
        self._screen.heading(f"[{self._step_number}/{self._step_count}] {title}")
        with open(self._path("log.txt"), "a", encoding="utf-8") as log:
            results = run_algorithm(f"deepseg:{algorithm}", parameters, self._screen, log)
        self._screen.line(f"done in {self._screen.seconds:.0f} s")
        return results

    def _path(self, name: str) -> str:
        return str(self._folder / name)


def main() -> int:
    """Run the demo that make's variables ask for; return the exit code."""
    screen = Screen()
    folder = Path(os.environ.get("OUTPUT") or ROOT / "demo").expanduser().absolute()
    try:
        ground = ground_from(os.environ, folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log.txt").write_text("", encoding="utf-8")
        Demo(ground, folder, screen).run()
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except StepError as error:
        screen.line("")
        print(f"error: {error}. All that QGIS said is in {folder / 'log.txt'}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        screen.line("")
        print("Stopped.", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
