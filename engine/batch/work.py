# SPDX-License-Identifier: GPL-3.0-or-later
"""One line of a batch: from the row to its motion file."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EngineError, StorageError
from ..specs import GenerateRequest, GenerateResult, MotionEngine, SamplingOptions
from ..whole_files import write_whole
from .records import LineResult, line_key, store
from .table import Line

if TYPE_CHECKING:
    from ..motion.arrays import FloatArray

SHEETS = "sheets"
"""Folder of the contact sheets, in that of the batch."""


@dataclass(frozen=True)
class Job:
    """What all lines of a batch share.

    Attributes:
        out: Folder of the batch.
        pack: The model pack's folder.
        model: Tells what moves the lines from others, see `engine.batch.run.model_of`.
        device: "auto", "cpu" or "cuda".
        fast: Have the published model round, see `engine.pipeline.load_engine`.
    """

    out: Path
    pack: Path
    model: str
    device: str = "cpu"
    fast: bool = False


def request_of(line: Line) -> tuple[GenerateRequest, FloatArray | None]:
    """A line's request and its sound at `AUDIO_HZ`.

    Raises:
        EngineError: If the sound cannot be read or the row cannot be used.
    """
    from ..audio.waveform import check_waveform, load_audio

    wave = check_waveform(*load_audio(line.audio)) if line.audio is not None else None
    request = GenerateRequest(
        directions=line.directions(),
        waveform=wave,
        duration_s=line.seconds,
        emotion=line.emotion,
        sampling=SamplingOptions(seed=line.seed),
    )
    return request, wave


def failed(line: Line, problem: str) -> LineResult:
    """The record of a line that cannot be made."""
    return LineResult(line.name, line.number, problem=problem)


def make_line(engine: MotionEngine, line: Line, job: Job) -> LineResult:
    """Make a line, write its motion, its contact sheet and its record; what goes wrong is in the record.

    Raises:
        StorageError: If the folder cannot be written: then the next line would fail as well.
    """
    from ..motion.clip_io import save_npz

    if line.problem:
        result = failed(line, line.problem)
    else:
        try:
            request, wave = request_of(line)
            made, file = engine.generate(request), f"{line.name}.npz"
            save_npz(made.clip, job.out / file)
            result = reviewed(made, wave, line, job, (file,))
        except StorageError:
            raise
        except EngineError as problem:
            result = failed(line, str(problem))
        except Exception as problem:  # a fault of ours in one line must not cost the others
            result = faulty(line, problem)
    store(result, job.out)
    return result


def faulty(line: Line, problem: Exception) -> LineResult:
    """The record of a line that met a fault of ours."""
    return failed(line, f"It failed unexpectedly ({type(problem).__name__}: {problem}); report this line.")


def reviewed(
    made: GenerateResult, wave: FloatArray | None, line: Line, job: Job, files: tuple[str, ...]
) -> LineResult:
    """The record of a line that was made: measures its motion and writes its contact sheet.

    Args:
        made: The motion.
        wave: The sound at `AUDIO_HZ`, or None.
        line: The line.
        job: What all lines share.
        files: What was written, as names in the batch's folder.

    Raises:
        StorageError: If the folder cannot be written.
    """
    from ..audio.features import envelope
    from ..motion.measures import measure
    from .sheet import contact_sheet

    write_whole(job.out / SHEETS / f"{line.name}.svg", contact_sheet(made.clip))
    found = measure(made.clip, None if wave is None else envelope(wave, made.clip.fps))
    return replace(
        failed(line, ""),
        key=line_key(line, job.model),
        files=files,
        motion_s=made.motion_s,
        compute_s=made.compute_s,
        lip_sync=math.nan if found.lip_sync is None else found.lip_sync,
        jitter=found.jitter,
        foot_slide=found.foot_slide,
    )
