# SPDX-License-Identifier: GPL-3.0-or-later
"""Lips and jaw from sound alone, or from phonemes where they are known.

The jaw follows loudness and the openness of the vowel (first formant), rounding and spreading the second
formant, closures the short dark dips of loudness inside speech, fricatives the place of their noise (Fant
1960; Stevens 1998; viseme groups after Fisher 1968; jaw and lips as the separate dimensions of Edwards et al.
2016, "JALI"). Mouth movement leads and follows sound by less than a tenth of a second (Chandrasekaran et al.
2009).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from ...audio.features import FEATURE_HZ, LOUDNESS, MEL, VOICING, mel_centres_hz
from ...motion.arrays import FloatArray
from .curves import Array, smooth
from .prosody import at_motion_rate

Phonemes = list[tuple[str, float, float]]
"""Phoneme (IPA or ARPAbet-like name of the viseme table), start and end in seconds."""


@dataclass(frozen=True)
class MouthShape:
    """Shape of the mouth at one rate; every field (N,), 0..1.

    Attributes:
        jaw: Opening of the jaw.
        pucker: Small round lips, as in "oo".
        funnel: Open round lips, as in "oh" and "sh".
        spread: Lips drawn wide, as in "ee".
        press: Lips pressed together, as in "m".
        tuck: Lower lip under the teeth, as in "f".
        teeth: Lips apart before closed teeth, as in "s".
    """

    jaw: Array
    pucker: Array
    funnel: Array
    spread: Array
    press: Array
    tuck: Array
    teeth: Array


def gated(mouth: MouthShape, speech: Array) -> MouthShape:
    """The same mouth, closed where there is no speech, however loud the room; `speech` is 0..1, (F,)."""
    open_share = np.clip(maximum_filter1d(speech, 5) * 1.6, 0.0, 1.0)
    return MouthShape(*(getattr(mouth, field.name) * open_share for field in fields(mouth)))


VISEMES: dict[str, tuple[float, ...]] = {
    #           jaw  pucker funnel spread press tuck teeth
    "silence": (0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00),
    "ah": (0.62, 0.00, 0.08, 0.10, 0.00, 0.00, 0.10),  # father, hut
    "ae": (0.52, 0.00, 0.00, 0.38, 0.00, 0.00, 0.25),  # cat
    "eh": (0.38, 0.00, 0.00, 0.32, 0.00, 0.00, 0.25),  # bed
    "ee": (0.17, 0.00, 0.00, 0.68, 0.00, 0.00, 0.35),  # see
    "ih": (0.24, 0.00, 0.00, 0.40, 0.00, 0.00, 0.25),  # sit
    "oh": (0.42, 0.20, 0.55, 0.00, 0.00, 0.00, 0.00),  # law, go
    "oo": (0.16, 0.75, 0.25, 0.00, 0.00, 0.00, 0.00),  # too, put
    "uh": (0.28, 0.05, 0.10, 0.05, 0.00, 0.00, 0.10),  # about
    "er": (0.24, 0.30, 0.32, 0.00, 0.00, 0.00, 0.10),  # bird, r
    "m": (0.04, 0.05, 0.00, 0.00, 1.00, 0.00, 0.00),  # m, b, p
    "f": (0.07, 0.00, 0.00, 0.08, 0.00, 1.00, 0.10),  # f, v
    "th": (0.14, 0.00, 0.00, 0.15, 0.00, 0.10, 0.40),  # th
    "s": (0.05, 0.00, 0.00, 0.42, 0.00, 0.00, 0.55),  # s, z
    "sh": (0.07, 0.20, 0.75, 0.00, 0.00, 0.00, 0.30),  # sh, ch, zh, j
    "t": (0.13, 0.00, 0.00, 0.18, 0.00, 0.00, 0.30),  # t, d, n
    "l": (0.22, 0.00, 0.00, 0.15, 0.00, 0.00, 0.20),  # l
    "k": (0.19, 0.00, 0.05, 0.08, 0.00, 0.00, 0.15),  # k, g, ng, h
    "w": (0.10, 0.90, 0.25, 0.00, 0.00, 0.00, 0.00),  # w
    "y": (0.13, 0.00, 0.00, 0.50, 0.00, 0.00, 0.25),  # y
}
"""Mouth shape of each viseme in the order of `MouthShape`'s fields."""

