"""Running a network with torch: on GPUs, in training, and where OpenVINO cannot.

On CUDA pixels go to the GPU from pinned memory while it works on the batch before, and come back
the same way; the batch is as large as the free memory allows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from deepseg_qgis.engine.backends.backend import Result
from deepseg_qgis.engine.files.rasters import Pixels
from deepseg_qgis.engine.models import networks
from deepseg_qgis.errors import ResourceError

MOST_WINDOW_PX = {"cpu": 768**2, "mps": 1024**2, "cuda": 2048**2}
MOST_WINDOWS = 16
MEMORY_SHARE = 0.6
"""So much of a GPU's free memory is planned for."""
KEPT_TYPES = ("uint8", "int8", "int16", "int32", "float32")
"""Other types are made float32 before torch sees them: it knows little to do with them."""


class TorchBackend:
    """A network that runs on one device; see `Backend`.

    ``batch_size`` None takes what fits into the device's memory.
    """

    def __init__(
        self,
        raw: networks.RawNetwork,
        device: torch.device,
        bfloat16: bool,
        batch_size: int | None = None,
    ) -> None:
        self.raw = raw.to(device).eval()
        self.device, self.bfloat16, self._batch_size = device, bfloat16, batch_size
        self.most_window_px = MOST_WINDOW_PX[device.type]
        self.sees_whole_window = False
        precision = "bfloat16" if bfloat16 else "float32"
        self.description = f"torch on {networks.describe_device(device)}, {precision}"

    def session(self, height: int, width: int) -> TorchSession:
        """Return what runs windows of this size."""
        session = TorchSession(self.raw, self.device, self.bfloat16, self._batch_size or 1)
        if self._batch_size is None and self.device.type == "cuda":
            session.batch_size = self._fitting(session, height, width)
        return session

    def _fitting(self, session: TorchSession, height: int, width: int) -> int:
        """Return how many windows the GPU's free memory takes, by running one."""
        bands = len(self.raw.mean)
        valid = np.ones((height, width), dtype=bool)
        window = Pixels(np.zeros((bands, height, width), dtype=np.uint8), valid)
        free, _ = torch.cuda.mem_get_info(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        session.start([window])()
        one = max(1, torch.cuda.max_memory_allocated(self.device) - before)
        torch.cuda.empty_cache()
        return max(1, min(MOST_WINDOWS, int(MEMORY_SHARE * free / one)))


class TorchSession:
    """Runs batches on one device; halves them for good when memory runs out. See `Session`."""

    def __init__(
        self, raw: nn.Module, device: torch.device, bfloat16: bool, batch_size: int
    ) -> None:
        self._raw, self._device, self._bfloat16 = raw, device, bfloat16
        self.batch_size = batch_size
        self.in_flight = 2 if device.type == "cuda" else 1

    def start(self, pixels: Sequence[Pixels]) -> Result:
        """Begin with one batch; on CUDA this returns before the GPU is done.

        Raises:
            ResourceError: not even one window fits into the device's memory.
        """
        parts: list[Result] = []
        done = 0
        while done < len(pixels):
            part = pixels[done : done + self.batch_size]
            try:
                parts.append(self._begun(part))
            except torch.OutOfMemoryError as error:
                self._halve(error)
                continue
            done += len(part)
        return parts[0] if len(parts) == 1 else lambda: np.concatenate([each() for each in parts])

    def _halve(self, error: Exception) -> None:
        if self.batch_size == 1:
            raise ResourceError(
                f"The memory of the device is not enough for one tile ({error}). Use a smaller "
                "tile size, or the device 'cpu'."
            ) from error
        self.batch_size //= 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _begun(self, pixels: Sequence[Pixels]) -> Result:
        values = self._sent(np.stack([_known_type(each.values) for each in pixels]))
        valid = self._sent(np.stack([each.valid[None] for each in pixels]))
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16),
        ):
            return self._received(self._raw(values, valid))

    def _sent(self, array: NDArray[np.generic]) -> torch.Tensor:
        """Return an array on the device; on CUDA the copy may still be under way."""
        tensor = torch.from_numpy(array)
        if self._device.type != "cuda":
            return tensor.to(self._device)
        return tensor.pin_memory().to(self._device, non_blocking=True)

    def _received(self, found: torch.Tensor) -> Result:
        """Return what waits for a result."""
        if self._device.type != "cuda":
            array: NDArray[np.uint8] = found.cpu().numpy()
            return lambda: array
        here = torch.empty(found.shape, dtype=found.dtype, pin_memory=True)
        here.copy_(found, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call, unused-ignore]
        event.record()
        return _after(event.synchronize, here)


def _after(wait: Callable[[], None], tensor: torch.Tensor) -> Result:
    def result() -> NDArray[np.uint8]:
        wait()
        return np.asarray(tensor.numpy(), dtype=np.uint8)

    return result


def _known_type(values: NDArray[np.generic]) -> NDArray[np.generic]:
    return values if values.dtype.name in KEPT_TYPES else values.astype(np.float32)
