# SPDX-License-Identifier: GPL-3.0-or-later
"""The T5-style encoder-decoder, readable in one sitting.

Parameter names are those of transformers' `T5ForConditionalGeneration` (v1.1 / FLAN layout: gated GELU,
RMS norm, untied output head), so published weights load without a mapping. The starter adds three things,
all off in the published configuration:

* frozen sentence-encoder states enter through `text_projection` in place of text embedding rows, so the
  table `shared` holds only the rows from `embedding_offset` on;
* learned relative *time* biases in every attention: words have no time, sound and motion have, and a
  bias on their time difference lets a small model learn in minutes which sound belongs to which pose;
* one position per *step* where a codebook has several quantizer levels: the levels' rows are summed on
  the way in, and a small depth network draws them one after another on the way out, as the
  RQ-Transformer does (Lee et al. 2022, arXiv 2203.01941). Sequences are half as long for it.

Architecture: Raffel et al. 2020 (arXiv 1910.10683), T5 v1.1 (Shazeer 2020, arXiv 2002.05202).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .biases import UNTIMED, hide_padding, initial_time_bias, relative_position_bucket, time_bucket
from .config import LanguageModelConfig
from .half import is_half, run_wide

ABSENT = -1
"""Stands where a position has fewer tokens than the widest one."""


class RMSNorm(nn.Module):
    """T5's layer norm: no mean, no bias."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.epsilon)


class ChannelDropout(nn.Module):
    """Dropout of whole channels of a row, alike at every position: as good here and far fewer draws."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, d_model) -> same."""
        if not self.training or self.share == 0.0:
            return x
        kept = 1.0 - self.share
        mask = torch.empty((x.shape[0], 1, x.shape[2]), dtype=x.dtype, device=x.device).bernoulli_(kept)
        return x * mask.div_(kept)


class Attention(nn.Module):
    """Multi-head attention without scaling, T5's way; the bias comes from outside."""

    def __init__(self, config: LanguageModelConfig, has_position_bias: bool) -> None:
        super().__init__()
        inner = config.num_heads * config.d_kv
        self.num_heads, self.d_kv = config.num_heads, config.d_kv
        self.q = nn.Linear(config.d_model, inner, bias=False)
        self.k = nn.Linear(config.d_model, inner, bias=False)
        self.v = nn.Linear(config.d_model, inner, bias=False)
        self.o = nn.Linear(inner, config.d_model, bias=False)
        if has_position_bias:
            self.relative_attention_bias = nn.Embedding(config.num_buckets, config.num_heads)

    def split_heads(self, x: Tensor) -> Tensor:
        """(B, L, H * d_kv) -> (B, H, L, d_kv)."""
        return x.view(x.shape[0], x.shape[1], self.num_heads, self.d_kv).transpose(1, 2)

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
        """Attend from x to memory.

        Args:
            x: Queries, (B, Lq, d_model).
            memory: Keys and values, (B, Lk, d_model).
            bias: Added to the scores, broadcastable to (B, H, Lq, Lk); -inf hides a key.

        Returns:
            (B, Lq, d_model).
        """
        q, k, v = (self.split_heads(t) for t in (self.q(x), self.k(memory), self.v(memory)))
        bias = bias.to(q.dtype)
        if self.training:  # a learned bias keeps the fused kernel from being used; this is the shorter way
            mixed = (q @ k.transpose(2, 3)).add_(bias).softmax(dim=-1) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        return self.o(mixed.transpose(1, 2).reshape(x.shape[0], x.shape[1], -1))


