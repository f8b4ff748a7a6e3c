# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound files and waveforms: everything that can be wrong with them is said here, in one sentence.

`load_audio` reads a file, `check_waveform` turns any samples into the engine's own form: mono float32 at
`AUDIO_HZ`, finite, neither silent nor too short nor too long.
"""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

from ..errors import AudioError
from ..motion.arrays import FloatArray
from ..specs import AUDIO_HZ, MIN_AUDIO_S

if TYPE_CHECKING:
    from soundfile import SoundFile

MAX_AUDIO_S = 7200.0
"""Longest sound taken in one request, in seconds."""

MAX_SAMPLES = round(MAX_AUDIO_S * 96000)
"""Most moments read of a file: the longest sound at the finest rate that recordings have."""

BLOCK_SAMPLES = 1 << 20
"""Read at a time, over all channels. A header may promise any length, so memory follows what is there."""

MIN_SAMPLE_RATE_HZ = 4000
MAX_SAMPLE_RATE_HZ = 768000

MAX_DENOMINATOR = 8192
"""Of the ratio of two rates when resampling: the filter grows with it, and odd rates have none in common."""

UNKNOWN_BYTES = 0x7FFF0000
"""Sizes from here on are written by programs that do not know yet how long the sound gets."""

HEADER_SLACK_BYTES = 64
"""A promise may be this much too large: some programs count their header with the sound."""

MAX_CHUNKS = 1000
"""Chunks of a WAV file that are looked at for the one with the sound."""

SILENT_PEAK = 1e-4
"""Sounds whose largest sample lies below this are silent."""

SILENT_RMS_DB = -65.0
"""Sounds quieter than this in the mean, in dB of full scale, are silent."""

QUIET_SPEECH_DB = -38.0
"""Speech whose loud tenth lies below this is lifted to `TARGET_SPEECH_DB` before analysis."""

TARGET_SPEECH_DB = -26.0


def load_audio(path: str | Path) -> tuple[FloatArray, int]:
    """Read a sound file as mono samples at the file's own rate.

    Args:
        path: wav, flac, ogg or mp3 file, any bit depth, any number of channels.

    Returns:
        The mean of the channels, (N,), float32, and samples per second.

    Raises:
        AudioError: If the file is missing, not a sound file, damaged, cut short or too long.
    """
    import soundfile

    path = Path(path)
    if not path.is_file():
        raise AudioError(f"The sound file '{path}' does not exist; check the path or relink the strip.")
    if path.stat().st_size == 0:
        raise AudioError(f"The sound file '{path.name}' is empty; export or copy it again.")
    check_whole_wav(path)
    try:
        with soundfile.SoundFile(str(path)) as file:
            check_duration(file.frames / file.samplerate)
            rate = int(file.samplerate)
            mono = read_mono(file)
    except (soundfile.LibsndfileError, soundfile.SoundFileRuntimeError, OSError) as error:
        raise AudioError(
            f"'{path.name}' cannot be read as a sound (damaged, or a format such as mp4 that only Blender's "
            "sequencer reads); convert it to wav or flac."
        ) from error
    if mono.size == 0:
        raise AudioError(f"The sound file '{path.name}' holds no samples; export it again.")
    return mono, rate


def check_whole_wav(path: Path) -> None:
    """Refuse a WAV file of which a part is missing; its reader would take what is there for the whole.

    The chunk `data` of a RIFF, RIFX or RF64 file says how many bytes of sound follow it. Files of other
    kinds, and headers written before the length was known (0, or `UNKNOWN_BYTES` and more), say nothing.

    Args:
        path: Any file.

    Raises:
        AudioError: If fewer bytes follow than are promised.
    """
    try:
        promised, held = _wav_bytes(path)
    except (OSError, struct.error):  # what cannot be read is for the reader of sounds to say
        return
    if held < promised - HEADER_SLACK_BYTES:
        share = math.floor(100.0 * held / promised)
        raise AudioError(
            f"The sound file '{path.name}' is cut short (it holds {share} % of its sound); export or copy it "
            "again."
        )


def _wav_bytes(path: Path) -> tuple[int, int]:
    """Bytes of sound that a WAV file promises, 0 where it does not say, and those that are there."""
    size = path.stat().st_size
    with path.open("rb") as file:
        kind, _, form = struct.unpack("<4sI4s", file.read(12))
        if kind not in (b"RIFF", b"RIFX", b"RF64") or form != b"WAVE":
            return 0, 0
        header, long_size = (">4sI" if kind == b"RIFX" else "<4sI"), 0
        for _ in range(MAX_CHUNKS):
            name, length = struct.unpack(header, file.read(8))
            begin = file.tell()
            if name == b"data":
                if kind == b"RF64" and length == 0xFFFFFFFF:
                    return long_size, size - begin
                return (length if length < UNKNOWN_BYTES else 0), size - begin
            if name == b"ds64":  # sizes of the whole file and of the sound, for files of 4 GB and more
                _, long_size = struct.unpack("<QQ", file.read(16))
            file.seek(begin + length + length % 2)
    return 0, 0


def read_mono(file: SoundFile, num_wanted: int | None = None) -> FloatArray:
    """Read an open file on from where it stands, block after block.

    Args:
        file: The file.
        num_wanted: Most moments to read; None for all that are left.

    Returns:
        The mean of its channels, (N,), float32.

    Raises:
        AudioError: If that is more than one request may have.
    """
    blocks: list[FloatArray] = []
    most, total = max(1, BLOCK_SAMPLES // file.channels), 0
    while frames := most if num_wanted is None else min(most, num_wanted - total):
        block = np.asarray(file.read(frames, dtype="float32", always_2d=True), np.float32)
        if not len(block):
            break
        blocks.append(block[:, 0] if file.channels == 1 else block.mean(axis=1, dtype=np.float32))
        total += len(block)
        check_duration(total / file.samplerate)
        if total > MAX_SAMPLES:
            raise AudioError("The sound has too many samples to open; export it at 48000 per second.")
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def check_duration(duration_s: float) -> None:
    """Refuse a sound that is too long for one request.

    Raises:
        AudioError: If it lasts longer than `MAX_AUDIO_S`.
    """
    if duration_s <= MAX_AUDIO_S:
        return
    minutes, seconds = divmod(math.ceil(duration_s), 60)
    lasts = f"{minutes // 60} h {minutes % 60} min {seconds} s"
    raise AudioError(f"The sound lasts {lasts}; cut it to at most {MAX_AUDIO_S / 3600.0:g} hours.")


def resample(wave: FloatArray, sample_rate: int, target_rate: int) -> FloatArray:
    """Resample by a polyphase filter.

    Args:
        wave: Samples, (N,).
        sample_rate: Samples per second of `wave`.
        target_rate: Wanted samples per second.

    Returns:
        Samples, (ceil(N * target_rate / sample_rate),), float32. Between odd rates the ratio is off by less
        than 2e-8, for which the filter stays short.
    """
    if sample_rate == target_rate:
        return np.asarray(wave, np.float32)
    ratio = Fraction(int(target_rate), int(sample_rate)).limit_denominator(MAX_DENOMINATOR)
    up, down = ratio.numerator, ratio.denominator
    return np.asarray(resample_poly(np.asarray(wave, np.float32), up, down), dtype=np.float32)


def check_waveform(wave: npt.ArrayLike, sample_rate: float) -> FloatArray:
    """Turn samples of any origin into the engine's own form, or say what is wrong with them.

    Quiet recordings of speech are lifted to a usual level (see `QUIET_SPEECH_DB`); everything else keeps its
    level.

    Args:
        wave: Samples, (N,) or (N, channels), integers or floats.
        sample_rate: Samples per second.

    Returns:
        Mono samples at `AUDIO_HZ`, (M,), float32, within [-1, 1].

    Raises:
        AudioError: If the sound is empty, shorter than `MIN_AUDIO_S`, longer than `MAX_AUDIO_S`, silent,
            holds values that are not numbers, or has an impossible rate.
    """
    samples = np.asarray(wave)
    if samples.size == 0:
        raise AudioError("The sound holds no samples; choose another strip or file.")
    if not np.isfinite(sample_rate) or not MIN_SAMPLE_RATE_HZ <= sample_rate <= MAX_SAMPLE_RATE_HZ:
        raise AudioError(
            f"A sound rate of {sample_rate:g} samples per second is not usable; convert the sound to 16000 "
            "or more."
        )
    samples = _to_mono_float(samples)
    rate = round(float(sample_rate))
    duration_s = samples.size / rate
    if duration_s < MIN_AUDIO_S:
        raise AudioError(
            f"The sound lasts only {duration_s:.2f} s; it must last at least {MIN_AUDIO_S:g} s, "
            "so choose a longer one."
        )
    check_duration(duration_s)
    if not bool(np.isfinite(samples).all()):
        raise AudioError(
            "The sound holds damaged samples (not numbers); export it again or choose another file."
        )
    samples = samples - np.float32(np.mean(samples, dtype=np.float64))
    if _peak(samples) < SILENT_PEAK or _rms_db(samples) < SILENT_RMS_DB:
        raise AudioError("The sound is silent; choose a strip with speech, or raise its volume.")
    samples = resample(samples, rate, AUDIO_HZ)
    samples *= np.float32(_speech_gain(samples))
    return np.clip(samples, -1.0, 1.0, out=samples)


def _to_mono_float(samples: npt.NDArray[np.generic]) -> FloatArray:
    whole = np.issubdtype(samples.dtype, np.integer)
    if samples.ndim > 2 or not (whole or np.issubdtype(samples.dtype, np.floating)):
        raise AudioError("The sound is not a list of samples; choose a sound file or strip.")
    if whole:
        half = 2.0 ** (8 * samples.dtype.itemsize - 1)
        middle = 0.0 if np.issubdtype(samples.dtype, np.signedinteger) else half
        samples = (samples.astype(np.float64) - middle) / half
    if samples.ndim == 2:
        samples = samples.astype(np.float32).mean(axis=1)
    return np.ascontiguousarray(samples, dtype=np.float32)


def _peak(samples: FloatArray) -> float:
    return max(float(samples.max()), -float(samples.min()))


def _rms_db(samples: FloatArray) -> float:
    power = float(np.einsum("i,i->", samples, samples, dtype=np.float64)) / samples.size
    return 10.0 * float(np.log10(max(power, 1e-20)))


def _speech_gain(samples: FloatArray) -> float:
    """Gain for quiet recordings: only where loudness moves as speech does, so that room noise stays quiet."""
    block = AUDIO_HZ // 25
    whole = samples.size // block * block
    blocks = samples[:whole].reshape(-1, block) if whole else samples[None]
    power = np.einsum("ij,ij->i", blocks, blocks, dtype=np.float64) / blocks.shape[1]
    level = 10.0 * np.log10(np.maximum(power, 1e-12))
    loud, soft = np.percentile(level, (90, 10))
    if loud > QUIET_SPEECH_DB or loud - soft < 12.0:
        return 1.0
    wanted = 10.0 ** ((TARGET_SPEECH_DB - loud) / 20.0)
    return float(min(wanted, 1.0 / max(_peak(samples), 1e-9)))
