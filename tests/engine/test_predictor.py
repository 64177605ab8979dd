"""Inference: backends agree with torch, the cache spares torch, and the pipeline keeps order."""

import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import shapely
import torch

from deepseg_qgis.engine.backends import converted_networks, devices, openvino_conversion
from deepseg_qgis.engine.backends.backend import CompilationError, probabilities
from deepseg_qgis.engine.backends.model_source import ModelSource
from deepseg_qgis.engine.backends.quantisation import sample_windows
from deepseg_qgis.engine.backends.torch_backend import TorchBackend, TorchSession
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Pixels, Raster
from deepseg_qgis.engine.geometry.areas import Area, box
from deepseg_qgis.engine.inference import pipeline, windows
from deepseg_qgis.engine.inference.class_maps import class_map
from deepseg_qgis.engine.inference.model_predictor import PredictionSettings, model_predictor
from deepseg_qgis.engine.inference.predicted_cores import predicted_cores
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.models import model_file, networks, weights
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.errors import ParameterError, RasterError, ResourceError, Stopped

CARD = ModelCard(
    architecture="unet",
    encoder="resnet18",
    task="semantic",
    categories=(Category("a", "#00aa11"), Category("b", "#aabbcc")),
    band_names=("1", "2"),
    dtype="uint16",
    resolution_m=None,
    mean=(10_000.0, 9000.0),
    std=(300.0, 200.0),
    tile_size_px=64,
    thresholds=(0.4, 0.3),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("model") / "m.safetensors")
    torch.manual_seed(1)
    weights.save(path, networks.build("unet", "resnet18", 2, 2).state_dict(), CARD)
    return model_file.read(path)


def image(rows, columns, seed=0):
    noise = np.random.default_rng(seed).normal(size=(2, rows, columns))
    return (noise * [[[300]], [[200]]] + [[[10_000]], [[9000]]]).clip(0).astype(np.uint16)


@pytest.fixture
def raster(make_raster):
    values = image(300, 420)
    values[:, 100:220, 250:] = 0
    with Raster(make_raster(values, nodata=0)) as raster:
        yield raster


def whole(raster):
    return Area(box(raster.grid.window))


class Told(Control):
    def __init__(self):
        self.texts = []
        super().__init__(lambda event: self.texts.append(event.text))


def backend_of(model, precision, control=None):
    return ModelSource(model, "cpu", precision, None, control or Control()).default


def raw(model):
    return networks.RawNetwork(model.network, model.card.mean, model.card.std)


@pytest.mark.parametrize(("precision", "levels"), [("float32", 1), ("bfloat16", 8)])
def test_openvino_says_what_torch_says(model, precision, levels):
    pixels = Pixels(image(96, 160), np.random.default_rng(2).random((96, 160)) < 0.8)
    backend = backend_of(model, precision)
    found = probabilities(backend.session(96, 160), [pixels])[0].astype(int)
    loaded = weights.load(model.path)
    torch_backend = TorchBackend(raw(loaded), torch.device("cpu"), False)
    right = probabilities(torch_backend.session(96, 160), [pixels])[0].astype(int)
    assert backend.description.startswith("OpenVINO on CPU")
    assert np.abs(found - right).max() <= levels
    assert right.std() > 2  # there was something to agree on
    plain = networks.network_input(pixels, np.float32(CARD.mean), np.float32(CARD.std))
    with torch.inference_mode():
        said = networks.category_probabilities(loaded.network(torch.from_numpy(plain[None])))
    assert np.array_equal(right, said[0].numpy())


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
def test_every_type_of_raster_goes_in(tmp_path, dtype):
    path = str(tmp_path / "m.safetensors")
    card = replace(CARD, dtype=dtype, mean=(100.0, 90.0), std=(20.0, 30.0))
    card = replace(card, categories=card.categories[:1], thresholds=(0.5,))
    card = replace(card, architecture="linknet", encoder="mobilenet_v2")
    weights.save(path, networks.build("linknet", "mobilenet_v2", 2, 1).state_dict(), card)
    values = np.random.default_rng(0).integers(0, 120, (2, 64, 64)).astype(dtype)
    valid = np.ones((64, 64), dtype=bool)
    if np.dtype(dtype).kind == "f":
        values[:, :8], valid[:8] = np.nan, False
    file = model_file.read(path)
    found = probabilities(backend_of(file, "float32").session(64, 64), [Pixels(values, valid)])
    loaded = weights.load(path)
    right = TorchBackend(raw(loaded), torch.device("cpu"), False)
    assert found.shape == (1, 1, 64, 64)
    right_says = probabilities(right.session(64, 64), [Pixels(values, valid)]).astype(int)
    assert np.abs(found.astype(int) - right_says).max() <= 1


