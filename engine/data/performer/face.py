# SPDX-License-Identifier: GPL-3.0-or-later
"""The 52 ARKit channels: lips, blinks, brows, gaze and the set of the face.

Blinks last 4 to 6 frames and cluster at phrase ends and gaze shifts (Cummins 2012; Evinger et al. 1994);
brows rise on pitch accents (Cavé et al. 1996; Swerts and Krahmer 2008). Values run from 0 to 1 as Apple's
`ARFaceAnchor` defines them.
"""

from __future__ import annotations

import numpy as np

from ...motion.arkit import ARKIT_INDEX, ARKIT_NAMES, PRESSED, channels_of
from ...motion.arrays import FloatArray
from ...specs import MOTION_FPS
from .body import UpperMotion
from .curves import Array, drift, frame_times, keyed, minimum_jerk, pulses, smooth
from .mouth import MouthShape
from .plan import Plan

LOOK_YAW_RANGE = np.radians(32.0)
LOOK_UP_RANGE = np.radians(24.0)
LOOK_DOWN_RANGE = np.radians(30.0)
"""Eye turns at which the eyeLook channels read 1."""


class _Face:
    """52 channels that add up; a name without side goes to both sides."""

    def __init__(self, num_frames: int, one_sided: float) -> None:
        self.values = np.zeros((num_frames, len(ARKIT_NAMES)))
        self.one_sided = one_sided

    def add(self, name: str, amount: Array | float) -> None:
        channels = channels_of(name)
        if len(channels) == 1:
            self.values[:, ARKIT_INDEX[name]] += amount
            return
        for channel, sign in zip(channels, (1.0, -1.0), strict=True):
            uneven = 1.0 + 0.12 * sign * self.one_sided if not name.startswith("eye") else 1.0
            self.values[:, ARKIT_INDEX[channel]] += np.asarray(amount) * uneven


def perform_face(plan: Plan, mouth: MouthShape, upper: UpperMotion, rng: np.random.Generator) -> FloatArray:
    """Animate the face.

    Args:
        plan: Who does what when.
        mouth: Shape of the mouth, (F,) fields.
        upper: The head, which takes part of each gaze shift.
        rng: Source of chance.

    Returns:
        Channels in ARKit's order, (F, 52), float32, 0..1.
    """
    num_frames = plan.prosody.num_frames
    times = frame_times(num_frames)
    face = _Face(num_frames, plan.style.one_sided)
    _lips(face, plan, mouth)
    _expression(face, plan, mouth, rng)
    _brows(face, plan, times, rng)
    look_down = _gaze(face, plan, upper, times, rng)
    _blinks(face, plan, look_down, times, rng)
    return np.clip(face.values, 0.0, 1.0).astype(np.float32)


def _lips(face: _Face, plan: Plan, mouth: MouthShape) -> None:
    size = plan.style.mouth
    press = np.clip(mouth.press, 0.0, 1.0)
    free = 1.0 - press
    jaw = np.clip(mouth.jaw * size, 0.0, 0.95)
    spread, pucker, funnel = (
        np.clip(v * size, 0.0, 1.0) * free for v in (mouth.spread, mouth.pucker, mouth.funnel)
    )
    tuck, teeth = mouth.tuck * free, mouth.teeth * free
    face.add("jawOpen", jaw)
    face.add("mouthClose", jaw * press)
    for name, amount in PRESSED.items():
        face.add(name, amount * press)
    face.add("mouthRollLower", 0.6 * tuck)
    face.add("mouthPucker", pucker)
    face.add("mouthFunnel", funnel)
    face.add("mouthStretch", 0.62 * spread)
    face.add("mouthSmile", 0.30 * spread)
    face.add("mouthDimple", 0.12 * spread)
    face.add("mouthLowerDown", 0.34 * teeth + 0.22 * jaw * free)
    face.add("mouthUpperUp", 0.20 * teeth + 0.10 * jaw * free + 0.10 * tuck)
    face.add("mouthShrugUpper", 0.06 * funnel)
    face.add("cheekSquint", 0.08 * spread)


def _expression(face: _Face, plan: Plan, mouth: MouthShape, rng: np.random.Generator) -> None:
    """The mood's channels, swelling and fading slowly, some of them only while the mouth is free."""
    style = plan.style
    num_frames = face.values.shape[0]
    swell = 0.85 + 0.22 * drift(rng, num_frames, 1, 3.5)[:, 0]
    amount = style.intensity * np.clip(swell, 0.4, 1.3)
    busy = np.clip(mouth.pucker + mouth.funnel + mouth.press, 0.0, 1.0)
    mirror = rng.random() < 0.5
    for name, value in style.mood.face:
        if mirror and ("Left" in name or "Right" in name):
            name = name.replace("Left", "*").replace("Right", "Left").replace("*", "Right")
        level = value * amount
        if name.startswith("mouth"):
            level = level * (1.0 - 0.6 * busy)
        face.add(name, level)
    quiet = 1.0 - smooth(plan.prosody.active, 3.0)
    idle = np.abs(drift(rng, num_frames, 3, 2.5))
    face.add("mouthPress", 0.05 * quiet * idle[:, 0])
    face.add("mouthLeft", 0.03 * np.clip(style.one_sided, 0.0, 1.0) * idle[:, 1])
    face.add("mouthRight", 0.03 * np.clip(-style.one_sided, 0.0, 1.0) * idle[:, 1])
    face.add("jawForward", 0.02 * idle[:, 2])


