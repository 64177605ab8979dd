"""The list of networks is what the installed library has."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deepseg_qgis.catalogue import ARCHITECTURES, ENCODERS, VISION_TRANSFORMERS


def test_no_name_is_there_twice() -> None:
    assert len(set(ENCODERS)) == len(ENCODERS)
    assert len(set(ARCHITECTURES)) == len(ARCHITECTURES)


def test_the_defaults_come_first() -> None:
    assert (ARCHITECTURES[0], ENCODERS[0]) == ("unet", "resnet18")


def test_it_is_what_the_library_has() -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    own = {name for name in smp.encoders.get_encoder_names() if not name.startswith("tu-")}
    assert set(ENCODERS) - set(VISION_TRANSFORMERS) == own
    assert set(ARCHITECTURES) == set(smp.MODEL_ARCHITECTURES_MAPPING)


def test_python39_reads_it(in_python39: Callable[..., str]) -> None:
    program = "from deepseg_qgis.catalogue import ENCODERS; print(len(ENCODERS))"
    assert in_python39(program) == f"{len(ENCODERS)}\n"
