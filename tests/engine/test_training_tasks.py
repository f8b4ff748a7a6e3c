# SPDX-License-Identifier: GPL-3.0-or-later
"""The task registry: enough tasks and templates, sound English, and examples that hold what they say."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.data.window import Window, combine
from engine.errors import DataError
from engine.language.templates import name_parts, placeholders
from engine.language.text_encoder import read_tokenizer
from engine.specs import EMOTIONS, PARTS, Part
from engine.training.tasks.grammar import Length, expand, templates
from engine.training.tasks.patterns import PATTERNS, Kind
from engine.training.tasks.registry import (
    HIDDEN,
    MOODS,
    TASKS,
    Codes,
    Shares,
    Slot,
    Task,
    draw_example,
    fitting,
)

LEVELS = {Part.FACE: 2, Part.HANDS: 1, Part.UPPER: 2, Part.LOWER: 2}
PAIRS = [(task, template) for task in TASKS for template in task.templates]


def window(parts: tuple[Part, ...] = PARTS, steps: int = 20, **changes: object) -> Window:
    codes = {part: np.arange(steps * LEVELS[part]).reshape(steps, -1) for part in parts}
    audio = np.arange(steps * 4).reshape(-1, 2)
    whole = Window(
        "test/one", 0.0, steps / 7.5, codes, audio, "so it goes", ("a person walks.",), (Part.LOWER,), "fear"
    )
    return replace(whole, **changes)


def task(name: str) -> Task:
    return next(task for task in TASKS if task.name == name)


def random() -> np.random.Generator:
    return np.random.default_rng(0)


# --- the registry -----------------------------------------------------------------------------------


def test_more_than_a_thousand_distinct_pairs() -> None:
    assert len({(task.name, template) for task, template in PAIRS}) == len(PAIRS) > 1000
    assert len({template for _, template in PAIRS}) > 1000  # and none only by the task's name
    assert len({task.name for task in TASKS}) == len(TASKS) == 3 * len(Kind) - 1
    for own in TASKS:
        assert len(own.templates) >= 24, own.name


def test_every_task_of_the_plan_is_there() -> None:
    for name in (
        "audio_to_motion", "text_to_motion", "audio_text_to_motion", "emotion_to_motion", "motion_to_emotion",
        "motion_to_text", "audio_to_text", "part_to_part", "in_between", "continue",
    ):  # fmt: skip
        assert task(name).length is Length.UNSAID
        assert task(f"{name}.seconds").length is Length.SECONDS
        if name != "audio_to_text":
            assert task(f"{name}.frames").length is Length.FRAMES


def test_templates_stay_under_52_word_pieces(repository: Path) -> None:
    tokenizer = read_tokenizer(repository / "packs" / "starter" / "tokenizer.json")
    whole = window()
    longest = 0
    for own, template in PAIRS:
        worded = replace(whole, described=PARTS[:3] if "{worded}" in template else PARTS)
        text = own.fill(worded, random(), template, Shares(quoted=1.0)).text
        longest = max(longest, len(tokenizer.encode(text).ids))
    assert 20 < longest < 52


def test_templates_say_what_their_task_has() -> None:
    codes = {
        "audio": "audio",
        "motion": "motion",
        "caption": "caption",
        "mood": "emotion",
        "emotion": "emotion",
    }
    answers = {
        Kind.MOTION_TO_EMOTION: "emotion",
        Kind.MOTION_TO_TEXT: "caption",
        Kind.AUDIO_TO_TEXT: "transcript",
    }
    for own, template in PAIRS:
        names = placeholders(template)
        assert names <= {
            "audio", "motion", "caption", "emotion", "mood", "given", "wanted", "worded", "spoken", "seconds",
            "frames",
        }, template  # fmt: skip
        assert {codes[name] for name in names & set(codes)} <= own.needs, template
        assert not names & {answers.get(own.kind, ""), "transcript"}, f"{template} tells its answer"
        for need in own.needs & {"audio", "caption"} - {answers.get(own.kind, "")}:
            assert need in names, template
        assert ("seconds" in names) == (own.length is Length.SECONDS), template
        assert ("frames" in names) == (own.length is Length.FRAMES), template


@pytest.mark.parametrize(
    "words", [r"  ", r"[\[\]<>|]", r"\b[Aa] [aeiou]", r"\b[Aa]n [^aeiou]", r" [.,;?!]", r"\b(\w+) \1\b"]
)
def test_templates_are_clean(words: str) -> None:
    faults = [template for _, template in PAIRS if re.search(words, template)]
    assert not faults, faults[:5]


def test_templates_are_sentences() -> None:
    agreement = re.compile(r"\{(given|wanted|worded|spoken)\} (is|are|has|have|does|was|were)\b")
    for _, template in PAIRS:
        assert re.match(r"[A-Z{]", template), template
        assert re.search(r"([.?]|: \{caption\})$", template), template
        assert template.endswith("?") == bool(re.match(r"(What|Which|How)\b|Judging", template)), template
        assert not agreement.search(template), f"{template}: parts may be one or many"
        assert template.count('"') % 2 == 0, template
        # A caption is any text: it stands in quotes or behind a colon.
        assert '"{caption}"' in template or ": {caption}" in template or "{caption}" not in template


def test_no_template_is_the_papers() -> None:
    """Fragments of the prompts that are known from the published code (spec 3.3)."""
    known = (
        "synchronized movement",
        "underlying emotion",
        "coordinated motion sequence",
        "Complete the masked motion",
    )
    assert not [template for _, template in PAIRS for words in known if words in template]


def test_patterns_expand_to_all_their_choices() -> None:
    assert expand("[a|b] c [d|e|f].") == ["a c d.", "a c e.", "a c f.", "b c d.", "b c e.", "b c f."]
    patterns = ("Go<time>.", "Stop.", "A [walk|run]<length>!")
    assert templates(patterns, Length.UNSAID) == ("Go.", "Stop.", "A walk!", "A run!")
    assert templates(patterns, Length.FRAMES) == (
        "Go for {frames} frames.", "A walk of {frames} frames!", "A run of {frames} frames!",
        "A walk lasting {frames} frames!", "A run lasting {frames} frames!",
    )  # fmt: skip
    assert set(PATTERNS) == set(Kind)


def test_moods_cover_the_emotions() -> None:
    assert tuple(MOODS) == EMOTIONS


# --- examples ---------------------------------------------------------------------------------------


def blocks(codes: tuple[Codes, ...] | str) -> dict[Part | None, np.ndarray]:
    assert not isinstance(codes, str)
    return {block.part: block.codes for block in codes}


@pytest.mark.parametrize(("own", "template"), PAIRS[::7], ids=lambda value: getattr(value, "name", ""))
def test_every_placeholder_is_filled(own: Task, template: str) -> None:
    example = own.fill(window(), random(), template)
    assert "{" not in example.text and "}" not in example.text and "  " not in example.text
    assert example.task == own.name and example.template == template
    assert example.target


def test_speech_becomes_motion_of_all_parts() -> None:
    example = task("audio_to_motion").fill(window(), random(), "Perform {audio} with {wanted}.")
    assert example.text == "Perform the speech with the face, the hands, the upper body and the lower body."
    assert example.prompt[0] == "Perform " and isinstance(example.prompt[1], Slot)
    assert list(blocks(example.inputs)) == [None]
    np.testing.assert_array_equal(example.inputs[0].codes, window().audio)
    assert list(blocks(example.target)) == list(PARTS)


def test_captions_move_the_parts_they_describe() -> None:
    example = task("text_to_motion").fill(window(), random(), 'Given the text "{caption}", move {wanted}.')
    assert example.text == 'Given the text "a person walks", move the lower body.'
    assert list(blocks(example.target)) == [Part.LOWER] and not example.inputs


def test_speech_and_caption_share_the_body() -> None:
    own = task("audio_text_to_motion")
    example = own.fill(window(), random(), own.templates[0])
    assert (
        'the face, the hands and the upper body follow the speech and the lower body obey "a person walks"'
        in (example.text)
    )
    assert list(blocks(example.target)) == list(PARTS)
    assert not own.fits(window(described=PARTS)) and not own.fits(window(described=()))


def test_lengths_are_the_targets() -> None:
    seconds = task("audio_to_motion.seconds").fill(window(), random())
    assert " 2.7 seconds" in seconds.text
    assert " 80 frames" in task("in_between.frames").fill(window(), random()).text
    # Continuing says how long the rest is: 16 of 20 steps.
    assert " 64 frames" in task("continue.frames").fill(window(), random()).text


def test_answers_in_words() -> None:
    assert task("motion_to_emotion").fill(window(), random()).target == "fear"
    example = task("motion_to_text").fill(window(), random())
    assert example.target == "a person walks" and list(blocks(example.inputs)) == [Part.LOWER]
    assert task("audio_to_text").fill(window(), random()).target == "so it goes"


def test_parts_are_given_and_wanted_in_every_disjoint_way() -> None:
    draw, seen = random(), set()
    for _ in range(1500):
        example = task("part_to_part").fill(window(), draw)
        given, wanted = (frozenset(blocks(side)) for side in (example.inputs, example.target))  # type: ignore[arg-type]
        assert given and wanted and not given & wanted
        assert name_parts(given) in example.text and name_parts(wanted) in example.text
        seen.add((given, wanted))
    assert len(seen) == 3**4 - 2 * 2**4 + 1  # every ordered pair of disjoint, non-empty sets of four


def test_gaps_hide_the_same_steps_of_all_parts_anywhere_but_at_the_ends() -> None:
    draw, begins = random(), set()
    whole = window(steps=40)
    for _ in range(200):
        example = task("in_between").fill(whole, draw)
        hidden = {part: (codes == HIDDEN).all(1) for part, codes in blocks(example.inputs).items()}
        first = hidden[Part.FACE]
        assert first.sum() == 10 and not first[0] and not first[-1]
        assert np.ptp(np.flatnonzero(first)) == 9
        for part, codes in blocks(example.inputs).items():
            np.testing.assert_array_equal(hidden[part], first)
            np.testing.assert_array_equal(codes[~first], whole.parts[part][~first])  # type: ignore[index]
        for part, codes in blocks(example.target).items():
            np.testing.assert_array_equal(codes, whole.parts[part])  # type: ignore[index]
        begins.add(int(np.flatnonzero(first)[0]))
    assert min(begins) < 4 and max(begins) > 26  # over the whole sequence


def test_continuing_gives_the_head_and_wants_the_rest() -> None:
    example = task("continue").fill(window(), random())
    for part in PARTS:
        head, rest = blocks(example.inputs)[part], blocks(example.target)[part]
        assert len(head) == 4
        np.testing.assert_array_equal(np.concatenate([head, rest]), window().parts[part])


@pytest.mark.parametrize("steps", [4, 5, 7])
def test_the_shortest_windows_keep_something_known(steps: int) -> None:
    for name in ("in_between", "continue"):
        example = task(name).fill(window(steps=steps), random())
        assert any((block.codes != HIDDEN).any() for block in example.inputs)
        assert example.target
    assert not task("in_between").fits(window(steps=3))


def test_windows_fit_the_tasks_they_have_everything_for() -> None:
    speech = Window("librispeech/a", 0.0, 4.0, {}, np.zeros((60, 2), np.int64), "words")
    assert {own.kind for own in fitting(speech)} == {Kind.AUDIO_TO_TEXT}
    walk = window(
        (Part.UPPER, Part.LOWER), audio=None, emotion=None, transcript="", described=(Part.UPPER, Part.LOWER)
    )
    assert {own.kind for own in fitting(walk)} == {
        Kind.TEXT_TO_MOTION, Kind.MOTION_TO_TEXT, Kind.PART_TO_PART, Kind.IN_BETWEEN, Kind.CONTINUE,
    }  # fmt: skip
    assert len(fitting(window())) == len(TASKS)
    with pytest.raises(DataError, match="librispeech/a"):
        task("text_to_motion").fill(speech, random())


def test_drawing_follows_the_weights() -> None:
    draw = random()
    kinds = [
        draw_example(window(), draw, {Kind.CONTINUE: 3.0, Kind.IN_BETWEEN: 1.0}).task for _ in range(400)
    ]
    names = [kind.partition(".")[0] for kind in kinds]
    assert set(names) == {"continue", "in_between"}
    assert 250 < names.count("continue") < 350
    assert {kind.partition(".")[2] for kind in kinds} == {"", "seconds", "frames"}
    with pytest.raises(DataError, match="fits no task"):
        draw_example(window(), draw, {})


def test_two_windows_become_one_body() -> None:
    walk = window((Part.UPPER, Part.LOWER), steps=12, name="amass/w", audio=None, captions=("walk",))
    mixed = combine(window(captions=(), described=()), walk, (Part.LOWER,))
    assert mixed.num_steps == 12 and mixed.duration_s == pytest.approx(12 / 7.5)
    assert mixed.audio is not None and len(mixed.audio) == 24
    assert mixed.captions == ("walk",) and mixed.described == (Part.LOWER,)
    np.testing.assert_array_equal(mixed.parts[Part.LOWER], walk.parts[Part.LOWER])
    np.testing.assert_array_equal(mixed.parts[Part.UPPER], window().parts[Part.UPPER][:12])
    assert mixed.transcript == ""  # cut: the words of the whole no longer hold
    assert task("audio_text_to_motion").fits(mixed)
    with pytest.raises(DataError, match="combined"):
        combine(window(), walk, (Part.FACE,))
