# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the captured half of the training set: clean, edited, captioned and balanced.

    python -m engine.data.captured --data ../shared/data --out build/data

writes `captured.npz` (float16 `lower` (N, 62) and `upper` (N, 78), all items one after the other, int64
`offsets` (K + 1,)) and `captured.json` (K entries: name, source_trial, group, action, captions, in_context,
split, edit, mean_speed, looped, weight). Weights of the training items add up to 1 and balance the groups,
because walks dominate the captures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..specs import MOTION_FPS
from .asked_for import MORE
from .cleaning import Capture, load_captures
from .recipes import captured_backwards, jumps, runs, stands, turning_round, walks, whole_clip
from .splits import HELD_OUT_CLIPS
from .workshop import Item, Workshop

GROUP_SHARES: dict[str, float] = {
    "walk_forward": 0.10,
    "walk_circle": 0.08,
    "walk_backwards": 0.07,
    "run_forward": 0.07,
    "run_backwards": 0.06,
    "jump": 0.15,
    "stand_still": 0.07,
    "rest": 0.40,
}
"""Share of each group in the training draw; inside "rest" actions share by the root of their number of
items, those of `ASKED_FOR` three times as much."""

ASKED_FOR = (
    "turn_left", "turn_around", "kick_ball", "boxing", "punch", "climb_steps", "climb_ladder",
    "sit", "cartwheel", "laugh",
)  # fmt: skip
"""Actions that people ask for and of which there are few clips."""

NUM_STANDS = {"train": 110, "held": 8}
"""Standing items per split."""

_ACTION_WORDS: tuple[tuple[str, str], ...] = (
    ("walk on uneven", "uneven"),
    ("navigate", "navigate"),
    ("sit on", "sit"),  # before the steps: a stepstool is for sitting on
    ("dribble, shoot", "shoot_ball"),
    ("dribble, 90", "dribble"),
    ("crossover dribble, shoot", "shoot_ball"),
    ("basketball", "dribble"),
    ("soccer", "kick_ball"),
    ("jumping jacks", "jumping_jacks"),
    ("jump up to grab", "reach"),
    ("run, leap", "run_leap"),
    ("run", "run"),
    ("walk", "walk"),
    ("jump", "jump"),
    ("punch", "punch"),
    ("swordplay", "sword"),
    ("static dance pose", "static_pose"),
    ("salsa", "salsa"),
    ("indian", "indian_dance"),
    ("pirouette", "pirouette"),
    ("dance", "dance"),
    ("martial", "martial_arts"),
    ("boxing", "boxing"),
    ("ladder", "climb_ladder"),
    ("steps", "climb_steps"),
    ("playground", "playground"),
    ("laugh", "laugh"),
    ("cartwheel", "cartwheel"),
    ("drink", "drink"),
    ("wash windows", "wash_windows"),
    ("traffic", "wave"),
    ("balance", "balance"),
    ("acrobatics", "acrobatics"),
)
"""First words found in a description decide the action."""

WALKS_THAT_TURN = ("26_01", "27_01", "29_01")
"""Labelled "walk", but they walk, stop, turn round and walk back."""


@dataclass(frozen=True)
class CapturedSet:
    """Everything built, in order.

    Attributes:
        items: Training and held-out items.
        splits: "train" or "held" for each.
        weights: Share of the training draw; 0 for held-out items.
        dropped: Reasons with counts, whole clips and items.
    """

    items: list[Item]
    splits: list[str]
    weights: list[float]
    dropped: dict[str, int]


def action_of(trial: str, description: str) -> str:
    """The action of a captured clip, by its description."""
    if trial in WALKS_THAT_TURN:
        return "turning"
    words = description.lower()
    return next(action for key, action in _ACTION_WORDS if key in words)


def recipes_for(action: str) -> list[Callable[[Workshop, Capture], None]]:
    """What is made of a clip of this action."""
    table: dict[str, list[Callable[[Workshop, Capture], None]]] = {
        "walk": [walks],
        "run": [runs],
        "jump": [jumps],
        "navigate": [captured_backwards],
        "turning": [turning_round],
        "reach": [whole_clip("reach"), lambda shop, capture: jumps(shop, capture, reaching=True)],
    }
    return table.get(action) or [whole_clip(action)]


