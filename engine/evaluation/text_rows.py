# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows on obeying text: the physical probes, unseen wordings, and the feet of generated walks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..data.captions import HELD_OUT_WORDINGS
from ..motion.arrays import FloatArray
from ..motion.clip import Clip
from ..motion.measures import foot_slide
from ..specs import MOTION_FPS
from .body_measures import Measures, measure, measure_clip
from .held_out import CapturedItem, unedited
from .probes import PROBES, RUN_WALK_RATIO, Probe, pass_rate, probe_for
from .quality import knee_pop
from .report import Mark, Row
from .studio import Studio, positions_of, text_request

SEEN_TARGET, UNSEEN_TARGET = 0.9, 0.8
"""Share of seeds that must do the thing: the instruction itself, and wordings never trained on."""

WORDING_SEEDS = 10
"""Most seeds per wording that is not the instruction itself."""

SLIDE_TARGET = 0.02
"""Median horizontal speed of the lower toe, m/s."""

SEEN, UNSEEN, CAPTURED, CHANCE = "generated", "unseen wordings", "captured", "wrong instruction"
"""Series of the figure of probes."""

KNEE_TARGET = 1.5
"""Knee acceleration over that of captured walks."""


def summary(probe: Probe, clips: Sequence[Measures]) -> str:
    """Median of what a probe looks at, in words.

    Args:
        probe: Which.
        clips: Measures of each clip.
    """
    if not clips:
        return "none"
    parts: list[str] = []
    for bound in probe.bounds[:3]:
        values = [bound.value(m) for m in clips]
        low, middle, high = np.percentile(values, [5, 50, 95])
        parts.append(f"{bound.label()} {middle:.2f} ({low:.2f} to {high:.2f})")
    return ", ".join(parts)


def probe_marks(probe: Probe, series: str, share: float) -> tuple[Mark, ...]:
    """A share of clips in the figure of probes; nowhere for a series without a name."""
    return (Mark("probes", probe.prompt, series, share),) if series else ()


def judge(probe: Probe, clips: Sequence[Measures], what: str, target: float, series: str = "") -> Row:
    """One row of a probe.

    Args:
        probe: Which.
        clips: Measures of each generated clip.
        what: Name of the row.
        target: Share that must pass.
        series: Of the figure of probes, if it stands there.
    """
    rate = pass_rate(probe, list(clips))
    passed = sum(probe.passes(m) for m in clips)
    return Row(
        "text",
        what,
        f"{passed} of {len(clips)}; {summary(probe, clips)}",
        f">= {target:.0%} of seeds",
        rate >= target,
        rate,
        probe_marks(probe, series, rate),
    )


def wordings_asked(studio: Studio, probes: Sequence[Probe]) -> list[tuple[Probe, str, int]]:
    """Every probe's own instruction with all seeds, and its unseen wordings with at most `WORDING_SEEDS`.

    Args:
        studio: Has the number of seeds.
        probes: Which.
    """
    return [
        (probe, wording, seed)
        for probe in probes
        for wording in (probe.prompt, *HELD_OUT_WORDINGS[probe.prompt])
        for seed in range(
            studio.num_seeds if wording == probe.prompt else min(WORDING_SEEDS, studio.num_seeds)
        )
    ]


def probe_rows(studio: Studio) -> tuple[list[Row], list[Clip]]:
    """Every probe with its own wording and unseen ones.

    Args:
        studio: Engine and amount.

    Returns:
        Rows, and the clips of "walk forward" for the foot rows.
    """
    asked = wordings_asked(studio, PROBES)
    requests = [text_request(wording, probe.seconds, seed) for probe, wording, seed in asked]
    clips = studio.clips(requests, "text probes")
    measured: dict[str, list[Measures]] = {}
    walks: list[Clip] = []
    for (_, instruction, _), clip in zip(asked, clips, strict=True):
        measured.setdefault(instruction, []).append(measure_clip(clip))
        if instruction == probe_for("walk_forward").prompt:
            walks.append(clip)
    rows = [judge(probe, measured[probe.prompt], f'"{probe.prompt}"', SEEN_TARGET, SEEN) for probe in PROBES]
    speeds = {
        action: float(np.mean([m.forward_speed for m in measured[probe_for(action).prompt]]))
        for action in ("walk_forward", "run_forward")
    }
    ratio = speeds["run_forward"] / max(speeds["walk_forward"], 1e-6)
    rows.append(
        Row(
            "text",
            "mean run speed over mean walk speed",
            f"{ratio:.2f}",
            f">= {RUN_WALK_RATIO:g}",
            ratio >= RUN_WALK_RATIO,
            ratio,
        )
    )
    for probe in PROBES:
        unseen = [m for wording in HELD_OUT_WORDINGS[probe.prompt] for m in measured[wording]]
        rows.append(judge(probe, unseen, f'"{probe.prompt}", unseen wordings', UNSEEN_TARGET, UNSEEN))
        rows += [
            Row(
                "text",
                f'- "{wording}"',
                f"{sum(probe.passes(m) for m in measured[wording])} of {len(measured[wording])}",
                value=pass_rate(probe, measured[wording]),
            )
            for wording in HELD_OUT_WORDINGS[probe.prompt]
        ]
    rows += [_wrong_instruction(probe, measured) for probe in PROBES]
    return rows, walks


def _wrong_instruction(probe: Probe, measured: dict[str, list[Measures]]) -> Row:
    """How often clips of the other instructions pass this probe: what chance gives."""
    others = [m for other in PROBES if other is not probe for m in measured[other.prompt]]
    rate = pass_rate(probe, others)
    measured_text = f"{rate:.0%} of {len(others)}"
    what = f'wrong instruction: passes "{probe.prompt}"'
    return Row("text", what, measured_text, value=rate, marks=probe_marks(probe, CHANCE, rate))


