"""Files of weights that anybody may have made are read as tensors, or refused in plain words."""

import json
import socket
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import safetensors.torch
import torch

from deepseg_qgis.disk_files import sha256_of
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.raster_inputs.bands import named
from deepseg_qgis.engine.models import networks
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.pretrained import weight_files
from deepseg_qgis.engine.pretrained.chosen_weights import chosen_weights
from deepseg_qgis.engine.pretrained.encoder_weights import SENTINEL_2
from deepseg_qgis.engine.pretrained.loading import load_encoder
from deepseg_qgis.engine.pretrained.weight_files import METADATA_KEY, read_weights
from deepseg_qgis.engine.pretrained.weight_store import WeightStore, store_folder
from deepseg_qgis.errors import ModelError, ParameterError
from tests.support.example_jobs import Watched

RESNET = NetworkDesign("linknet", "resnet18")
TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4)}


class Evil:
    """Would write a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.fixture
def file(tmp_path):
    return str(tmp_path / "weights.pth")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: tensors,
        lambda tensors: OrderedDict(tensors),
        lambda tensors: {"state_dict": tensors, "epoch": 3, "optimizer": {"lr": torch.tensor(1.0)}},
        lambda tensors: {"checkpoint": {"model": tensors}, "args": ["x"]},
    ],
)
def test_tensors_are_found_in_what_torch_saves(wrap, legacy, file):
    torch.save(wrap(TENSORS), file, _use_new_zipfile_serialization=not legacy)
    found = read_weights(file)
    assert list(found.tensors) == list(TENSORS)
    assert all(torch.equal(found.tensors[name], TENSORS[name]) for name in TENSORS)
    assert found.origin.source == "the file weights.pth"
    assert found.origin.sha256 == sha256_of(file)


@pytest.mark.parametrize("legacy", [False, True])
def test_nothing_in_a_file_is_run(legacy, file, tmp_path):
    trap = tmp_path / "trap"
    torch.save({**TENSORS, "x": Evil(trap)}, file, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ModelError, match="more than tensors"):
        read_weights(file)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 1, "b": "text"}, "no tensors"),
        ([torch.ones(3)], "no tensors"),
        ({"a": torch.ones(3).to_sparse()}, "cannot be used as weights"),
        ({1: torch.ones(3)}, "no tensors"),
    ],
)
def test_other_things_are_no_weights(content, message, file):
    torch.save(content, file)
    with pytest.raises(ModelError, match=message):
        read_weights(file)


@pytest.mark.parametrize("ending", ["pth", "pt", "safetensors"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x80\x02}q\x00.", b"x" * 999])
def test_other_files_are_no_weights(content, ending, tmp_path):
    path = tmp_path / f"weights.{ending}"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="cannot be used as weights"):
        read_weights(str(path))


@pytest.mark.parametrize("part", [0.3, 0.7, 0.99])
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_half_a_file_is_refused(part, ending, tmp_path):
    path = tmp_path / f"weights.{ending}"
    if ending == "pth":
        torch.save(TENSORS, path)
    else:
        safetensors.torch.save_file(TENSORS, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ModelError, match="damaged"):
        read_weights(str(path))


def test_a_file_that_would_unpack_to_more_than_its_size_is_refused(file, tmp_path):
    torch.save({"a": torch.zeros(1_000_000)}, tmp_path / "large.pth")
    with (
        zipfile.ZipFile(tmp_path / "large.pth") as large,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as small,
    ):
        for name in large.namelist():
            small.writestr(name, large.read(name))
    assert Path(file).stat().st_size < 100_000
    with pytest.raises(ModelError, match="compressed"):
        read_weights(file)


def test_a_zip_that_goes_on_elsewhere_is_refused(file):
    """Python's own test for zip files fails on it."""
    torch.save(TENSORS, file)
    content = Path(file).read_bytes()
    place = content.index(b"PK\x06\x07")  # where the locator of the 64-bit directory begins
    Path(file).write_bytes(content[: place + 4] + b"\x01" + content[place + 5 :])
    with pytest.raises(ModelError, match="damaged"):
        read_weights(file)


def test_a_huge_file_is_refused_before_it_is_read(file, monkeypatch):
    torch.save(TENSORS, file)
    monkeypatch.setattr(weight_files, "LARGEST_BYTES", 100)
    with pytest.raises(ModelError, match="larger than"):
        read_weights(file)


def test_a_tensor_that_claims_to_be_huge_takes_no_memory(file):
    """A view of one number is as large as its author likes."""
    tensors = networks.build(RESNET, 3, 1).encoder.state_dict()
    torch.save({**tensors, "conv1.weight": torch.ones(1).expand(2**20, 2**20)}, file)
    network = networks.build(RESNET, 3, 1)
    load_encoder(network, RESNET, read_weights(file), [named("red")] * 3)
    assert network.encoder.conv1.weight.shape == (64, 3, 7, 7), "one that does not fit is left out"


