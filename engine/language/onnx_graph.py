# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder's step as an ONNX graph, made from the language model's weights.

Weights are stored in eight bits: blocks of `BLOCK` inputs of one output share a scale, symmetric about zero,
and the sums of a block are formed from integers, the inputs rounded likewise (operator MatMulNBits of ONNX
Runtime, accuracy level 4). A step reads a quarter of the memory that it reads in float32, which is what
bounds it at one row.

Operators of the domain `com.microsoft`: docs/ContribOperators.md of ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper
from torch import Tensor

from ..motion.arrays import FloatArray
from .model import LanguageModel

Arrays = dict[str, npt.NDArray[Any]]
"""Weights by name."""

BLOCK = 128
"""Inputs that share a scale: fewer would round more finely, and take longer."""

INT8_LARGEST = 127
INT8_ZERO = 128

CONTRIB = "com.microsoft"
OPSET, CONTRIB_OPSET, IR_VERSION = 17, 1, 9


@dataclass(frozen=True)
class Graph:
    """A graph, and its weights beside it: inside it they would be in memory several times while it is loaded.

    Attributes:
        proto: The graph, whose weights are declared as lying elsewhere.
        weights: The weights.
    """

    proto: ModelProto
    weights: Arrays


def step_graph(model: LanguageModel, bits: int, spare: bool = False) -> Graph:
    """Build the graph of one step.

    Args:
        model: The language model.
        bits: Of the stored weights: 8, or 32 for plain float32.
        spare: Give the memory of each block back once it is in the graph; what requests need stays: keys and
            values of the encoder's states, and the biases.

    Returns:
        Graph with the inputs `x` (B, n, d_model), `self_bias` (1 or B, H, n, T), `cross_bias` (B, H, n, Lk),
        the int32 counts `last` (B,) index of the last position, `total` (1,) positions in all T, `count` (B,)
        new positions n, and per block i the caches `key_i`, `value_i` (B, H, L, d_kv) and `cross_key_i`,
        `cross_value_i` (B, H, Lk, d_kv). Outputs are `states` (B, n, d_model) and the caches `new_key_i`,
        `new_value_i`, which are meant to be bound to the memory of `key_i` and `value_i`.
    """
    return _StepGraph(model, bits, spare).build()


def depth_graph(model: LanguageModel) -> Graph:
    """Build the graph from one quantizer level to the next, in float32, being small.

    Args:
        model: A language model that has a depth network.

    Returns:
        Graph with the inputs `states` and `drawn` (B, d_model), the embedding rows of the codes just drawn,
        and the output `next` (B, d_model).
    """
    return _DepthGraph(model, 32, spare=False).build()


class _Graph:
    """Parts of a graph under construction."""

    def __init__(self, model: LanguageModel, bits: int, spare: bool) -> None:
        self.model, self.config, self.bits, self.spare = model, model.config, bits, spare
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.weights: Arrays = {}
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []

    def _finish(self, name: str) -> Graph:
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, CONTRIB_OPSET)]
        proto = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        return Graph(proto, self.weights)

    def _feed_forward(self, x: str, weights: Mapping[str, Tensor], prefix: str, name: str) -> str:
        """T5 v1.1's gated GELU."""
        gate = self._linear(x, weights[f"{prefix}.wi_0.weight"], f"gate_{name}")
        gate = self._node("FastGelu", [gate], [f"gelu_{name}"], CONTRIB)
        up = self._linear(x, weights[f"{prefix}.wi_1.weight"], f"up_{name}")
        y = self._node("Mul", [gate, up], [f"gated_{name}"])
        return self._linear(y, weights[f"{prefix}.wo.weight"], f"down_{name}")

    def _add_and_norm(self, x: str, y: str, weight: Tensor, name: str) -> tuple[str, str]:
        """(x + y, its RMS norm)."""
        scale = self._constant(f"{name}_norm", weight)
        outputs = [f"{name}_normed", "", "", f"{name}_sum"]
        inputs = [x, y, scale]
        epsilon = self.config.layer_norm_epsilon
        self._node("SkipSimplifiedLayerNormalization", inputs, outputs, CONTRIB, epsilon=epsilon)
        return outputs[3], outputs[0]

    def _linear(self, x: str, weight: Tensor, name: str) -> str:
        """x times the transposed weight (N, K), which has no bias."""
        if self.bits == 32:
            return self._node("MatMul", [x, self._constant(f"{name}_weight", weight.T)], [name])
        quantized, scales = quantize(weight.detach().float().numpy())
        stored = [self._store(f"{name}_weight", quantized), self._store(f"{name}_scale", scales)]
        return self._node(
            "MatMulNBits",
            [x, *stored],
            [name],
            CONTRIB,
            K=weight.shape[1],
            N=weight.shape[0],
            bits=8,
            block_size=BLOCK,
            accuracy_level=4,
        )

    def _constant(self, name: str, values: Tensor) -> str:
        # Always a copy: a view into the model would keep all of a block in memory that is to be forgotten.
        return self._store(name, np.array(values.detach().float().numpy(), order="C"))

    def _store(self, name: str, array: npt.NDArray[Any]) -> str:
        """Keep a weight beside the graph."""
        self.weights[name] = array
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        declared = TensorProto(name=name, data_type=kind, dims=array.shape)
        declared.data_location = TensorProto.EXTERNAL
        declared.external_data.add(key="location", value="beside")
        self.constants.append(declared)
        return name

    def _input(self, name: str, kind: int, shape: list[Any]) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def _node(
        self, operator: str, inputs: list[str], outputs: list[str], domain: str = "", **attributes: Any
    ) -> str:
        self.nodes.append(helper.make_node(operator, inputs, outputs, domain=domain, **attributes))
        return outputs[0]

    def _output(self, name: str, shape: list[Any]) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


