"""Running a converted network with OpenVINO on the CPU."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from deepseg_qgis.engine.backends.backend import CompilationError, Result
from deepseg_qgis.engine.faults import is_out_of_memory, reason
from deepseg_qgis.engine.files.rasters import Pixels
from deepseg_qgis.errors import counted

STREAMS = {"float32": 1, "bfloat16": 2, "int8": 2}
"""So many windows are computed side by side, each on its share of the processor: threads that wait
for each other at every step would all wait for the one that reading or vectorising disturbs. In
float32 steps are long, and one window that is twice as large saves more on its halo (8 %)."""
WAITING = 1
"""So many batches wait beside, so that the processor never does."""
ACTIVATIONS_BYTES = 480 * 2**20
"""What a window's activations may take, so that a prediction stays well below 1.5 GB in all."""
LIVE_SHARE = 1.2
"""Memory that OpenVINO takes, as a multiple of the network's widest step (measured)."""
ELEMENT_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1.5}
LARGEST_WINDOW_PX = 2048**2
SMALLEST_WINDOW_PX = 256**2


def has_fast_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoBackend:
    """A converted network on the CPU; see `Backend`.

    Args:
        graph: with free window sizes, as `openvino_conversion.convert` makes it.
        precision: ``float32``, ``bfloat16``, or ``int8`` for a quantised graph.
        metadata: the fields of `openvino_conversion.NetworkMetadata`.
        batch_size: windows run at once.
    """

    def __init__(
        self,
        graph: openvino.Model,
        precision: str,
        metadata: Mapping[str, Any],
        batch_size: int = 1,
    ) -> None:
        self._graph, self._precision, self._batch_size = graph, precision, batch_size
        self._streams = min(STREAMS[precision], _threads())
        at_once = batch_size * self._streams
        elements_per_px = float(metadata["elements_per_px"])
        per_px = ELEMENT_BYTES[precision] * LIVE_SHARE * elements_per_px * at_once
        most = min(LARGEST_WINDOW_PX, int(ACTIVATIONS_BYTES / max(per_px, 1.0)))
        self.most_window_px = max(SMALLEST_WINDOW_PX, most)
        self.sees_whole_window = bool(metadata["sees_whole_window"])
        subtracted = np.array(metadata["subtracted"], dtype=np.float32)
        self._subtracted = subtracted[:, None, None] if len(subtracted) else None
        self.description = f"OpenVINO on CPU ({counted(_threads(), 'thread')}), {precision}"
        self._last: OpenVinoSession | None = None

    def session(self, height: int, width: int) -> OpenVinoSession:
        """Return what runs windows of this size; asked again for the same, the same.

        Raises:
            CompilationError: OpenVINO cannot run the network on this computer.
            RuntimeError: the memory is not enough.
        """
        if self._last is None or self._last.size != (height, width):
            self._last = None  # its memory is given back first
            try:
                self._last = self._compiled(height, width)
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise
                raise CompilationError(reason(error)) from error
        return self._last

    def _compiled(self, height: int, width: int) -> OpenVinoSession:
        sized = self._graph.clone()
        bands = sized.input(0).get_partial_shape()[1].get_length()
        shape = (self._batch_size, height, width)
        sized.reshape({0: [shape[0], bands, *shape[1:]], 1: [shape[0], 1, *shape[1:]]})
        f32 = self._precision == "float32" or not has_fast_bfloat16()
        compiled = openvino.Core().compile_model(
            sized,
            "CPU",
            {
                "PERFORMANCE_HINT": "THROUGHPUT",
                "NUM_STREAMS": self._streams,
                "INFERENCE_NUM_THREADS": _threads(),
                "INFERENCE_PRECISION_HINT": "f32" if f32 else "bf16",
                "ENABLE_CPU_PINNING": False,  # reading and vectorising need the processor too
            },
        )
        return OpenVinoSession(compiled, self._streams + WAITING, self._subtracted)


class OpenVinoSession:
    """A network compiled for windows of one size; see `Session`."""

    def __init__(
        self,
        compiled: openvino.CompiledModel,
        in_flight: int,
        subtracted: NDArray[np.float32] | None,
    ) -> None:
        self._subtracted = subtracted
        self._input = compiled.input(0)
        self.batch_size, self._bands, *size = self._input.shape
        self.size = (size[0], size[1])
        self.in_flight = in_flight
        self._requests = [compiled.create_infer_request() for _ in range(in_flight)]
        self._next = 0
        self._dtype = self._input.element_type.to_dtype()

    def start(self, pixels: Sequence[Pixels]) -> Result:
        """Begin with one batch; the last one may be smaller, which is filled up."""
        request = self._requests[self._next]
        self._next = (self._next + 1) % len(self._requests)
        values, valid = self._arrays(pixels)
        request.set_input_tensor(0, openvino.Tensor(values, shared_memory=True))
        request.set_input_tensor(1, openvino.Tensor(valid, shared_memory=True))
        request.start_async()

        def result() -> NDArray[np.uint8]:
            request.wait()
            assert values is not None  # they live as long as they are read
            assert valid is not None
            found: NDArray[np.uint8] = request.get_output_tensor(0).data
            return found[: len(pixels)]

        return result

    def _arrays(self, pixels: Sequence[Pixels]) -> tuple[NDArray[np.generic], NDArray[np.uint8]]:
        if self.batch_size == 1:
            values = np.ascontiguousarray(self._centred(pixels[0])[None])
            return values, pixels[0].valid[None, None].view(np.uint8)
        values = np.zeros((self.batch_size, self._bands, *self.size), dtype=self._dtype)
        valid = np.zeros((self.batch_size, 1, *self.size), dtype=np.uint8)
        for number, each in enumerate(pixels):
            values[number], valid[number, 0] = self._centred(each), each.valid
        return values, valid

    def _centred(self, pixels: Pixels) -> NDArray[np.generic]:
        """Return the values as the graph takes them."""
        if self._subtracted is None:
            return pixels.values.astype(self._dtype, copy=False)
        return pixels.values.astype(np.float32) - self._subtracted


def _threads() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
