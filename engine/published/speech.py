# SPDX-License-Identifier: GPL-3.0-or-later
"""The speech model (HuBERT base): fairseq's and transformers' names, sizes from shapes, weights for the pack.

In the pack the weights have transformers' names, and the position convolution's weight is stored as the
product of its two factors (weight normalisation), which every version of that package can take.
Sources: fairseq `hubert.py` / `wav2vec2.py`, transformers `modeling_hubert.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from ..errors import PackError
from ..tokenizers.config import PlainValue, config_from_dict, config_to_dict
from ..tokenizers.hubert import CONV_KERNELS, HEAD_WIDTH, Hubert
from ..tokenizers.published import Shapes

MAX_LAYERS = 48
MAX_WIDTH = 8192

_FAIRSEQ_NAMES: tuple[tuple[str, str], ...] = (
    (r"feature_extractor\.conv_layers\.(\d+)\.0\.", r"feature_extractor.conv_layers.\1.conv."),
    (r"feature_extractor\.conv_layers\.(\d+)\.2\.(1\.)?", r"feature_extractor.conv_layers.\1.layer_norm."),
    (r"post_extract_proj\.", r"feature_projection.projection."),
    (r"layer_norm\.", r"feature_projection.layer_norm."),
    (r"encoder\.pos_conv\.0\.", r"encoder.pos_conv_embed.conv."),
    (r"encoder\.layers\.(\d+)\.self_attn\.", r"encoder.layers.\1.attention."),
    (r"encoder\.layers\.(\d+)\.self_attn_layer_norm\.", r"encoder.layers.\1.layer_norm."),
    (r"encoder\.layers\.(\d+)\.fc1\.", r"encoder.layers.\1.feed_forward.intermediate_dense."),
    (r"encoder\.layers\.(\d+)\.fc2\.", r"encoder.layers.\1.feed_forward.output_dense."),
    (r"encoder\.layer_norm\.", r"encoder.layer_norm."),
    (r"encoder\.layers\.(\d+)\.final_layer_norm\.", r"encoder.layers.\1.final_layer_norm."),
)
"""How fairseq's names begin, and what stands for it in transformers."""

_POSITION = "encoder.pos_conv_embed.conv."
_SCALE, _DIRECTION = _POSITION + "weight_g", _POSITION + "weight_v"
_PARAMETRIZED = {
    _POSITION + "parametrizations.weight.original0": _SCALE,
    _POSITION + "parametrizations.weight.original1": _DIRECTION,
}
"""Names of the position convolution's factors in newer torch."""


