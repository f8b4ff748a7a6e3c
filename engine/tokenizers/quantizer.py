# SPDX-License-Identifier: GPL-3.0-or-later
"""Vector quantizers: the published single codebook and a residual one whose codebooks stay alive.

`PublishedQuantizer` follows EMAGE / Language of Motion (`tools/emage_quantizer.py`: no moving
averages, no reset). `EMAResidualQuantizer` follows van den Oord et al. 2017 (appendix A.1, moving
averages), Zeghidour et al. 2021 (SoundStream: residual levels, k-means start, dead-code reset).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

RESTART_AT = (0, 10, 40)
"""Training batches on which the residual codebooks (re)start from k-means."""


@dataclass(frozen=True)
class Quantized:
    """Result of one quantization.

    Attributes:
        values: Quantized vectors with the straight-through gradient, (B, T, C).
        codes: Indices per level, (B, T, Q), int64.
        loss: Codebook and commitment loss, ().
        perplexity: exp(entropy) of code use in this batch per level, (Q,).
    """

    values: Tensor
    codes: Tensor
    loss: Tensor
    perplexity: Tensor


def code_perplexity(codes: Tensor, codebook_size: int) -> Tensor:
    """Effective number of codes in use, exp(-sum p log(p + 1e-10)).

    Args:
        codes: Indices, any shape, int64.
        codebook_size: Entries of the codebook.

    Returns:
        Perplexity, (), between 1 and `codebook_size`.
    """
    counts = torch.bincount(codes.flatten(), minlength=codebook_size).float()
    share = counts / counts.sum().clamp_min(1.0)
    return torch.exp(-(share * torch.log(share + 1e-10)).sum())


def nearest_codes(vectors: Tensor, codebook: Tensor) -> Tensor:
    """Index of the nearest codebook entry in Euclidean distance (first one on a tie).

    Args:
        vectors: (N, C).
        codebook: (K, C).

    Returns:
        Indices, (N,), int64.
    """
    # |v|^2 is the same for every entry and left out.
    scores = torch.addmm(codebook.square().sum(1), vectors, codebook.t(), alpha=-2.0)
    return scores.argmin(1)


class PublishedQuantizer(nn.Module):
    """One codebook trained by gradient, as in the published weights (spec 2.4).

    Args:
        codebook_size: Entries (K).
        dim: Size of an entry (C).
        beta: Weight of the commitment term; 1 in every released configuration.
    """

    def __init__(self, codebook_size: int, dim: int, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = beta
        self.embedding = nn.Embedding(codebook_size, dim)
        nn.init.uniform_(self.embedding.weight, -1.0 / codebook_size, 1.0 / codebook_size)

    def codes(self, latents: Tensor) -> Tensor:
        """Nearest codes of latents (B, T, C) as (B, T, 1)."""
        flat = latents.reshape(-1, latents.shape[-1])
        return nearest_codes(flat, self.embedding.weight).reshape(*latents.shape[:2], 1)

    def lookup(self, codes: Tensor) -> Tensor:
        """Vectors (B, T, C) of codes (B, T, 1)."""
        return self.embedding(codes[..., 0])

    def forward(self, latents: Tensor) -> Quantized:
        """Quantize latents (B, T, C)."""
        codes = self.codes(latents)
        chosen = self.lookup(codes)
        loss = functional.mse_loss(chosen, latents.detach()) + self.beta * functional.mse_loss(
            latents, chosen.detach()
        )
        values = latents + (chosen - latents).detach()
        perplexity = code_perplexity(codes, self.embedding.num_embeddings)[None]
        return Quantized(values, codes, loss, perplexity)


class EMAResidualQuantizer(nn.Module):
    """Residual codebooks kept by moving averages; everything lives in buffers, so training resumes.

    Args:
        codebook_size: Entries per level (K).
        dim: Size of an entry (C).
        num_quantizers: Levels (Q).
        decay: Decay of the moving averages.
        reset_below: A code whose average use per batch falls below this is replaced by a vector
            drawn from the current batch.
        level_dropout: Share of training sequences that are rebuilt from fewer than Q levels, so
            that the first levels carry the motion and later ones only refine it.
    """

    codebooks: Tensor
    cluster_size: Tensor
    cluster_sum: Tensor
    num_updates: Tensor

    def __init__(
        self,
        codebook_size: int,
        dim: int,
        num_quantizers: int = 1,
        *,
        decay: float = 0.99,
        reset_below: float = 0.3,
        level_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.codebook_size = codebook_size
        self.num_quantizers = num_quantizers
        self.decay = decay
        self.reset_below = reset_below
        self.level_dropout = level_dropout
        shape = (num_quantizers, codebook_size, dim)
        self.register_buffer("codebooks", torch.zeros(shape))
        self.register_buffer("cluster_size", torch.ones(shape[:2]))
        self.register_buffer("cluster_sum", torch.zeros(shape))
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.long))

    def codes(self, latents: Tensor) -> Tensor:
        """Nearest codes of latents (B, T, C), level by level, as (B, T, Q)."""
        residual = latents.reshape(-1, latents.shape[-1])
        levels: list[Tensor] = []
        for book in self.codebooks:
            levels.append(nearest_codes(residual, book))
            residual = residual - book[levels[-1]]
        return torch.stack(levels, 1).reshape(*latents.shape[:2], self.num_quantizers)

    def lookup(self, codes: Tensor) -> Tensor:
        """Sum of the levels' vectors, (B, T, C), of codes (B, T, Q')  with Q' <= Q levels."""
        # One gather over the stacked books: level q, code k -> row q * K + k.
        levels = codes.shape[-1]
        offsets = torch.arange(levels, device=codes.device) * self.codebook_size
        rows = functional.embedding(codes + offsets, self.codebooks.flatten(0, 1))
        return rows.sum(-2)

    def forward(self, latents: Tensor) -> Quantized:
        """Quantize latents (B, T, C); in training mode also update the codebooks."""
        batch, steps, dim = latents.shape
        flat = latents.reshape(-1, dim)
        if self.training:
            self._before_update(flat.detach())
        residual = flat.detach()
        total = torch.zeros_like(residual)
        kept = self._kept_levels(batch, steps, latents.device)
        codes: list[Tensor] = []
        losses: list[Tensor] = []
        perplexity: list[Tensor] = []
        for level in range(self.num_quantizers):
            code = nearest_codes(residual, self.codebooks[level])
            chosen = self.codebooks[level][code]
            losses.append(functional.mse_loss(flat - (flat.detach() - residual), chosen))
            perplexity.append(code_perplexity(code, self.codebook_size))
            codes.append(code)
            total = total + (chosen if kept is None else chosen * (kept > level)[:, None])
            if self.training:
                self._update(level, residual, code)
            residual = residual - chosen
        values = flat + (total - flat).detach()
        return Quantized(
            values.reshape(batch, steps, dim),
            torch.stack(codes, 1).reshape(batch, steps, self.num_quantizers),
            torch.stack(losses).mean(),
            torch.stack(perplexity),
        )

    def _kept_levels(self, batch: int, steps: int, device: torch.device) -> Tensor | None:
        """Levels kept for each vector, (B * T,), or None for all of them."""
        if not self.training or self.level_dropout == 0.0 or self.num_quantizers == 1:
            return None
        fewer = torch.randint(1, self.num_quantizers, (batch,), device=device)
        drop = torch.rand(batch, device=device) < self.level_dropout
        return torch.where(drop, fewer, self.num_quantizers).repeat_interleave(steps)

    def _before_update(self, vectors: Tensor) -> None:
        """Count the batch; start again from k-means while the encoder is still finding its scale."""
        if int(self.num_updates) in RESTART_AT:
            self._initialise(vectors)
        self.num_updates += 1

    @torch.no_grad()
    def _initialise(self, vectors: Tensor, iterations: int = 10) -> None:
        """Start every level from k-means of the first batch's residuals."""
        residual = vectors
        for level in range(self.num_quantizers):
            picks = torch.randperm(len(residual), device=residual.device)[: self.codebook_size]
            book = residual[picks]
            if len(book) < self.codebook_size:  # A first batch smaller than the codebook.
                extra = torch.randint(len(book), (self.codebook_size - len(book),), device=book.device)
                spread = residual.std(0, unbiased=False).clamp_min(1e-4) * 0.1
                book = torch.cat([book, book[extra] + spread * torch.randn_like(book[extra])])
            counts = torch.ones(self.codebook_size, device=book.device)
            for _ in range(iterations):
                code = nearest_codes(residual, book)
                counts, sums = self._cluster(residual, code)
                book = torch.where((counts > 0)[:, None], sums / counts.clamp_min(1.0)[:, None], book)
            self.codebooks[level] = book
            self.cluster_size[level] = counts
            self.cluster_sum[level] = book * counts[:, None]
            residual = residual - book[nearest_codes(residual, book)]

    def _cluster(self, vectors: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        """Count (K,) and sum (K, C) of the vectors each code received."""
        counts = torch.bincount(code, minlength=self.codebook_size).to(vectors.dtype)
        sums = torch.zeros(self.codebook_size, vectors.shape[1], dtype=vectors.dtype, device=vectors.device)
        return counts, sums.index_add_(0, code, vectors)

    @torch.no_grad()
    def _update(self, level: int, vectors: Tensor, code: Tensor) -> None:
        """Move one level's averages towards this batch and replace its dead codes."""
        counts, sums = self._cluster(vectors, code)
        # A young average follows fast: the encoder's scale changes most in the first batches.
        updates = int(self.num_updates)
        decay = min(self.decay, (1.0 + updates) / (10.0 + updates))
        size = self.cluster_size[level].lerp_(counts, 1.0 - decay)
        total = self.cluster_sum[level].lerp_(sums, 1.0 - decay)
        dead = (size < self.reset_below).nonzero()[:, 0]
        if len(dead):
            picks = vectors[torch.randint(len(vectors), (len(dead),), device=vectors.device)]
            size[dead] = 1.0
            total[dead] = picks
        self.codebooks[level] = total / size.clamp_min(1e-5)[:, None]
