"""What the engine can be asked to do: one frozen dataclass per verb, to and from JSON.

Lengths in pixels end in ``_px``, areas in square metres in ``_m2``; every path is absolute; an
optional parameter that was left empty is None. An output that was not asked for is None.

CONTRACT: standard library only; runs on Python 3.9 (hence `Optional` instead of ``| None``).
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Annotated, Any, ClassVar, Optional, Union, get_args, get_origin, get_type_hints

from deepseg_qgis.errors import ContractError
from deepseg_qgis.events import CONTRACT_VERSION

UNIONS = (Union, getattr(types, "UnionType", Union))
"""What the origin of a union type is; since Python 3.10 there are two."""

STOP = "stop"
"""The line on the engine's standard input that asks it to finish with what it has."""

InputPath = Annotated[str, "input"]
InputFolder = Annotated[str, "input folder"]
OutputFile = Annotated[str, "output file"]
OutputLayer = Annotated[str, "output layer"]
OutputTable = Annotated[str, "output table"]
OutputFolder = Annotated[str, "output folder"]
"""What a path of a job is for; see `paths`."""


CATEGORY_FIELD, SOURCE_FIELD, SCORE_FIELD = "category", "source", "score"
"""What a polygon is, the raster that DeepSeg found it on, and how sure it is: fields of the layers
that DeepSeg writes, and of those that it streams to the engine."""
MAP_FIELD, REFERENCE_FIELD = "map_category", "reference_category"
SHARE_FIELD, STRATUM_AREA_FIELD = "stratum_share", "stratum_m2"
"""What a point of a sample is by the map and by the reference, and its stratum's share of the
ground and size: fields of the layers of sampling designs."""


@dataclass(frozen=True)
class RasterSource:
    """A raster by path, with the CRS of its layer in QGIS as WKT ('' where it has none).

    A CRS that was assigned in QGIS lives in the layer alone, so it travels here. ``name`` is what
    predictions from this raster carry in their ``source`` field.
    """

    path: str
    crs_wkt: str
    name: str


@dataclass(frozen=True)
class VectorSource:
    """Features that the QGIS side streamed into a GeoPackage.

    The table may be empty. It has the geometry (any polygon type, not checked for validity) and
    text columns ``category`` (in Unicode's composed form, or NULL) and ``source`` (the raster that
    DeepSeg found the polygon on, or NULL). ``name`` is the layer's
    name in QGIS; ``category_field`` the field the categories came from, or None where there is
    none: then every feature is of one category, named after the layer. ``colours`` maps categories
    to ``#rrggbb``.
    """

    path: str
    layer: str
    name: str
    crs_wkt: str
    category_field: Optional[str]
    colours: dict[str, str]
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class SamplePoint:
    """What is known of a place of a sample: its category by the map and by the reference.

    ``share`` is its stratum's share of the map's ground, ``area_m2`` that ground; None for NULL.
    """

    map_category: Optional[str]
    reference_category: Optional[str]
    share: Optional[float]
    area_m2: Optional[float]


@dataclass(frozen=True)
class SampleSource:
    """The points of a sample layer; ``files`` are those that it comes from."""

    name: str
    reference_field: str
    points: tuple[SamplePoint, ...]
    files: tuple[str, ...]


@dataclass(frozen=True)
class Extent:
    """A rectangle in the units of its CRS."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float
    crs_wkt: str


class _Job:
    verb: ClassVar[str]


@dataclass(frozen=True)
class DemoSceneJob(_Job):
    """Make an aerial-looking scene with exact annotations."""

    verb: ClassVar[str] = "demoscene"
    size_px: int
    seed: int
    touching: bool
    output: OutputFile
    annotations: OutputLayer
    training_aoi: OutputLayer
    test_aoi: OutputLayer


@dataclass(frozen=True)
class ImportAnnotationsJob(_Job):
    """Turn annotations of other programs into polygons.

    ``format`` is ``coco``, ``label_raster`` or ``mask_folder``; ``annotations`` the file, or the
    folder of masks. ``values`` says what the values of label rasters and masks are: ``auto``,
    ``binary``, ``categories`` or ``objects``; ``category`` is what binary masks and objects are
    called (None: by the file or folder). ``rasters`` are what the annotations belong to.
    """

    verb: ClassVar[str] = "importannotations"
    rasters: tuple[RasterSource, ...]
    format: str
    annotations: InputPath
    values: str
    category: Optional[str]
    output: OutputLayer


@dataclass(frozen=True)
class TileJob(_Job):
    """Lay a grid of tiles over a raster; rows and columns override the tile size.

    ``output_folder`` takes a data set of image chips and masks, which needs ``annotations``.
    """

    verb: ClassVar[str] = "tile"
    raster: RasterSource
    rows: Optional[int]
    columns: Optional[int]
    tile_size_px: int
    overlap_px: int
    annotations: Optional[VectorSource]
    aoi: Optional[VectorSource]
    output: OutputLayer
    output_folder: Optional[OutputFolder]


@dataclass(frozen=True)
class FetchWeightsJob(_Job):
    """Download pretrained weights of an encoder into the user's folder of weights."""

    verb: ClassVar[str] = "fetchweights"
    encoder: str
    weights: str


