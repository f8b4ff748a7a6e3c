# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder fed step by step: keys and values cached in memory that is allocated once per window.

`DecoderWeights` is made once per loaded model and starts one `StepDecoder` per batch of windows. Three
engines stand behind them: torch here, on any device; ONNX Runtime on a CPU (`onnx_decoder`); torch with its
steps recorded on an NVIDIA GPU (`graph_decoder`).
"""

from __future__ import annotations

import copy
import importlib.util
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..specs import SamplingOptions
from .biases import hide_padding
from .drawing import StepDraw, draw, draw_by_race
from .half import linear_wide
from .model import LanguageModel, embed_steps
from .rows import RowsDecoder, TorchRows
from .torch_blocks import project, run_blocks

EXACT_WEIGHTS = 20_000_000
"""Decoders of up to so many weights, which a processor's cache holds, gain little from rounding them."""

ONNX_HEAD_WIDTH = 8
"""ONNX Runtime's attention wants the width of a head to be a multiple of this."""


class StepDecoder(Protocol):
    """Decoder state of one batch of windows."""

    @property
    def position(self) -> int:
        """Tokens fed so far."""
        ...

    def advance(self, ids: Tensor) -> Tensor:
        """Feed the next tokens.

        Args:
            ids: (R, n) or (R, n, Q), int64; R may be fewer than the batch, then only its first rows go on.

        Returns:
            Normalised states of the last position, (R, d_model).
        """
        ...