class _StepGraph(_Graph):
    def build(self) -> Graph:
        config = self.config
        heads = config.num_heads
        x = self._input("x", TensorProto.FLOAT, ["B", "n", config.d_model])
        self._input("self_bias", TensorProto.FLOAT, ["R", heads, "n", "T"])
        self._input("cross_bias", TensorProto.FLOAT, ["B", heads, "n", "Lk"])
        self._input("last", TensorProto.INT32, ["B"])
        self._input("total", TensorProto.INT32, [1])
        self._input("count", TensorProto.INT32, ["B"])
        blocks = [dict(block.named_parameters()) for block in self.model.decoder.block]
        norms = [block["layer.0.layer_norm.weight"] for block in blocks[1:]]
        norms.append(self.model.decoder.final_layer_norm.weight)
        first = self._constant("first_norm", blocks[0]["layer.0.layer_norm.weight"])
        epsilon = config.layer_norm_epsilon
        self._node("SimplifiedLayerNormalization", [x, first], ["normed"], axis=-1, epsilon=epsilon)
        normed = "normed"
        for index, (block, norm) in enumerate(zip(blocks, norms, strict=True)):
            x, normed = self._block(index, block, norm, x, normed)
            if self.spare:
                _forget(block)
        self._node("Identity", [normed], ["states"])
        self._output("states", ["B", "n", config.d_model])
        return self._finish("decoder step")

    def _block(
        self, index: int, block: Mapping[str, Tensor], next_norm: Tensor, x: str, normed: str
    ) -> tuple[str, str]:
        """One decoder block: the residual stream and its normalised copy, in and out."""
        config = self.config
        heads, shape = config.num_heads, ["B", config.num_heads, "L", config.d_kv]
        own, cross = "layer.0.SelfAttention", "layer.1.EncDecAttention"
        caches: list[str] = []
        for name in ("key", "value"):
            caches.append(self._input(f"{name}_{index}", TensorProto.FLOAT, shape))
            self._input(f"cross_{name}_{index}", TensorProto.FLOAT, ["B", heads, "Lk", config.d_kv])
            self._output(f"new_{name}_{index}", shape)
        packed = torch.cat([block[f"{own}.{name}.weight"] for name in "qkv"])
        queries = self._linear(normed, packed, f"qkv_{index}")
        mixed = self._node(
            "GroupQueryAttention",
            # inputs count by place: three for rotations before the bias, five for sinks and scales after it
            [queries, "", "", *caches, "last", "total", "", "", "", "self_bias", *[""] * 5, "count"],
            [f"mixed_{index}", f"new_key_{index}", f"new_value_{index}"],
            CONTRIB,
            num_heads=heads,
            kv_num_heads=heads,
            scale=1.0,
        )
        y = self._linear(mixed, block[f"{own}.o.weight"], f"self_{index}")
        x, normed = self._add_and_norm(x, y, block["layer.1.layer_norm.weight"], f"a_{index}")
        queries = self._linear(normed, block[f"{cross}.q.weight"], f"cross_q_{index}")
        memory = [f"cross_key_{index}", f"cross_value_{index}"]
        heard = self._node(
            "MultiHeadAttention",
            [queries, *memory, "", "", "cross_bias"],
            [f"heard_{index}"],
            CONTRIB,
            num_heads=heads,
            scale=1.0,
        )
        y = self._linear(heard, block[f"{cross}.o.weight"], f"cross_{index}")
        x, normed = self._add_and_norm(x, y, block["layer.2.layer_norm.weight"], f"b_{index}")
        y = self._feed_forward(normed, block, "layer.2.DenseReluDense", str(index))
        return self._add_and_norm(x, y, next_norm, f"c_{index}")


def _forget(block: Mapping[str, Tensor]) -> None:
    """Take the memory from a block's weights, but for what requests need."""
    for name, weight in block.items():
        needed = any(word in name for word in (".EncDecAttention.k.", ".EncDecAttention.v.", "bias"))
        weight.data = weight.data.clone() if needed else weight.data.new_empty(0)  # no part of a larger one


class _DepthGraph(_Graph):
    def build(self) -> Graph:
        shape = ["B", self.config.d_model]
        for name in ("states", "drawn"):
            self._input(name, TensorProto.FLOAT, shape)
        weights = dict(self.model.depth.named_parameters())
        x, normed = self._add_and_norm("states", "drawn", weights["layer_norm.weight"], "in")
        y = self._feed_forward(normed, weights, "DenseReluDense", "depth")
        _, normed = self._add_and_norm(x, y, weights["final_layer_norm.weight"], "out")
        self._node("Identity", [normed], ["next"])
        self._output("next", shape)
        return self._finish("depth")


def quantize(weight: FloatArray) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """Round a matrix to eight bits, block by block.

    Args:
        weight: (N, K), float32.

    Returns:
        (N, C, BLOCK) uint8, zero at `INT8_ZERO`, C blocks of which the last is filled up with zeros, and the
        scale of each block, (N, C) float32.
    """
    missing = -weight.shape[1] % BLOCK
    blocks = np.pad(weight, ((0, 0), (0, missing))).reshape(len(weight), -1, BLOCK)
    scales = np.abs(blocks).max(axis=-1) / INT8_LARGEST
    scales[scales == 0.0] = 1.0
    rounded = np.rint(blocks / scales[..., None]) + INT8_ZERO
    return rounded.astype(np.uint8), scales.astype(np.float32)
