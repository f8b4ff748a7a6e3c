# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder on ONNX Runtime: one call per step instead of some two hundred, large weights in eight bits.

On a CPU one row is bound by the memory that a step reads and by the cost of calls, not by arithmetic; this
engine makes one call and reads, of a large model, a quarter of the bytes. `benchmarks/decode.py` measures it.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import ModelProto
from torch import Tensor

from ..motion.arrays import FloatArray
from .biases import hide_padding
from .decoder import DecoderWeights, StepDecoder
from .model import LanguageModel, embed_steps
from .onnx_graph import depth_graph, step_graph

EXACT_WEIGHTS = 20_000_000
"""Decoders of up to so many weights, which a processor's cache holds, keep them as they are."""

ERRORS_ONLY = 3
"""ONNX Runtime's level for its own messages."""


class OnnxDecoderWeights(DecoderWeights):
    """Decoder weights inside ONNX Runtime.

    Args:
        model: The language model, on the CPU, d_kv a multiple of `ONNX_HEAD_WIDTH`.
        bits: Of the stored weights: 8, or 32 for plain float32; None for 32 where that is fast enough.
    """

    def __init__(self, model: LanguageModel, bits: int | None = None) -> None:
        super().__init__(model)
        if bits is None:
            large = sum(weight.numel() for weight in model.decoder.parameters()) > EXACT_WEIGHTS
            bits = 8 if large else 32
        self.session = _session(step_graph(model, bits), torch.get_num_threads())
        self.depth_session = _session(depth_graph(model), 1) if self.config.depth_ff else None
        self.memory_weights = [
            [
                block.get_submodule(f"layer.1.EncDecAttention.{name}").get_parameter("weight").detach()
                for name in "kv"
            ]
            for block in model.decoder.block
        ]

    def start(self, encoded: Tensor, mask: Tensor, self_bias: Tensor, cross_bias: Tensor) -> StepDecoder:
        """Make room for one batch of windows; arguments as in `DecoderWeights.start`."""
        return OnnxDecoder(self, encoded, mask, self_bias, cross_bias)

    def deepen(self, states: Tensor, ids: Tensor) -> Tensor:
        """As `DecoderWeights.deepen`."""
        if self.depth_session is None:
            raise ValueError("This model has one quantizer level.")
        drawn = F.embedding(ids - self.config.embedding_offset, self.embedding)
        (deeper,) = self.depth_session.run(["next"], {"states": states.numpy(), "drawn": drawn.numpy()})
        return torch.from_numpy(deeper)

    @contextmanager
    def stepping(self) -> Generator[None]:
        """Keep torch to one thread: others of it, waiting awake, would slow ONNX Runtime's several times."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _session(graph: ModelProto, threads: int) -> Any:
    """Load a graph; nothing is reported to anyone."""
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = ERRORS_ONLY
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=providers)


class OnnxDecoder:
    """`StepDecoder` in ONNX Runtime; arguments as in `DecoderWeights.start`."""

    def __init__(
        self,
        weights: OnnxDecoderWeights,
        encoded: Tensor,
        mask: Tensor,
        self_bias: Tensor,
        cross_bias: Tensor,
    ) -> None:
        self.weights = weights
        self.position = 0
        self.binding: Any = weights.session.io_binding()
        config = weights.config
        batch, memory_length = encoded.shape[:2]
        self.self_bias: FloatArray = self_bias.float().numpy()
        self.cross_bias: FloatArray = hide_padding(cross_bias, mask).float().numpy()
        split = (batch, memory_length, config.num_heads, config.d_kv)
        self.cross: list[list[FloatArray]] = [
            [np.ascontiguousarray(F.linear(encoded, w).view(split).transpose(1, 2).numpy()) for w in pair]
            for pair in weights.memory_weights
        ]
        shape = (len(self.cross), 2, batch, config.num_heads, self_bias.shape[-1], config.d_kv)
        self.cache: FloatArray = np.zeros(shape, dtype=np.float32)
        self.states: FloatArray = np.empty((0, config.d_model), dtype=np.float32)
        self.fed: dict[str, npt.NDArray[Any]] = {}

    def advance(self, ids: Tensor) -> Tensor:
        """Feed the next tokens, as `StepDecoder` says."""
        weights = self.weights
        rows, count = ids.shape[:2]
        begin, end = self.position, self.position + count
        if rows != len(self.states):
            self._bind_caches(rows)
        self._feed("x", embed_steps(ids, weights.embedding, weights.config.embedding_offset).numpy())
        self._feed("self_bias", self.self_bias[:, :, begin:end, :end])
        self._feed("cross_bias", self.cross_bias[:rows, :, begin:end])
        self._feed("last", np.full(rows, end - 1, dtype=np.int32))
        self._feed("total", np.array([end], dtype=np.int32))
        self._feed("count", np.full(rows, count, dtype=np.int32))
        weights.session.run_with_iobinding(self.binding)
        self.position = end
        return torch.from_numpy(self.states.copy())

    def _feed(self, name: str, values: npt.NDArray[Any]) -> None:
        """Bind an input to an array, which is kept and, where the next one has its shape, filled again."""
        held = self.fed.get(name)
        if held is not None and held.shape == values.shape:
            held[...] = values
            return
        held = self.fed[name] = np.array(values, order="C")
        self.binding.bind_input(name, "cpu", 0, held.dtype.type, held.shape, held.ctypes.data)

    def _bind_caches(self, rows: int) -> None:
        """Let the first rows go on: the caches are read and written where they lie."""
        self.states = np.empty((rows, self.weights.config.d_model), dtype=np.float32)
        self._bind_output("states", self.states)
        for index, memory in enumerate(self.cross):
            for place, name in enumerate(("key", "value")):
                cache = self.cache[index, place, :rows]
                self._bind_output(f"new_{name}_{index}", cache)
                self._bind_cache(f"{name}_{index}", cache)
                self._bind_cache(f"cross_{name}_{index}", memory[place][:rows])

    def _bind_cache(self, name: str, values: FloatArray) -> None:
        self.binding.bind_input(name, "cpu", 0, np.float32, values.shape, values.ctypes.data)

    def _bind_output(self, name: str, values: FloatArray) -> None:
        self.binding.bind_output(name, "cpu", 0, np.float32, values.shape, values.ctypes.data)