class DecoderWeights(ABC):
    """What every engine shares: the output head, the embedding rows and the depth network.

    Args:
        model: The language model; its encoder is used as it is, later changes to the rest may not show.
        dtype: Of the states: float32, or bfloat16.
        table_dtype: Of the output head and the embedding rows; None for that of the states.
    """

    def __init__(
        self,
        model: LanguageModel,
        dtype: torch.dtype = torch.float32,
        table_dtype: torch.dtype | None = None,
    ) -> None:
        self.model, self.large = model, is_large(model)
        self.config = model.config
        self.dtype = dtype
        self.head = model.lm_head.weight.detach().to(table_dtype or dtype)
        self.embedding = model.shared.weight.detach().to(table_dtype or dtype)

    @abstractmethod
    def start(self, encoded: Tensor, mask: Tensor, self_bias: Tensor, cross_bias: Tensor) -> StepDecoder:
        """Make room for one batch of windows.

        Args:
            encoded: Encoder states, (B, Lk, d_model).
            mask: Encoder positions that may be seen, (B, Lk), bool.
            self_bias: (1, H, L, L) for the whole sequence.
            cross_bias: (1, H, L, Lk), before hiding padding.
        """

    @abstractmethod
    def start_rows(self, num_rows: int, length: int, memory_length: int) -> RowsDecoder:
        """Make room for windows that begin one after the other, see `rows`.

        Args:
            num_rows: Windows at a time.
            length: Most words of a window.
            memory_length: Most words of a request.
        """

    @abstractmethod
    def deepen(self, states: Tensor, rows: Tensor) -> Tensor:
        """States that draw the next quantizer level.

        Args:
            states: That drew this level, (R, d_model).
            rows: Of the embedding table, of what was drawn, (R,).
        """

    def draw_step(self, states: Tensor, uniform: Tensor, asked: StepDraw) -> Tensor:
        """Draw one step, level after level.

        Args:
            states: Of the step, (R, d_model); beyond the batch's rows stand the unconditional ones.
            uniform: One number per row and level, (B, levels).
            asked: What is drawn, and how.

        Returns:
            Codes, (B, levels), int64.
        """
        batch = len(uniform)
        drawn: list[Tensor] = []
        for level, (first, stop) in enumerate(asked.levels):
            if level:
                rows = drawn[-1] + asked.levels[level - 1][0]
                states = self.deepen(states, rows.repeat(len(states) // batch))
            logits = F.linear(states, self.head_rows(first, stop)).float()
            if len(states) > batch:
                logits = logits[batch:] + asked.guidance * (logits[:batch] - logits[batch:])
            drawn.append(self.draw(logits, uniform[:, level], asked.options))
        return torch.stack(drawn, dim=1)

    def draw(self, logits: Tensor, uniform: Tensor, options: SamplingOptions) -> Tensor:
        """As `drawing.draw`, in whatever way is fastest here; a large model by race, on every device."""
        return (draw_by_race if self.large else draw)(logits, uniform, options)

    def table_rows(self, first: int, stop: int) -> tuple[int, int]:
        """Rows of the tables that hold a range of ids."""
        return first - self.config.embedding_offset, stop - self.config.embedding_offset

    def head_rows(self, first: int, stop: int) -> Tensor:
        """Some rows of the output head, (stop - first, d_model), in the type of the states."""
        return self.head[first:stop].to(self.dtype)

    def scores(self, states: Tensor) -> Tensor:
        """Scores of all words, (R, rows of the table), from states (R, d_model)."""
        return linear_wide(states, self.head)

    def stepping(self) -> AbstractContextManager[None]:
        """Held while steps are made, so that an engine can set threads as it wants them."""
        return nullcontext()


def is_large(model: LanguageModel) -> bool:
    """Whether a model's decoder has more weights than a processor's cache holds."""
    return sum(weight.numel() for weight in model.decoder.parameters()) > EXACT_WEIGHTS


def decoder_weights(model: LanguageModel, fast: bool = False, spare: bool = False) -> DecoderWeights:
    """Weights for the fastest engine that this machine has for the model's device.

    Args:
        model: The language model.
        fast: Round a large model's decoder to eight bits, to bfloat16 on a GPU or without ONNX Runtime. That
            changes some of its choices (`benchmarks/published_precision.py`). Where it is not, ONNX Runtime's
            guesses ahead in eight bits, see `drafting`, which changes none and takes 0.1 GB.
        spare: Where the weights are copies, give the model's own decoder's memory back; it decodes no more.
    """
    if model.lm_head.weight.device.type == "cuda":
        from .graph_decoder import GraphDecoderWeights

        return GraphDecoderWeights(model, torch.float32 if is_large(model) and not fast else torch.bfloat16)
    on_cpu, rounds = model.lm_head.weight.device.type == "cpu", fast and is_large(model)
    if on_cpu and model.config.d_kv % ONNX_HEAD_WIDTH == 0 and onnx_is_there():
        from .onnx_decoder import OnnxDecoderWeights

        return OnnxDecoderWeights(model, 8 if rounds else 32, spare, drafted=is_large(model) and not fast)
    return TorchDecoderWeights(model, torch.bfloat16 if rounds and on_cpu else torch.float32)


def onnx_is_there() -> bool:
    """Whether ONNX Runtime, and the package that writes its models, are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime"))


@dataclass(frozen=True)
class _Layer:
    """One decoder block's weights, fused so that a step needs few calls."""

    self_norm: Tensor
    qkv: Tensor
    self_o: Tensor
    cross_norm: Tensor
    cross_q: Tensor
    cross_kv: Tensor
    cross_o: Tensor
    ff_norm: Tensor
    wi: Tensor
    wo: Tensor


class TorchDecoderWeights(DecoderWeights):
    """Decoder weights for torch, fused so that a step needs few calls.

    Args:
        model: The language model; its decoder's weights are copied.
        dtype: Of the copies: float32, or bfloat16 to halve the memory read per step.
    """

    def __init__(self, model: LanguageModel, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(model, dtype)
        self.depth = copy.deepcopy(model.depth).to(dtype) if self.config.depth_ff else None
        self.layers = [_fuse(block, dtype) for block in model.decoder.block]
        self.final_norm = model.decoder.final_layer_norm.weight.detach().to(dtype)

    def start(self, encoded: Tensor, mask: Tensor, self_bias: Tensor, cross_bias: Tensor) -> StepDecoder:
        """Make room for one batch of windows; arguments as in `DecoderWeights.start`."""
        return TorchDecoder(self, encoded, mask, self_bias, cross_bias)

    def start_rows(self, num_rows: int, length: int, memory_length: int) -> RowsDecoder:
        """As `DecoderWeights.start_rows`."""
        return TorchRows(self, num_rows, length, memory_length)

    def deepen(self, states: Tensor, rows: Tensor) -> Tensor:
        """As `DecoderWeights.deepen`."""
        if self.depth is None:
            raise ValueError("This model has one quantizer level.")
        return self.depth(states, F.embedding(rows, self.embedding))


def _fuse(block: torch.nn.Module, dtype: torch.dtype) -> _Layer:
    w = {name: p.detach().to(dtype) for name, p in block.named_parameters()}
    attention, cross, dense = "layer.0.SelfAttention.", "layer.1.EncDecAttention.", "layer.2.DenseReluDense."
    return _Layer(
        self_norm=w["layer.0.layer_norm.weight"],
        qkv=torch.cat([w[f"{attention}{n}.weight"] for n in "qkv"]),
        self_o=w[f"{attention}o.weight"],
        cross_norm=w["layer.1.layer_norm.weight"],
        cross_q=w[f"{cross}q.weight"],
        cross_kv=torch.cat([w[f"{cross}{n}.weight"] for n in "kv"]),
        cross_o=w[f"{cross}o.weight"],
        ff_norm=w["layer.2.layer_norm.weight"],
        wi=torch.cat([w[f"{dense}wi_{n}.weight"] for n in "01"]),
        wo=w[f"{dense}wo.weight"],
    )


class TorchDecoder:
    """`StepDecoder` in torch; arguments as in `DecoderWeights.start`."""

    def __init__(
        self,
        weights: TorchDecoderWeights,
        encoded: Tensor,
        mask: Tensor,
        self_bias: Tensor,
        cross_bias: Tensor,
    ) -> None:
        self.weights = weights
        config, dtype = weights.config, weights.dtype
        batch, length = encoded.shape[0], self_bias.shape[-1]
        self.self_bias = self_bias.to(dtype)
        self.cross_bias = hide_padding(cross_bias, mask).to(dtype)
        shape = (len(weights.layers), batch, config.num_heads, length, config.d_kv)
        self.keys = torch.empty(shape, dtype=dtype, device=encoded.device)
        self.values = torch.empty_like(self.keys)
        self.cross = self.project_memory(encoded)
        self.position = 0

    def project_memory(self, encoded: Tensor) -> list[tuple[Tensor, ...]]:
        """Keys and values of the encoder states, per block (B, H, Lk, width) each."""
        x = encoded.to(self.weights.dtype)
        return [project(self.weights, x, layer.cross_kv, 2) for layer in self.weights.layers]

    def advance(self, ids: Tensor) -> Tensor:
        """Feed the next tokens, as `StepDecoder` says."""
        rows, count = ids.shape[:2]
        begin, end = self.position, self.position + count
        places = torch.arange(begin, end, device=ids.device)
        bias = self.self_bias[:, :, begin:end, :end]
        states = self.run(ids, places, bias, self.cross_bias[:rows, :, begin:end])
        self.position = end
        return states

    def run(self, ids: Tensor, places: Tensor, self_bias: Tensor, cross_bias: Tensor) -> Tensor:
        """All blocks.

        Args:
            ids: As `advance` takes them.
            places: Where in the cache the new positions lie, (n,), int64.
            self_bias: (1, H, n, T), over the first T positions of the cache.
            cross_bias: (R, H, n, Lk).

        Returns:
            As `advance`.
        """
        weights = self.weights
        rows, seen = len(ids), self_bias.shape[-1]

        def extend(index: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
            keys = self.keys[index, :rows].index_copy_(2, places, k)
            values = self.values[index, :rows].index_copy_(2, places, v)
            return keys[:, :, :seen], values[:, :, :seen]

        x = embed_steps(ids, weights.embedding, weights.config.embedding_offset)
        memory = [[both[:rows] for both in block] for block in self.cross]
        return run_blocks(weights, x, extend, memory, self_bias, cross_bias)
