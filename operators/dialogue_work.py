# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate All Strips, on plain data only: what the worker thread does, line after line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.errors import AudioError, Cancelled, EngineError, StorageError
from ..engine.specs import PARTS, Part, PartDirection, Source
from . import engine_host
from .dialogue_plan import DialoguePlan, Line
from .generation import at_scene_rate

if TYPE_CHECKING:
    from ..engine.lines import LineRecord
    from ..engine.motion.clip import Clip
    from .bridge.sound import SoundSource
    from .job import IsCancelled, ReportProgress

IDLE_TEXT, IDLE_S = "stand still", 8.0
"""What the character does between lines: made once, then played there and back for as long as it takes."""


@dataclass(frozen=True)
class Piece:
    """Motion ready to be written: the pause before a line, and the line.

    Attributes:
        number: Place of the line in the plan.
        clip: At the scene's rate.
        frame_start: Scene frame of the clip's first frame.
        key: Names the line's motion.
        fingerprint: Names what is written, and where; the same is not written twice.
        up_to_date: Whether it is what the strip asks for now, not what it had before the work was stopped.
    """

    number: int
    clip: Clip
    frame_start: int
    key: str
    fingerprint: str
    up_to_date: bool


@dataclass(frozen=True)
class LineNews:
    """How far a line is.

    Attributes:
        number: Place of the line in the plan.
        fraction: Part of it that is done.
    """

    number: int
    fraction: float


Tell = Callable[[Piece | LineNews], None]