@dataclass(frozen=True)
class SpeechConfig:
    """Sizes of a HuBERT with the convolutions of the base model.

    Attributes:
        conv_width: Channels of the convolutions.
        hidden_size: Width of the transformer.
        num_layers: Its layers.
        feed_forward: Width of its feed-forward layers.
        position_kernel: Steps the position convolution sees.
        position_groups: Its groups.
    """

    conv_width: int = 512
    hidden_size: int = 768
    num_layers: int = 12
    feed_forward: int = 3072
    position_kernel: int = 128
    position_groups: int = 16

    def __post_init__(self) -> None:
        sizes = self.conv_width, self.hidden_size, self.feed_forward, self.position_kernel
        if min(*sizes, self.num_layers, self.position_groups) < 1 or max(sizes) > MAX_WIDTH:
            raise ValueError("sizes out of range")
        if self.hidden_size % HEAD_WIDTH or self.hidden_size % self.position_groups:
            raise ValueError(f"the width must be a multiple of {HEAD_WIDTH} and of the groups")
        if self.num_layers > MAX_LAYERS:
            raise ValueError(f"more than {MAX_LAYERS} layers")

    def to_dict(self) -> dict[str, PlainValue]:
        """Plain values for `pack.toml`."""
        return config_to_dict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> SpeechConfig:
        """Read what `to_dict` wrote; raises `PackError`."""
        return config_from_dict(cls, values, "the speech model")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all weights in the pack."""
        wide, conv, hidden = self.hidden_size, self.conv_width, self.feed_forward
        shapes: dict[str, tuple[int, ...]] = {}
        for index, kernel in enumerate(CONV_KERNELS):
            shapes[f"feature_extractor.conv_layers.{index}.conv.weight"] = (
                conv,
                conv if index else 1,
                kernel,
            )
        _with_bias(shapes, "feature_extractor.conv_layers.0.layer_norm", conv)
        _with_bias(shapes, "feature_projection.layer_norm", conv)
        _with_bias(shapes, "feature_projection.projection", wide, conv)
        _with_bias(shapes, _POSITION[:-1], wide, wide // self.position_groups, self.position_kernel)
        _with_bias(shapes, "encoder.layer_norm", wide)
        for index in range(self.num_layers):
            layer = f"encoder.layers.{index}."
            for name in "qkv":
                _with_bias(shapes, f"{layer}attention.{name}_proj", wide, wide)
            _with_bias(shapes, f"{layer}attention.out_proj", wide, wide)
            _with_bias(shapes, f"{layer}layer_norm", wide)
            _with_bias(shapes, f"{layer}feed_forward.intermediate_dense", hidden, wide)
            _with_bias(shapes, f"{layer}feed_forward.output_dense", wide, hidden)
            _with_bias(shapes, f"{layer}final_layer_norm", wide)
        return shapes


def _with_bias(shapes: dict[str, tuple[int, ...]], name: str, *shape: int) -> None:
    shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]


def speech_names(names: Iterable[str]) -> dict[str, str]:
    """Which of a file's names belong to HuBERT.

    Args:
        names: All names in the file, in fairseq's layout or in transformers' (with or without `hubert.`).

    Returns:
        The name in transformers' layout -> the file's name; empty if the file holds no HuBERT. The
        position convolution's two factors are `..weight_g` and `..weight_v`.
    """
    held = list(names)
    if "post_extract_proj.weight" in held:
        pairs = ((_from_fairseq(name), name) for name in held)
        return {mine: name for mine, name in pairs if mine}
    for prefix in ("", "hubert."):
        if f"{prefix}feature_projection.projection.weight" in held:
            found = {name.removeprefix(prefix): name for name in held if name.startswith(prefix)}
            return {_PARAMETRIZED.get(mine, mine): name for mine, name in found.items()}
    return {}


def _from_fairseq(name: str) -> str | None:
    """The transformers name of a fairseq weight, or None for those only training needs."""
    for pattern, mine in _FAIRSEQ_NAMES:
        if match := re.match(pattern, name):
            return match.expand(mine) + name[match.end() :]
    return None


def recognise_speech(shapes: Shapes, file_name: str) -> SpeechConfig:
    """Sizes of the network, and that every weight is there.

    Args:
        shapes: Shapes under transformers' names, from `speech_names`; others are passed over.
        file_name: For messages.

    Raises:
        PackError: If a weight is missing or has another shape.
    """
    try:
        wide, conv = shapes["feature_projection.projection.weight"]
        _, per_group, kernel = shapes[_DIRECTION]
        config = SpeechConfig(
            conv_width=conv,
            hidden_size=wide,
            num_layers=sum(
                1 for name in shapes if re.fullmatch(r"encoder\.layers\.\d+\.layer_norm\.bias", name)
            ),
            feed_forward=shapes["encoder.layers.0.feed_forward.intermediate_dense.bias"][0],
            position_kernel=kernel,
            position_groups=wide // per_group,
        )
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as problem:
        raise _unknown(file_name, str(problem)) from problem
    wanted = config.shapes()
    del wanted[_POSITION + "weight"]
    wanted |= {_SCALE: (1, 1, kernel), _DIRECTION: (wide, per_group, kernel)}
    if odd := sorted(name for name, shape in wanted.items() if shapes.get(name) != shape):
        raise _unknown(file_name, odd[0])
    # The large models normalise every convolution and put their norms elsewhere.
    if "feature_extractor.conv_layers.1.layer_norm.weight" in shapes:
        raise _unknown(file_name, "another kind of HuBERT")
    return config


def _unknown(file_name: str, first: str) -> PackError:
    return PackError(
        f"The file {file_name} does not hold a whole HuBERT base model (first difference {first}); "
        "download it again."
    )


def speech_weights(
    config: SpeechConfig, read: Callable[[list[str]], Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """Weights as the pack holds them.

    Args:
        config: From `recognise_speech`.
        read: Reads weights by transformers' names.

    Returns:
        Exactly the tensors of `config.shapes()`, float32.
    """
    stored = [name for name in config.shapes() if name != _POSITION + "weight"]
    held = read([*stored, _SCALE, _DIRECTION])
    weights = {name: held[name].float() for name in stored}
    direction, scale = held[_DIRECTION].float(), held[_SCALE].float()
    # one length for each step of the kernel
    length = torch.linalg.vector_norm(direction, dim=(0, 1), keepdim=True)
    weights[_POSITION + "weight"] = direction * (scale / length)
    return weights


def lent_layers(model: Hubert, read: Callable[[int], Mapping[str, Tensor]]) -> Generator[torch.nn.Module]:
    """The layers of the transformer, each in memory only while it works.

    Args:
        model: The network, its layers without memory.
        read: Gives a layer's weights by its number.
    """
    for index, layer in enumerate(model.get_submodule("encoder.layers").children()):
        layer.load_state_dict(dict(read(index)), assign=True)
        try:
            yield layer.requires_grad_(False)
        finally:
            layer.to("meta")


def build_speech(config: SpeechConfig) -> Hubert:
    """The network whose weights are those of `config.shapes()`, in evaluation mode."""
    return Hubert(**asdict(config)).eval()
