# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads published motion tokenizers: one Lightning file with every part, or EMAGE's file per part.

The architecture is told from names and shapes alone (spec 2.5 to 2.7); files are read by
`weights.torch_file`, which runs nothing in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from ..errors import PackError
from ..specs import PARTS, Part
from ..weights.sketching import sketching
from ..weights.torch_file import open_torch_file
from .motion_vqvae import Family, MotionVQVAE, MotionVQVAEConfig

PART_PREFIXES: dict[Part, tuple[str, ...]] = {
    Part.FACE: ("vae_face.",),
    Part.HANDS: ("vae_hands.", "vae_hand."),
    Part.UPPER: ("vae_upper.",),
    Part.LOWER: ("vae_lower.",),
}
"""Names a part's weights begin with; both spellings of the hands occur in published files."""

_VARIATIONAL = "fc_mu.weight"
"""A weight that only variational networks have (spec 2.3)."""

ROOT_PREFIX = "vae_global."
Shapes = Mapping[str, tuple[int, ...]]
"""Shape of each weight by name."""

_MAX_LAYERS = 6
_MAX_WIDTH = 8192
"""Channels; more than any published network has, and few enough to describe one."""

_CODEBOOK = "quantizer.embedding.weight"


@dataclass(frozen=True)
class PublishedTokenizers:
    """Everything of one published file.

    Attributes:
        parts: Tokenizer of each part that was asked for.
        root: Network that finds the root motion of lower body features.
    """

    parts: dict[Part, MotionVQVAE]
    root: MotionVQVAE


def load_published_tokenizers(path: Path) -> PublishedTokenizers:
    """Load the four tokenizers and the root network of a Lightning file.

    Other weights in the file (body models, losses, metrics) are ignored.

    Raises:
        PackError: If the file cannot be read, or a network is incomplete or of an unknown kind.
    """
    state = read_state_dict(path)
    parts = {
        part: build_tokenizer(_below(state, PART_PREFIXES[part], path.name), path.name, part)
        for part in PARTS
    }
    return PublishedTokenizers(parts, build_tokenizer(_below(state, (ROOT_PREFIX,), path.name), path.name))


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors of a published file by name, on the CPU.

    Accepts `{'state_dict': ...}` (Lightning) and `{'model_state': {'module.<name>': ...}}` (EMAGE).

    Raises:
        PackError: If it is missing, damaged, unsafe, or has another layout.
    """
    with open_torch_file(path) as file:
        if not file.tensors:
            raise PackError(f"The model file {path.name} has an unknown layout; choose a published file.")
        return file.read(file.tensors)


def recognise_tokenizer(shapes: Shapes, file_name: str, part: Part | None = None) -> MotionVQVAEConfig:
    """Tell the network by the names and shapes of its weights alone.

    Args:
        shapes: Shape of each weight, named without part.
        file_name: For messages.
        part: Part it belongs to, None for the root network.

    Raises:
        PackError: If no known architecture has exactly these weights.
    """
    if _VARIATIONAL in shapes:
        raise PackError(
            f"The model file {file_name} holds a variational network (VAEConv), which has no poses to choose "
            "from and is not imported; download lom_vq.ckpt or vq_emage_speaker_2.ckpt."
        )
    closest: tuple[int, str] | None = None
    for config in _candidates(shapes):
        wanted = tokenizer_shapes(config)
        odd = sorted(name for name in wanted.keys() | shapes.keys() if wanted.get(name) != shapes.get(name))
        if not odd:
            return config
        if closest is None or len(odd) < closest[0]:
            closest = len(odd), odd[0]
    whose = f"the {part.value}" if part else "the root motion"
    detail = f", first difference {closest[1]}" if closest else ""
    raise PackError(
        f"The model file {file_name} does not hold a known network for {whose}{detail}; download it again."
    )


@lru_cache(maxsize=64)
def tokenizer_shapes(config: MotionVQVAEConfig) -> Shapes:
    """Names and shapes of a network's weights."""
    with sketching():
        return {name: tuple(t.shape) for name, t in MotionVQVAE(config).state_dict().items()}


def build_tokenizer(state: Mapping[str, Tensor], file_name: str, part: Part | None = None) -> MotionVQVAE:
    """Build the network whose names and shapes are those of `state`, and fill it.

    Args:
        state: Weights, named without part.
        file_name: For messages.
        part: Part it belongs to, None for the root network.

    Raises:
        PackError: If no known architecture has exactly these weights.
    """
    config = recognise_tokenizer({name: tuple(t.shape) for name, t in state.items()}, file_name, part)
    model = MotionVQVAE(config, part)
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    return model.eval()


def _candidates(shapes: Shapes) -> Iterator[MotionVQVAEConfig]:
    """Every configuration whose sizes are those of the first convolution and the codebook."""
    first = shapes.get("encoder.main.0.weight", ())
    codebook = shapes.get(_CODEBOOK)
    if len(first) != 3 or codebook == () or not all(0 < size <= _MAX_WIDTH for size in first):
        return
    width, feature_dim, _ = first
    families = [f for f in Family if f not in (Family.STARTER, Family.CONV_PLAIN)]
    for family in families if codebook else [Family.CONV_PLAIN]:
        for layers in range(1, 3 if family is Family.DSUS else _MAX_LAYERS + 1):
            yield MotionVQVAEConfig(
                family, feature_dim, width, codebook[0] if codebook else 1, layers, code_dim=width
            )


def _below(state: Mapping[str, Tensor], prefixes: tuple[str, ...], file_name: str) -> dict[str, Tensor]:
    """Weights under the first of some prefixes that occurs, without it."""
    for prefix in prefixes:
        if found := {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}:
            return found
    raise PackError(
        f"The model file {file_name} has no weights named {prefixes[0]}*; choose the published file."
    )