def test_bands_that_a_file_names_are_its_own(tmp_path):
    path = str(tmp_path / "weights.safetensors")
    about = {"bands": ["B8", "B4"], "name": "moco", "licence": "CC-BY-4.0", "source": 7}
    safetensors.torch.save_file(TENSORS, path, {METADATA_KEY: json.dumps(about)})
    found = read_weights(path)
    assert [band.name for band in found.bands] == ["B8", "B4"]
    assert found.origin.name == "moco"
    assert found.origin.licence == "CC-BY-4.0"
    assert found.origin.source == "the file weights.safetensors", "what is no text is passed over"


@pytest.mark.parametrize("about", ["[]", "{", '{"bands": 3}', '{"bands": {}}', "[" * 10_000])
def test_nonsense_about_a_file_is_passed_over(about, tmp_path):
    path = str(tmp_path / "weights.safetensors")
    safetensors.torch.save_file(TENSORS, path, {METADATA_KEY: about})
    assert read_weights(path).bands == ()


def test_satellite_weights_serve_photos_and_satellites(tmp_path):
    """Of 13 bands without names, Sentinel-2's are taken; the raster's are found among them."""
    source = networks.build(RESNET, 13, 1)
    path = str(tmp_path / "s2.pth")
    torch.save({f"module.{name}": each for name, each in source.encoder.state_dict().items()}, path)
    filters = source.encoder.conv1.weight
    for bands, places in (
        (SENTINEL_2, range(13)),
        ([named("red"), named("green"), named("blue")], (3, 2, 1)),
        ([named("B2"), named("B3"), named("B4"), named("B8A")], (1, 2, 3, 8)),
        ([named("band 1")] * 13, range(13)),
    ):
        network = networks.build(RESNET, len(bands), 1)
        load_encoder(network, RESNET, read_weights(path), bands)
        scale = 13 / len(bands)
        expected = filters[:, list(places)] * scale
        assert torch.allclose(network.encoder.conv1.weight, expected, atol=1e-5)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    return WeightStore(store_folder())


def kept(store, file, encoder, name):
    """Put weights of a name into the store."""
    torch.save(TENSORS, file)
    weights = read_weights(file)
    origin = type(weights.origin)(name, "https://example.org", "MIT", "ab" * 32)
    return store.write(encoder, type(weights)(weights.tensors, origin, SENTINEL_2), Control())


def test_the_store_keeps_weights_with_their_origin(store, file):
    path = kept(store, file, "resnet18", "ssl")
    assert store.names("resnet18") == ["ssl"]
    assert store.names("resnet34") == []
    assert [each.name for each in Path(path).parent.iterdir()] == ["ssl.safetensors"]
    found = store.read("resnet18", "ssl")
    assert found.origin.facts == {
        "encoder_weights": "ssl",
        "encoder_weights_source": "https://example.org",
        "encoder_weights_licence": "MIT",
        "encoder_weights_sha256": "ab" * 32,
    }
    assert [band.name for band in found.bands] == [band.name for band in SENTINEL_2]
    assert torch.equal(found.tensors["a"], TENSORS["a"])


def test_auto_takes_what_is_there_and_says_so(store, file):
    control = Watched()
    assert chosen_weights("resnet18", "none", control) is None
    assert control.texts == []
    assert chosen_weights("resnet18", "auto", control) is None
    assert "deepseg:fetchweights" in control.texts.pop()
    kept(store, file, "resnet18", "ssl")
    assert chosen_weights("resnet18", "auto", control).origin.name == "ssl"
    kept(store, file, "resnet18", "imagenet")
    assert chosen_weights("resnet18", "auto", control).origin.name == "imagenet"
    assert "imagenet" in control.texts.pop()
    assert chosen_weights("resnet18", "ssl", control).origin.name == "ssl"
    assert chosen_weights("timm-skresnet18", "auto", control) is None, "of another encoder"


def test_damaged_weights_in_the_store_can_be_fetched_again(store, file):
    path = Path(kept(store, file, "resnet18", "imagenet"))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ModelError, match=r"damaged.*ENCODER=resnet18, WEIGHTS=imagenet"):
        chosen_weights("resnet18", "auto", Control())


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("imagenet", r"not on this computer.*ENCODER=resnet18, WEIGHTS=imagenet"),
        ("imagenett", r"Choose one of: auto, none, imagenet, ssl, swsl; or a file"),
        ("/nowhere/w.pth", "is not there"),
        ("../../x", "Choose one of"),
    ],
)
def test_weights_that_are_not_there_are_explained(choice, message, store):
    with pytest.raises(ParameterError, match=message):
        chosen_weights("resnet18", choice, Control())


def test_training_never_asks_the_network(store, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    for encoder in ("resnet18", "tu-vit_tiny_patch16_224", "timm-tf_efficientnet_lite0"):
        chosen_weights(encoder, "auto", Control())
    with pytest.raises(ParameterError, match="not on this computer"):
        chosen_weights("tu-vit_tiny_patch16_224", "imagenet", Control())
