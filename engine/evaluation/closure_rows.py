# SPDX-License-Identifier: GPL-3.0-or-later
"""Do the lips meet on m, b and p? Rows on synthesised speech, whose phonemes have known times.

Sentences and voices are none that anything was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..data.synthesis import SyntheticSpeech, speak_each
from ..motion.arkit import ARKIT_NAMES
from ..motion.arrays import DoubleArray
from ..motion.character_asset import CharacterAsset, load_character
from ..motion.clip import Clip
from ..specs import MOTION_FPS
from .held_out import Speech, next_ones, performed
from .report import Row
from .studio import Studio, speech_request

SENTENCES = (
    "A bumblebee climbed up the maple by the pond.",
    "My brother bought a cheap lamp from a shop in Bombay.",
    "Tom and Pam jumped over the puddle in the park.",
    "Perhaps a hamper of plum jam will cheer him up.",
    "The problem with bamboo is that it comes back.",
    "Bob grabbed the rope and climbed aboard the boat.",
    "Remember to keep your temper and be polite.",
    "Those empty boxes belong in the basement.",
    "Humble people seldom boast about themselves.",
    "Keep the map up until the camp is in sight.",
    "A small lamb slept beneath the apple tree.",
    "September came with pumpkins, berries and mushrooms.",
    "He mumbled something about a bad bargain.",
    "Sam put pepper and butter on the potatoes.",
    "The baby clapped and bubbled with happiness.",
    "Mum makes the best pea soup in Hampshire.",
)
VOICES = tuple(f"{language}+{variant}" for language in ("en-us", "en-gb") for variant in ("m2", "m5", "m6"))
"""Variants of espeak-ng's voices that `data.synthesis` does not train with."""

CLOSURE_TARGET = 0.7
CLOSED_MM = 1.0
"""Lips that are so near to each other in the middle are closed, millimetres; a jaw that speaks parts them by
5 mm in the mean."""

EARLY_S = 0.04
"""Lips may meet so long before the sound of it: a motion frame, and how late a phoneme counts as begun."""

MIDDLE_M = 0.012
"""Half of the width of the lips' middle, metres."""

CHARACTER = Path(__file__).parents[2] / "assets" / "character.npz"


def closure_rows(studio: Studio, character: Path = CHARACTER) -> list[Row]:
    """How many of the sounds m, b and p have the lips meet.

    Args:
        studio: Engine.
        character: The built character, on whose lips it is seen.

    Raises:
        ClipError: If the character is not built.
    """
    what = f"lips meet on m, b and p, synthesised speech, {len(SENTENCES)} unseen sentences"
    spoken = speak_each(SENTENCES, VOICES, seed=0)
    if not spoken:
        return [Row("lips", what, "not measured: espeak-ng is not installed")]
    gap = LipGap(load_character(character))
    sounds = [Speech(speech.name, speech.wave) for speech in spoken]
    requests = [speech_request(sound, seed) for seed, sound in enumerate(sounds)]
    made = [gap.of(clip) for clip in studio.clips(requests, "synthesised speech")]
    pairs = zip(sounds, spoken, strict=True)
    taught = [gap.of(performed(sound, n, speech.phonemes)) for n, (sound, speech) in enumerate(pairs)]
    met, count = _met(made, spoken)
    by_chance, _ = _met(next_ones(made), spoken)
    known, _ = _met(taught, spoken)
    share = met / count
    return [
        Row("lips", what, f"{met} of {count}", f">= {CLOSURE_TARGET:.0%}", share >= CLOSURE_TARGET, share),
        Row("lips", "- at the same moments of the next sentence", f"{by_chance} of {count}"),
        Row("lips", "- the performer, told the phonemes", f"{known} of {count}"),
        Row("lips", "- share of all frames with closed lips", _shares(made, taught)),
    ]


def _shares(made: Sequence[DoubleArray], taught: Sequence[DoubleArray]) -> str:
    own, performer = (float(np.mean(np.concatenate(gaps) <= CLOSED_MM)) for gaps in (made, taught))
    return f"{own:.2f}, performer {performer:.2f}"


class LipGap:
    """How far the lips of the default character are apart in the middle.

    Args:
        character: With its face shapes.
    """

    def __init__(self, character: CharacterAsset) -> None:
        border = np.intersect1d(character.vertices_of("Lips"), character.vertices_of("Mouth"))
        border = border[np.abs(character.vertices[border, 0]) < MIDDLE_M]
        up = {name: self._moved_up(character, name)[border] for name in ARKIT_NAMES}
        lower = up["jawOpen"] < up["jawOpen"].min() / 10.0
        heights = character.vertices[border, 1]
        self.rest_mm = 1000.0 * float(heights[~lower].mean() - heights[lower].mean())
        self.shapes_mm = {n: 1000.0 * float(v[~lower].mean() - v[lower].mean()) for n, v in up.items()}

    @staticmethod
    def _moved_up(character: CharacterAsset, name: str) -> DoubleArray:
        moved = np.zeros(len(character.vertices))
        rows, offsets = character.shapes[name]
        moved[rows] = offsets[:, 1]
        return moved

    def of(self, clip: Clip) -> DoubleArray:
        """Millimetres in every frame, (F,); below 0 where they are pressed together."""
        moved = np.array([self.shapes_mm[name] for name in clip.expression_names])
        return self.rest_mm + clip.expressions.astype(np.float64) @ moved


def _met(gaps: Sequence[DoubleArray], spoken: Sequence[SyntheticSpeech]) -> tuple[int, int]:
    """On how many m, b and p the lips meet, and how many of these sounds there are."""
    met = [
        bool(gap[max(int((start - EARLY_S) * MOTION_FPS), 0) : int(end * MOTION_FPS) + 1].min() <= CLOSED_MM)
        for gap, speech in zip(gaps, spoken, strict=True)
        for viseme, start, end in speech.phonemes
        if viseme == "m" and start * MOTION_FPS < len(gap)
    ]
    return sum(met), len(met)