def build(data: Path) -> CapturedSet:
    """Makes every item.

    Args:
        data: Folder with the captured clips.

    Raises:
        ClipError: If the captures are missing.
    """
    captures, dropped_clips = load_captures(data)
    items: list[Item] = []
    splits: list[str] = []
    dropped = {f"clip: {reason}": 1 for reason in dropped_clips.values()}
    for split in ("train", "held"):
        shop = Workshop()
        chosen = [c for c in captures if (c.trial in HELD_OUT_CLIPS) == (split == "held")]
        for capture in chosen:
            for recipe in recipes_for(action_of(capture.trial, capture.description)):
                recipe(shop, capture)
        if split == "train":
            for capture in chosen:
                if more := MORE.get(action_of(capture.trial, capture.description)):
                    more(shop, capture)
        stands(shop, chosen, NUM_STANDS[split], f"stand {split}")
        items.extend(shop.items)
        splits.extend([split] * len(shop.items))
        for reason, count in shop.dropped.items():
            dropped[f"{split}: {reason}"] = count
    return CapturedSet(items, splits, balance(items, splits), dropped)


def balance(items: Sequence[Item], splits: Sequence[str]) -> list[float]:
    """Weight of every item; those of the training split add up to 1."""
    train = [item for item, split in zip(items, splits, strict=True) if split == "train"]
    counts: dict[tuple[str, str], int] = {}
    for item in train:
        key = (item.group, item.action if item.group == "rest" else "")
        counts[key] = counts.get(key, 0) + 1
    shares: dict[tuple[str, str], float] = {}
    present = {group for group, _ in counts}
    total = sum(GROUP_SHARES[group] for group in present)
    roots = {
        action: np.sqrt(count) * (3.0 if action in ASKED_FOR else 1.0)
        for (group, action), count in counts.items()
        if group == "rest"
    }
    for (group, action), count in counts.items():
        part = roots[action] / sum(roots.values()) if group == "rest" else 1.0
        shares[(group, action)] = GROUP_SHARES[group] / total * part / count
    weights: list[float] = []
    for item, split in zip(items, splits, strict=True):
        key = (item.group, item.action if item.group == "rest" else "")
        weights.append(float(shares[key]) if split == "train" else 0.0)
    return weights


def write(captured: CapturedSet, out: Path) -> None:
    """Writes `captured.npz` and `captured.json` into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    lengths = [len(item.lower) for item in captured.items]
    np.savez(
        out / "captured.npz",
        lower=np.concatenate([item.lower for item in captured.items]).astype(np.float16),
        upper=np.concatenate([item.upper for item in captured.items]).astype(np.float16),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )
    rows: list[dict[str, Any]] = []
    for item, split, weight in zip(captured.items, captured.splits, captured.weights, strict=True):
        rows.append(
            {
                "name": item.name if split == "train" else f"held_{item.name}",
                "source_trial": item.trial,
                "other_trials": list(item.other_trials),
                "group": item.group,
                "action": item.action,
                "captions": item.captions,
                "in_context": item.in_context,
                "split": split,
                "edit": item.edit,
                "mean_speed": item.mean_speed,
                "looped": item.looped,
                "weight": weight,
            }
        )
    (out / "captured.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def summary(captured: CapturedSet) -> Iterable[str]:
    """Lines of a table: items, minutes, share and wordings per group and action, then what was dropped."""
    yield f"{'group':16s}{'action':16s}{'split':7s}{'items':>6s}{'minutes':>9s}{'share':>8s}{'captions':>9s}"
    rows: dict[tuple[str, str, str], list[Any]] = {}
    for item, split, weight in zip(captured.items, captured.splits, captured.weights, strict=True):
        row = rows.setdefault((split, item.group, item.action), [0, 0, 0.0, set()])
        row[0] += 1
        row[1] += len(item.lower)
        row[2] += weight
        row[3].update(item.captions, item.in_context)
    for (split, group, action), (count, frames, weight, texts) in sorted(rows.items(), reverse=True):
        minutes = frames / MOTION_FPS / 60
        yield f"{group:16s}{action:16s}{split:7s}{count:6d}{minutes:9.1f}{weight:8.3f}{len(texts):9d}"
    for reason, count in sorted(captured.dropped.items()):
        yield f"dropped {count:4d}  {reason}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Build the captured training items.")
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="folder with the captured clips"
    )
    parser.add_argument("--out", type=Path, default=Path("build/data"), help="folder to write to")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    captured = build(options.data)
    write(captured, options.out)
    for line in summary(captured):
        print(line)
    print(f"{len(captured.items)} items in {time.monotonic() - started:.0f} s, written to {options.out}")


if __name__ == "__main__":
    main()
