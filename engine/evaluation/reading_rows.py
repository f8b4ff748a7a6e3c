# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows on what a pack reads in a motion, how it minds the pace it is told, and how new motion fits the old.

Topics of their own (`--only reading pace fit`): a pack that cannot answer in words has no rows of reading.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..asking import Asker, AskRequest
from ..data.wordings import PHRASES
from ..drafts import BLEND_FRAMES
from ..motion.clip import Clip
from ..motion.joining import join
from ..motion.measures import NUM_BODY_JOINTS, accelerations
from ..motion.skeleton import PART_JOINTS
from ..specs import EMOTIONS, MOTION_FPS, PARTS, GenerateRequest, Part, PartDirection, SamplingOptions, Source
from .body_measures import measure_clip
from .emotion_rows import score_rows
from .held_out import CapturedItem, performed
from .labels import score_labels
from .report import Row
from .studio import Studio, positions_of, speech_request, text_request

READING = "reading"
EMOTION_TARGET = 0.70
TEXT_TARGET, TOP = 0.60, 3

PACE_TARGET = 0.20
"""Share by which "slowly" and "quickly" move the mean speed."""

PACES = (("slowly", -1.0), ("quickly", 1.0))
PACED = ("walk forward", "walk backwards", "walk in a circle")
"""Instructions that are told a pace; the first decides, as its captures hold the widest range of speeds."""

WALKING = 0.3
"""Speed below which nobody walks, m/s."""

FIT_S, GAP_S = 8.0, 2.0
FIT_TARGET = 0.01
"""Share of frames above a clip's own 99th percentile of acceleration: what the clip itself has."""

REACH = 2
"""Frames on either side of an end of a gap that belong to it."""

BODY = (Part.LOWER, Part.UPPER)
NO_FACE = tuple(part for part in PARTS if part is not Part.FACE)


def reading_rows(studio: Studio, asker: Asker) -> list[Row]:
    """Emotions of held-out performances, alike in number, and actions of held-out captured clips.

    Args:
        studio: Recordings and captured clips.
        asker: The pack, asked.
    """
    sounds = studio.voices()
    studio.say(f"emotions of {len(sounds) * len(EMOTIONS)} performances")
    true: list[str] = []
    told: list[str] = []
    told_body: list[str] = []
    for number, sound in enumerate(sounds):
        for place, label in enumerate(EMOTIONS):  # the performer's seed picks the emotion too
            clip = performed(sound, number * len(EMOTIONS) + place)
            true.append(label)
            told.append(asker.emotion(AskRequest(clip)).label)
            told_body.append(asker.emotion(AskRequest(clip, NO_FACE)).label)
    score = score_labels(true, told, EMOTIONS)
    rows = score_rows("performances of held-out recordings", score, "emotion-read")
    rows[0] = replace(rows[0], target=f">= {EMOTION_TARGET:.0%}", passed=rows[0].value >= EMOTION_TARGET)
    without = score_labels(true, told_body, EMOTIONS)
    rows.append(Row("", "- accuracy without the face", f"{without.accuracy:.2f}", value=without.accuracy))
    return [replace(row, topic=READING) for row in [*rows, *described_rows(studio, asker)]]


def described_rows(studio: Studio, asker: Asker) -> list[Row]:
    """Is a held-out clip's action among the three that the pack finds likeliest, of all it was shown?

    Args:
        studio: Captured clips.
        asker: The pack, asked.
    """
    held = [item for item in studio.captured if item.split == "held"]
    shown = {item.action for item in studio.captured if item.split == "train"}
    names = {action: PHRASES[action][0] for action in sorted(shown)}
    texts = list(dict.fromkeys(names.values()))
    studio.say(f"actions of {len(held)} captured clips, of {len(texts)} descriptions")
    found: dict[str, list[int]] = defaultdict(list)
    for item in held:
        if item.action in names:
            ranked = [told.text for told in asker.rank(AskRequest(item.clip()), texts)]
            found[item.action].append(ranked.index(names[item.action]))
    places = np.array([place for own in found.values() for place in own])
    first, share = float((places == 0).mean()), float((places < TOP).mean())
    by_action = {action: float((np.array(own) < TOP).mean()) for action, own in found.items()}
    worst = ", ".join(sorted(by_action, key=by_action.__getitem__)[:3])
    mean = float(np.mean(list(by_action.values())))
    return [
        Row(
            READING,
            f"the action among the {TOP} likeliest of {len(texts)}, held-out captured clips",
            f"{share:.2f} of {len(places)} (the likeliest: {first:.2f})",
            f">= {TEXT_TARGET:.0%}",
            share >= TEXT_TARGET,
            share,
        ),
        Row(
            READING,
            f"- mean over {len(found)} actions, each alike",
            f"{mean:.2f} (least: {worst})",
            value=mean,
        ),
        Row(READING, "- chance", f"{TOP / len(texts):.2f}", value=TOP / len(texts)),
    ]