class DialogueWork:
    """Makes, or fetches, the motion of every line and puts one behind the other."""

    def __init__(
        self, plan: DialoguePlan, tell: Tell, progress: ReportProgress, cancelled: IsCancelled
    ) -> None:
        """Prepare without starting anything.

        Args:
            plan: What to do.
            tell: Given every finished piece, and news of the line that is being made.
            progress: Told how far the whole is.
            cancelled: Asked between steps.
        """
        with engine_host.importing():
            from ..engine.line_cache import LineCache

        self.plan, self.tell, self.progress, self.cancelled = plan, tell, progress, cancelled
        self.cache = LineCache(plan.cache_dir, plan.cache_bytes)
        card = plan.pack_dir / "pack.toml"
        self.pack = _digest(card.read_bytes()) if card.is_file() else ""
        self.problem: EngineError | None = None
        self._contents: dict[str, str] = {}

    def run(self) -> None:
        """Go through all lines in the order of their time.

        Once stopped, or when a line cannot be made, lines whose motion is already there are still put in
        their places, so that what is written fits together.

        Raises:
            EngineError: With a sentence for the animator that names the strip.
        """
        from ..engine.motion.sequencing import follow

        plan = self.plan
        before: Clip | None = None
        end = 0
        for number, line in enumerate(plan.lines):
            made = self._motion(number, line)
            if made is None:
                continue
            clip, key, is_new = made
            clip = at_scene_rate(clip, plan.fps, line.num_frames / plan.fps)
            start = line.frame_start
            if before is not None:
                pause = line.frame_start - end
                clip, start = follow(before, pause, clip, self._idle(pause)), end
            self.tell(Piece(number, clip, start, key, _print_of(clip, start, plan.parts), is_new))
            before, end = clip, line.frame_start + line.num_frames
        if self.problem is not None:
            raise self.problem

    @property
    def stopped(self) -> bool:
        """Whether nothing more is made."""
        return self.problem is not None or self.cancelled()

    def _motion(self, number: int, line: Line) -> tuple[Clip, str, bool] | None:
        """A line's motion at the engine's rate, its key, and whether it is what the line asks for now.

        Where it cannot be made any more it is the one that the line had before, or None if there was none.
        """
        try:
            record = self._record(line)
            found = None if self.plan.afresh else self.cache.load(record.key)
            if found is not None:
                return found[0], record.key, True
            if not self.stopped:
                return self._kept(*self._made(number, line, record)), record.key, True
        except Cancelled:
            pass  # what was there before stays, as for the lines that follow
        except EngineError as error:
            self.problem = self.problem or type(error)(f'Strip "{line.name}": {error}')
        found = self.cache.load(self.plan.earlier.get(line.name, ""))
        return None if found is None else (found[0], found[1].key, False)

    def _made(self, number: int, line: Line, record: LineRecord) -> tuple[Clip, LineRecord]:
        """Make a line's motion, from its earlier one where that helps; the record knows the sound then."""
        with engine_host.importing():
            from ..engine.emotions import PartEmotions
            from ..engine.lines import heard_in, remake
            from ..engine.specs import AUDIO_HZ, GenerateRequest, SamplingOptions
            from .bridge.sound import read_waveform

        plan = self.plan

        def share(fraction: float, text: str) -> None:
            self.progress((number + fraction) / len(plan.lines), f'Strip "{line.name}": {text}')
            self.tell(LineNews(number, fraction))

        share(0.0, "Reading the sound")
        waveform = read_waveform(line.sound)
        record = replace(record, heard=heard_in(waveform))
        request = GenerateRequest(
            directions=line.directions,
            waveform=waveform,
            sample_rate=AUDIO_HZ,
            duration_s=record.duration_s,
            emotion=plan.emotion,
            sampling=SamplingOptions(
                seed=line.seed, temperature=SamplingOptions.temperature * plan.variation
            ),
        )
        earlier = None if plan.afresh else self.cache.load(plan.earlier.get(line.name, ""))
        with engine_host.engine_for(plan.pack_dir, plan.device, share, self.cancelled) as engine:
            emotional = PartEmotions(engine)
            if earlier is None:
                return emotional.generate(request, share, self.cancelled).clip, record
            records = earlier[1], record
            return remake(emotional, request, records, earlier[0], share, self.cancelled), record

    def _kept(self, clip: Clip, record: LineRecord) -> Clip:
        """Store a motion for later; where that fails it is used all the same, and nothing more is made.

        Returns:
            What will be read from the disk from now on, which a file's own axes may have rounded.
        """
        try:
            self.cache.store(clip, record)
        except StorageError as error:
            self.problem = self.problem or error
            return clip
        found = self.cache.load(record.key)
        return clip if found is None else found[0]

    def _record(self, line: Line) -> LineRecord:
        """What a line's motion is made from."""
        from ..engine.lines import LineRecord, words_of

        duration_s = line.num_frames / self.plan.fps
        rest = f"{self.pack} {self.plan.emotion} {self.plan.variation:.4f} {line.seed}"
        words = words_of(line.directions, duration_s)
        return LineRecord(self._content(line.sound), round(line.sound.start_s, 6), duration_s, words, rest)

    def _content(self, sound: SoundSource) -> str:
        """Tells the content of a sound from every other; each file is read once.

        Raises:
            AudioError: If the file is gone.
        """
        if sound.packed is not None:
            return _digest(sound.packed)
        if sound.path not in self._contents:
            try:
                with Path(sound.path).open("rb") as stream:
                    self._contents[sound.path] = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError as error:
                raise AudioError(f"The sound file {sound.path} cannot be read: restore it.") from error
        return self._contents[sound.path]

    def _idle(self, pause: int) -> Clip | None:
        """Standing for the pauses, at the scene's rate; None in a short one, or where it cannot be made."""
        from ..engine.lines import LineRecord, words_of
        from ..engine.motion.sequencing import IDLE_GAP_S
        from ..engine.specs import GenerateRequest, SamplingOptions

        plan = self.plan
        if pause < IDLE_GAP_S * plan.fps:
            return None
        directions = dict.fromkeys(PARTS, PartDirection(Source.TEXT, IDLE_TEXT))
        record = LineRecord("", 0.0, IDLE_S, words_of(directions, IDLE_S), f"{self.pack} {plan.seed}")
        found = self.cache.load(record.key)
        if found is None and self.stopped:
            return None
        if found is None:
            request = GenerateRequest(directions, duration_s=IDLE_S, sampling=SamplingOptions(seed=plan.seed))
            # Not stopped half way: it is short, and every pause needs it.
            with engine_host.engine_for(plan.pack_dir, plan.device, self.progress, lambda: False) as engine:
                clip = engine.generate_many([request])[0].clip
            return at_scene_rate(self._kept(clip, record), plan.fps, IDLE_S)
        return at_scene_rate(found[0], plan.fps, IDLE_S)


def _print_of(clip: Clip, start: int, parts: Sequence[Part]) -> str:
    """Tells what would be written from all else that could be: every value, where, and for which parts."""
    feet = () if clip.feet is None else (clip.feet.contacts, clip.feet.turns, clip.feet.root)
    digest = hashlib.sha256(repr((clip.fps, clip.num_frames, start, *parts)).encode())
    for values in (clip.poses, clip.trans, clip.expressions, *feet):
        digest.update(values.tobytes())
    return digest.hexdigest()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
