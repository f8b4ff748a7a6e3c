# SPDX-License-Identifier: GPL-3.0-or-later
"""Self-Test: whether the motion model works here, and how fast; else what is wrong, in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import bpy

from ..engine.errors import Cancelled, EngineError, PackError
from . import engine_host, polls
from .generate import MotionOperator, device_of, pack_folder, preferences_of
from .sessions import JobSession
from .wording import worded

if TYPE_CHECKING:
    from ..engine.motion.arrays import FloatArray
    from .job import IsCancelled, ReportProgress

WARM_S, TIMED_S = 1.0, 4.0
"""Seconds of motion made first, so that what is done once does not count, and then with a clock."""


VOICE_HZ = 140.0
"""Pitch of the sound that is moved to."""


@dataclass(frozen=True)
class Verdict:
    """How a self-test ended.

    Attributes:
        works: Whether motion came out.
        text: One sentence: how fast, or what is wrong and what to do.
    """

    works: bool
    text: str


_verdict: Verdict | None = None


def last_verdict() -> Verdict | None:
    """How the last self-test since Blender's start ended; for the preferences."""
    return _verdict


def run_self_test(pack_dir: Path, device: str, progress: ReportProgress, cancelled: IsCancelled) -> Verdict:
    """Make a few seconds of motion from sound, in memory alone.

    Args:
        pack_dir: Folder of the model pack.
        device: auto, cpu or cuda.
        progress: Told how far it is.
        cancelled: Asked between steps.

    Raises:
        Cancelled: If it was stopped.
    """
    try:
        engine_host.check_packages()
        rate = _pace(pack_dir, device, progress, cancelled)
    except Cancelled:
        raise
    except EngineError as error:
        return Verdict(False, str(error))
    from ..engine.devices import chosen_device

    where = "CPU" if chosen_device(device) == "cpu" else "graphics card"
    return Verdict(True, f"It works: {rate:.1f} s of motion per second on this {where}")


def _pace(pack_dir: Path, device: str, progress: ReportProgress, cancelled: IsCancelled) -> float:
    """Seconds of motion per second of work."""
    from ..engine.specs import AUDIO_HZ, GenerateRequest

    with engine_host.engine_for(pack_dir, device, progress, cancelled) as engine:
        import numpy as np

        for length_s in (WARM_S, TIMED_S):
            request = GenerateRequest({}, waveform=babble(length_s), sample_rate=AUDIO_HZ)
            done = engine.generate(request, progress, cancelled)
            if not all(np.isfinite(values).all() for values in (done.clip.poses, done.clip.trans)):
                raise PackError("The model makes no usable motion: choose another model pack.")
    return done.motion_s / done.compute_s


def babble(length_s: float) -> FloatArray:
    """A sound with the rhythm of speech, four syllables in a second, (N,), float32 at `AUDIO_HZ`."""
    import numpy as np

    from ..engine.specs import AUDIO_HZ

    times = np.arange(round(length_s * AUDIO_HZ)) / AUDIO_HZ
    loudness = np.abs(np.sin(4.0 * np.pi * times))
    voice = sum(np.sin(2.0 * np.pi * VOICE_HZ * tone * times) / tone for tone in (1, 2, 3))
    return (0.2 * loudness * voice).astype(np.float32)


class KINESICS_OT_self_test(MotionOperator, bpy.types.Operator):
    """Make a few seconds of motion in memory with the chosen model pack and device, and say how fast that is,
    or what is wrong. Nothing in the scene changes"""

    bl_idname = "kinesics.self_test"
    bl_label = "Self-Test"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether nothing else runs."""
        return polls.is_free(cls)

    def new_session(self, context: bpy.types.Context) -> JobSession[Verdict]:
        """The test of what the preferences say, not started."""
        preferences = preferences_of(context)
        folder, device = pack_folder(preferences), device_of(preferences)
        return JobSession(lambda progress, cancelled: run_self_test(folder, device, progress, cancelled))

    def _write(self, session: JobSession[Verdict], made: Verdict) -> set[str]:
        global _verdict
        _verdict = made
        self.report({"INFO" if made.works else "ERROR"}, worded(made.text))
        return {"FINISHED"} if made.works else {"CANCELLED"}


CLASSES = (KINESICS_OT_self_test,)