def test_the_second_time_needs_no_torch(model, make_raster):
    path = make_raster(image(100, 100), name="second.tif").path
    code = (
        "import sys\n"
        "from deepseg_qgis.engine.models import model_file\n"
        "from deepseg_qgis.engine.geometry.areas import Area, box\n"
        "from deepseg_qgis.engine.control import Control\n"
        "from deepseg_qgis.engine.inference.class_maps import class_map\n"
        "from deepseg_qgis.engine.inference import model_predictor as ready\n"
        "from deepseg_qgis.engine.files.rasters import Raster\n"
        "from deepseg_qgis.jobs import RasterSource\n"
        "raster = Raster(RasterSource(sys.argv[2], '', 'r'))\n"
        "model = model_file.read(sys.argv[1])\n"
        "predictor = ready.model_predictor(model, ready.PredictionSettings(), Control())\n"
        "found = class_map(predictor, raster, Area(box(raster.grid.window)), Control())\n"
        "assert found.known.all()\n"
        "slow = {'torch', 'segmentation_models_pytorch', 'nncf', 'lightning_fabric', 'skimage'}\n"
        "print(sorted(slow & set(sys.modules)))\n"
    )
    backend_of(model, "float32")
    again = subprocess.run(
        [sys.executable, "-c", code, model.path, path], capture_output=True, text=True, check=False
    )
    assert again.stdout.strip() == "[]", again.stderr


def test_what_does_not_convert_is_run_by_torch_and_said(model, raster, monkeypatch):
    def fails(*_):
        raise RuntimeError("no such step")

    monkeypatch.setattr(ModelSource, "_converted", fails)
    told = Told()
    backend = backend_of(model, "float32", told)
    assert isinstance(backend, TorchBackend)
    assert "no such step" in told.texts[0]
    assert "torch runs it" in told.texts[0]


