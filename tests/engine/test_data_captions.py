# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions: grammar, counts, speed words, sides, and held-out wordings."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from engine.data.captions import (
    FRESH_WORDINGS,
    HELD_OUT_WORDINGS,
    PHRASES,
    captions_for,
    captions_in_context,
    continuous,
    is_held_out,
    normalised,
    speed_band,
    swap_sides,
    third_person,
    told_pace,
)
from engine.data.captured import GROUP_SHARES, CapturedSet, action_of, balance, recipes_for, write
from engine.data.contexts import MORE_PHRASES
from engine.data.splits import HELD_OUT_AUDIO, HELD_OUT_CLIPS
from engine.data.workshop import Item
from engine.evaluation.probes import ACTION_PROBES, PROBES

MAIN = (
    "walk_forward",
    "walk_circle",
    "walk_backwards",
    "run_forward",
    "run_backwards",
    "jump",
    "stand_still",
)


@pytest.mark.parametrize(
    ("phrase", "third", "ing"),
    [
        ("walk and turn left", "walks and turns left", "walking and turning left"),
        ("go for a run", "goes for a run", "going for a run"),
        ("run ahead", "runs ahead", "running ahead"),
        ("jog", "jogs", "jogging"),
        ("march in a circle", "marches in a circle", "marching in a circle"),
        ("hurry backwards", "hurries backwards", "hurrying backwards"),
        ("take a walk", "takes a walk", "taking a walk"),
        ("leap up", "leaps up", "leaping up"),
        ("begin to walk", "begins to walk", "beginning to walk"),
        ("wander forward", "wanders forward", "wandering forward"),
        (
            "climb up, sit and swing the legs",
            "climbs up, sits and swings the legs",
            "climbing up, sitting and swinging the legs",
        ),
        ("take a few steps and stop", "takes a few steps and stops", "taking a few steps and stopping"),
    ],
)
def test_grammar(phrase: str, third: str, ing: str) -> None:
    assert third_person(phrase) == third
    assert continuous(phrase) == ing


def test_main_actions_have_many_wordings_and_every_probe_has_ten_unseen_ones() -> None:
    for action in MAIN:
        assert len(PHRASES[action]) >= 20, action
    assert {probe.prompt for probe in (*PROBES, *ACTION_PROBES)} == set(HELD_OUT_WORDINGS)
    assert {probe.action for probe in PROBES} == set(MAIN)
    for prompt, wordings in HELD_OUT_WORDINGS.items():
        assert len(set(wordings)) == len(wordings) >= 10 and prompt not in wordings


def test_no_caption_is_a_held_out_wording() -> None:
    seen: set[str] = set()
    for action in PHRASES:
        for seed in range(15):
            for speed in (0.7, 1.2, 4.0):
                seen.update(normalised(text) for text in captions_for(action, seed, speed=speed, side="left"))
    held = {normalised(text) for texts in HELD_OUT_WORDINGS.values() for text in texts}
    assert not seen & held
    assert len(seen) > 3000
    assert not [text for text in seen if is_held_out(text)]
    assert (
        is_held_out("Sprint forward!")
        and is_held_out("she step backwards")
        and not is_held_out("walk forward")
    )
    # The guard is what keeps them out: plain phrases never spell one either.
    assert not {normalised(phrase) for phrases in PHRASES.values() for phrase in phrases} & held


def test_fresh_wordings_are_in_no_form_of_a_training_phrase() -> None:
    assert list(FRESH_WORDINGS) == list(HELD_OUT_WORDINGS)
    fresh = [text for texts in FRESH_WORDINGS.values() for text in texts]
    assert all(4 <= len(texts) <= 5 for texts in FRESH_WORDINGS.values())
    assert len(set(fresh)) == 79
    assert not {normalised(text) for text in fresh} & {
        normalised(text) for texts in HELD_OUT_WORDINGS.values() for text in texts
    }
    plain = {text for table in (PHRASES, MORE_PHRASES) for phrases in table.values() for text in phrases}
    plain |= {swap_sides(phrase) for phrase in plain}
    forms = {form for phrase in plain for form in (phrase, third_person(phrase), continuous(phrase))}
    assert len(forms) > 1500
    # "a person jogs" is held out, so nobody "jogs" in a caption; "jog" and "jogging" stay.
    assert [form for form in forms if is_held_out(form)] == ["jogs"]