class SelfAttentionLayer(nn.Module):
    """Pre-norm self-attention with a residual."""

    def __init__(self, config: LanguageModelConfig, has_position_bias: bool) -> None:
        super().__init__()
        self.SelfAttention = Attention(config, has_position_bias)
        self.layer_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = ChannelDropout(config.dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """(B, L, d_model) -> same."""
        y = self.layer_norm(x)
        return x + self.dropout(self.SelfAttention(y, y, bias))


class CrossAttentionLayer(nn.Module):
    """Pre-norm attention to the encoder with a residual."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.EncDecAttention = Attention(config, has_position_bias=False)
        self.layer_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = ChannelDropout(config.dropout)

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
        """(B, L, d_model) -> same."""
        return x + self.dropout(self.EncDecAttention(self.layer_norm(x), memory, bias))


class GatedFeedForward(nn.Module):
    """T5 v1.1's gated GELU."""

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.wi_0 = nn.Linear(d_model, d_ff, bias=False)
        self.wi_1 = nn.Linear(d_model, d_ff, bias=False)
        self.wo = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, d_model) -> same."""
        return self.wo(F.gelu(self.wi_0(x), approximate="tanh") * self.wi_1(x))


class FeedForwardLayer(nn.Module):
    """Pre-norm feed-forward with a residual."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.DenseReluDense = GatedFeedForward(config.d_model, config.d_ff)
        self.layer_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = ChannelDropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, d_model) -> same."""
        return x + self.dropout(self.DenseReluDense(self.layer_norm(x)))


class DepthLayer(nn.Module):
    """From the state that drew one quantizer level to the state that draws the next."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.layer_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.DenseReluDense = GatedFeedForward(config.d_model, config.depth_ff)
        self.final_layer_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)

    def forward(self, states: Tensor, drawn: Tensor) -> Tensor:
        """States and embeddings of the codes just drawn, (..., d_model) each -> (..., d_model)."""
        x = states + drawn
        return self.final_layer_norm(x + self.DenseReluDense(self.layer_norm(x)))


