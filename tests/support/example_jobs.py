"""Jobs as the QGIS side would send them, and a control that watches over them."""

from dataclasses import fields, replace

from deepseg_qgis import jobs
from deepseg_qgis.engine.control import Control


def train_job(raster, layer, folder, **changes):
    """Return the job of a small network and few steps."""
    job = jobs.TrainJob(
        rasters=(raster,),
        annotations=layer,
        initial_model=None,
        aoi=None,
        validation_aoi=None,
        validation_fraction=0.25,
        task="auto",
        stuff_categories=(),
        class_weighting="auto",
        model_size="medium",
        architecture="linknet",
        encoder="mobilenet_v2",
        encoder_weights="none",
        epochs=3,
        max_minutes=None,
        tile_size_px=64,
        batch_size=8,
        learning_rate=6e-3,
        patience=None,
        seed=1,
        device="cpu",
        resume=False,
        tracking_uri=None,
        output=str(folder / "model.safetensors"),
        output_validation=None,
        output_html=str(folder / "report.html"),
        output_log=None,
    )
    return replace(job, **changes)


def learning_curve_job(raster, layer, folder, **changes):
    """Return the job of three small trainings of single objects."""
    training = train_job(raster, layer, folder, epochs=2, task="instance")
    shared = {each.name: getattr(training, each.name) for each in fields(jobs.TrainingJob)}
    job = jobs.LearningCurveJob(
        **shared,
        subsets=3,
        output=str(folder / "curve.csv"),
        output_html=str(folder / "curve.html"),
    )
    return replace(job, **changes)


def predict_job(raster, model, output, **changes):
    """Return the job that writes polygons alone, exact on pixel edges."""
    job = jobs.PredictJob(
        rasters=(raster,),
        model=model,
        aoi=None,
        extent=None,
        mosaic=False,
        threshold=None,
        tile_size_px=None,
        overlap_px=None,
        min_area=0.0,
        simplify_px=0.0,
        outlines="plain",
        precision="float32",
        batch_size=None,
        device="cpu",
        resume=True,
        output=str(output),
        output_classes=None,
        output_probabilities=None,
        output_coco=None,
        output_statistics=None,
    )
    return replace(job, **changes)


def evaluate_job(raster, model, layer, folder, **changes):
    """Return the job that writes both reports."""
    job = jobs.EvaluateJob(
        rasters=(raster,),
        model=model,
        annotations=layer,
        aoi=None,
        threshold=None,
        iou_threshold=0.5,
        device="cpu",
        output_json=str(folder / "scores.json"),
        output_html=str(folder / "scores.html"),
    )
    return replace(job, **changes)


def tile_job(raster, output, **changes):
    """Return the job of tiles of 64 px side by side, without a data set."""
    job = jobs.TileJob(
        raster=raster,
        rows=None,
        columns=None,
        tile_size_px=64,
        overlap_px=0,
        annotations=None,
        aoi=None,
        output=str(output),
        output_folder=None,
    )
    return replace(job, **changes)


def import_job(form, annotations, rasters, output, **changes):
    """Return the job of annotations of a form, whose values say themselves what they mean."""
    job = jobs.ImportAnnotationsJob(
        tuple(rasters), form, str(annotations), "auto", None, str(output)
    )
    return replace(job, **changes)


class Watched(Control):
    """A control that hears texts and counts tiles, and does something after so many of these."""

    def __init__(self, tiles=10**9, then=None):
        self.texts, self.tiles, self._last, self._then = [], 0, tiles, then
        super().__init__(self._hear)

    def part(self, start, end):
        return self

    def _hear(self, event):
        if hasattr(event, "level"):
            self.texts.append(event.text)

    def progress(self, fraction, text="", seconds_left=None):
        self.tiles += 1
        if self.tiles == self._last:
            self._then(self)


class KilledError(Exception):
    """Whatever ends a process."""


def kill(_control):
    """End it."""
    raise KilledError