@dataclass(frozen=True)
class TrainingJob(_Job):
    """What training from annotations takes, whatever comes out of it.

    ``task`` is ``auto``, ``semantic``, ``instance`` or ``panoptic``; ``stuff_categories`` are those
    that are not countable. ``class_weighting`` is ``auto`` or ``none``. ``model_size`` is
    ``small``, ``medium`` or ``large``; an ``architecture`` or ``encoder`` of the catalogue
    overrides what it stands for.
    ``encoder_weights`` is what the encoder starts from: ``auto``, ``none``, the name of weights, or
    a file of them. It ends after ``epochs`` or ``max_minutes``, whichever comes first.
    """

    rasters: tuple[RasterSource, ...]
    annotations: VectorSource
    aoi: Optional[VectorSource]
    validation_aoi: Optional[VectorSource]
    validation_fraction: float
    task: str
    stuff_categories: tuple[str, ...]
    class_weighting: str
    model_size: str
    architecture: Optional[str]
    encoder: Optional[str]
    encoder_weights: InputPath
    epochs: int
    max_minutes: Optional[float]
    tile_size_px: int
    batch_size: int
    learning_rate: float
    patience: Optional[int]
    seed: int
    device: str


@dataclass(frozen=True)
class TrainJob(TrainingJob):
    """Train a model from annotations.

    ``initial_model`` is a model to continue: its network, bands and resolution stay;
    ``resume`` says that an interrupted run of the same training is to be continued;
    ``tracking_uri`` is where MLflow logs the training, None for nowhere.
    """

    verb: ClassVar[str] = "train"
    initial_model: Optional[InputPath]
    resume: bool
    tracking_uri: Optional[str]
    output: OutputFile
    output_validation: Optional[OutputLayer]
    output_html: Optional[OutputFile]
    output_log: Optional[OutputFile]


@dataclass(frozen=True)
class LearningCurveJob(TrainingJob):
    """Tell what more annotations would bring, from models of ``subsets`` growing parts of them."""

    verb: ClassVar[str] = "learningcurve"
    subsets: int
    output: OutputTable
    output_html: Optional[OutputFile]


@dataclass(frozen=True)
class EvaluateJob(_Job):
    """Compare a model's predictions with annotations."""

    verb: ClassVar[str] = "evaluate"
    rasters: tuple[RasterSource, ...]
    model: InputPath
    annotations: VectorSource
    aoi: Optional[VectorSource]
    threshold: Optional[float]
    iou_threshold: float
    device: str
    output_json: Optional[OutputFile]
    output_html: Optional[OutputFile]


@dataclass(frozen=True)
class EvaluateLayersJob(_Job):
    """Compare two layers of polygons, whoever made them.

    ``score_field`` is the field that the scores of the predictions came from, None where they have
    none; else their table has a column ``score`` (a real number or NULL).
    """

    verb: ClassVar[str] = "evaluatelayers"
    predictions: VectorSource
    reference: VectorSource
    score_field: Optional[str]
    aoi: Optional[VectorSource]
    iou_threshold: float
    output_errors: Optional[OutputLayer]
    output_csv: Optional[OutputFile]
    output_json: Optional[OutputFile]
    output_html: Optional[OutputFile]


@dataclass(frozen=True)
class CompareRunsJob(_Job):
    """Compare the trainings whose models lie in a folder and its subfolders."""

    verb: ClassVar[str] = "compareruns"
    folder: InputFolder
    output: OutputTable
    output_html: Optional[OutputFile]


@dataclass(frozen=True)
class PredictJob(_Job):
    """Predict polygons over rasters; with ``mosaic`` they are one picture, the first on top.

    ``resume`` says that an interrupted run of the same prediction is to be continued; ``outlines``
    is ``plain``, ``right_angles`` or ``smooth``.
    """

    verb: ClassVar[str] = "predict"
    rasters: tuple[RasterSource, ...]
    model: InputPath
    aoi: Optional[VectorSource]
    extent: Optional[Extent]
    mosaic: bool
    threshold: Optional[float]
    tile_size_px: Optional[int]
    overlap_px: Optional[int]
    min_area: float
    simplify_px: float
    outlines: str
    batch_size: Optional[int]
    precision: str
    device: str
    resume: bool
    output: OutputLayer
    output_classes: Optional[OutputFile]
    output_probabilities: Optional[OutputFile]
    output_coco: Optional[OutputFile]
    output_statistics: Optional[OutputTable]


@dataclass(frozen=True)
class PolygonizeJob(_Job):
    """Draw polygons from the probabilities that a prediction wrote."""

    verb: ClassVar[str] = "polygonize"
    probabilities: RasterSource
    threshold: Optional[float]
    min_area: float
    simplify_px: float
    outlines: str
    output: OutputLayer
    output_statistics: Optional[OutputTable]


