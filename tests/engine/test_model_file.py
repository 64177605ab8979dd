"""Model files: what goes in comes out, and a stranger's file is looked at before it is used."""

import contextlib
import json
import struct
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.raster_sets import with_expected_bands
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.legend.legend import OBJECT_PLANES, Category
from deepseg_qgis.engine.models import model_file, networks, weights
from deepseg_qgis.engine.models.model_card import ModelCard, from_json, to_json
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.errors import ModelError, RasterError

CARD = ModelCard(
    architecture="unet",
    encoder="resnet18",
    task="semantic",
    categories=(Category("Græs", "#00aa11"), Category("<b>=1</b>", "#aabbcc")),
    band_names=("red", "nir"),
    dtype="uint16",
    resolution_m=0.5,
    mean=(100.0, 200.0),
    std=(10.0, 20.0),
    tile_size_px=64,
    thresholds=(0.4, 0.6),
    countable=(False, False),
)

PANOPTIC = replace(
    CARD,
    task="panoptic",
    countable=(True, False),
    depths=(23, 0),
    least_px=(40, 12),
    smoothing_px=1.25,
)
INSTANCE = replace(
    PANOPTIC, task="instance", countable=(True, True), depths=(23, 40), smoothing_px=0.0
)


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    torch.manual_seed(0)
    network = networks.build(NetworkDesign("unet", "resnet18"), 2, 2)
    weights.save(str(path), network.state_dict(), CARD)
    return path


def parts(path):
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def written(path, header, body):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return str(path)


def test_what_goes_in_comes_out(model_path):
    model = weights.load(str(model_path))
    assert model.card == CARD
    torch.manual_seed(0)
    same = networks.build(NetworkDesign("unet", "resnet18"), 2, 2).eval()
    x = torch.randn(1, 2, 64, 64)
    with torch.inference_mode():
        assert torch.equal(model.network(x), same(x))


@pytest.mark.parametrize(
    ("architecture", "encoder"),
    [("segformer", "mit_b0"), ("dpt", "tu-vit_tiny_patch16_224"), ("linknet", "mobilenet_v2")],
)
def test_other_networks_come_out_too(tmp_path, architecture, encoder):
    card = replace(CARD, architecture=architecture, encoder=encoder)
    network = networks.build(NetworkDesign(architecture, encoder), 2, 2).eval()
    path = str(tmp_path / "m.safetensors")
    weights.save(path, network.state_dict(), card)
    x = torch.randn(1, 2, 96, 96)
    with torch.inference_mode():
        assert torch.allclose(weights.load(path).network(x), network(x), atol=1e-5)


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("architecture", "hf-hub:somebody/model", "architecture"),
        ("encoder", "tu-hf-hub:x", "encoder"),
        ("task", "magic", "task"),
        ("categories", [], "categories"),
        ("categories", [{"name": "a", "colour": "javascript:"}], "colour"),
        ("categories", [{"name": "a", "colour": "#000000"}] * 2, "same name"),
        ("band_names", ["x"] * 5000, "band names"),
        ("mean", [0.0], "means"),
        ("std", [0.0, 1.0], "standard deviations"),
        ("std", [None, 1.0], "standard deviations"),
        ("thresholds", [2.0, 0.5], "thresholds"),
        ("tile_size_px", 10**9, "tile size"),
        ("tile_size_px", True, "tile size"),
        ("format_version", 99, "version"),
        ("footprint", "everywhere", "footprint"),
        ("training", {"loss": float("nan")}, "no JSON"),
        ("history", [{"loss": float("inf")}], "no JSON"),
        ("decoder_channels", [8] * 4, "decoder widths"),
        ("decoder_channels", [8, 8, 8, 8, 10**9], "decoder widths"),
        ("decoder_channels", [8, 8, 8, 8, 0], "decoder widths"),
        ("decoder_channels", [8, 8, 8, 8, 2.5], "whole numbers"),
        ("decoder_channels", [8, 8, 8, 8, True], "decoder widths"),
        ("decoder_channels", "8", "decoder widths"),
        ("decoder_channels", None, "decoder widths"),
    ],
)
def test_a_card_out_of_bounds_is_refused(field, value, word):
    content = asdict(CARD) | {field: value}
    with pytest.raises(ModelError, match=word):
        from_json(json.dumps(content))