_MURMUR_HZ, _LOW_HZ, _MIDDLE_HZ, _HIGH_HZ = 420.0, 1000.0, 2600.0, 3000.0


def mouth_from_sound(features: FloatArray) -> MouthShape:
    """Read the mouth's shape off the sound, (F,) each at motion rate."""
    hz = mel_centres_hz()
    mel = features[:, MEL].astype(np.float64)  # (2F, 40)
    loud = np.clip(features[:, LOUDNESS].astype(np.float64), 0.0, 1.25)
    voicing = features[:, VOICING].astype(np.float64)
    power = 10.0 ** (np.clip(mel, -1.0, 1.5) * 3.0 - 3.0)  # the mel columns hold 30 dB per unit
    first = _centroid(power, hz, 220.0, 1050.0)
    second = _centroid(power * hz[None, :] ** 0.5, hz, 850.0, 2700.0)
    vowel = voicing * np.clip((loud - 0.35) / 0.35, 0.0, 1.0)
    openness = _placed(first, vowel, 0.8)
    front = _placed(second, vowel, 0.8)
    open01 = np.clip(0.5 + 0.42 * openness, 0.0, 1.0)
    noise, hiss, hush = _frication(power, hz, loud, voicing)
    closure = _closures(power, hz, loud, voicing)
    sound = np.clip((loud - 0.22) / 0.78, 0.0, 1.15)
    jaw = sound * (0.10 + 0.68 * open01**1.2) * (0.35 + 0.65 * voicing)
    jaw = jaw * (1.0 - 0.75 * closure) * (1.0 - 0.7 * noise) * np.clip((loud - 0.18) / 0.15, 0.0, 1.0)
    back = np.clip(-front - 0.15, 0.0, 1.6)
    pucker = vowel * np.clip(1.1 * back * (1.05 - 1.2 * open01), 0.0, 1.0)
    middle = np.exp(-(((open01 - 0.5) / 0.22) ** 2))
    funnel = np.maximum(vowel * np.clip(0.7 * back * middle, 0.0, 0.8), 0.75 * hush)
    spread = np.maximum(vowel * np.clip(front * (0.85 - 0.55 * open01), 0.0, 0.85), 0.42 * hiss)
    tuck = np.clip(noise - hiss - hush, 0.0, 1.0)
    teeth = np.clip(0.6 * hiss + 0.3 * hush + 0.25 * vowel * open01, 0.0, 1.0)
    shapes = (jaw, pucker, funnel, spread, closure, tuck, teeth)
    widths = (1.7, 2.4, 2.4, 2.2, 1.3, 1.6, 1.6)
    return MouthShape(*(at_motion_rate(smooth(f, w)) for f, w in zip(shapes, widths, strict=True)))


def mouth_from_phonemes(phonemes: Phonemes, features: FloatArray) -> MouthShape:
    """Shape the mouth from known phonemes; loudness scales the vowels' opening, (F,) each."""
    num = features.shape[0]
    loud = np.clip(features[:, LOUDNESS].astype(np.float64), 0.0, 1.2)
    track = np.zeros((num, 7))
    for name, start, end in phonemes:
        shape = np.array(VISEMES[name])
        lead = (
            0.03 if shape[4] > 0.5 or shape[1] > 0.5 or shape[5] > 0.5 else 0.0
        )  # lips take their place early
        first, last = round((start - lead) * FEATURE_HZ), round(end * FEATURE_HZ)
        track[max(first, 0) : max(last, first + 1)] = shape
    sound = np.clip((loud - 0.15) / 0.7, 0.0, 1.15)
    track[:, 0] *= np.where(track[:, 4] > 0.5, 1.0, 0.15 + 0.85 * sound)
    widths = (1.9, 3.0, 2.6, 2.6, 1.2, 1.5, 1.8)
    closed = smooth(track[:, 4], 1.2)
    out = [smooth(track[:, i], w) for i, w in enumerate(widths)]
    out[0] = out[0] * (1.0 - 0.7 * np.clip(closed, 0.0, 1.0))
    return MouthShape(*(at_motion_rate(values) for values in out))


