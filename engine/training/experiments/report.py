# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables and plots of the experiments, from the results' lines alone.

Every comparison is paired by seed: two runs of one seed share initial weights, data and held-out rows, so
the seed's own luck drops out of their difference. Intervals are Student's t over the seeds' differences.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from ...errors import EngineError
from ...evaluation.libraries import development_library
from ..tasks.patterns import Kind
from .queue import RESULTS, read_results
from .runs import COUNTS, LONGER, NONE, SHARES

BEGIN, END = "<!-- results -->", "<!-- end of results -->"

MOTION = (Kind.AUDIO_TO_MOTION, Kind.TEXT_TO_MOTION, Kind.AUDIO_TEXT_TO_MOTION, Kind.EMOTION_TO_MOTION)

MEASURES: dict[str, tuple[Kind, ...]] = {
    "motion, nats per code": MOTION,
    "description, nats per word": (Kind.MOTION_TO_TEXT,),
    "emotion, nats per word": (Kind.MOTION_TO_EMOTION,),
}
"""What is compared, as means over tasks; lower is better."""

LABELS = {
    "full": "whole stage 2",
    "no_audio_text": "without audio-text",
    "no_spatial": "without spatial",
    "no_temporal": "without temporal",
    NONE: "no stage 2",
    LONGER: "no stage 2, its steps added to stage 3",
}


@dataclass(frozen=True)
class Interval:
    """A mean over seeds, and the half width of its 95 % interval (NaN below two seeds)."""

    mean: float
    reach: float
    num: int

    def __str__(self) -> str:
        """Mean and reach; "none" where there is nothing."""
        if not self.num:
            return "none"
        return f"{self.mean:.3f}" + ("" if math.isnan(self.reach) else f" ± {self.reach:.3f}")

    @property
    def shows(self) -> bool:
        """Whether the interval leaves 0 out."""
        return abs(self.mean) > self.reach


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % interval by Student's t."""
    num = len(values)
    if not num:
        return Interval(math.nan, math.nan, 0)
    mean = float(np.mean(values))
    if num < 2:
        return Interval(mean, math.nan, num)
    reach = float(stats.t.ppf(0.975, num - 1)) * float(np.std(values, ddof=1)) / math.sqrt(num)
    return Interval(mean, reach, num)


class Results:
    """Measured runs of stage 3.

    Args:
        lines: Of the results.
    """

    def __init__(self, lines: Sequence[Mapping[str, Any]]) -> None:
        self.lines = [line for line in lines if line["stage"] == "tuning"]
        self.counted = interval([line["emotion_accuracy"] for line in lines if line["stage"] == COUNTS])

    def values(self, variant: str, share: float, measure: str) -> dict[int, float]:
        """A measure by seed; "accuracy" is the share of emotions told right."""
        return {
            line["seed"]: line["emotion_accuracy"]
            if measure == "accuracy"
            else float(np.mean([line["tasks"][kind] for kind in MEASURES[measure]]))
            for line in self.lines
            if line["variant"] == variant and math.isclose(line["share"], share)
        }

    def mean(self, variant: str, share: float, measure: str) -> Interval:
        """Over the seeds."""
        return interval(list(self.values(variant, share, measure).values()))

    def difference(self, variant: str, share: float, measure: str) -> Interval:
        """A variant less the whole stage 2, over the seeds that both have."""
        own, whole = self.values(variant, share, measure), self.values("full", share, measure)
        return interval([own[seed] - whole[seed] for seed in sorted(own.keys() & whole.keys())])