def test_a_cache_that_cannot_be_written_is_not_blamed_on_openvino(model, tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file where a folder should be")
    place = str(tmp_path / "cache" / "networks")
    monkeypatch.setattr("deepseg_qgis.engine.backends.network_cache.cache_folder", lambda: place)
    control = Told()
    assert isinstance(backend_of(model, "float32", control), TorchBackend)
    (text,) = [text for text in control.texts if "torch runs it" in text]
    assert str(tmp_path / "cache") in text
    assert "cannot be run with OpenVINO" not in text


def test_only_what_openvino_cannot_compile_falls_back(model, raster, monkeypatch):
    control = Told()
    predictor = model_predictor(model, PredictionSettings("cpu", "float32"), control)

    def failing(error):
        def fail(_height, _width):
            raise error

        return fail

    for error in (RuntimeError("bad_alloc"), RuntimeError("of something else")):
        monkeypatch.setattr(predictor._source.default, "session", failing(error))
        with pytest.raises(RuntimeError, match=str(error)):
            predictor.prepare(raster, whole(raster))
    monkeypatch.setattr(
        predictor._source.default, "session", failing(CompilationError("no word for it"))
    )
    predictor.prepare(raster, whole(raster))
    assert any("cannot be run with OpenVINO (no word for it)" in text for text in control.texts)


def test_a_broken_cache_entry_is_made_again(model, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    made = []
    convert = openvino_conversion.convert
    monkeypatch.setattr(openvino_conversion, "convert", lambda it: made.append(1) or convert(it))
    for _ in range(2):
        backend_of(model, "float32")
    assert len(made) == 1
    (weights_file,) = tmp_path.rglob("network.bin")
    weights_file.write_bytes(weights_file.read_bytes()[:1000])
    backend_of(model, "float32")
    assert len(made) == 2


def test_classes_do_not_depend_on_what_area_was_asked_for(model, raster):
    predictor = model_predictor(model, PredictionSettings("cpu", "float32"), Control())
    everything = class_map(predictor, raster, whole(raster), Control())
    assert np.array_equal(everything.known, raster.read(raster.grid.window).valid)
    assert set(np.unique(everything.classes[~everything.known])) == {0}
    assert len(np.unique(everything.classes)) == 3
    triangle = Area(shapely.Polygon([(70, 60), (200, 60), (70, 160)]))
    part = class_map(predictor, raster, triangle, Control())
    at = part.region.within(raster.grid.window)
    assert np.array_equal(part.known, triangle.mask(part.region) & everything.known[at])
    same = part.classes == everything.classes[at]
    assert same[part.known].mean() > 0.995
    assert not part.classes[~part.known].any()


def test_cores_come_in_order_and_unwanted_ones_are_not_read(model, raster, monkeypatch):
    reads = []
    read = Raster.read
    monkeypatch.setattr(Raster, "read", lambda s, w: reads.append(w) or read(s, w))
    corners = Area.of(np.array([shapely.box(0, 0, 20, 20), shapely.box(390, 270, 410, 290)]))
    settings = PredictionSettings("cpu", "float32", tile_size_px=64, overlap_px=32, batch_size=3)
    predictor = model_predictor(model, settings, Control())
    found = list(predicted_cores(predictor, raster, corners, Control()))
    region = corners.window(raster.grid.window)
    seen = np.zeros((region.height, region.width), dtype=int)
    for each in found:
        seen[each.core.within(region)] += 1
        assert (each.classes is None) == (each.known is None) == (each.probabilities is None)
        if each.classes is None:
            assert not corners.touches(each.core)
    assert (seen == 1).all()
    places = [(each.core.row, each.core.column) for each in found]
    assert places == sorted(places)
    assert len(reads) == sum(each.classes is not None for each in found) < len(found) / 4


def test_batches_do_not_change_what_is_said(model, raster):
    maps = []
    for batch_size in (1, 4):
        settings = PredictionSettings("cpu", "float32", tile_size_px=128, batch_size=batch_size)
        predictor = model_predictor(model, settings, Control())
        maps.append(class_map(predictor, raster, whole(raster), Control()))
    assert np.mean(maps[0].classes != maps[1].classes) < 1e-4


def test_closing_early_or_failing_leaves_no_thread(model, raster, monkeypatch):
    settings = PredictionSettings("cpu", "float32", tile_size_px=64)
    predictor = model_predictor(model, settings, Control())
    cores = predicted_cores(predictor, raster, whole(raster), Control())
    next(cores)
    assert any(thread.name.startswith("reader") for thread in threading.enumerate())
    cores.close()
    control = Control()
    control.stop()
    with pytest.raises(Stopped):
        list(predicted_cores(predictor, raster, whole(raster), control))

    def broken(*_):
        raise RasterError("a block is broken")

    monkeypatch.setattr(Raster, "read", broken)
    with pytest.raises(RasterError, match="a block is broken"):
        list(predicted_cores(predictor, raster, whole(raster), Control()))
    assert not any(thread.name.startswith("reader") for thread in threading.enumerate())


class Greedy(torch.nn.Module):
    """Answers with the first band; runs out of memory above two windows."""

    def __init__(self, most):
        super().__init__()
        self.most, self.sizes = most, []

    def forward(self, values, valid):
        self.sizes.append(len(values))
        if len(values) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return values[:, :1].to(torch.uint8)


def test_batches_are_halved_for_good_when_memory_runs_out():
    valid = np.ones((32, 32), dtype=bool)
    pixels = [Pixels(np.full((1, 32, 32), i, dtype=np.uint8), valid) for i in range(10)]
    network = Greedy(2)
    session = TorchSession(network, torch.device("cpu"), False, 10)
    found = probabilities(session, pixels)
    assert found[:, 0, 0, 0].tolist() == list(range(10))
    assert session.batch_size == 2
    assert Counter(network.sizes) == {10: 1, 5: 1, 2: 5}
    with pytest.raises(ResourceError, match="smaller tile size"):
        probabilities(TorchSession(Greedy(0), torch.device("cpu"), False, 4), pixels)


@pytest.mark.parametrize(
    ("architecture", "encoder", "whole_window"),
    [("unet", "resnet18", False), ("deeplabv3", "resnet18", True), ("unet", "mit_b0", True)],
)
def test_networks_that_see_the_whole_window_are_found(architecture, encoder, whole_window):
    torch.manual_seed(0)
    network = networks.build(architecture, encoder, 3, 1).eval()
    assert openvino_conversion.sees_whole_window(network, 3) == whole_window


def test_wishes_that_cannot_be_had_are_told(model, monkeypatch):
    with pytest.raises(ParameterError, match="precision"):
        model_predictor(model, PredictionSettings(precision="float64"), Control())
    with pytest.raises(ParameterError, match="batch size"):
        model_predictor(model, PredictionSettings(batch_size=0), Control())
    with pytest.raises(ParameterError, match="threshold"):
        model_predictor(model, PredictionSettings(threshold=1.5), Control())
    with pytest.raises(ParameterError, match="device"):
        model_predictor(model, PredictionSettings(device="tpu"), Control())
    monkeypatch.setattr(devices, "_gpu", lambda: None)
    with pytest.raises(ResourceError, match="finds none"):
        model_predictor(model, PredictionSettings(device="cuda"), Control())
    monkeypatch.setattr(devices, "_gpu", lambda: "cuda")
    with pytest.raises(ParameterError, match="'int8' runs on the CPU alone"):
        model_predictor(model, PredictionSettings(device="auto", precision="int8"), Control())


def test_the_pipeline_skips_cores_without_data(make_raster):
    values = np.zeros((1, 64, 256), dtype=np.uint8)
    values[:, :, :40] = 7
    started = []

    class Session:
        batch_size, in_flight = 1, 2

        def start(self, pixels):
            started.append(len(pixels))
            found = np.stack([each.values for each in pixels])
            return lambda: found

    with Raster(make_raster(values, nodata=0)) as raster:
        layout = windows.square(raster.grid.window, whole(raster), 64, 0)
        used = list(pipeline.run(Session(), raster, layout, lambda _t, _p, found: int(found.max())))
    assert [each for _, each in used] == [7, None, None, None]
    assert started == [1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the libraries that NNCF brings
def test_int8_tells_how_well_it_agrees(model, raster):
    told = Told()
    predictor = model_predictor(model, PredictionSettings("cpu", "int8"), told)
    predictor.prepare(raster, whole(raster))
    assert any("int8 agrees with float32 at a mask IoU of" in text for text in told.texts)
    again = Told()
    model_predictor(model, PredictionSettings("cpu", "int8"), again).prepare(raster, whole(raster))
    assert not any("calibrating" in text for text in again.texts)


@pytest.mark.parametrize(("rows", "columns"), [(40, 40), (100, 30), (33, 300), (255, 255)])
def test_int8_is_calibrated_on_small_rasters_too(make_raster, rows, columns):
    with Raster(make_raster(image(rows, columns))) as raster:
        for side in (256, 512):
            windows = sample_windows(raster, whole(raster), side, 12, 1)
            assert windows
            assert len({each.valid.shape for each in windows}) == 1
            assert max(each.valid.sum() for each in windows) >= 0.5 * min(rows, 256) * columns


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the libraries that NNCF brings
def test_int8_hangs_on_what_is_predicted_and_on_nothing_before(model, make_raster, monkeypatch):
    made = []
    quantise = converted_networks.quantise

    def counted(*arguments):
        made.append(1)
        return quantise(*arguments)

    monkeypatch.setattr(converted_networks, "quantise", counted)
    control = Told()
    predictor = model_predictor(model, PredictionSettings("cpu", "int8"), control)
    source = make_raster(np.concatenate([image(60, 90), image(60, 90, 7) // 2], axis=2))
    with Raster(source) as raster:
        left, right = Area(shapely.box(0, 0, 80, 60)), Area(shapely.box(100, 0, 180, 60))
        alone = class_map(predictor, raster, right, control).classes
        class_map(predictor, raster, left, control)
        again = class_map(predictor, raster, right, control).classes
    assert len(made) == 2
    assert np.array_equal(alone, again)
    assert not any("too little data" in text for text in control.texts)
    with Raster(make_raster(image(60, 180) // 3, name=source.name)) as raster:  # at the same place
        class_map(predictor, raster, left, control)
    assert len(made) == 3