def _centroid(power: Array, hz: Array, low: float, high: float) -> Array:
    """Log2 of the mean frequency of a band, (2F,)."""
    band = (hz >= low) & (hz <= high)
    weight = power[:, band] ** 0.7
    return (weight * np.log2(hz[band])).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-9)


def _placed(values: Array, weight: Array, deviation_gain: float) -> Array:
    """Place values against the speaker's own running mean and spread (+-3 s, weighted), about -2..2."""
    sigma = 1.5 * FEATURE_HZ
    total = smooth(weight, sigma) + 1e-3
    prior = 0.02
    mean = (smooth(values * weight, sigma) + prior * np.median(values)) / (total + prior)
    spread = np.sqrt((smooth((values - mean) ** 2 * weight, sigma) + prior * 0.04) / (total + prior))
    return np.clip((values - mean) / np.maximum(spread, 0.06) * deviation_gain, -2.0, 2.0)


def _frication(power: Array, hz: Array, loud: Array, voicing: Array) -> tuple[Array, Array, Array]:
    """Amounts of noise, of hiss (s) and of hush (sh), each 0..1, (2F,)."""
    high = power[:, hz >= _HIGH_HZ].sum(axis=1)
    low = power[:, hz < 1200.0].sum(axis=1)
    bright = np.log10((high + 1e-6) / (low + 1e-6))
    present = np.clip((loud - 0.12) / 0.2, 0.0, 1.0)
    noise = present * np.clip((bright + 0.15) / 0.8, 0.0, 1.0) * (1.0 - 0.5 * voicing)
    centre = _centroid(power, hz, 1700.0, 7600.0)
    sharp = np.clip((centre - np.log2(4300.0)) / 0.25 + 0.5, 0.0, 1.0)
    dull = np.clip((np.log2(4000.0) - centre) / 0.25 + 0.5, 0.0, 1.0)
    strong = np.clip((loud - 0.30) / 0.25, 0.0, 1.0)
    return noise, noise * sharp * strong, noise * dull * strong


def _closures(power: Array, hz: Array, loud: Array, voicing: Array) -> Array:
    """Closed lips: short dips of the vowel band with a dark spectrum, inside speech, 0..1, (2F,)."""
    band = (hz > _MURMUR_HZ) & (hz < _MIDDLE_HZ)
    vowel_db = smooth(10.0 * np.log10(power[:, band].sum(axis=1) + 1e-4), 0.8)
    reach = round(0.16 * FEATURE_HZ)
    before = np.roll(maximum_filter1d(vowel_db, reach), reach // 2 + 1)
    after = np.roll(maximum_filter1d(vowel_db, reach), -(reach // 2 + 1))
    before[: reach // 2 + 1], after[-(reach // 2 + 1) :] = vowel_db[0], vowel_db[-1]
    depth = np.minimum(before, after) - vowel_db
    dip = np.clip((depth - 8.0) / 7.0, 0.0, 1.0)
    bright = 10.0 * np.log10(power[:, hz > _HIGH_HZ].sum(axis=1) + 1e-5)
    near_bright = maximum_filter1d(bright, round(0.1 * FEATURE_HZ))
    loud_high = 10.0 * np.log10(power[:, hz > 60.0].sum(axis=1) + 1e-4)
    around = maximum_filter1d(loud_high, round(0.4 * FEATURE_HZ))
    dark = np.clip((around - near_bright - 11.0) / 8.0, 0.0, 1.0)
    shortest = minimum_filter1d(maximum_filter1d(loud, round(0.35 * FEATURE_HZ)), 3)
    inside = np.clip((shortest - 0.55) / 0.2, 0.0, 1.0)
    del voicing
    return np.clip(dip * dark * inside * 1.2, 0.0, 1.0)
