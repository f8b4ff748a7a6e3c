# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows on speech and text in one request, on editing one part, and on exact control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..motion.clip import Clip
from ..motion.features import starter_clip, starter_features
from ..specs import MOTION_FPS, PARTS, GenerateRequest, Part, PartDirection, SamplingOptions, Source
from .body_measures import Measures, measure_clip
from .held_out import Speech, performed
from .probes import EDIT_ACTIONS, probe_for
from .published_rows import centred
from .report import Row
from .speech_rows import (
    GESTURE_THRESHOLD,
    LAG_TARGET,
    LIP_TARGET,
    from_pelvis,
    gesture_row,
    gesture_test,
    in_pelvis_frame,
    in_words,
    lip_summary,
    spoken_takes,
    wrong_voice_row,
)
from .studio import SPEECH_PARTS, Studio, positions_of, same_part, speech_request, text_request
from .text_rows import SEEN_TARGET, judge

EDIT_S = 8.0
"""Length of the clips that are edited: the longest any probe needs."""


def together_rows(studio: Studio) -> list[Row]:
    """Speech above and walking below, judged by the probes of both.

    Args:
        studio: Engine and recordings.
    """
    sounds = studio.voices()
    prompt = probe_for("walk_forward").prompt
    takes = spoken_takes(studio, sounds, lower=prompt)
    clips = takes[0]
    walk = judge(
        probe_for("walk_forward"),
        [measure_clip(clip) for clip in clips],
        'legs: "walk forward" under speech',
        SEEN_TARGET,
    )
    lips = lip_summary(clips, sounds)
    return [
        replace(walk, topic="both"),
        Row(
            "both",
            "lips: jaw opening with the speech envelope",
            f"{lips.correlation:.2f} at {lips.lag:+d} frames",
            f">= {LIP_TARGET} within {LAG_TARGET} frames",
            lips.correlation >= LIP_TARGET and abs(lips.lag) <= LAG_TARGET,
            lips.correlation,
        ),
        wrong_voice_row(clips, sounds, "both"),
        gesture_row(takes, sounds, "both", in_pelvis_frame),
        *swing_rows(studio, takes, sounds),
    ]


def swing_rows(studio: Studio, takes: Sequence[Sequence[Clip]], sounds: Sequence[Speech]) -> list[Row]:
    """Why gesture over walking legs is read in the pelvis' own frame: the performer on captured walks.

    Args:
        studio: Recordings and captured clips.
        takes: Clips of speech above and walking below, take by take.
        sounds: One for each clip of a take.
    """
    walks = [
        item.lower
        for item in studio.captured
        if item.action == "walk_forward" and len(item.lower) >= MOTION_FPS
    ]
    swung = gesture_test(takes, sounds, GESTURE_THRESHOLD)
    rows = [Row("both", "- beats with the swing of the trunk", in_words(swung), value=swung.p_value)]
    if not walks:
        return rows
    clips: list[Clip] = []
    for number, sound in enumerate(sounds):
        features = starter_features(performed(sound, number))
        length = len(features[Part.UPPER])
        walk = walks[number % len(walks)]
        features[Part.LOWER] = np.resize(walk, (length, walk.shape[1]))
        clips.append(starter_clip(features))
    for what, places in (("", in_pelvis_frame), (", with the swing of the trunk", from_pelvis)):
        test = gesture_test([clips], sounds, GESTURE_THRESHOLD, places)
        rows.append(
            Row("both", f"- performer on captured walks, one take{what}", in_words(test), value=test.p_value)
        )
    return rows


def edit_rows(studio: Studio) -> list[Row]:
    """The same speech and seed with the legs edited to each of the paper's five examples.

    Args:
        studio: Engine and recordings.
    """
    voices = studio.voices(EDIT_S)
    prompt = probe_for("walk_forward").prompt
    sounds = [voices[seed % len(voices)] for seed in range(studio.num_seeds)]
    bases = studio.clips(
        [speech_request(sound, seed, lower=prompt) for seed, sound in enumerate(sounds)], "clips to edit"
    )
    requests: list[GenerateRequest] = []
    for action in EDIT_ACTIONS:
        requests += [
            speech_request(sounds[seed], seed, lower=probe_for(action).prompt, kept=bases[seed])
            for seed in range(studio.num_seeds)
        ]
    edited = studio.clips(requests, "edits of the legs")
    rows: list[Row] = []
    kept = 0
    for number, action in enumerate(EDIT_ACTIONS):
        clips = edited[number * studio.num_seeds : (number + 1) * studio.num_seeds]
        probe = probe_for(action)
        judged = judge(
            probe, [at_probe_length(clip, action) for clip in clips], f'edit: "{probe.prompt}"', SEEN_TARGET
        )
        rows.append(replace(judged, topic="both"))
        kept += sum(
            all(same_part(clip, base, part) for part in SPEECH_PARTS)
            for clip, base in zip(clips, bases, strict=True)
        )
    rows.append(
        Row(
            "both",
            "face, hands and upper body unchanged by the edit, bit by bit",
            f"{kept} of {len(edited)} edits",
            "all",
            kept == len(edited),
            kept / len(edited),
        )
    )
    changed = sum(
        not same_part(clip, bases[i % studio.num_seeds], Part.LOWER) for i, clip in enumerate(edited)
    )
    rows.append(Row("both", "- legs changed by the edit", f"{changed} of {len(edited)} edits", value=changed))
    return rows