def _brows(face: _Face, plan: Plan, times: Array, rng: np.random.Generator) -> None:
    style = plan.style
    raised = np.where(rng.random(len(plan.accents)) < 0.45, plan.strengths, 0.0) * rng.uniform(
        0.5, 1.3, len(plan.accents)
    )
    lift = pulses(plan.accents - 0.03, raised, times, 0.16, 0.45)
    pitch = smooth(np.clip(plan.prosody.pitch, -0.4, 0.6), 3.0)
    level = style.brows * (0.34 * lift + 0.22 * np.clip(pitch, 0.0, 0.6))
    face.add("browOuterUp", level)
    face.add("browInnerUp", 0.75 * level)
    face.add("eyeWide", 0.18 * level)
    phrase = np.zeros_like(times)
    for start, end in plan.prosody.phrases:
        kind = rng.random()
        if kind > 0.45:
            continue
        span = keyed(
            np.array([start - 0.1, start + 0.3, max(end - 0.2, start + 0.5), max(end + 0.3, start + 1.0)]),
                     np.array([[0.0], [1.0], [1.0], [0.0]]), times)[:, 0]  # fmt: skip
        phrase += span * (0.22 if kind < 0.2 else -0.18) * rng.uniform(0.5, 1.2)
    face.add("browInnerUp", np.clip(phrase, 0.0, 1.0) * style.brows)
    face.add("browDown", np.clip(-phrase, 0.0, 1.0))
    face.add("eyeSquint", 0.4 * np.clip(-phrase, 0.0, 1.0))
    resting = 0.03 * np.abs(drift(rng, len(times), 1, 2.0)[:, 0])
    face.add("browInnerUp", resting)


def _gaze(face: _Face, plan: Plan, upper: UpperMotion, times: Array, rng: np.random.Generator) -> Array:
    """Both eyes on one target; returns how far they look down, (F,), 0..1."""
    starts, targets = plan.gaze_times, plan.gaze
    index = np.clip(np.searchsorted(starts, times, side="right") - 1, 0, None)
    before = targets[np.maximum(index - 1, 0)]
    share = minimum_jerk((times - starts[index]) / 0.075)[:, None]  # a saccade takes 30 to 80 ms
    point = before + (targets[index] - before) * share
    small = np.cumsum(rng.random(len(times)) < 0.9 / MOTION_FPS)
    jitter = rng.normal(0.0, 0.012, (int(small[-1]) + 1, 2))[small]
    # the eyes make up for what the head does
    yaw = point[:, 0] + jitter[:, 0] - upper.head_yaw
    pitch = point[:, 1] + jitter[:, 1] - 0.8 * upper.head_pitch
    left, right = np.clip(yaw, 0.0, None) / LOOK_YAW_RANGE, np.clip(-yaw, 0.0, None) / LOOK_YAW_RANGE
    face.add("eyeLookOutLeft", left)
    face.add("eyeLookInRight", left)
    face.add("eyeLookInLeft", right)
    face.add("eyeLookOutRight", right)
    down = np.clip(pitch, 0.0, None) / LOOK_DOWN_RANGE
    face.add("eyeLookDown", down)
    face.add("eyeLookUp", np.clip(-pitch, 0.0, None) / LOOK_UP_RANGE)
    return np.clip(down, 0.0, 1.0)


def _blinks(face: _Face, plan: Plan, look_down: Array, times: Array, rng: np.random.Generator) -> None:
    """Quick lid closures; the lids also follow the gaze down."""
    style = plan.style
    wished = [
        float(end) + float(rng.uniform(-0.05, 0.15)) for _, end in plan.prosody.phrases if rng.random() < 0.6
    ]
    large = np.linalg.norm(np.diff(plan.gaze, axis=0), axis=1) > 0.2
    wished += [float(t) for t in plan.gaze_times[1:][large] if rng.random() < 0.4]
    moments: list[float] = []
    clock = -float(rng.uniform(0.0, 2.0))
    while clock < times[-1] + 1.0:
        ahead = [t for t in wished if clock + 0.7 < t < clock + 2.0 * style.blink_s]
        clock = (
            min(ahead)
            if ahead and rng.random() < 0.8
            else clock + max(0.8, style.blink_s * float(rng.gamma(4.0, 0.25)))
        )
        moments.append(clock)
        if rng.random() < 0.08:
            moments.append(clock + 0.28)
    # snapped so that one frame has the lids shut
    snapped = (np.round(np.array(moments) * MOTION_FPS) + 0.5) / MOTION_FPS
    heights = rng.uniform(0.85, 1.0, len(snapped))
    lids = np.clip(pulses(snapped, heights, times, 0.085, 0.125), 0.0, 1.0)
    held = face.values[:, ARKIT_INDEX["eyeBlinkLeft"]].copy()
    for side in ("Left", "Right"):
        column = ARKIT_INDEX["eyeBlink" + side]
        face.values[:, column] = np.maximum(lids, np.clip(held + 0.18 * look_down, 0.0, 0.4))
        for other in ("eyeWide", "eyeSquint"):
            face.values[:, ARKIT_INDEX[other + side]] *= 1.0 - 0.85 * lids
