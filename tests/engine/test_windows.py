# SPDX-License-Identifier: GPL-3.0-or-later
"""Where windows are cut, what drives the parts in each, and several instructions in one motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.__main__ import main
from engine.errors import EngineError, InstructionError, RequestError
from engine.language.instruction import parse_timed
from engine.motion.clip_io import load_npz
from engine.pipeline import Engine, load_engine
from engine.requests import resolve_directions
from engine.specs import PARTS, GenerateRequest, Part, PartDirection, SamplingOptions, Segment, Source
from engine.windows import OVERLAP_STEPS, WINDOW_STEPS, driven_at, plan_windows, windows
from tests.tiny_pack import write_tiny_pack

WALK, TURN = Segment(0.0, 3.0, "walk forward"), Segment(3.0, 5.0, "turn left")
WALK_AND_TURN = PartDirection(Source.TEXT, "", (WALK, TURN))


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pack") / "tiny"
    write_tiny_pack(root)
    return root


@pytest.fixture(scope="module")
def engine(pack: Path) -> Engine:
    engine = load_engine(pack, "cpu")
    assert isinstance(engine, Engine)
    return engine


@pytest.mark.parametrize("total", [1, 31, 32, 33, 40, 56, 57, 300])
@pytest.mark.parametrize("cuts", [(), (1,), (22,), (22, 38), (5, 6, 40), (56,), (0, 300, 1000)])
def test_windows_draw_every_step_once_and_end_at_cuts(total: int, cuts: tuple[int, ...]) -> None:
    spans = windows(total, cuts=cuts)
    joints = [start + known for start, known in spans] + [total]
    assert joints[0] == 0 and joints == sorted(set(joints))
    assert set(cuts) & set(range(1, total)) <= set(joints)
    for (start, known), stop in zip(spans, joints[1:], strict=True):
        assert start >= 0 and stop - start <= WINDOW_STEPS
        begin = max([0, *(cut for cut in cuts if cut <= start + known)])
        assert start >= begin - OVERLAP_STEPS or known == 0
        assert known >= min(OVERLAP_STEPS, start + known)


def test_without_cuts_windows_are_as_the_model_was_trained() -> None:
    assert windows(33) == [(0, 0), (1, 31)]
    assert windows(80) == [(0, 0), (24, 8), (48, 8)]
    assert windows(70) == [(0, 0), (24, 8), (38, 18)]


def test_what_drives_a_part_at_a_moment() -> None:
    text = PartDirection(Source.TEXT, "stand still", (TURN,))
    assert [driven_at(text, second)[1] for second in (0.0, 3.0, 4.99, 5.0)] == [
        "stand still",
        "turn left",
        "turn left",
        "stand still",
    ]
    held = PartDirection(Source.TEXT, "", (Segment(1.0, 2.0, "jump"), TURN))
    assert [driven_at(held, second)[1] for second in (0.0, 2.5, 9.0)] == ["jump", "jump", "turn left"]
    both = PartDirection(Source.BOTH, "", (TURN,))
    assert driven_at(both, 4.0) == (Source.BOTH, "turn left") and driven_at(both, 6.0) == (Source.SPEECH, "")
    speech = PartDirection(Source.SPEECH, "never read", (TURN,))
    assert driven_at(speech, 4.0) == (Source.BOTH, "turn left")
    assert driven_at(speech, 1.0) == (Source.SPEECH, "")
    assert driven_at(PartDirection(Source.KEEP, "x", (TURN,)), 4.0) == (Source.KEEP, "")


def test_each_window_stands_under_the_words_of_what_it_draws() -> None:
    directions = {part: PartDirection(Source.SPEECH) for part in PARTS} | {Part.LOWER: WALK_AND_TURN}
    plan = plan_windows(directions, 60, 4)
    # 3 s are 22.5 steps of 4 frames, 5 s are 37.5.
    drawn = [(w.start + w.num_decided, w.start + w.length, w.texts[Part.LOWER]) for w in plan]
    assert drawn == [(0, 22, "walk forward"), (22, 38, "turn left"), (38, 60, "turn left")]
    assert all(w.sources[Part.FACE] is Source.SPEECH and Part.FACE not in w.texts for w in plan)
    assert [w.turning for w in plan] == [frozenset(), frozenset({Part.LOWER}), frozenset()]
    assert len(plan_windows({part: PartDirection(Source.TEXT, "walk") for part in PARTS}, 60, 4)) == 3


def test_parts_left_out_follow_the_segments_of_the_one_with_words() -> None:
    known = resolve_directions(GenerateRequest({Part.LOWER: WALK_AND_TURN}))
    assert known[Part.FACE] == known[Part.LOWER] == WALK_AND_TURN
    shuffled = PartDirection(Source.TEXT, "", (TURN, WALK))
    assert resolve_directions(GenerateRequest({Part.LOWER: shuffled}))[Part.LOWER] == WALK_AND_TURN


@pytest.mark.parametrize(
    ("segments", "error", "words"),
    [
        ((WALK, Segment(2.0, 4.0, "jump")), RequestError, '"walk forward" and "jump" .* overlap .* move'),
        ((Segment(1.0, 1.2, "jump"),), RequestError, "lasts 0.20 s; make it last"),
        ((Segment(float("nan"), 2.0, "jump"),), RequestError, "make it last"),
        ((Segment(0.0, 2.0, " "),), InstructionError, "empty"),
    ],
)
def test_segments_that_cannot_be_followed(
    engine: Engine, segments: tuple[Segment, ...], error: type[EngineError], words: str
) -> None:
    with pytest.raises(error, match=words):
        engine.generate(GenerateRequest({Part.LOWER: PartDirection(Source.TEXT, "", segments)}))


def test_one_motion_of_several_instructions(engine: Engine) -> None:
    """The first instruction's part is the same whatever follows; what follows goes on from it."""
    made = engine.generate(GenerateRequest({Part.LOWER: WALK_AND_TURN}))
    assert made.clip.num_frames == 150
    other = PartDirection(Source.TEXT, "", (WALK, Segment(3.0, 5.0, "jump")))
    changed = engine.generate(GenerateRequest({Part.LOWER: other}))
    alone = engine.generate(GenerateRequest({Part.LOWER: PartDirection(Source.TEXT, "walk forward")}))
    levels = engine.vocabulary.num_levels(Part.LOWER)
    first, second, third = (np.reshape(r.codes[Part.LOWER], (-1, levels)) for r in (made, changed, alone))
    assert np.array_equal(first[:22], second[:22])
    assert (first[22:] != second[22:]).any() and first.shape == third.shape