def test_instructions_in_context_name_surroundings_and_keep_their_action() -> None:
    seen: set[str] = set()
    for action in PHRASES:
        for seed in range(12):
            texts = captions_in_context(action, seed, speed=1.2, side="left")
            assert texts == captions_in_context(action, seed, speed=1.2, side="left")
            assert len(texts) == len(set(texts)) >= 15, action
            assert not [text for text in texts if is_held_out(text) or text != " ".join(text.split())]
            seen.update(texts)
    assert len(seen) > 8000
    circles = [text for seed in range(20) for text in captions_in_context("walk_circle", seed, speed=1.2)]
    assert any("around the table" in text for text in circles)
    assert any(text.startswith(("a boy ", "a girl ", "the guard ")) for text in circles)
    assert not [text for text in seen if re.search(r"(make|have|let|want) s?he ", text)]


def test_instructions_in_context_follow_side_and_speed() -> None:
    right = [t for seed in range(20) for t in captions_in_context("turn_left", seed, speed=1.2, side="right")]
    turns = [text for text in right if "side of" not in text and "of the stage" not in text]
    assert any("right" in text for text in turns)
    assert not [text for text in turns if re.search(r"\bleft", text)]
    foot = " ".join(" ".join(captions_in_context("kick_ball", seed, side="right")) for seed in range(10))
    assert "right foot" in foot and "left foot" not in foot
    assert "foot" not in " ".join(captions_in_context("boxing", 3, side="right"))
    by_pace = {
        pace: {
            told_pace(t) for seed in range(20) for t in captions_in_context("run_forward", seed, speed=speed)
        }
        for pace, speed in (("slow", 2.2), ("normal", 3.0), ("fast", 4.4))
    }
    assert by_pace == {"slow": {"", "slow"}, "normal": {""}, "fast": {"", "fast"}}


def test_a_fresh_wording_is_held_out_whoever_does_it() -> None:
    for text in (
        "She jumps for joy.",
        "jumps for joy",
        "an actor jumps for joy",
        "the figure sprint down the track",
    ):
        assert is_held_out(text), text
    assert not is_held_out("she jumps") and not is_held_out("run down the track")
    kept = captions_for(
        "jump", 3, extra=("a man jumps for joy", "hop up with both feet", "a man jumps for gold")
    )
    assert "a man jumps for gold" in kept
    assert not {"a man jumps for joy", "hop up with both feet"} & set(kept)


def test_captions_are_distinct_repeatable_and_open_with_the_plain_instruction() -> None:
    for action in MAIN:
        captions = captions_for(action, 5, speed=1.2 if "run" not in action else 3.0)
        assert len(captions) == len(set(captions)) >= 18, action
        assert captions == captions_for(action, 5, speed=1.2 if "run" not in action else 3.0)
        assert captions[0] == PHRASES[action][0]


def test_speed_words_follow_the_measured_speed() -> None:
    assert [speed_band("walk_forward", s) for s in (0.7, 1.2, 1.6)] == ["slow", "normal", "fast"]
    assert speed_band("jump", 0.1) == "normal"
    slow = " ".join(" ".join(captions_for("walk_forward", seed, speed=0.7)) for seed in range(10))
    fast = " ".join(" ".join(captions_for("walk_forward", seed, speed=1.7)) for seed in range(10))
    assert "slowly" in slow and "march" not in slow and "quickly" not in slow
    assert "quickly" in fast and "slowly" not in fast and "stroll" not in fast
    assert "walk forward" not in captions_for("walk_forward", 1, speed=0.7)[:1]


def test_sides_are_swapped_for_mirrored_clips() -> None:
    assert swap_sides("turn left, then right, clockwise") == "turn right, then left, counterclockwise"
    right = captions_for("turn_left", 2, side="right")
    assert any("right" in text for text in right) and not any("left" in text.split() for text in right)


