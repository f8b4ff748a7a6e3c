# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder on ONNX Runtime: one call per step instead of some two hundred, in float32 or in eight bits.

On a CPU one row is bound by the memory that a step reads and by the cost of calls, not by arithmetic; this
engine makes one call, and reads a quarter of the bytes in eight bits. `benchmarks/decode.py` measures it.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
import torch.nn.functional as F
from torch import Tensor

from ..motion.arrays import FloatArray
from ..specs import SamplingOptions
from .biases import hide_padding
from .decoder import DecoderWeights, StepDecoder
from .drafting import DraftedDecoder
from .drawing import draw_in_numpy
from .model import ABSENT, LanguageModel
from .onnx_graph import Graph, depth_graph, step_graph
from .rows import RowsDecoder, self_bias_table

ERRORS_ONLY = 3
"""ONNX Runtime's level for its own messages."""

AWAKE_US = 1000
"""How long its threads wait awake for the next step; longer, and torch's would find the cores taken."""


class OnnxDecoderWeights(DecoderWeights):
    """Decoder weights inside ONNX Runtime.

    Args:
        model: The language model, on the CPU, d_kv a multiple of `ONNX_HEAD_WIDTH`.
        bits: Of the stored weights: 8, or 32 for plain float32.
        spare: Give the memory of the model's own decoder back, of which this is a copy: the model encodes as
            before and decodes no more.
        drafted: Let a decoder in eight bits guess ahead where one window is written, see `drafting`.
    """

    def __init__(
        self, model: LanguageModel, bits: int = 32, spare: bool = False, drafted: bool = False
    ) -> None:
        super().__init__(model, table_dtype=model.shared.weight.dtype)
        threads = torch.get_num_threads()
        self.quick_session = _session(step_graph(model, 8), threads) if drafted else None
        self.session = _session(step_graph(model, bits, spare), threads)
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
        exact = OnnxDecoder(self, encoded, mask, self_bias, cross_bias)
        if self.quick_session is None:
            return exact
        return DraftedDecoder(exact, exact.beside(self.quick_session))

    def start_rows(self, num_rows: int, length: int, memory_length: int) -> RowsDecoder:
        """As `DecoderWeights.start_rows`."""
        return OnnxRows(self, num_rows, length, memory_length)

    def embed(self, ids: Tensor) -> FloatArray:
        """Embeddings of words, (B, n, d_model), as `embed_steps` in numpy."""
        rows = ids.numpy() - self.config.embedding_offset
        found = self.embedding.numpy()[np.maximum(rows, 0)].astype(np.float32, copy=False)
        if ids.ndim == 2:
            return found
        found[ids.numpy() == ABSENT] = 0.0
        return found.sum(axis=2)

    def deepen(self, states: Tensor, rows: Tensor) -> Tensor:
        """As `DecoderWeights.deepen`."""
        if self.depth_session is None:
            raise ValueError("This model has one quantizer level.")
        drawn = self.embedding.numpy()[rows.numpy()].astype(np.float32, copy=False)
        (deeper,) = self.depth_session.run(["next"], {"states": states.numpy(), "drawn": drawn})
        return torch.from_numpy(deeper)

    def draw(self, logits: Tensor, uniform: Tensor, options: SamplingOptions) -> Tensor:
        """As `DecoderWeights.draw`: for a small model in numpy, whose calls are cheaper."""
        if self.large:
            return super().draw(logits, uniform, options)
        return torch.from_numpy(draw_in_numpy(logits.numpy(), uniform.numpy(), options))

    @contextmanager
    def stepping(self) -> Generator[None]:
        """Keep torch to one thread: others of it, waiting awake, would slow ONNX Runtime's several times."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _session(graph: Graph, threads: int) -> Any:
    """Load a graph; nothing is reported to anyone."""
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(AWAKE_US))
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in graph.weights.values()]
    options.add_external_initializers(list(graph.weights), values)
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(graph.proto.SerializeToString(), options, providers=providers)


def _project(encoded: Tensor, weight: Tensor) -> Tensor:
    """Encoder states times a transposed weight, in float32."""
    return F.linear(encoded.float(), weight.float())


class _Bound:
    """Inputs and outputs of a session, bound to memory that stays where it is.

    Args:
        session: Whose.
    """

    def __init__(self, session: Any) -> None:
        self.session = session
        self.binding = session.io_binding()
        self.states: FloatArray = np.empty((0, 0, 0), dtype=np.float32)
        self.fed: dict[str, npt.NDArray[Any]] = {}

    def run(self, x: FloatArray) -> FloatArray:
        """Make a step of embeddings (R, n, d_model); states of that shape, in memory of their own."""
        self.feed("x", x)
        if self.states.shape != x.shape:
            self.states = np.empty(x.shape, dtype=np.float32)
            self.output("states", self.states)
        self.session.run_with_iobinding(self.binding)
        return self.states.copy()

    def feed(self, name: str, values: npt.NDArray[Any]) -> None:
        """Bind an input to an array, which is kept and, where the next one has its shape, filled again."""
        held = self.fed.get(name)
        if held is not None and held.shape == values.shape:
            held[...] = values
            return
        held = self.fed[name] = np.array(values, order="C")
        self.binding.bind_input(name, "cpu", 0, held.dtype.type, held.shape, held.ctypes.data)

    def input(self, name: str, values: FloatArray) -> None:
        """Bind an input to memory that is read where it lies."""
        self.binding.bind_input(name, "cpu", 0, np.float32, values.shape, values.ctypes.data)

    def output(self, name: str, values: FloatArray) -> None:
        """Bind an output to memory that is written where it lies."""
        self.binding.bind_output(name, "cpu", 0, np.float32, values.shape, values.ctypes.data)


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
        self.position, self.num_rows = 0, 0
        self.bound = _Bound(weights.session)
        config = weights.config
        batch, memory_length = encoded.shape[:2]
        self.self_bias: FloatArray = self_bias.float().numpy()
        self.cross_bias: FloatArray = hide_padding(cross_bias, mask).float().numpy()
        split = (batch, memory_length, config.num_heads, config.d_kv)
        self.cross: list[list[FloatArray]] = [
            [np.ascontiguousarray(_project(encoded, w).view(split).transpose(1, 2).numpy()) for w in pair]
            for pair in weights.memory_weights
        ]
        shape = (len(self.cross), 2, batch, config.num_heads, self_bias.shape[-1], config.d_kv)
        self.cache: FloatArray = np.zeros(shape, dtype=np.float32)

    def beside(self, session: Any) -> OnnxDecoder:
        """A decoder with the weights of another session on the same memory."""
        other = copy.copy(self)
        other.bound, other.num_rows = _Bound(session), 0
        return other

    def advance(self, ids: Tensor) -> Tensor:
        """Feed the next tokens, as `StepDecoder` says."""
        return self.read(ids)[:, -1]

    def read(self, ids: Tensor) -> Tensor:
        """Feed the next tokens, as `CheckedDecoder` says."""
        rows, count = ids.shape[:2]
        begin, end = self.position, self.position + count
        if rows != self.num_rows:
            self._bind_caches(rows)
        self.bound.feed("self_bias", self.self_bias[:, :, begin:end, :end])
        self.bound.feed("cross_bias", self.cross_bias[:rows, :, begin:end])
        self.bound.feed("last", np.full(rows, end - 1, dtype=np.int32))
        self.bound.feed("total", np.array([end], dtype=np.int32))
        self.bound.feed("count", np.full(rows, count, dtype=np.int32))
        self.position = end
        return torch.from_numpy(self.bound.run(self.weights.embed(ids)))

    def _bind_caches(self, rows: int) -> None:
        """Let the first rows go on: the caches are read and written where they lie."""
        self.bound, self.num_rows = _Bound(self.bound.session), rows
        for index, memory in enumerate(self.cross):
            for place, name in enumerate(("key", "value")):
                cache = self.cache[index, place, :rows]
                self.bound.output(f"new_{name}_{index}", cache)
                self.bound.input(f"{name}_{index}", cache)
                self.bound.input(f"cross_{name}_{index}", memory[place][:rows])


class OnnxRows:
    """`RowsDecoder` in ONNX Runtime; arguments as in `DecoderWeights.start_rows`."""

    def __init__(self, weights: OnnxDecoderWeights, num_rows: int, length: int, memory_length: int) -> None:
        config = weights.config
        self.weights, self.length = weights, length
        self.table: FloatArray = self_bias_table(weights.model, length).float().numpy()
        shape = (len(weights.memory_weights), 2, num_rows, config.num_heads)
        self.cache: FloatArray = np.zeros((*shape, length, config.d_kv), dtype=np.float32)
        self.memory: FloatArray = np.zeros((*shape, memory_length, config.d_kv), dtype=np.float32)
        self.hidden: FloatArray = np.zeros((num_rows, config.num_heads, 1, memory_length), dtype=np.float32)
        self.places = [0] * num_rows
        self.bound: dict[tuple[int, int], _Bound] = {}

    def begin(self, row: int, encoded: Tensor) -> None:
        """Use a row for another window; as `RowsDecoder` says."""
        config, count = self.weights.config, len(encoded)
        for index, pair in enumerate(self.weights.memory_weights):
            for place, weight in enumerate(pair):
                values = _project(encoded, weight).view(count, config.num_heads, config.d_kv)
                self.memory[index, place, row, :, :count] = values.transpose(0, 1).numpy()
        self.hidden[row] = 0.0
        self.hidden[row, ..., count:] = -np.inf
        self.places[row] = 0

    def feed(self, words: Sequence[Sequence[int]]) -> Tensor:
        """Feed every row its next words: all rows at once where each has one, else row by row."""
        rows = len(words)
        if max(len(some) for some in words) == 1 and sum(map(len, words)) > 1:
            fed = [some[0] if some else 0 for some in words]
            # A row that waits is fed where its next word will lie, which takes that place.
            states = self._run(0, rows, torch.tensor(fed)[:, None])
            self.places = [place + len(some) for place, some in zip(self.places, words, strict=True)]
            return states
        states = torch.zeros((rows, self.weights.config.d_model))
        for row, some in enumerate(words):
            if some:
                states[row] = self._run(row, row + 1, torch.tensor(some)[None])[0]
                self.places[row] += len(some)
        return states

    def _run(self, first: int, stop: int, ids: Tensor) -> Tensor:
        """Feed some rows as many words each, (rows, n); their last states, (rows, d_model)."""
        if (first, stop) not in self.bound:
            self.bound[first, stop] = self._bind(first, stop)
        bound, count = self.bound[first, stop], ids.shape[1]
        places = [min(place, self.length - count) for place in self.places[first:stop]]
        total = max(places) + count
        bias = np.stack([self.table[:, place : place + count, :total] for place in places])
        bound.feed("self_bias", bias)
        bound.feed("cross_bias", np.repeat(self.hidden[first:stop], count, axis=2))
        bound.feed("last", np.array(places, dtype=np.int32) + np.int32(count - 1))
        bound.feed("total", np.array([total], dtype=np.int32))
        bound.feed("count", np.full(stop - first, count, dtype=np.int32))
        return torch.from_numpy(bound.run(self.weights.embed(ids))[:, -1])

    def _bind(self, first: int, stop: int) -> _Bound:
        """The session's inputs and outputs for some rows."""
        bound = _Bound(self.weights.session)
        for index in range(len(self.cache)):
            for place, name in enumerate(("key", "value")):
                cache = self.cache[index, place, first:stop]
                bound.output(f"new_{name}_{index}", cache)
                bound.input(f"{name}_{index}", cache)
                bound.input(f"cross_{name}_{index}", self.memory[index, place, first:stop])
        return bound
