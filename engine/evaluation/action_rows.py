# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the further actions: generated clips, captured ones and chance on the same probes.

Each clip is judged by its probe's bounds and by our evaluator, which tells the nearest of all probes'
instructions. Both shares are printed; a probe that is `learned` asks for both, every other for its bounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..data.captions import HELD_OUT_WORDINGS
from ..language.text_encoder import TextEncoder
from ..motion.arrays import FloatArray
from ..motion.climbing import climbed
from ..motion.clip import Clip
from ..motion.falling import fallen
from ..motion.features import starter_clip
from ..specs import Part
from ..tokenizers.base import MotionTokenizer
from .body_measures import Measures, measure_clip
from .engine_rows import recode, whole_steps
from .evaluator import Evaluator
from .held_out import CapturedItem, unedited
from .probes import ACTION_PROBES, PROBES, Probe
from .report import Row
from .studio import Studio, text_request
from .text_rows import (
    CAPTURED,
    CHANCE,
    SEEN,
    SEEN_TARGET,
    UNSEEN,
    UNSEEN_TARGET,
    captured_for,
    probe_marks,
    summary,
    wordings_asked,
)


@dataclass(frozen=True)
class Judged:
    """One clip.

    Attributes:
        measures: What is read off it.
        told: Action of the instruction our evaluator finds nearest.
    """

    measures: Measures
    told: str


@dataclass(frozen=True)
class Judge:
    """Bounds and our evaluator together.

    Attributes:
        evaluator: Ours.
        encoder: The frozen sentence encoder.
    """

    evaluator: Evaluator
    encoder: TextEncoder

    def judge(self, clips: Sequence[Clip]) -> list[Judged]:
        """Measure clips and tell what each of them is."""
        probes = (*PROBES, *ACTION_PROBES)
        words = self.evaluator.embed_texts(self.encoder, [probe.prompt for probe in probes])
        nearest = np.argmax(self.evaluator.embed_clips(clips) @ words.T, axis=1)
        return [
            Judged(measure_clip(clip), probes[int(k)].action) for clip, k in zip(clips, nearest, strict=True)
        ]


def does(probe: Probe, clip: Judged) -> bool:
    """Whether a clip does what a probe asks for."""
    return probe.passes(clip.measures) and (not probe.learned or clip.told == probe.action)


def action_rows(studio: Studio, judge: Judge, tokenizers: Mapping[Part, MotionTokenizer]) -> list[Row]:
    """Every further action with its own wording and unseen ones, captured clips, and chance.

    Args:
        studio: Engine and captured clips.
        judge: Tells what a clip is.
        tokenizers: For lower and upper body.
    """
    asked = wordings_asked(studio, ACTION_PROBES)
    requests = [text_request(wording, probe.seconds, seed) for probe, wording, seed in asked]
    judged = judge.judge(studio.clips(requests, "further actions"))
    of_wording: dict[str, list[Judged]] = {}
    for (_, wording, _), clip in zip(asked, judged, strict=True):
        of_wording.setdefault(wording, []).append(clip)
    rows: list[Row] = []
    for probe in ACTION_PROBES:
        unseen = HELD_OUT_WORDINGS[probe.prompt]
        others = [c for other in ACTION_PROBES if other is not probe for c in of_wording[other.prompt]]
        unseen_clips = [clip for wording in unseen for clip in of_wording[wording]]
        rows.append(_row(f'"{probe.prompt}"', probe, of_wording[probe.prompt], SEEN_TARGET, series=SEEN))
        rows.append(
            _row(f'"{probe.prompt}", unseen wordings', probe, unseen_clips, UNSEEN_TARGET, series=UNSEEN)
        )
        rows += [_row(f'- "{wording}"', probe, of_wording[wording], short=True) for wording in unseen]
        rows += captured_action_rows(probe, studio.captured, judge, tokenizers)
        rows.append(
            _row(f'- wrong instruction: does "{probe.prompt}"', probe, others, short=True, series=CHANCE)
        )
    return rows


def captured_action_rows(
    probe: Probe,
    items: Sequence[CapturedItem],
    judge: Judge,
    tokenizers: Mapping[Part, MotionTokenizer],
) -> list[Row]:
    """What captured clips give on a probe, as they are and as codes.

    Where they fail as they are, the probe is wrong; where as codes, no language model over these can do it.

    Args:
        probe: Which.
        items: Prepared clips.
        judge: Tells what a clip is.
        tokenizers: For lower and upper body.
    """
    rows: list[Row] = []
    coded: list[dict[Part, FloatArray]] = []
    for split, label in (("held", "held-out captured"), ("train", "training data")):
        chosen = captured_for(probe, items, split)
        if not chosen:
            rows.append(Row("actions", f'- {label}: "{probe.prompt}"', "no such clip"))
            continue
        coded += [{Part.LOWER: whole_steps(i.lower), Part.UPPER: whole_steps(i.upper)} for i in chosen]
        judged = judge.judge([item.clip() for item in chosen])
        series = CAPTURED if split == "held" else ""
        rows.append(_row(f'- {label}: "{probe.prompt}"', probe, judged, series=series))
    if coded:
        decoded = judge.judge([_as_built(features) for features in recode(coded, tokenizers)])
        rows.append(_row(f'- all of these through the tokenizers: "{probe.prompt}"', probe, decoded))
    return rows


def _as_built(features: Mapping[Part, FloatArray]) -> Clip:
    """A clip of decoded features; as the engine builds it, before its feet are planted."""
    return starter_clip({**features, Part.LOWER: fallen(climbed(features[Part.LOWER]))})


def _row(
    what: str,
    probe: Probe,
    clips: Sequence[Judged],
    target: float | None = None,
    *,
    short: bool = False,
    series: str = "",
) -> Row:
    """Share of clips that do it, with a goal where one is given; in the long form with both criteria and
    the medians behind them."""
    done = sum(does(probe, clip) for clip in clips)
    text = f"{done} of {len(clips)}"
    if not short:
        by_bounds = sum(probe.passes(clip.measures) for clip in clips)
        told = sum(clip.told == probe.action for clip in clips)
        seen = summary(probe, [clip.measures for clip in clips])
        text += f" (bounds {by_bounds}, told by our evaluator {told}); {seen}"
    share = done / len(clips) if clips else float("nan")
    goal, reached = ("", None) if target is None else (f">= {target:.0%} of seeds", share >= target)
    return Row("actions", what, text, goal, reached, share, probe_marks(probe, series, share))


def action_bounds_note(items: Sequence[CapturedItem]) -> str:
    """The page's table of every further action's bounds and what captured clips measure.

    Args:
        items: Prepared clips.
    """
    lines = [
        "### Further actions and their bounds",
        "",
        "| instruction | length | bounds, all must hold | why | captured, unedited: first bound's values |",
        "|---|---|---|---|---|",
    ]
    for probe in ACTION_PROBES:
        found = [i for split in ("train", "held") for i in captured_for(probe, items, split)]
        values = [probe.bounds[0].value(measure_clip(item.clip())) for item in found if unedited(item)]
        seen = f"{min(values):.2f} to {max(values):.2f}, {len(values)} clips" if values else "none"
        also = "; our evaluator must tell it so" if probe.learned else ""
        lines.append(
            f"| {probe.prompt} | {probe.seconds:g} s | {probe.text()}{also} | {probe.why} | {seen} |"
        )
    return "\n".join(lines)
