# SPDX-License-Identifier: GPL-3.0-or-later
"""Who performs, and in what mood: ten seeds look like ten people, eight emotions like eight moods.

How emotion shows in the body follows Wallbott (1998), "Bodily expression of emotion": anger and happiness
with large, fast movement, sadness with collapsed posture and little movement, fear and disgust drawn back,
contempt with the head raised. In the face it follows the prototypes of the Facial Action Coding System
(Ekman, Friesen and Hager 2002), written with ARKit's channels. Blinks come every 2 to 6 s, oftener in
conversation than at rest (Bentivoglio et al. 1997: 17 a minute at rest, 26 in conversation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...specs import EMOTIONS

RESTS = ("sides", "sides", "belly", "clasped", "ready", "mixed")
"""Where the hands rest; hands at the sides twice as often as each other place."""


@dataclass(frozen=True)
class Mood:
    """What an emotion changes.

    Attributes:
        size: Factor on the size of gestures.
        rate: Factor on how many phrases carry gestures.
        tempo: Factor on the speed of strokes and retractions.
        lean: Forward lean of the trunk, radians.
        slump: Rounding of the upper back and sinking of the shoulders, radians.
        chin: Lowering of the face, radians.
        tilt: Sideways tilt of the head, radians.
        tension: Curl of the fingers added, 0..1.
        gaze_down: Share of gaze shifts that go down.
        brows: Factor on brow movement with accents.
        face: Channels held, at full strength of the emotion.
    """

    size: float = 1.0
    rate: float = 1.0
    tempo: float = 1.0
    lean: float = 0.0
    slump: float = 0.0
    chin: float = 0.0
    tilt: float = 0.0
    tension: float = 0.0
    gaze_down: float = 0.25
    brows: float = 1.0
    face: tuple[tuple[str, float], ...] = ()


MOODS: dict[str, Mood] = {
    "neutral": Mood(),
    "happiness": Mood(
        1.2, 1.15, 1.1, 0.01, -0.05, -0.04, 0.03, -0.1, 0.1, 1.3,
        (("mouthSmile", 0.48), ("cheekSquint", 0.32), ("eyeSquint", 0.14), ("browOuterUp", 0.08),
         ("mouthDimple", 0.1)),
    ),
    "anger": Mood(
        1.2, 1.2, 1.35, 0.09, -0.03, 0.07, 0.0, 0.5, 0.05, 0.5,
        (("browDown", 0.62), ("eyeSquint", 0.3), ("noseSneer", 0.24), ("mouthFrown", 0.14),
         ("jawForward", 0.14), ("mouthPress", 0.14), ("mouthUpperUp", 0.08)),
    ),
    "sadness": Mood(
        0.6, 0.55, 0.7, 0.05, 0.16, 0.16, 0.05, 0.05, 0.6, 0.6,
        (("browInnerUp", 0.52), ("mouthFrown", 0.4), ("mouthShrugLower", 0.2), ("eyeBlink", 0.14),
         ("eyeSquint", 0.08)),
    ),
    "contempt": Mood(
        0.85, 0.8, 0.9, -0.04, -0.06, -0.13, 0.07, 0.1, 0.15, 0.7,
        (("mouthSmileLeft", 0.3), ("mouthDimpleLeft", 0.4), ("eyeSquint", 0.24), ("browOuterUpLeft", 0.22),
         ("browDownRight", 0.16), ("mouthUpperUpLeft", 0.1), ("eyeBlink", 0.07)),
    ),
    "surprise": Mood(
        1.15, 1.05, 1.15, -0.05, -0.04, -0.06, 0.0, -0.2, 0.05, 1.6,
        (("browInnerUp", 0.5), ("browOuterUp", 0.55), ("eyeWide", 0.5)),
    ),
    "fear": Mood(
        0.7, 0.8, 1.2, -0.07, 0.08, 0.03, 0.02, 0.35, 0.3, 1.0,
        (("browInnerUp", 0.6), ("browOuterUp", 0.22), ("browDown", 0.12), ("eyeWide", 0.42),
         ("mouthStretch", 0.24), ("mouthFrown", 0.1)),
    ),
    "disgust": Mood(
        0.85, 0.8, 0.95, -0.07, 0.05, 0.03, 0.05, 0.2, 0.25, 0.7,
        (("noseSneer", 0.52), ("mouthUpperUp", 0.26), ("browDown", 0.34), ("cheekSquint", 0.3),
         ("eyeSquint", 0.2), ("mouthFrown", 0.2)),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Style:
    """One person's habits, drawn from a seed, and the mood they are in.

    Attributes:
        emotion: One of `EMOTIONS`.
        mood: What the emotion changes.
        intensity: How much of it, 0..1.
        right_handed: Share of one-handed gestures made by the right hand.
        two_handed: Share of gestures made by both hands.
        size: Size of gestures, mood included.
        rate: Share of phrases with gestures, mood included.
        tempo: Speed of movements, mood included.
        beat_interval_s: Least time between gesture strokes.
        rest: Where the hands rest.
        spread: How far outward the hands work, in arm lengths.
        height: How high the hands work, in arm lengths.
        reach: How far forward the hands work, in arm lengths.
        elbow: Elbows out (positive) or close, radians of swivel.
        gestures: Liking for each gesture of the library, any positive numbers.
        lean, slump, turn, chin, tilt: Posture, radians, mood included.
        head: Size of head movements.
        nod: Share of accents with a nod.
        sway: Size of slow trunk movement.
        breath_s: Breathing period, seconds.
        blink_s: Mean time between blinks, seconds.
        brows: Size of brow movements, mood included.
        mouth: How widely the mouth moves.
        one_sided: Left minus right difference of the mouth and brows, -1..1.
        fingers: Habitual curl of the fingers.
        stance: Distance between the feet, metres.
        toe_out: Outward turn of the feet, radians.
        weight_s: Mean time between weight shifts, seconds.
        steps: Whether the feet are shifted now and then.
    """

    emotion: str
    mood: Mood
    intensity: float
    right_handed: float
    two_handed: float
    size: float
    rate: float
    tempo: float
    beat_interval_s: float
    rest: str
    spread: float
    height: float
    reach: float
    elbow: float
    gestures: tuple[float, ...]
    lean: float
    slump: float
    turn: float
    chin: float
    tilt: float
    head: float
    nod: float
    sway: float
    breath_s: float
    blink_s: float
    brows: float
    mouth: float
    one_sided: float
    fingers: float
    stance: float
    toe_out: float
    weight_s: float
    steps: bool


def draw_style(rng: np.random.Generator, emotion: str, num_gestures: int) -> Style:
    """Draw a person from a random generator and put them in a mood.

    Args:
        rng: Source of chance; the same state gives the same person.
        emotion: One of `EMOTIONS`.
        num_gestures: Entries of the gesture library.

    Returns:
        The person's habits.
    """
    if emotion not in EMOTIONS:
        raise ValueError(f"Unknown emotion '{emotion}'; use one of {', '.join(EMOTIONS)}.")
    mood = MOODS[emotion]
    amount = float(rng.uniform(0.6, 1.0))

    def scaled(factor: float) -> float:
        return 1.0 + (factor - 1.0) * amount

    def normal(mean: float, deviation: float) -> float:
        return mean + deviation * float(np.clip(rng.standard_normal(), -2.0, 2.0))

    return Style(
        emotion=emotion,
        mood=mood,
        intensity=amount,
        right_handed=0.8 if rng.random() < 0.8 else 0.2,
        two_handed=float(rng.uniform(0.2, 0.75)),
        size=float(rng.uniform(0.75, 1.35)) * scaled(mood.size),
        rate=float(np.clip(rng.uniform(0.6, 1.0) * scaled(mood.rate), 0.2, 1.0)),
        tempo=float(rng.uniform(0.85, 1.2)) * scaled(mood.tempo),
        beat_interval_s=float(rng.uniform(0.42, 0.8)) / scaled(mood.tempo),
        rest=str(rng.choice(RESTS)),
        spread=normal(0.0, 0.08),
        height=normal(0.0, 0.07),
        reach=normal(0.0, 0.05),
        elbow=float(np.clip(normal(0.08, 0.16), -0.05, 0.4)),
        gestures=tuple(float(x) for x in rng.dirichlet(np.full(num_gestures, 1.2))),
        lean=normal(0.0, 0.035) + mood.lean * amount,
        slump=normal(0.02, 0.04) + mood.slump * amount,
        turn=normal(0.0, 0.08),
        chin=normal(0.0, 0.05) + mood.chin * amount,
        tilt=normal(0.0, 0.035) + mood.tilt * amount * float(rng.choice((-1.0, 1.0))),
        head=float(rng.uniform(0.7, 1.4)),
        nod=float(rng.uniform(0.35, 0.9)),
        sway=float(rng.uniform(0.6, 1.5)),
        breath_s=float(rng.uniform(3.2, 5.0)) / scaled(mood.tempo) ** 0.5,
        blink_s=float(rng.uniform(2.4, 4.5)),
        brows=float(rng.uniform(0.5, 1.4)) * scaled(mood.brows),
        mouth=float(rng.uniform(0.85, 1.15)) * scaled(mood.size) ** 0.25,
        one_sided=normal(0.0, 0.25),
        fingers=normal(0.0, 0.12) + 0.25 * mood.tension * amount,
        stance=float(np.clip(normal(0.24, 0.045), 0.15, 0.36)),
        toe_out=float(np.clip(normal(0.17, 0.09), 0.0, 0.4)),
        weight_s=float(rng.uniform(4.0, 9.0)),
        steps=bool(rng.random() < 0.3),
    )