def pace_rows(studio: Studio) -> list[Row]:
    """Mean speed of walks told "slowly" and "quickly" over that of walks told nothing.

    Args:
        studio: Engine and amount.
    """
    wanted = [f"{text}{pace}" for text in PACED for pace in ("", *(f" {word}" for word, _ in PACES))]
    requests = [text_request(text, 5.0, seed) for text in wanted for seed in range(studio.num_seeds)]
    clips = studio.clips(requests, "walks at a pace")
    speeds = {
        text: mean_speed(clips[number * studio.num_seeds : (number + 1) * studio.num_seeds])
        for number, text in enumerate(wanted)
    }
    rows: list[Row] = []
    for text in PACED:
        for word, sign in PACES:
            change = speeds[f"{text} {word}"] / max(speeds[text], WALKING) - 1.0
            measured = f"{change:+.0%} ({speeds[f'{text} {word}']:.2f} in place of {speeds[text]:.2f} m/s)"
            if text == PACED[0]:
                target = f"{sign * PACE_TARGET:+.0%} or more"
                moved = speeds[text] >= WALKING and sign * change >= PACE_TARGET
                rows.append(Row("pace", f'"{text} {word}"', measured, target, moved, change))
            else:
                rows.append(Row("pace", f'- "{text} {word}"', measured, value=change))
    return rows


def mean_speed(clips: Sequence[Clip]) -> float:
    """Mean of the clips' speeds along their headings, m/s, without sign."""
    return abs(float(np.mean([measure_clip(clip).forward_speed for clip in clips])))


def fit_rows(studio: Studio) -> list[Row]:
    """Do gaps that are filled, and parts that are made for others, jump beside the motion they belong to?

    Args:
        studio: Engine and held-out material.
    """
    walks = [i for i in studio.captured if i.action == "walk_forward" and i.split == "held"]
    walks = [item for item in walks if len(item.lower) >= FIT_S * MOTION_FPS][: studio.num_files]
    sounds = studio.voices(FIT_S)
    spoken = [speech_request(sound, seed) for seed, sound in enumerate(sounds)]
    told = [text_request("walk forward", FIT_S, seed) for seed in range(len(walks))]
    wholes = [performed(sound, seed) for seed, sound in enumerate(sounds)]
    walked = [_first_seconds(item) for item in walks]
    rows: list[Row] = []
    for what, requests, clips in (("performances", spoken, wholes), ("captured walks", told, walked)):
        if requests:
            rows += gap_rows(studio, what, requests, clips)
    kept = PartDirection(Source.KEEP)
    from_body = [
        replace(r, directions={**r.directions, Part.LOWER: kept, Part.UPPER: kept}, kept=clip)
        for r, clip in zip(spoken, wholes, strict=True)
    ]
    from_legs = [
        GenerateRequest(
            {Part.LOWER: kept, Part.UPPER: PartDirection(Source.TEXT, "walk forward")},
            duration_s=FIT_S,
            kept=clip,
            sampling=SamplingOptions(seed=seed),
        )
        for seed, clip in enumerate(walked)
    ]
    made = studio.clips(from_body, "hands and face for a body")
    rows.append(fit_row("hands made for a performance's body", made, wholes, None, PART_JOINTS[Part.HANDS]))
    if walked:
        made = studio.clips(from_legs, "trunks for legs")
        rows.append(fit_row("upper body made for captured legs", made, walked, None))
    return rows


def _first_seconds(item: CapturedItem) -> Clip:
    return item.clip().slice(0, round(FIT_S * MOTION_FPS))


def gap_rows(
    studio: Studio, what: str, requests: Sequence[GenerateRequest], clips: Sequence[Clip]
) -> list[Row]:
    """Fill a gap in the middle of clips, as the extension does, and look at its ends.

    Args:
        studio: Engine.
        what: Name of the clips.
        requests: What drives the filling, one per clip.
        clips: Whole ones.
    """
    middle, half = round(FIT_S * MOTION_FPS / 2), round(GAP_S * MOTION_FPS / 2)
    first, stop = middle - half, middle + half
    asked = [replace(r, kept=clip, free=(first, stop)) for r, clip in zip(requests, clips, strict=True)]
    made = studio.clips(asked, f"gaps in {what}")
    parts = BODY if requests[0].waveform is None else PARTS
    filled = [
        join(clip, new, parts, first, stop - 1, BLEND_FRAMES) for clip, new in zip(clips, made, strict=True)
    ]
    ends = (first, stop)
    return [
        fit_row(f"gaps of {GAP_S:g} s in {what}, filled: their ends", filled, clips, ends),
        replace(fit_row("- the clips themselves there", clips, clips, ends), target="", passed=None),
        replace(fit_row("- unjoined", made, clips, ends), target="", passed=None),
    ]


def fit_row(
    what: str,
    made: Sequence[Clip],
    whole: Sequence[Clip],
    ends: tuple[int, ...] | None,
    joints: Sequence[int] = range(NUM_BODY_JOINTS),
) -> Row:
    """Share of frames that accelerate more than the 99th percentile of the clip they belong to.

    The goal is what the clips themselves have in those frames, or 1 % where that is less.

    Args:
        what: Name of the row.
        made: New motion.
        whole: The clip each belongs to.
        ends: Frames around which is looked; None for everywhere.
        joints: Joints that count.
    """
    frames = slice(None) if ends is None else [f for e in ends for f in range(e - REACH, e + REACH)]
    above: list[npt.NDArray[np.bool_]] = []
    own: list[npt.NDArray[np.bool_]] = []
    for new, old in zip(positions_of(made), positions_of(whole), strict=True):
        usual = accelerations(old, MOTION_FPS, joints)
        limit = np.percentile(usual, 99)
        above.append(accelerations(new, MOTION_FPS, joints)[frames] > limit)
        own.append(usual[frames] > limit)
    share, goal = float(np.concatenate(above).mean()), max(FIT_TARGET, float(np.concatenate(own).mean()))
    return Row("fit", what, f"{share:.1%} of frames", f"<= {goal:.1%}", share <= goal, share)
