# SPDX-License-Identifier: GPL-3.0-or-later
"""The one contract of motion and audio tokenizers: features in, flat codes out, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..errors import CodeRangeError

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class Tokenizer(Protocol):
    """What every tokenizer offers, whatever it turns into codes.

    Codes are step-major: the `num_quantizers` codes of step 0, then those of step 1, and so on, each
    in [0, codebook_size).
    """

    @property
    def frame_rate(self) -> float:
        """Code steps per second."""
        ...

    @property
    def stride(self) -> int:
        """Input frames per code step."""
        ...

    @property
    def codebook_size(self) -> int:
        """Entries of each codebook."""
        ...

    @property
    def num_quantizers(self) -> int:
        """Codes per step (Q)."""
        ...

    def encode(self, features: Tensor) -> Tensor:
        """Turn features (B, F, D) into codes (B, T * Q), int64."""
        ...


@runtime_checkable
class MotionTokenizer(Tokenizer, Protocol):
    """A tokenizer that can also rebuild the features of its part."""

    def decode(self, codes: Tensor) -> Tensor:
        """Turn codes (B, T * Q) into features (B, T * stride, D), float32."""
        ...


def split_levels(codes: Tensor, num_quantizers: int, codebook_size: int) -> Tensor:
    """Check flat codes and give each quantizer level its own column.

    Args:
        codes: Step-major codes, (B, T * Q), any integer type.
        num_quantizers: Codes per step (Q).
        codebook_size: Entries of each codebook.

    Returns:
        Codes (B, T, Q), int64.

    Raises:
        CodeRangeError: If the shape does not hold whole steps or a code is outside its codebook.
    """
    if codes.ndim != 2 or codes.shape[1] % num_quantizers:
        raise CodeRangeError(
            f"Codes of shape {tuple(codes.shape)} do not hold whole steps of {num_quantizers}; "
            "pass (batch, steps x levels)."
        )
    if codes.is_floating_point():
        raise CodeRangeError("Codes must be whole numbers; convert them to int64 first.")
    if codes.numel() and (int(codes.min()) < 0 or int(codes.max()) >= codebook_size):
        raise CodeRangeError(
            f"Codes must lie between 0 and {codebook_size - 1}, but range from "
            f"{int(codes.min())} to {int(codes.max())}; decode them with the pack that made them."
        )
    # (B, T * Q) -> (B, T, Q)
    return codes.long().reshape(codes.shape[0], -1, num_quantizers)
