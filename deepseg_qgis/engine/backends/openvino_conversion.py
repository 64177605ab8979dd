"""From a torch network to OpenVINO's graph, checked against torch. Imports torch.

The graph takes raw pixels and where they are valid, and returns probabilities in 1/255, so that
nothing is left to do for each pixel in Python. OpenVINO's own `convert_model` is not used: it would
report to its maker.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import openvino
import torch
from openvino.frontend import FrontEndManager
from openvino.preprocess import PrePostProcessor
from torch import nn

from deepseg_qgis.engine.models.networks import RawNetwork
from deepseg_qgis.engine.models.weights import Model

RAW_TYPES = {
    "uint8": openvino.Type.u8,
    "int8": openvino.Type.i8,
    "uint16": openvino.Type.u16,
    "int16": openvino.Type.i16,
}
"""Types that the graph takes as they are; all others come as float32, less the mean."""
TRACED_PX = 256
CHECKED_PX = (192, 320)
LEVELS_APART = 2
SHARE_APART = 1e-3
PROBED_PX = 512
CORNER_PX = 64
NO_TRACE = 1e-3


class _Whole(RawNetwork):
    """Takes int32, and subtracts in whole numbers what is whole of the mean.

    In bfloat16 OpenVINO would compute the difference of two large numbers of 8 bits each.
    """

    def centred(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values less the mean, float32."""
        whole = self.mean.round()
        return (values - whole.to(torch.int32)).float() - (self.mean - whole)


class _Centred(RawNetwork):
    """Takes float32 that is centred already, for the same reason."""

    def centred(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values."""
        return values


class ConversionError(Exception):
    """The converted network does not say what torch's says."""


@dataclass(frozen=True)
class NetworkMetadata:
    """What is known of a converted network beside its graph.

    ``subtracted`` is what each band's values must be less before they go in (empty: nothing);
    ``elements_per_px`` is how many numbers its widest step reads and writes for each pixel;
    ``sees_whole_window`` is told by `sees_whole_window`.
    """

    subtracted: tuple[float, ...]
    elements_per_px: float
    sees_whole_window: bool

    def as_dict(self) -> dict[str, Any]:
        """Return it for a JSON file."""
        return asdict(self)


def convert(model: Model) -> tuple[openvino.Model, NetworkMetadata]:
    """Return the graph of a model, with free window sizes, and what is known of it.

    Raises:
        ConversionError: its answers differ from torch's.
        RuntimeError: OpenVINO has no word for one of its steps.
    """
    card = model.card
    whole = card.dtype in RAW_TYPES
    kind = _Whole if whole else _Centred
    raw = kind(model.network, card.mean, card.std, smoothing_px=card.smoothing).eval()
    graph = _graph(raw, card.bands, torch.int32 if whole else torch.float32)
    _check(graph, raw, card.bands)
    metadata = NetworkMetadata(
        () if whole else card.mean,
        _elements_per_px(graph, card.bands),
        sees_whole_window(model.network, card.bands),
    )
    return _with_raw_input(graph, card.dtype), metadata


def _graph(raw: RawNetwork, bands: int, dtype: torch.dtype) -> openvino.Model:
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    values = torch.zeros(1, bands, TRACED_PX, TRACED_PX, dtype=dtype)
    valid = torch.ones(1, 1, TRACED_PX, TRACED_PX, dtype=torch.uint8)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of tracing; `_check` finds out what went wrong
        trace = torch.jit.trace(  # type: ignore[no-untyped-call, unused-ignore]
            raw, (values, valid), check_trace=False
        )
        frontend = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(trace)  # OpenVINO does not keep it alive
        graph = frontend.convert(frontend.load(decoder))
    for port, channels in zip(graph.inputs, (bands, 1), strict=True):
        port.get_node().set_partial_shape(openvino.PartialShape([-1, channels, -1, -1]))
    graph.validate_nodes_and_infer_types()
    return graph


def _check(graph: openvino.Model, raw: RawNetwork, bands: int) -> None:
    """Compare with torch on noise of another size than the traced one."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(1, bands, *CHECKED_PX)).astype(np.float32)
    values = noise * raw.std.numpy() + (raw.mean.numpy() if isinstance(raw, _Whole) else 0.0)
    values = values.astype(graph.input(0).get_element_type().to_dtype())
    valid = (rng.random((1, 1, *CHECKED_PX)) < 0.9).astype(np.uint8)
    with torch.inference_mode():
        right = raw(torch.from_numpy(values), torch.from_numpy(valid)).numpy().astype(np.int16)
    compiled = openvino.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled([values, valid])[0].astype(np.int16)
    apart = np.mean(np.abs(found - right) > LEVELS_APART) if found.shape == right.shape else 1.0
    if apart > SHARE_APART:
        raise ConversionError(f"{apart:.1%} of the probabilities differ from torch's")


def _with_raw_input(graph: openvino.Model, dtype: str) -> openvino.Model:
    if dtype not in RAW_TYPES:
        return graph
    prepared = PrePostProcessor(graph)
    prepared.input(0).tensor().set_element_type(RAW_TYPES[dtype])
    return prepared.build()


def _elements_per_px(graph: openvino.Model, bands: int) -> float:
    sized = graph.clone()
    side = PROBED_PX
    sized.reshape({0: [1, bands, side, side], 1: [1, 1, side, side]})
    most = 0
    for step in sized.get_ordered_ops():
        if step.get_type_name() not in ("Constant", "Parameter", "Result"):
            ports = [
                port.get_source_output()
                for port in step.inputs()
                if port.get_source_output().get_node().get_type_name() != "Constant"
            ] + step.outputs()
            most = max(most, sum(_elements(port) for port in ports))
    return most / side**2


def _elements(port: openvino.Output) -> int:
    shape = port.get_partial_shape()
    return int(np.prod(port.get_shape())) if shape.is_static else 0


def sees_whole_window(network: nn.Module, bands: int) -> bool:
    """Whether what stands in one corner of a window changes the answer in the opposite one.

    True for networks with pooling or attention over the whole window: these must not be given
    windows far larger than those of training.
    """
    parameter = next(network.parameters())
    noise = torch.randn(
        1, bands, PROBED_PX, PROBED_PX, generator=torch.Generator().manual_seed(0)
    ).to(parameter.device)
    changed = noise.clone()
    changed[..., -CORNER_PX:, -CORNER_PX:] += 3.0
    with torch.inference_mode():
        before = network(noise)[..., :CORNER_PX, :CORNER_PX]
        after = network(changed)[..., :CORNER_PX, :CORNER_PX]
    return bool((after - before).abs().max() > NO_TRACE * before.std())
