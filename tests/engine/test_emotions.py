# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts with emotions of their own, with a stand-in for the model that says what it was asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from engine.emotions import PartEmotions, emotion_groups
from engine.errors import RequestError
from engine.motion.clip import Clip
from engine.specs import (
    EMOTIONS,
    PARTS,
    CancelCheck,
    GenerateRequest,
    GenerateResult,
    Glimpse,
    Part,
    PartDirection,
    ProgressCallback,
    SamplingOptions,
    ShowCallback,
    Source,
)


class Asked:
    """A model whose motion is the place of the emotion in the list, and which keeps what it must."""

    def __init__(self) -> None:
        self.batches: list[list[GenerateRequest]] = []

    def generate(
        self,
        request: GenerateRequest,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        show: ShowCallback | None = None,
    ) -> GenerateResult:
        return self.generate_many([request], progress, cancel, show)[0]

    def generate_many(
        self,
        requests: Sequence[GenerateRequest],
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        show: ShowCallback | None = None,
    ) -> list[GenerateResult]:
        self.batches.append(list(requests))
        if show is not None:
            made = self._made(requests[0])
            show(Glimpse(0, made.clip, tuple(part for part in PARTS if part in made.codes)))
        if progress is not None:
            progress(0.5, "Moving")
        return [self._made(request) for request in requests]

    def _made(self, request: GenerateRequest) -> GenerateResult:
        rest = Clip.rest(10, 30)
        mood = 0.1 * (1 + EMOTIONS.index(request.emotion)) if request.emotion else 0.05
        poses = np.full_like(rest.poses, mood)
        clip = Clip(30, poses, rest.trans, rest.expressions, rest.expression_names, "arkit")
        codes: dict[Part, list[int]] = {}
        for part in PARTS:
            if request.directions.get(part, PartDirection()).source is Source.KEEP:
                assert request.kept is not None
                clip = clip.with_part(part, request.kept)
            else:
                codes[part] = [request.sampling.seed]
        return GenerateResult(clip, 10 / 30, 1.0, codes)


def spoken(**emotions: str) -> dict[Part, PartDirection]:
    return {part: PartDirection(emotion=emotions.get(part.value)) for part in PARTS}


def mood(clip: Clip, joint: int) -> float:
    return float(clip.poses[0, joint, 0])


def test_without_emotions_of_their_own_there_is_one_pass() -> None:
    engine = Asked()
    request = GenerateRequest(spoken(), emotion="anger")
    PartEmotions(engine).generate_many([request])
    assert engine.batches == [[request]]


def test_each_part_gets_its_emotion_and_sees_the_others() -> None:
    engine, heard = Asked(), []
    requests = [
        GenerateRequest(
            spoken(face="happiness", lower="fear"), emotion="anger", sampling=SamplingOptions(seed)
        )
        for seed in (1, 2)
    ]
    results = PartEmotions(engine).generate_many(requests, lambda done, _text: heard.append(done))
    assert [[request.emotion for request in batch] for batch in engine.batches] == [
        ["anger"] * 2, ["happiness"] * 2, ["fear"] * 2
    ]  # fmt: skip
    for seed, result in enumerate(results, 1):
        moods = [mood(result.clip, joint) for joint in (22, 30, 16, 0)]
        wanted = [EMOTIONS.index(name) for name in ("happiness", "anger", "anger", "fear")]
        assert moods == pytest.approx([0.1 * (1 + place) for place in wanted])
        assert result.codes == {part: [seed] for part in PARTS} and result.compute_s == 3.0
    assert heard == pytest.approx([0.5 / 3, 1.5 / 3, 2.5 / 3])


def test_kept_parts_stay_and_need_no_pass() -> None:
    engine, kept = Asked(), Clip.rest(10, 30)
    directions = spoken(upper="fear") | {Part.FACE: PartDirection(Source.KEEP, emotion="disgust")}
    result = PartEmotions(engine).generate_many([GenerateRequest(directions, kept=kept)])[0]
    assert [batch[0].emotion for batch in engine.batches] == [None, "fear"]
    assert mood(result.clip, 22) == 0.0
    every = {part: PartDirection(emotion="fear") for part in PARTS}
    assert emotion_groups(GenerateRequest(every, emotion="anger")) == [("fear", PARTS)]


def test_an_unknown_emotion_is_refused() -> None:
    with pytest.raises(RequestError, match="choose one of neutral"):
        PartEmotions(Asked()).generate(GenerateRequest(spoken(face="joy")))


def test_each_pass_of_the_first_request_is_shown() -> None:
    seen: list[Glimpse] = []
    angry = PartDirection(emotion="anger")
    requests = [GenerateRequest({Part.FACE: angry}, emotion="fear"), GenerateRequest()]
    PartEmotions(Asked()).generate_many(requests, show=seen.append)
    assert [glimpse.parts for glimpse in seen] == [PARTS, (Part.FACE,)]
