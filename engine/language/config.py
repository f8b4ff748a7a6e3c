# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes of the language model. Standard library only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LanguageModelConfig:
    """Sizes of one model.

    Attributes:
        vocab_size: Ids of the unified vocabulary, text included.
        embedding_offset: First id with a row in `shared` and `lm_head` (0 in published models).
        d_model: Width of the residual stream.
        d_kv: Width of one attention head.
        d_ff: Width of the gated feed-forward layer.
        num_heads: Attention heads.
        num_layers: Encoder blocks.
        num_decoder_layers: Decoder blocks.
        num_buckets: Relative position buckets (T5: 32).
        max_distance: Distance at which the buckets saturate (T5: 128).
        text_width: Width of frozen text states, 0 where text has embedding rows of its own.
        time_reach: Largest time difference with a bias of its own, in time units; 0 turns time biases off.
        reads: Whether answers in words lean on a summary of the motion that is asked about.
        depth_ff: Width of the feed-forward layer from one quantizer level to the next; 0 where no
            codebook has more than one level.
        dropout: Dropout while training.
        layer_norm_epsilon: Of the RMS norms.
    """

    vocab_size: int
    embedding_offset: int = 0
    d_model: int = 256
    d_kv: int = 32
    d_ff: int = 1024
    num_heads: int = 8
    num_layers: int = 3
    num_decoder_layers: int = 4
    num_buckets: int = 32
    max_distance: int = 128
    text_width: int = 0
    time_reach: int = 0
    reads: bool = False
    depth_ff: int = 0
    dropout: float = 0.1
    layer_norm_epsilon: float = 1e-6

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain values for a pack file."""
        return asdict(self)