class Block(nn.Module):
    """One encoder or decoder block; `layer` keeps transformers' numbering."""

    def __init__(self, config: LanguageModelConfig, is_decoder: bool, has_position_bias: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [SelfAttentionLayer(config, has_position_bias)]
        if is_decoder:
            layers.append(CrossAttentionLayer(config))
        layers.append(FeedForwardLayer(config))
        self.layer = nn.ModuleList(layers)

    def forward(
        self, x: Tensor, bias: Tensor, memory: Tensor | None = None, cross_bias: Tensor | None = None
    ) -> Tensor:
        """(B, L, d_model) -> same; memory and cross_bias only in the decoder."""
        x = self.layer[0](x, bias)
        if memory is not None:
            x = self.layer[1](x, memory, cross_bias)
        return self.layer[-1](x)


class Stack(nn.Module):
    """Encoder or decoder."""

    def __init__(self, config: LanguageModelConfig, is_decoder: bool) -> None:
        super().__init__()
        self.is_decoder = is_decoder
        self.config = config
        depth = config.num_decoder_layers if is_decoder else config.num_layers
        self.block = nn.ModuleList(Block(config, is_decoder, i == 0) for i in range(depth))
        self.final_layer_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = ChannelDropout(config.dropout)
        if config.time_reach:
            buckets = 2 * config.time_reach + 2
            self.time_bias = nn.Embedding(buckets, config.num_heads)
            if is_decoder:
                self.cross_time_bias = nn.Embedding(buckets, config.num_heads)

    def position_bias(self, bucket: Tensor) -> Tensor:
        """Look up the bias that transformers keeps in the first block, (L, L) -> (L, L, H)."""
        return self.get_submodule("block.0.layer.0.SelfAttention.relative_attention_bias")(bucket)

    def self_bias(self, query_times: Tensor, key_times: Tensor) -> Tensor:
        """Position and time bias of self-attention, shared by all blocks.

        Args:
            query_times: Time each position predicts or holds, (L,) or (B, L).
            key_times: Time each position holds, (L,) or (B, L).

        Returns:
            (1 or B, H, L, L); in the decoder -inf above the diagonal.
        """
        config, length = self.config, query_times.shape[-1]
        positions = torch.arange(length, device=query_times.device)
        distance = positions[None, :] - positions[:, None]
        bucket = relative_position_bucket(
            distance, not self.is_decoder, config.num_buckets, config.max_distance
        )
        bias = self.position_bias(bucket)
        if config.time_reach:
            bias = bias + self.time_bias(time_bucket(query_times, key_times, config.time_reach))
        bias = heads_first(bias)
        if self.is_decoder:
            bias = bias.masked_fill(distance > 0, float("-inf"))
        return bias

    def cross_bias(self, query_times: Tensor, memory_times: Tensor) -> Tensor:
        """Time bias of attention to the encoder, (1 or B, H, Lq, Lk); zero without time biases."""
        if not self.config.time_reach:
            shape = (1, self.config.num_heads, query_times.shape[-1], memory_times.shape[-1])
            return torch.zeros(shape, device=query_times.device)
        bucket = time_bucket(query_times, memory_times, self.config.time_reach)
        return heads_first(self.cross_time_bias(bucket))


class LanguageModel(nn.Module):
    """Encoder, decoder and output head over one multimodal vocabulary."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.config = config
        rows = config.vocab_size - config.embedding_offset
        self.shared = nn.Embedding(rows, config.d_model)
        self.encoder = Stack(config, is_decoder=False)
        self.decoder = Stack(config, is_decoder=True)
        self.lm_head = nn.Linear(config.d_model, rows, bias=False)
        if config.text_width:
            self.text_projection = nn.Linear(config.text_width, config.d_model)
        if config.depth_ff:
            self.depth = DepthLayer(config)
        if config.reads:
            self.reading = nn.Embedding(rows, config.d_model)
        if not self.shared.weight.is_meta:
            self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise as T5 does, with embeddings of unit scale damped for stable small-model training."""
        config = self.config
        self.shared.weight.normal_(0.0, 0.5)
        self.lm_head.weight.normal_(0.0, config.d_model**-0.5)
        for module in self.modules():
            if isinstance(module, Attention):
                inner = config.num_heads * config.d_kv
                module.q.weight.normal_(0.0, (config.d_model * config.d_kv) ** -0.5)
                module.k.weight.normal_(0.0, config.d_model**-0.5)
                module.v.weight.normal_(0.0, config.d_model**-0.5)
                module.o.weight.normal_(0.0, inner**-0.5)
            elif isinstance(module, GatedFeedForward):
                module.wi_0.weight.normal_(0.0, config.d_model**-0.5)
                module.wi_1.weight.normal_(0.0, config.d_model**-0.5)
                module.wo.weight.normal_(0.0, module.wo.in_features**-0.5)
        for name, parameter in self.named_parameters():
            if name.endswith(("relative_attention_bias.weight", "reading.weight")):
                parameter.zero_()
            elif name.endswith("time_bias.weight"):
                parameter.copy_(initial_time_bias(config.time_reach, config.num_heads))

    def embed(self, ids: Tensor) -> Tensor:
        """Look up ids of the unified vocabulary, (B, L) or (B, L, Q) -> (B, L, d_model)."""
        return embed_steps(ids, self.shared.weight, self.config.embedding_offset)

    def encode(
        self,
        ids: Tensor,
        mask: Tensor,
        times: Tensor | None = None,
        text_states: Tensor | None = None,
        is_text: Tensor | None = None,
    ) -> Tensor:
        """Read the request.

        Args:
            ids: Tokens, (B, L) or (B, L, Q), int64; any valid id where a text state stands.
            mask: True where a token is present, (B, L), bool.
            times: Time of each position, (L,) where the batch shares it or (B, L), int64; None for untimed.
            text_states: Frozen states for positions where `is_text`, (B, L, text_width).
            is_text: (B, L), bool.

        Returns:
            Encoder states, (B, L, d_model).
        """
        x = self.embed(ids)
        if is_half(self.shared):
            x = x.float()
        if text_states is not None and is_text is not None and bool(is_text.any()):
            x = torch.where(is_text[..., None], self.text_projection(text_states.to(x.dtype)), x)
        times = self._times(times, ids.shape[1], ids.device)
        bias = hide_padding(self.encoder.self_bias(times, times), mask).to(x.dtype)
        x = self.encoder.dropout(x)
        for block in self.encoder.block:
            x = run_wide(block, x, bias)
        return self.encoder.dropout(run_wide(self.encoder.final_layer_norm, x))

    def decode(
        self,
        ids: Tensor,
        memory: Tensor,
        memory_mask: Tensor,
        key_times: Tensor | None = None,
        query_times: Tensor | None = None,
        memory_times: Tensor | None = None,
    ) -> Tensor:
        """Run the decoder over a whole sequence (training and prefill).

        Args:
            ids: Decoder input, (B, L) or (B, L, Q), int64.
            memory: Encoder states, (B, Lk, d_model).
            memory_mask: (B, Lk), bool.
            key_times: Time each input token holds, (L,) or (B, L).
            query_times: Time of the token each position predicts, likewise.
            memory_times: (Lk,) or (B, Lk).

        Returns:
            States before the output head, (B, L, d_model).
        """
        key_times = self._times(key_times, ids.shape[1], ids.device)
        query_times = key_times if query_times is None else query_times
        memory_times = self._times(memory_times, memory.shape[1], ids.device)
        bias = self.decoder.self_bias(query_times, key_times)
        cross_bias = hide_padding(self.decoder.cross_bias(query_times, memory_times), memory_mask)
        x = self.decoder.dropout(self.embed(ids))
        for block in self.decoder.block:
            x = block(x, bias, memory, cross_bias)
        return self.decoder.dropout(self.decoder.final_layer_norm(x))

    def deepen(self, states: Tensor, ids: Tensor) -> Tensor:
        """States that score the next quantizer level.

        Args:
            states: States that scored a level, (B, L, d_model).
            ids: The ids drawn there, (B, L), int64.

        Returns:
            (B, L, d_model).
        """
        return self.depth(states, self.embed(ids))

    def read(self, ids: Tensor, times: Tensor) -> Tensor:
        """Sum up what is heard and seen: the mean of the codes' rows in a table of their own.

        Which codes a motion has, in whatever order, tells most of its emotion and its action; attention takes
        thousands of steps to find that out.

        Args:
            ids: Encoder tokens, (B, L, Q).
            times: Their times, (B, L); what has none is left out.

        Returns:
            Added to the decoder's states where words are answered, (B, d_model).
        """
        timed = (times != UNTIMED)[..., None]
        rows = embed_steps(ids, self.reading.weight, self.config.embedding_offset) * timed
        return rows.sum(dim=1) / timed.sum(dim=1).clamp_min(1)

    def logits(self, states: Tensor, start: int, stop: int) -> Tensor:
        """Scores of the ids in [start, stop) only.

        Args:
            states: (..., d_model).
            start: First id.
            stop: One past the last id.

        Returns:
            (..., stop - start).
        """
        offset = self.config.embedding_offset
        return F.linear(states, self.lm_head.weight[start - offset : stop - offset])

    @staticmethod
    def _times(times: Tensor | None, length: int, device: torch.device) -> Tensor:
        if times is None:
            return torch.full((length,), UNTIMED, dtype=torch.int64, device=device)
        return times


def heads_first(bias: Tensor) -> Tensor:
    """(Lq, Lk, H) -> (1, H, Lq, Lk), (B, Lq, Lk, H) -> (B, H, Lq, Lk)."""
    bias = bias.movedim(-1, -3)
    return bias if bias.ndim == 4 else bias[None]


def embed_steps(ids: Tensor, table: Tensor, offset: int) -> Tensor:
    """Sum the embedding rows of each position's tokens.

    Args:
        ids: (B, L), or (B, L, Q) with `ABSENT` where a position has fewer than Q tokens, int64.
        table: Embedding rows, (R, d_model).
        offset: Id of the first row.

    Returns:
        (B, L, d_model).
    """
    if ids.ndim == 2:
        return F.embedding(ids - offset, table)
    rows = F.embedding((ids - offset).clamp_min(0), table)
    return (rows * (ids != ABSENT)[..., None]).sum(dim=2)
