"""What a training asks for becomes a network; each size trains, is saved and predicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from example_jobs import train_job

from deepseg_qgis import jobs
from deepseg_qgis.choices import MODEL_SIZES
from deepseg_qgis.engine.backends.openvino_conversion import convert
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.models import networks
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.models.network_design import SIZES, NetworkDesign
from deepseg_qgis.engine.models.weights import Model

RASTER = jobs.RasterSource("/nowhere/a.tif", "", "a")
LAYER = jobs.VectorSource("/nowhere/a.gpkg", "a", "a", "", None, {})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, SIZES["medium"]),
        ({"model_size": "small"}, SIZES["small"]),
        ({"encoder": "resnet18"}, replace(SIZES["medium"], encoder="resnet18")),
        ({"architecture": "unet"}, NetworkDesign("unet", SIZES["medium"].encoder)),
        (
            {"architecture": "unet", "encoder": "resnet18", "model_size": "large"},
            NetworkDesign("unet", "resnet18"),
        ),
    ],
)
def test_names_override_the_size(
    tmp_path: Any, changes: dict[str, str], expected: NetworkDesign
) -> None:
    job = replace(train_job(RASTER, LAYER, tmp_path), architecture=None, encoder=None)
    assert NetworkDesign.of(replace(job, **changes)) == expected  # type: ignore[arg-type]


def test_every_size_of_the_dialog_has_a_design() -> None:
    assert tuple(SIZES) == MODEL_SIZES
    assert len(set(SIZES.values())) == len(SIZES)


def card(design: NetworkDesign) -> ModelCard:
    """Return the card of an instance model of three bands."""
    return ModelCard(
        architecture=design.architecture,
        encoder=design.encoder,
        decoder_channels=design.decoder_channels,
        task="instance",
        categories=(Category("tree", "#00aa11"),),
        band_names=("1", "2", "3"),
        dtype="uint8",
        resolution_m=None,
        mean=(100.0,) * 3,
        std=(40.0,) * 3,
        tile_size_px=64,
        thresholds=(0.5,),
        countable=(True,),
        depths=(8,),
        least_px=(4,),
        smoothing_px=1.0,
    )


@pytest.mark.parametrize("size", MODEL_SIZES)
def test_every_size_learns_and_is_converted(size: str) -> None:
    torch.manual_seed(1)
    network = networks.build(SIZES[size], 3, 1, objects=True)
    optimiser = torch.optim.AdamW(network.parameters())
    pictures = torch.randn(2, 3, 64, 64)
    losses = []
    for _ in range(3):
        loss = network(pictures).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    convert(
        Model(network.eval(), card(SIZES[size]), "0")
    )  # raises where OpenVINO finds something else
