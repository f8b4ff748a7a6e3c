# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the files found make the four-part model, and what is missing for it (spec 2.5, 4.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from ..motion.published_features import Layout, layout_width
from ..specs import PARTS, Part
from ..tokenizers.config import PlainValue
from ..tokenizers.motion_vqvae import MotionVQVAEConfig
from .choice import WHERE_MOTION, WHERE_ROOT, MissingFilesError
from .files import Findings, FourPartModel, MotionNetwork
from .four_part import BODY_STRIDE, MOTION_FPS, NUM_CODES
from .qwen import HEAD, qwen_weights

FOUR_PART_HOME = "huggingface.co/JuzeZhang/LoM-a2m-4part"

NEEDS_LISTENER = (
    "This model does not listen to sounds itself: GLM-4-Voice's speech tokenizer, a program that is not part "
    "of Kinesics, must listen and write what it heard to a file, for `python -m engine generate "
    "--audio-codes FILE`. In Blender choose another model pack."
)
LEFT_OUT = (
    "The four-part model in this folder was left out, since each pack holds one version; put its files in a "
    "folder of their own and import that."
)
_WHERE_LANGUAGE = (
    "The four-part language model is missing; download qwen3-0.6B_4part.pt or qwen3-1.7B_4part.pt from "
    + FOUR_PART_HOME
    + " into the folder."
)
FOUR_PART_LAYOUTS = {
    Part.FACE: Layout.FACE_112,
    Part.HANDS: Layout.HANDS_180,
    Part.UPPER: Layout.UPPER_78,
    Part.LOWER: Layout.LOWER_54,
}
"""Channels that the release's tokenizers read."""

_FILES = {part: "lom_vq_ds/lom_vq.ckpt" for part in PARTS} | {Part.FACE: "face/face_lom.ckpt"}


@dataclass(frozen=True)
class FourPartFiles:
    """The files of the four-part model.

    Attributes:
        motion: Network of each part.
        root: The network for the root's velocity.
        language: The language model.
    """

    motion: dict[Part, MotionNetwork]
    root: MotionNetwork
    language: FourPartModel

    @property
    def motion_configs(self) -> list[MotionVQVAEConfig]:
        """Sizes of all motion networks."""
        return [network.config for network in (*self.motion.values(), self.root)]

    @property
    def sources(self) -> tuple[str, ...]:
        """Which file gave what; names only, no places."""
        motion = sorted({network.weights.path.name for network in self.motion.values()})
        return (
            f"motion networks: {', '.join(motion)}",
            f"path over the floor: {self.root.weights.path.name}",
            f"language model: {self.language.weights.path.name}",
        )

    def language_tensors(self) -> dict[str, Tensor]:
        """Weights of the language model; its own output head only where there is one."""
        weights, words = self.language.weights, self.language.words
        return qwen_weights(self.language.config, words.base, HEAD in weights.names, weights.read)

    def info(self, tied: bool) -> dict[str, object]:
        """What `pack.toml` says of the model; `tied` says that its output head is the table of words."""
        config, words = self.language.config, self.language.words
        networks: dict[str, dict[str, PlainValue]] = {
            part.value: replace(network.config, frame_fps=float(MOTION_FPS)).to_dict()
            for part, network in self.motion.items()
        }
        networks["root"] = replace(self.root.config, frame_fps=float(MOTION_FPS)).to_dict()
        return {
            "rates": {
                "motion_fps": MOTION_FPS,
                "code_steps_per_s": MOTION_FPS / BODY_STRIDE,
                "audio_steps_per_s": 12.5,
            },
            "vocabulary": words.to_dict(),
            "tokenizers": networks,
            "language_model": replace(config, num_rows=config.num_rows - words.base, tied=tied).to_dict(),
        }


def choose_motion(findings: Findings) -> tuple[dict[Part, MotionNetwork], list[str]]:
    """The release's tokenizers among what was found, and a sentence for each file that is missing."""
    motion: dict[Part, MotionNetwork] = {}
    for part, layout in FOUR_PART_LAYOUTS.items():
        stride = 1 if part is Part.FACE else BODY_STRIDE
        for network in findings.motion:
            sizes = network.config.stride, network.config.feature_dim, network.config.codebook_size
            if network.part is part and sizes == (stride, layout_width(layout), NUM_CODES[part]):
                motion.setdefault(part, network)
    missing: list[str] = []
    for file in dict.fromkeys(_FILES.values()):
        if lost := [part.value for part in PARTS if part not in motion and _FILES[part] == file]:
            missing.append(WHERE_MOTION.format(parts=", ".join(lost), file=file))
    return motion, missing


def choose_four_part(findings: Findings) -> FourPartFiles:
    """Choose the files of the four-part model.

    Raises:
        MissingFilesError: If something is missing; it says what and where it comes from.
    """
    motion, missing = choose_motion(findings)
    homes = {network.weights.path for network in motion.values()}
    # The release has a root network of its own, for velocities in the pelvis' frame.
    roots = sorted(
        (network for network in findings.motion if network.part is None),
        key=lambda network: ("vibes" not in network.weights.path.name, network.weights.path in homes),
    )
    if not roots:
        missing.append(WHERE_ROOT)
    if not findings.four_part:
        missing.append(_WHERE_LANGUAGE)
    if missing:
        raise MissingFilesError("\n".join([*missing, *findings.refused]))
    return FourPartFiles(motion, roots[0], findings.four_part[0])