def at_probe_length(clip: Clip, action: str) -> Measures:
    """Measures of a clip, cut to the probe's own length from its start.

    Args:
        clip: At least as long as the probe asks for.
        action: Name of the probe.
    """
    return measure_clip(clip.slice(0, round(probe_for(action).seconds * clip.fps)))


def control_rows(studio: Studio) -> list[Row]:
    """The same seed twice, another seed, and kept parts.

    Args:
        studio: Engine and recordings.
    """
    sound = studio.voices(EDIT_S)[0]
    text = text_request(probe_for("walk_forward").prompt, 5.0, 7)
    spoken = speech_request(sound, 7, lower=probe_for("walk_forward").prompt)
    studio.say("the same request twice")
    twice = [
        (studio.engine.generate(request).clip, studio.engine.generate(request).clip)
        for request in (text, spoken)
    ]
    same = sum(all(same_part(a, b, part) for part in PARTS) for a, b in twice)
    other = studio.engine.generate(
        replace(spoken, sampling=replace(spoken.sampling, seed=spoken.sampling.seed + 1))
    ).clip
    differs = not any(same_part(twice[1][0], other, part) for part in PARTS)
    locked = _locked(studio, sound, twice[1][0])
    return [
        Row(
            "control",
            "same request and seed twice",
            f"{same} of {len(twice)} bit-identical",
            "all",
            same == len(twice),
            same / len(twice),
        ),
        Row(
            "control", "another seed changes every part", "yes" if differs else "no", "yes", differs, differs
        ),
        Row(
            "control",
            "each part locked in turn",
            f"{locked} of {len(PARTS)} bit-identical",
            "all",
            locked == len(PARTS),
            locked / len(PARTS),
        ),
    ]


def _locked(studio: Studio, sound: Speech, kept: Clip) -> int:
    """How many parts, each kept alone while all others are made anew, stay the same."""
    count = 0
    for locked in PARTS:
        directions = {part: PartDirection(Source.KEEP if part is locked else Source.SPEECH) for part in PARTS}
        made = studio.engine.generate(
            GenerateRequest(
                directions=directions, waveform=sound.wave, kept=kept, sampling=SamplingOptions(seed=99)
            )
        ).clip
        count += same_part(made, kept, locked)
    return count


VARIETY_TARGET = 0.5
"""Least distance between takes of one recording, of that between performances of different speakers'."""


def variety(clips: Sequence[Clip]) -> float:
    """Mean distance between two clips' joints at the same moment, centimetres.

    Args:
        clips: Of one instruction or sound, different seeds.
    """
    places = [centred(p)[:, :22] for p in positions_of(clips)]
    gaps = [
        float(np.linalg.norm(a - b, axis=-1).mean()) for i, a in enumerate(places) for b in places[i + 1 :]
    ]
    return 100.0 * float(np.mean(gaps)) if gaps else 0.0


def variety_rows(studio: Studio) -> list[Row]:
    """Whether seeds look like different takes, beside performances of different speakers' lines.

    Args:
        studio: Engine and recordings.
    """
    sounds, count = studio.voices(EDIT_S), studio.num_seeds
    spoken = studio.clips([speech_request(sounds[0], seed) for seed in range(count)], "one sound, many seeds")
    stood = studio.clips(
        [text_request(probe_for("stand_still").prompt, 5.0, seed) for seed in range(count)],
        "one instruction, many seeds",
    )
    made, still = variety(spoken), variety(stood)
    real = variety([performed(sound, seed) for seed, sound in enumerate(sounds)])
    return [
        Row(
            "control",
            f"distance between {count} seeds of one recording",
            f"{made:.1f} cm",
            f">= {VARIETY_TARGET:g} of the performer's",
            made >= VARIETY_TARGET * real,
            made,
        ),
        Row(
            "control", f"- the performer on {len(sounds)} speakers' recordings", f"{real:.1f} cm", value=real
        ),
        Row("control", f'- distance between {count} seeds of "stand still"', f"{still:.1f} cm", value=still),
    ]
