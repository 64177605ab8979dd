"""The network of a model: OpenVINO agrees with torch, what is kept, and what cannot be had."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
import torch
from random_model import CARD, LogTexts, holed_image, image, whole, write_model

from deepseg_qgis.engine.backends import converted_networks, devices, openvino_conversion
from deepseg_qgis.engine.backends.backend import CompilationError, probabilities
from deepseg_qgis.engine.backends.model_source import ModelSource
from deepseg_qgis.engine.backends.quantisation import sample_windows
from deepseg_qgis.engine.backends.torch_backend import TorchBackend
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Pixels, Raster
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.inference.class_maps import class_map
from deepseg_qgis.engine.inference.model_predictor import PredictionSettings, model_predictor
from deepseg_qgis.engine.models import model_file, networks, weights
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.errors import ParameterError, ResourceError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def raster(make_raster):
    with Raster(make_raster(holed_image(), nodata=0)) as raster:
        yield raster


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
    weights.save(
        path, networks.build(NetworkDesign("linknet", "mobilenet_v2"), 2, 1).state_dict(), card
    )
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


def test_what_does_not_convert_is_run_by_torch_and_said(model, raster, monkeypatch):
    def fails(*_):
        raise RuntimeError("no such step")

    monkeypatch.setattr(ModelSource, "_converted", fails)
    told = LogTexts()
    backend = backend_of(model, "float32", told)
    assert isinstance(backend, TorchBackend)
    assert "no such step" in told.texts[0]
    assert "torch runs it" in told.texts[0]


def test_a_cache_that_cannot_be_written_is_not_blamed_on_openvino(model, tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file where a folder should be")
    place = str(tmp_path / "cache" / "networks")
    monkeypatch.setattr("deepseg_qgis.engine.backends.network_cache.cache_folder", lambda: place)
    control = LogTexts()
    assert isinstance(backend_of(model, "float32", control), TorchBackend)
    (text,) = [text for text in control.texts if "torch runs it" in text]
    assert str(tmp_path / "cache") in text
    assert "cannot be run with OpenVINO" not in text


def test_only_what_openvino_cannot_compile_falls_back(model, raster, monkeypatch):
    control = LogTexts()
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


@pytest.mark.parametrize(
    ("architecture", "encoder", "whole_window"),
    [("unet", "resnet18", False), ("deeplabv3", "resnet18", True), ("unet", "mit_b0", True)],
)
def test_networks_that_see_the_whole_window_are_found(architecture, encoder, whole_window):
    torch.manual_seed(0)
    network = networks.build(NetworkDesign(architecture, encoder), 3, 1).eval()
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the libraries that NNCF brings
def test_int8_tells_how_well_it_agrees(model, raster):
    told = LogTexts()
    predictor = model_predictor(model, PredictionSettings("cpu", "int8"), told)
    predictor.prepare(raster, whole(raster))
    assert any("int8 agrees with float32 at a mask IoU of" in text for text in told.texts)
    again = LogTexts()
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
    control = LogTexts()
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
