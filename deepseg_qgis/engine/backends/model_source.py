"""A model's network as a source of planes: by device and precision, the fastest that is there.

On CPUs that is OpenVINO, with the converted network from the cache; torch is imported only for a
network that is not there yet, for GPUs, and where OpenVINO cannot.
"""

from __future__ import annotations

import sys
from functools import cached_property
from typing import TYPE_CHECKING

from deepseg_qgis.choices import PRECISIONS
from deepseg_qgis.engine.backends import conversion_process
from deepseg_qgis.engine.backends.backend import Backend, CompilationError
from deepseg_qgis.engine.backends.devices import choose_device
from deepseg_qgis.engine.backends.network_cache import CachedNetwork
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.faults import is_out_of_memory, is_system_error, reason
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.models.model_file import ModelFile
from deepseg_qgis.errors import DeepSegError, ParameterError, os_message

if TYPE_CHECKING:
    from deepseg_qgis.engine.backends.converted_networks import ConvertedNetworks

LEAST_AGREEMENT = 0.99
"""A quantised network must agree with float32 at this mask IoU, else it is not used."""
LEAST_OBJECT_AGREEMENT = 0.97
"""The same for the F1 of objects that are told apart: whether a weak saddle stays or goes is
decided on the last digit, in any precision."""


class ModelSource:
    """The network of a model file, ready to run; see `PlaneSource`.

    ``default`` is the backend for all rasters; with int8 the one to fall back on.

    Args:
        model: the model file.
        device: one of `choices.DEVICES`.
        precision: one of `choices.PRECISIONS`.
        batch_size: windows at once, None for the backend's own.
        control: what is chosen or does not work goes into its log.

    Raises:
        ParameterError: device and precision do not go together.
        ResourceError: the device is not there.
        ModelError: the file is damaged.
    """

    def __init__(
        self,
        model: ModelFile,
        device: str,
        precision: str,
        batch_size: int | None,
        control: Control,
    ) -> None:
        self.fingerprint, self.tile_size_px = model.fingerprint, model.card.tile_size_px
        self._model, self._batch_size, self._control = model, batch_size, control
        self._device, self._precision = _device_for(precision, device), precision
        self.default = self._default_backend()

    def backend(self, raster: Raster, area: Area) -> Backend:
        """Return the backend for an area of a raster; int8 is calibrated on it."""
        if self._precision == "int8" and area.size_px:
            return self._int8_backend(raster, area)
        return self.default

    def fallback(self, error: CompilationError) -> Backend:
        """Return torch's backend, from now on for all rasters."""
        self.default = self._fall_back(error)
        return self.default

    @cached_property
    def _networks(self) -> ConvertedNetworks:
        from deepseg_qgis.engine.backends.converted_networks import ConvertedNetworks

        return ConvertedNetworks(self._model)

    def _default_backend(self) -> Backend:
        if self._device != "cpu":
            return self._torch_backend()
        try:
            precision = self._float_precision()
            return self._openvino_backend(self._converted(), precision)
        except DeepSegError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            return self._fall_back(error)  # whatever a converter says, torch can run it

    def _fall_back(self, error: Exception) -> Backend:
        """Return torch's backend, saying in the log why."""
        why = (
            f"The network cannot be prepared for OpenVINO. {os_message(error)} Until then torch"
            if isinstance(error, OSError) and is_system_error(error)
            else f"This network cannot be run with OpenVINO ({reason(error)}), so torch"
        )
        self._control.warn(f"{why} runs it: slower, with the same result.")
        return self._torch_backend()

    def _torch_backend(self) -> Backend:
        import torch

        from deepseg_qgis.engine.backends.openvino_conversion import sees_whole_window
        from deepseg_qgis.engine.backends.torch_backend import TorchBackend
        from deepseg_qgis.engine.models import networks, weights

        model = weights.load(self._model.path)
        card, device = model.card, torch.device(self._device)
        fast = networks.has_fast_bfloat16(device) and self._precision != "float32"
        backend = TorchBackend(
            networks.RawNetwork(model.network, card.mean, card.std, smoothing_px=card.smoothing),
            device,
            fast or self._precision == "bfloat16",
            self._batch_size,
        )
        backend.sees_whole_window = sees_whole_window(model.network, card.bands)
        backend.most_window_px //= card.magnification**2
        return backend

    def _float_precision(self) -> str:
        """Return the precision that OpenVINO runs, or falls back on, on this processor."""
        from deepseg_qgis.engine.backends.openvino_backend import has_fast_bfloat16

        if self._precision in ("auto", "int8"):
            return "bfloat16" if has_fast_bfloat16() else "float32"
        if self._precision == "bfloat16" and not has_fast_bfloat16():
            self._control.warn(
                "This processor has no bfloat16: float32 is as fast on it, and is used."
            )
            return "float32"
        return self._precision

    def _openvino_backend(self, network: CachedNetwork, precision: str) -> Backend:
        from deepseg_qgis.engine.backends.converted_networks import read_graph
        from deepseg_qgis.engine.backends.openvino_backend import OpenVinoBackend

        graph = read_graph(network)
        return OpenVinoBackend(graph, precision, network.metadata, self._batch_size or 1)

    def _converted(self) -> CachedNetwork:
        """Return the converted network, from the cache or made now."""
        found = self._networks.find()
        if found is not None:
            return found
        self._control.log("Preparing the network for this computer (once for each model)")
        if "torch" in sys.modules:
            return self._networks.convert()
        conversion_process.convert(self._model.path, self._control)
        return self._networks.find() or self._networks.convert()

    def _int8_backend(self, raster: Raster, area: Area) -> Backend:
        """Return the backend in int8 for one raster, or the default if it is not good enough."""
        try:
            network = self._quantised(raster, area)
        except DeepSegError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            if isinstance(error, OSError) and is_system_error(error):
                self._control.warn(f"int8 cannot be prepared. {os_message(error)}")
            else:
                self._control.warn(f"int8 does not work for this network ({reason(error)}).")
            return self.default
        if network is None:
            self._control.warn(
                f"{raster.name} has too little data in the area to calibrate int8 on. It is not "
                f"used: {self.default.description}."
            )
            return self.default
        if not self._agrees(raster.name, float(network.metadata["agreement"])):
            return self.default
        return self._openvino_backend(network, "int8")

    def _quantised(self, raster: Raster, area: Area) -> CachedNetwork | None:
        """Return the network in int8 for a raster, from the cache or made now.

        What it is made of and checked on are windows of the raster; by these it is found again.
        """
        from deepseg_qgis.engine.backends.quantisation import CalibrationWindows

        windows = CalibrationWindows.of(raster, area)
        if windows is None:
            return None
        found = self._networks.find_int8(windows)
        if found is not None:
            return found
        self._control.log(f"{raster.name}: calibrating int8 on windows of it")
        return self._networks.quantise(self._converted(), windows)

    def _agrees(self, raster_name: str, agreement: float) -> bool:
        """Return whether int8 agrees with float32 well enough; the log says how well."""
        has_objects = self._model.card.legend.has_objects
        least = LEAST_OBJECT_AGREEMENT if has_objects else LEAST_AGREEMENT
        measure = "an F1 of the objects" if has_objects else "a mask IoU"
        measured = f"{raster_name}: int8 agrees with float32 at {measure} of {agreement:.4f}"
        if agreement < least:
            self._control.warn(
                f"{measured}, less than {least}. It is not used: {self.default.description}."
            )
            return False
        self._control.log(f"{measured}, on windows of this raster.")
        return True


class UnconvertedSource(ModelSource):
    """The same in torch, on any device: for a network that is run once, and hardly.

    Converting it would take longer than it saves, and leave it in the cache.
    """

    def _default_backend(self) -> Backend:
        return self._torch_backend()


def _device_for(precision: str, wish: str) -> str:
    """Return the device to run on, which must know the precision."""
    if precision not in PRECISIONS:
        raise ParameterError(
            f"Expected a precision out of {', '.join(PRECISIONS)}, got {precision!r}."
        )
    device = choose_device(wish)
    if precision == "int8" and device != "cpu":
        raise ParameterError(
            f"The precision 'int8' runs on the CPU alone, but the device is '{device}'. "
            "Choose the device 'cpu', or the precision 'auto'."
        )
    if precision == "bfloat16" and device == "mps":
        raise ParameterError(
            "The precision 'bfloat16' does not run on this Mac's GPU. Choose the precision "
            "'auto', or the device 'cpu'."
        )
    return device
