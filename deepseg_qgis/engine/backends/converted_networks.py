"""The networks of one model as OpenVINO runs them: converted, in int8, and kept in the cache."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import openvino

from deepseg_qgis.engine.backends import network_cache
from deepseg_qgis.engine.backends.network_cache import CachedNetwork, NetworkCache
from deepseg_qgis.engine.backends.openvino_backend import OpenVinoBackend
from deepseg_qgis.engine.backends.quantisation import CalibrationWindows, agreement, quantise
from deepseg_qgis.engine.models.model_file import ModelFile


class ConvertedNetworks:
    """Finds a model's networks in the user's cache, and puts those there that are missing."""

    def __init__(self, model: ModelFile) -> None:
        self._model = model
        self._cache = NetworkCache(network_cache.cache_folder())

    def find(self) -> CachedNetwork | None:
        """Return the converted network, None if it is not there yet."""
        return self._cache.find(self._key())

    def convert(self) -> CachedNetwork:
        """Convert the network in this process. Imports torch.

        Raises:
            ModelError: the model file is damaged.
            OSError: the cache cannot be written.
            RuntimeError: the network cannot be converted.
        """
        from deepseg_qgis.engine.backends import openvino_conversion
        from deepseg_qgis.engine.models import weights

        graph, metadata = openvino_conversion.convert(weights.load(self._model.path))
        return self._keep(self._key(), graph, metadata.as_dict())

    def find_int8(self, windows: CalibrationWindows) -> CachedNetwork | None:
        """Return the network in int8 that was calibrated on these windows, if it is there."""
        return self._cache.find(self._int8_key(windows))

    def quantise(self, plain: CachedNetwork, windows: CalibrationWindows) -> CachedNetwork:
        """Calibrate the converted network in int8; its metadata say how well the two agree."""
        subtracted = plain.metadata["subtracted"]
        graph = quantise(read_graph(plain), windows.calibrated, subtracted)
        measured = agreement(
            OpenVinoBackend(graph, "int8", plain.metadata),
            OpenVinoBackend(read_graph(plain), "float32", plain.metadata),
            windows.checked,
            self._model.card.legend,
        )
        return self._keep(self._int8_key(windows), graph, {**plain.metadata, "agreement": measured})

    def _keep(self, name: str, graph: openvino.Model, metadata: Mapping[str, Any]) -> CachedNetwork:
        def save(path: str) -> None:
            openvino.save_model(graph, path, compress_to_fp16=False)

        return self._cache.write(name, save, metadata)

    def _int8_key(self, windows: CalibrationWindows) -> str:
        return self._key(precision="int8", windows=windows.fingerprint)

    def _key(self, **more: str) -> str:
        return network_cache.key(
            model=self._model.fingerprint,
            openvino=openvino.get_version(),
            processor=f"{platform.system()} {platform.machine()}",
            **more,
        )


def read_graph(network: CachedNetwork) -> openvino.Model:
    """Return the graph of a network, with free window sizes."""
    return openvino.Core().read_model(network.network_path)
