"""Which backend runs a model: by device and precision, the fastest that is there.

On CPUs that is OpenVINO, with the converted network from the cache; torch is imported only for a
network that is not there yet, for GPUs, and where OpenVINO cannot.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deepseg_qgis.choices import PRECISIONS
from deepseg_qgis.engine.backends import conversion_process, devices, network_cache
from deepseg_qgis.engine.backends.backend import Backend
from deepseg_qgis.engine.backends.network_cache import Entry, NetworkCache
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.faults import is_memory, is_systems, reason
from deepseg_qgis.engine.files.rasters import Pixels, Raster
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.models.model_file import ModelFile
from deepseg_qgis.errors import DeepSegError, ParameterError, os_message

LEAST_AGREEMENT = 0.99
"""A quantised network must agree with float32 at this mask IoU, else it is not used."""
LEAST_OBJECT_AGREEMENT = 0.97
"""The same for the F1 of objects that are told apart: whether a weak saddle stays or goes is
decided on the last digit, in any precision."""


class Choice:
    """Chooses and makes the backends of one model.

    Args:
        model: the model file.
        device: one of `choices.DEVICES`.
        precision: one of `choices.PRECISIONS`.
        batch_size: windows at once, None for the backend's own.
        control: what is chosen or does not work goes into its log.

    Raises:
        ParameterError: device and precision do not go together.
        ResourceError: the device is not there.
    """

    def __init__(
        self,
        model: ModelFile,
        device: str,
        precision: str,
        batch_size: int | None,
        control: Control,
    ) -> None:
        self._model, self._batch_size, self._control = model, batch_size, control
        if precision not in PRECISIONS:
            raise ParameterError(
                f"Expected a precision out of {', '.join(PRECISIONS)}, got {precision!r}."
            )
        self._device = devices.choose_device(device)
        self._precision = precision
        if precision == "int8" and self._device != "cpu":
            raise ParameterError(
                f"The precision 'int8' runs on the CPU alone, but the device is '{self._device}'. "
                "Choose the device 'cpu', or the precision 'auto'."
            )
        if precision == "bfloat16" and self._device == "mps":
            raise ParameterError(
                "The precision 'bfloat16' does not run on this Mac's GPU. Choose the precision "
                "'auto', or the device 'cpu'."
            )
        self._cache = NetworkCache(network_cache.cache_folder())

    @property
    def needs_raster(self) -> bool:
        """Whether each raster has a backend of its own: int8 is calibrated on it."""
        return self._precision == "int8"

    def backend(self) -> Backend:
        """Return the backend for all rasters; with int8 the one to fall back on."""
        if self._device != "cpu":
            return self.torch_backend()
        try:
            return self._openvino("auto" if self._precision == "int8" else self._precision)
        except DeepSegError:
            raise
        except Exception as error:
            if is_memory(error):
                raise
            return self.fallen_back(error)  # whatever a converter says, torch can run it

    def fallen_back(self, error: Exception) -> Backend:
        """Return torch's backend, saying in the log why."""
        why = (
            f"The network cannot be prepared for OpenVINO. {os_message(error)} Until then torch"
            if isinstance(error, OSError) and is_systems(error)
            else f"This network cannot be run with OpenVINO ({reason(error)}), so torch"
        )
        self._control.warn(f"{why} runs it: slower, with the same result.")
        return self.torch_backend()

    def torch_backend(self) -> Backend:
        """Return the backend that torch runs on the chosen device."""
        import torch

        from deepseg_qgis.engine.backends.openvino_conversion import sees_whole_window
        from deepseg_qgis.engine.backends.torch_backend import TorchBackend
        from deepseg_qgis.engine.models import networks, weights

        model = weights.load(self._model.path)
        device = torch.device(self._device)
        fast = networks.has_fast_bfloat16(device) and self._precision != "float32"
        backend = TorchBackend(
            model.network,
            (model.card.mean, model.card.std),
            device,
            fast or self._precision == "bfloat16",
            self._batch_size,
            smoothing_px=model.card.smoothing,
        )
        backend.sees_whole_window = sees_whole_window(model.network, model.card.bands)
        return backend

    def int8_backend(self, raster: Raster, area: Area, plain: Backend) -> Backend:
        """Return the backend in int8 for one raster, or ``plain`` where it is not good enough."""
        try:
            entry = self._quantised(raster, area)
        except DeepSegError:
            raise
        except Exception as error:
            if is_memory(error):
                raise
            if isinstance(error, OSError) and is_systems(error):
                self._control.warn(f"int8 cannot be prepared. {os_message(error)}")
            else:
                self._control.warn(f"int8 does not work for this network ({reason(error)}).")
            return plain
        if entry is None:
            self._control.warn(
                f"{raster.name} has too little data in the area to calibrate int8 on. It is not "
                f"used: {plain.description}."
            )
            return plain
        agreement = float(entry.about["agreement"])
        objects = self._model.card.legend.has_objects
        least = LEAST_OBJECT_AGREEMENT if objects else LEAST_AGREEMENT
        measure = "an F1 of the objects" if objects else "a mask IoU"
        if agreement < least:
            self._control.warn(
                f"{raster.name}: int8 agrees with float32 at {measure} of {agreement:.4f}, less "
                f"than {least}. It is not used: {plain.description}."
            )
            return plain
        self._control.log(
            f"{raster.name}: int8 agrees with float32 at {measure} of {agreement:.4f}, on windows "
            "of this raster."
        )
        return self._from_entry(entry, "int8")

    def _openvino(self, precision: str) -> Backend:
        from deepseg_qgis.engine.backends import openvino_backend

        if precision == "auto":
            precision = "bfloat16" if openvino_backend.has_fast_bfloat16() else "float32"
        elif precision == "bfloat16" and not openvino_backend.has_fast_bfloat16():
            self._control.warn(
                "This processor has no bfloat16: float32 is as fast on it, and is used."
            )
            precision = "float32"
        return self._from_entry(self._converted(), precision)

    def _from_entry(self, entry: Entry, precision: str) -> Backend:
        import openvino

        graph = openvino.Core().read_model(entry.network_path)
        return self._backend_of(graph, precision, entry.about)

    def _backend_of(self, graph: Any, precision: str, about: Mapping[str, Any]) -> Backend:
        from deepseg_qgis.engine.backends.openvino_backend import OpenVinoBackend

        return OpenVinoBackend(
            graph,
            precision,
            about,
            self._batch_size or 1,
        )

    def _converted(self) -> Entry:
        """Return the converted network, from the cache or made now."""
        name = self._key()
        entry = self._cache.find(name)
        if entry is not None:
            return entry
        self._control.log("Preparing the network for this computer (once for each model)")
        if "torch" in sys.modules:
            return self.convert()
        conversion_process.convert(self._model.path, self._control)
        return self._cache.find(name) or self.convert()

    def convert(self) -> Entry:
        """Convert the network in this process, into the cache."""
        from deepseg_qgis.engine.backends import openvino_conversion
        from deepseg_qgis.engine.models import weights

        graph, about = openvino_conversion.converted(weights.load(self._model.path))
        return self._kept(self._key(), graph, about.as_dict())

    def _quantised(self, raster: Raster, area: Area) -> Entry | None:
        """Return the network in int8 for a raster, from the cache or made now.

        What it is made of and checked on are windows of the raster; by these it is found again.
        """
        import openvino

        from deepseg_qgis.engine.backends import quantisation
        from deepseg_qgis.engine.backends.quantisation import agreement, samples

        windows, checked = (
            samples(raster, area, side_px, count, seed)
            for side_px, count, seed in (
                (quantisation.CALIBRATED_PX, quantisation.CALIBRATED_WINDOWS, 1),
                (quantisation.CHECKED_PX, quantisation.CHECKED_WINDOWS, 2),
            )
        )
        if not windows or not checked:
            return None
        name = self._key(precision="int8", windows=_fingerprint(windows + checked))
        entry = self._cache.find(name)
        if entry is not None:
            return entry
        self._control.log(f"{raster.name}: calibrating int8 on windows of it")
        plain = self._converted()
        graph = quantisation.quantised(
            openvino.Core().read_model(plain.network_path), windows, plain.about["subtracted"]
        )
        found = agreement(
            self._backend_of(graph, "int8", plain.about),
            self._from_entry(plain, "float32"),
            checked,
            self._model.card.legend,
        )
        return self._kept(name, graph, {**plain.about, "agreement": found})

    def _kept(self, name: str, graph: Any, about: dict[str, Any]) -> Entry:
        import openvino

        def save(path: str) -> None:
            openvino.save_model(graph, path, compress_to_fp16=False)

        return self._cache.write(name, save, about)

    def _key(self, **more: str | int | float) -> str:
        import openvino

        return network_cache.key(
            model=self._model.fingerprint,
            openvino=openvino.get_version(),
            processor=f"{platform.system()} {platform.machine()}",
            **more,
        )


def _fingerprint(windows: Sequence[Pixels]) -> str:
    """Return what tells these pixels from all others."""
    digest = hashlib.sha256()
    for pixels in windows:
        digest.update(repr((pixels.values.shape, pixels.values.dtype.str)).encode())
        digest.update(np.ascontiguousarray(pixels.values).data)
        digest.update(pixels.valid.tobytes())
    return digest.hexdigest()