def test_a_thinner_decoder_comes_out_too(tmp_path):
    card = replace(CARD, decoder_channels=(32, 16, 8, 8, 4))
    network = networks.build(card.design, 2, 2).eval()
    path = str(tmp_path / "m.safetensors")
    weights.save(path, network.state_dict(), card)
    x = torch.randn(1, 2, 96, 96)
    with torch.inference_mode():
        assert torch.allclose(weights.load(path).network(x), network(x), atol=1e-5)
    weights.save(path, network.state_dict(), CARD)  # says nothing of it
    with pytest.raises(ModelError, match="another shape"):
        weights.load(path)


def test_cards_from_before_decoders_had_widths_have_the_librarys():
    content = asdict(CARD)
    del content["decoder_channels"]
    assert from_json(json.dumps(content)) == CARD


def test_widths_that_a_decoder_does_not_have_are_refused():
    for architecture, widths in (("linknet", (8,) * 5), ("unet", (8,) * 4)):
        with pytest.raises(ModelError, match="decoder widths"):
            networks.build(NetworkDesign(architecture, "mobilenet_v2", widths), 2, 2)


@pytest.mark.parametrize("card", [INSTANCE, PANOPTIC], ids=lambda card: card.task)
def test_a_card_of_objects_comes_out_as_it_went_in(card):
    assert from_json(to_json(card)) == card
    assert card.legend.has_objects
    assert card.smoothing == card.smoothing_px
    assert card.legend.planes == ("Græs", "<b>=1</b>", *OBJECT_PLANES)


def test_a_semantic_card_has_no_heights():
    assert not CARD.legend.has_objects
    assert CARD.smoothing is None
    assert CARD.legend.planes == ("Græs", "<b>=1</b>")


def test_cards_from_before_objects_were_told_apart_are_semantic():
    content = asdict(CARD)
    for name in ("countable", "depths", "least_px", "smoothing_px"):
        del content[name]
    assert from_json(json.dumps(content)) == CARD
    for task in ("instance", "panoptic"):
        with pytest.raises(ModelError, match="does not go with its countable"):
            from_json(json.dumps(content | {"task": task}))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"countable": [True]}, "does not say of each category"),
        ({"countable": [True, False, False]}, "does not say of each category"),
        ({"countable": [1, 0]}, "does not say of each category"),
        ({"countable": "yes"}, "no list"),
        ({"countable": None}, "no list"),
        ({"countable": [True, True]}, "task is 'panoptic', which does not go"),
        ({"countable": [False, False]}, "task is 'panoptic', which does not go"),
        ({"countable": []}, "task is 'panoptic', which does not go"),
        ({"task": "instance"}, "task is 'instance', which does not go"),
        ({"task": "semantic"}, "task is 'semantic', which does not go"),
        ({"depths": [0, 0]}, "depths do not go with"),
        ({"depths": [5, 5]}, "depths do not go with"),
        ({"depths": []}, "0 depths, expected 2"),
        ({"depths": [5]}, "1 depths, expected 2"),
        ({"depths": [300, 0]}, "depths"),
        ({"depths": [True, 0]}, "depths"),
        ({"depths": None}, "depths are no list"),
        ({"depths": 5}, "depths are no list"),
        ({"least_px": [0, -1]}, "smallest sizes"),
        ({"least_px": [0, 1e300]}, "smallest sizes"),
        ({"least_px": [0]}, "smallest sizes"),
        ({"least_px": 40}, "smallest sizes are no list"),
        ({"smoothing_px": -0.5}, "smoothing"),
        ({"smoothing_px": 1e4}, "smoothing"),
        ({"smoothing_px": "1"}, "smoothing"),
        ({"smoothing_px": float("nan")}, "no JSON"),
        ({"depths": [float("inf"), 0]}, "no JSON"),
    ],
)
def test_a_card_that_tells_objects_apart_in_no_way_is_refused(change, word):
    with pytest.raises(ModelError, match=word):
        from_json(json.dumps(asdict(PANOPTIC) | change))