@dataclass(frozen=True)
class ProbeCheck:
    """How captured clips fare on their own probe.

    Attributes:
        probe: Which.
        split: "train" or "held".
        passed: Clips that pass.
        measures: Of every clip.
        failures: Name of each failing clip and why.
    """

    probe: Probe
    split: str
    passed: int
    measures: list[Measures]
    failures: list[tuple[str, list[str]]]


def captured_for(probe: Probe, items: Sequence[CapturedItem], split: str) -> list[CapturedItem]:
    """Captured clips of a probe's label and side that last a second.

    Args:
        probe: Which.
        items: Prepared clips.
        split: "train" or "held".
    """
    return [
        item
        for item in items
        if item.split == split
        and item.action in probe.captured
        and len(item.lower) >= MOTION_FPS
        and (not probe.side or any(probe.side in caption.split() for caption in item.captions))
    ]


def check_captured(
    items: Sequence[CapturedItem], split: str, probes: Sequence[Probe] = PROBES
) -> list[ProbeCheck]:
    """Run probes over the captured clips that carry their label; by the bounds alone.

    Args:
        items: Prepared clips.
        split: "train" or "held".
        probes: Which.
    """
    checks: list[ProbeCheck] = []
    for probe in probes:
        chosen = captured_for(probe, items, split)
        measures = [measure_clip(item.clip()) for item in chosen]
        failures = [
            (item.name, probe.failures(m))
            for item, m in zip(chosen, measures, strict=True)
            if not probe.passes(m)
        ]
        checks.append(ProbeCheck(probe, split, len(chosen) - len(failures), measures, failures))
    return checks


def captured_rows(studio: Studio) -> list[Row]:
    """What captured and edited clips give on the same probes.

    Args:
        studio: For its captured clips.
    """
    rows: list[Row] = []
    for split, label in (("held", "held-out captured"), ("train", "training data")):
        rows += [
            Row(
                "text",
                f'{label}: "{check.probe.prompt}"',
                f"{check.passed} of {len(check.measures)}; {summary(check.probe, check.measures)}",
                value=check.passed / len(check.measures),
                marks=probe_marks(
                    check.probe, CAPTURED if split == "held" else "", check.passed / len(check.measures)
                ),
            )
            for check in check_captured(studio.captured, split)
            if check.measures
        ]
    return rows


def bounds_note(studio: Studio) -> str:
    """The page's paragraph on every bound and where it comes from.

    Args:
        studio: For its captured clips.
    """
    lines = [
        "## Probes and their bounds",
        "",
        "Captured clips without any editing that carry the label give the last column "
        "(smallest and largest value of the first bound).",
        "",
        "| instruction | length | bounds, all must hold | why | captured, unedited |",
        "|---|---|---|---|---|",
    ]
    for probe in PROBES:
        values = [
            probe.bounds[0].value(measure_clip(item.clip()))
            for item in studio.captured
            if item.action in probe.captured and unedited(item)
        ]
        seen = f"{min(values):.2f} to {max(values):.2f}, {len(values)} clips" if values else "none"
        lines.append(f"| {probe.prompt} | {probe.seconds:g} s | {probe.text()} | {probe.why} | {seen} |")
    return "\n".join(lines)


def foot_rows(studio: Studio, walks: Sequence[Clip]) -> list[Row]:
    """Sliding feet and knee pops on generated walks.

    Args:
        studio: Engine and captured clips.
        walks: Clips of "walk forward", feet planted.
    """
    probe = probe_for("walk_forward")
    captured: list[FloatArray] = []
    for item in studio.captured:
        if item.action in probe.captured:
            (positions,) = positions_of([item.clip()])
            if probe.passes(measure(positions, MOTION_FPS)):
                captured.append(positions)
    made = positions_of(walks)
    seeds = range(min(studio.num_seeds, len(walks)))
    loose = positions_of(
        studio.clips(
            [text_request(probe.prompt, probe.seconds, seed, plant_feet=False) for seed in seeds],
            "walks without the foot lock",
        )
    )
    slide = _slide(made)
    rows = [
        Row(
            "feet",
            "lower toe's horizontal speed, generated walks",
            f"{slide:.3f} m/s (worst clip {max(foot_slide(p, MOTION_FPS) for p in made):.3f})",
            f"<= {SLIDE_TARGET} m/s",
            slide <= SLIDE_TARGET,
            slide,
        ),
        Row("feet", "- without the foot lock", f"{_slide(loose):.3f} m/s", value=_slide(loose)),
    ]
    if captured:
        pop, usual = knee_pop(made, MOTION_FPS), knee_pop(captured, MOTION_FPS)
        rows.append(Row("feet", "- captured walks", f"{_slide(captured):.3f} m/s", value=_slide(captured)))
        rows.append(
            Row(
                "feet",
                "knee acceleration over that of captured walks",
                f"{pop / usual:.2f} ({pop:.0f} against {usual:.0f} rad/s2)",
                f"<= {KNEE_TARGET}",
                pop / usual <= KNEE_TARGET,
                pop / usual,
            )
        )
        loose_ratio = knee_pop(loose, MOTION_FPS) / usual
        rows.append(Row("feet", "- without the foot lock", f"{loose_ratio:.2f}", value=loose_ratio))
    return rows


def _slide(clips: Sequence[FloatArray]) -> float:
    """Median over clips of `foot_slide`."""
    return float(np.median([foot_slide(positions, MOTION_FPS) for positions in clips]))