def test_one_segment_over_everything_is_the_instruction_alone(engine: Engine) -> None:
    whole = PartDirection(Source.TEXT, "", (Segment(-1.0, 9.0, "walk forward"),))
    results = [
        engine.generate(GenerateRequest({Part.LOWER: known}, duration_s=8.0))
        for known in (whole, PartDirection(Source.TEXT, "walk forward"))
    ]
    assert results[0].codes == results[1].codes
    assert np.array_equal(results[0].clip.poses, results[1].clip.poses)


def test_rows_with_other_words_but_the_same_cuts_share_a_batch(engine: Engine) -> None:
    requests = [
        GenerateRequest(
            {Part.LOWER: PartDirection(Source.TEXT, "", (WALK, Segment(3.0, 5.0, text)))},
            sampling=SamplingOptions(seed=4),
        )
        for text in ("turn left", "jump")
    ]
    layouts = {engine._prepare(request).layout for request in requests}
    assert len(layouts) == 1
    many = engine.generate_many(requests)
    assert many[0].codes == engine.generate(requests[0]).codes
    assert many[1].codes == engine.generate(requests[1]).codes


def test_times_in_one_line() -> None:
    assert parse_timed("0-3: walk forward; 3-5s : turn left") == ("", (WALK, TURN))
    assert parse_timed("stand still; 3-5: turn left") == ("stand still", (TURN,))
    assert parse_timed("walk; then run: fast") == ("walk; then run: fast", ())
    with pytest.raises(InstructionError, match="without a time; write one"):
        parse_timed("walk; run; 3-5: turn left")
    with pytest.raises(InstructionError, match="earlier second first"):
        parse_timed("5-3: turn left")


def test_times_on_the_command_line(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "clip.npz"
    common = ["generate", "--pack", str(pack), "--out", str(out), "--lower"]
    assert main([*common, "0-2: walk forward; 2-4.5: turn left"]) == 0
    assert load_npz(out).num_frames == 135
    assert main([*common, "0-3: walk; 2-4: run"]) == 1
    assert "overlap in time" in capsys.readouterr().err