def test_a_network_without_the_heads_of_its_card_is_refused(model_path, tmp_path):
    header, body = parts(model_path)
    metadata = {key: to_json(INSTANCE) for key in header["__metadata__"]}
    path = written(tmp_path / "m.safetensors", header | {"__metadata__": metadata}, body)
    with pytest.raises(ModelError, match="another shape or type"):
        weights.load(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.sampled_from(sorted(asdict(CARD))), json_values)
def test_any_value_in_any_field_is_taken_or_refused_with_a_message(field, value):
    content = json.loads(to_json(CARD)) | {field: value}
    with contextlib.suppress(ModelError):  # and no other error
        assert isinstance(from_json(json.dumps(content)), ModelCard)


def test_no_header_no_model(tmp_path):
    path = tmp_path / "m.safetensors"
    for content in (b"", b"just text, nothing else", struct.pack("<Q", 2**60) + b"{}", b"\0" * 99):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="no model that DeepSeg can use"):
            weights.load(str(path))
    deep = b"[" * 400_000
    with pytest.raises(ModelError, match="does not start like one"):
        weights.load(written(path, deep, b""))
    with pytest.raises(ModelError, match="cannot be read"):
        weights.load(str(tmp_path / "missing.safetensors"))


def test_tensors_that_are_not_the_networks_are_refused_unread(model_path, tmp_path):
    header, body = parts(model_path)
    name = next(key for key in header if key != "__metadata__")
    path = tmp_path / "m.safetensors"
    for change in (
        {"shape": [10**6, 10**6]},
        {"dtype": "F16"},
        {"shape": "huge"},
    ):
        changed = header | {name: header[name] | change}
        with pytest.raises(ModelError, match="another shape or type"):
            weights.load(written(path, changed, body))
    with pytest.raises(ModelError, match="not those of the network"):
        weights.load(written(path, header | {"extra": header[name]}, body))
    with pytest.raises(ModelError, match="damaged"):
        weights.load(written(path, header, body[:-100]))
    foreign = written(path, {key: header[key] for key in header if key != "__metadata__"}, body)
    with pytest.raises(ModelError, match="no DeepSeg card"):
        weights.load(foreign)


def test_weights_that_are_not_numbers_are_refused(tmp_path):
    state = networks.build(NetworkDesign("unet", "resnet18"), 2, 2).state_dict()
    first = next(iter(state))
    state[first] = torch.full_like(state[first], float("nan"))
    path = str(tmp_path / "m.safetensors")
    weights.save(path, state, CARD)
    with pytest.raises(ModelError, match="not numbers"):
        weights.load(path)


def test_a_raster_of_another_kind_is_told_what_the_model_expects(make_raster):
    for image in (np.ones((3, 8, 8), dtype=np.uint16), np.ones((2, 8, 8), dtype=np.uint8)):
        with (
            Raster(make_raster(image)) as raster,
            pytest.raises(RasterError, match=r"expects 2 bands of type uint16 \(red, nir\)"),
        ):
            with_expected_bands([raster], CARD.kind, model_file.MODEL, Control())
    with Raster(make_raster(np.ones((2, 8, 8), dtype=np.uint16))) as raster:
        (same,) = with_expected_bands([raster], CARD.kind, model_file.MODEL, Control())
        assert same.kind == raster.kind


def test_reading_a_card_needs_no_raster_and_no_geometry(model_path):
    code = (
        "import sys\n"
        "from deepseg_qgis.engine.models import model_file\n"
        "print(len(model_file.read(sys.argv[1]).card.legend.categories))\n"
        "slow = {'numba', 'numpy', 'pyogrio', 'rasterio', 'shapely', 'torch'}\n"
        "print(sorted(slow & set(sys.modules)))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(model_path)], capture_output=True, text=True, check=False
    )
    assert found.stdout.split() == ["2", "[]"], found.stderr