@dataclass(frozen=True)
class StatisticsJob(_Job):
    """Count and measure polygons per category and per source."""

    verb: ClassVar[str] = "statistics"
    polygons: VectorSource
    aoi: Optional[VectorSource]
    output: OutputTable
    output_html: Optional[OutputFile]


@dataclass(frozen=True)
class SampleDesignJob(_Job):
    """Draw a stratified random sample of places on a map, for somebody to look at.

    The map is one of ``map_raster`` and ``map_polygons``. ``sample_size`` None takes as many points
    as give the overall accuracy to within ± ``target``, if user's accuracies are those of
    ``expected_accuracies``, and ``expected_accuracy`` for all other categories.
    """

    verb: ClassVar[str] = "sampledesign"
    map_raster: Optional[RasterSource]
    map_polygons: Optional[VectorSource]
    aoi: Optional[VectorSource]
    target: float
    expected_accuracy: float
    expected_accuracies: dict[str, float]
    sample_size: Optional[int]
    min_points: int
    seed: int
    output: OutputLayer


@dataclass(frozen=True)
class EstimateAreaJob(_Job):
    """Estimate the area of each category and the accuracy of the map from a sample.

    The ground of the strata comes from ``map_raster`` or ``map_polygons`` where one is given, else
    from the points.
    """

    verb: ClassVar[str] = "estimatearea"
    sample: SampleSource
    map_raster: Optional[RasterSource]
    map_polygons: Optional[VectorSource]
    aoi: Optional[VectorSource]
    output: OutputTable
    output_json: Optional[OutputFile]
    output_html: Optional[OutputFile]


Job = Union[
    DemoSceneJob,
    FetchWeightsJob,
    ImportAnnotationsJob,
    TileJob,
    TrainJob,
    EvaluateJob,
    EvaluateLayersJob,
    CompareRunsJob,
    LearningCurveJob,
    PredictJob,
    PolygonizeJob,
    StatisticsJob,
    SampleDesignJob,
    EstimateAreaJob,
]

_VERBS: dict[str, type[Any]] = {job.verb: job for job in get_args(Job)}


def encode(job: Job) -> str:
    """Return the job as JSON."""
    return json.dumps(
        {"contract": CONTRACT_VERSION, "verb": job.verb, **asdict(job)},
        ensure_ascii=False,
        allow_nan=False,
    )


def decode(text: str) -> Job:
    """Return the job that the JSON text holds, every field checked against its type.

    Raises:
        ContractError: the text is no job of this version of the contract.
    """
    try:
        content = json.loads(text)
        contract = content.pop("contract")
        if contract != CONTRACT_VERSION:
            raise ContractError(
                f"The engine expects version {CONTRACT_VERSION} of the contract, the plugin speaks "
                f"version {contract}. Install one version of DeepSeg and restart QGIS."
            )
        job: Job = typed(_VERBS[content.pop("verb")], content, "job")
        return job
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ContractError(f"Expected a DeepSeg job, got something else: {error!r}.") from error


def paths(job: Job, purpose: Any) -> dict[str, str]:
    """Return the paths of a job that are for this (such as `OutputFile`), by their fields."""
    found = {}
    for name, hint in get_type_hints(type(job), include_extras=True).items():
        kinds = get_args(hint) if get_origin(hint) is Union else (hint,)
        if purpose in kinds and getattr(job, name) is not None:
            found[name] = getattr(job, name)
    return found


def typed(kind: Any, value: Any, where: str) -> Any:
    """Return ``value`` as JSON gave it, as an instance of the annotated type ``kind``.

    Raises:
        TypeError: it is no such thing; ``where`` is what the message calls it.
    """
    origin = get_origin(kind)
    if origin in UNIONS:  # Optional[X] is the only union a job holds
        (inner,) = (choice for choice in get_args(kind) if choice is not type(None))
        return None if value is None else typed(inner, value, where)
    if origin is tuple:
        return tuple(typed(get_args(kind)[0], entry, where) for entry in _of(list, value, where))
    if origin is dict:
        inner = get_args(kind)[1]
        return {key: typed(inner, entry, where) for key, entry in _of(dict, value, where).items()}
    if is_dataclass(kind):
        return _read_dataclass(kind, _of(dict, value, where), where)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, bool) and kind is not bool:
        raise TypeError(f"{where}: expected {kind.__name__}, got {value!r}")
    return _of(kind, value, where)


def _read_dataclass(kind: Any, content: Mapping[str, Any], where: str) -> Any:
    names = {entry.name for entry in fields(kind)}
    if names != set(content):
        raise TypeError(f"{where}: fields {sorted(names ^ set(content))} missing or unknown")
    hints = get_type_hints(kind)
    return kind(**{name: typed(hints[name], content[name], f"{where}.{name}") for name in names})


def _of(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{where}: expected {kind.__name__}, got {value!r}")
    return value