def ablation_table(results: Results) -> str:
    """Variants of stage 2 at the whole data: means, then differences to the whole stage 2."""
    lines = ["| | seeds | " + " | ".join(MEASURES) + " | emotions told |", "|---|---" + "|---" * 4 + "|"]
    for variant, label in LABELS.items():
        cells = [str(results.mean(variant, 1.0, m)) for m in (*MEASURES, "accuracy")]
        count = results.mean(variant, 1.0, "accuracy").num
        lines.append(f"| {label} | {count} | " + " | ".join(cells) + " |")
    lines.append(f"| codes counted, no model | {results.counted.num} | | | | {results.counted} |")
    lines += [
        "",
        "Less the whole stage 2, paired by seed (above 0: worse; bold: the interval leaves 0 out):",
        "",
    ]
    lines += ["| | " + " | ".join(MEASURES) + " |", "|---" + "|---" * len(MEASURES) + "|"]
    for variant in (v for v in LABELS if v != "full"):
        cells = [_marked(results.difference(variant, 1.0, m)) for m in MEASURES]
        lines.append(f"| {LABELS[variant]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def efficiency_table(results: Results, measure: str) -> str:
    """With and without stage 2 at every share of the paired data, at equal steps of stage 3 and in all."""
    lines = [
        f"**{measure}**",
        "",
        "| share | seeds | with | without | less with | its steps added | less with |",
        "|---|---|---|---|---|---|---|",
    ]
    for share in SHARES:
        whole = results.mean("full", share, measure)
        cells = [_share(share), str(whole.num), str(whole)]
        for variant in (NONE, LONGER):
            cells += [str(results.mean(variant, share, measure))]
            cells += [_marked(results.difference(variant, share, measure))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _marked(value: Interval) -> str:
    return f"**{value}**" if value.num > 1 and value.shows else str(value)


def _share(share: float) -> str:
    return "1" if share == 1 else f"1/{round(1 / share)}"


def write_report(out: Path, docs: Path) -> None:
    """Draw the plots, keep the results' lines, and put the tables into `experiments.md`.

    Args:
        out: Folder of the runs.
        docs: Folder with `experiments.md`.

    Raises:
        EngineError: If there are no results, or the text has no place for them.
    """
    lines = read_results(out)
    page = docs / "experiments.md"
    text = page.read_text("utf-8") if page.exists() else f"{BEGIN}\n{END}\n"
    if not any(line["stage"] == "tuning" for line in lines):
        raise EngineError(f"There are no results in {out.name}; run the experiments first.")
    if BEGIN not in text or END not in text:
        raise EngineError(f"{page.name} lacks the line {BEGIN} or {END}; put both where the tables belong.")
    folder = docs / "experiments"
    folder.mkdir(parents=True, exist_ok=True)
    if out.resolve() != folder.resolve():
        shutil.copyfile(out / RESULTS, folder / RESULTS)
    results = Results(lines)
    _draw_ablation(results, folder / "ablation.svg")
    _draw_efficiency(results, folder / "efficiency.svg")
    pieces = [
        "### Ablation", ablation_table(results), "![Ablation](experiments/ablation.svg)",
        "### Data efficiency", *(efficiency_table(results, measure) for measure in MEASURES),
        "![Data efficiency](experiments/efficiency.svg)",
    ]  # fmt: skip
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    page.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(pieces) + f"\n\n{END}{after}", encoding="utf-8")


def _figure(path: Path, draw: Any) -> None:
    """One row of axes, a measure each; the same results give the same bytes."""
    matplotlib = development_library("matplotlib")
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "kinesics", "font.size": 9}):
        figure = development_library("matplotlib.figure").Figure(figsize=(10.0, 3.2), layout="constrained")
        for axes, measure in zip(figure.subplots(1, len(MEASURES)), MEASURES, strict=True):
            axes.set_title(measure, loc="left", fontsize=10)
            axes.spines[["top", "right"]].set_visible(False)
            draw(axes, measure)
        figure.savefig(path, metadata={"Date": None})


def _draw_ablation(results: Results, path: Path) -> None:
    """Differences to the whole stage 2 with their intervals."""
    variants = [variant for variant in LABELS if variant != "full"]

    def draw(axes: Any, measure: str) -> None:
        for place, variant in enumerate(variants):
            value = results.difference(variant, 1.0, measure)
            reach = 0.0 if math.isnan(value.reach) else value.reach
            axes.errorbar(value.mean, place, xerr=reach, fmt="o", color="#2a6f97", capsize=3)
        axes.axvline(0, color="#8a8a8a", linewidth=0.8)
        first = measure == next(iter(MEASURES))  # the others' rows are the same
        axes.set_yticks(range(len(variants)), [LABELS[v] if first else "" for v in variants])
        axes.invert_yaxis()
        axes.set_xlabel("worse than the whole stage 2")

    _figure(path, draw)


_CURVES = {
    "full": ("#2a6f97", "with stage 2"),
    NONE: ("#9e2a2b", "without"),
    LONGER: ("#c08a2d", "its steps added to stage 3"),
}


def _draw_efficiency(results: Results, path: Path) -> None:
    """Held-out loss over the share of paired data."""

    def draw(axes: Any, measure: str) -> None:
        for variant, (colour, label) in _CURVES.items():
            values = [results.mean(variant, share, measure) for share in SHARES]
            reach = [0.0 if math.isnan(value.reach) else value.reach for value in values]
            means = [value.mean for value in values]
            axes.errorbar(SHARES, means, yerr=reach, marker="o", color=colour, label=label, capsize=3)
        axes.set_xscale("log", base=2)
        axes.set_xticks(SHARES, [_share(share) for share in SHARES])
        axes.set_xlabel("share of the paired data")
        if measure == next(iter(MEASURES)):
            axes.legend(frameon=False)

    _figure(path, draw)