def test_descriptions_are_sorted_into_actions() -> None:
    assert action_of("02_01", "walk") == "walk"
    assert action_of("26_01", "walk") == "turning"
    assert action_of("02_03", "run/jog") == "run"
    assert action_of("13_10", "jump up to grab, reach for, tiptoe") == "reach"
    assert action_of("49_02", "jump up and down, hop on one foot") == "jump"
    assert action_of("06_14", "basketball - crossover dribble, shoot") == "shoot_ball"
    assert action_of("09_12", "navigate - walk forward, backward, sideways") == "navigate"
    assert action_of("13_01", "sit on high stool, stand up") == "sit"
    assert action_of("14_29", "sit on stepstool, stand up, swing legs") == "sit"
    assert action_of("13_35", "climb 3 steps") == "climb_steps"
    assert all(recipes_for(action) for action in ("walk", "run", "jump", "salsa"))


def item(name: str, group: str, action: str, trial: str = "99_01") -> Item:
    lower, upper = np.ones((70, 62), np.float32), np.zeros((70, 78), np.float32)
    return Item(name, trial, group, action, "none", ["walk"], [], lower, upper, 1.0, False)


def test_weights_balance_the_groups() -> None:
    items = [item(f"w{k}", "walk_forward", "walk_forward") for k in range(30)]
    items += [item("j", "jump", "jump"), item("h", "walk_forward", "walk_forward")]
    items += [item(f"s{k}", "rest", "swim") for k in range(9)] + [item("b", "rest", "wave")]
    items += [item("k", "rest", "kick_ball")]
    splits = ["train"] * len(items)
    splits[31] = "held"
    weights = balance(items, splits)
    assert sum(weights) == pytest.approx(1)
    assert weights[31] == 0
    total = GROUP_SHARES["walk_forward"] + GROUP_SHARES["jump"] + GROUP_SHARES["rest"]
    assert sum(weights[:30]) == pytest.approx(GROUP_SHARES["walk_forward"] / total)
    assert weights[30] == pytest.approx(GROUP_SHARES["jump"] / total)
    assert sum(weights[32:41]) == pytest.approx(3 * weights[41])  # root of the number of items
    assert weights[42] == pytest.approx(3 * weights[41])  # an action that people ask for
    assert sum(GROUP_SHARES.values()) == pytest.approx(1)


def test_the_files_hold_what_was_built(tmp_path: Path) -> None:
    items = [item("a", "rest", "salsa"), item("b", "jump", "jump")]
    write(CapturedSet(items, ["train", "held"], [1.0, 0.0], {}), tmp_path)
    arrays = np.load(tmp_path / "captured.npz")
    rows = json.loads((tmp_path / "captured.json").read_text(encoding="utf-8"))
    assert arrays["lower"].dtype == np.float16 and arrays["lower"].shape == (140, 62)
    assert arrays["upper"].shape == (140, 78)
    np.testing.assert_array_equal(arrays["offsets"], [0, 70, 140])
    assert [row["split"] for row in rows] == ["train", "held"]
    assert {
        "name",
        "source_trial",
        "action",
        "captions",
        "split",
        "edit",
        "mean_speed",
        "looped",
        "weight",
    } <= set(rows[0])


def test_held_out_lists() -> None:
    assert len(set(HELD_OUT_CLIPS)) == len(HELD_OUT_CLIPS) >= 24
    assert len(set(HELD_OUT_AUDIO)) == len(HELD_OUT_AUDIO) == 38


def test_nothing_held_out_is_in_the_built_training_set(repository: Path) -> None:
    path = repository / "build" / "data" / "captured.json"
    if not path.is_file():
        pytest.skip("needs build/data/captured.json (python -m engine.data.captured)")
    rows = json.loads(path.read_text(encoding="utf-8"))
    held_trials, used = set(HELD_OUT_CLIPS), 0
    for row in rows:
        sources = {row["source_trial"], *row["other_trials"]}
        if row["split"] == "train":
            assert not sources & held_trials, row["name"]
            assert not any(is_held_out(text) for text in row["captions"] + row["in_context"]), row["name"]
            used += 1
        else:
            assert sources <= held_trials and row["weight"] == 0, row["name"]
    assert used > 500
    assert sum(row["weight"] for row in rows) == pytest.approx(1)
