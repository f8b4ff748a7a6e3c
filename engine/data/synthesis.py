# SPDX-License-Identifier: GPL-3.0-or-later
"""Synthetic speech with exact phoneme times, from espeak-ng (GPL-3.0) and flite where installed.

More voices than the real recordings have, and lips whose true shape is known. espeak-ng is asked in-process
through its C interface, whose events carry the sample at which each phoneme begins; flite prints the end of
each phoneme (`-psdur`). Nothing of either program is copied or shipped.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..audio.waveform import check_waveform, load_audio
from ..motion.arrays import FloatArray
from ..specs import AUDIO_HZ
from .sentences import SENTENCES

ESPEAK_VOICES = tuple(
    f"{language}+{variant}"
    for language in ("en-us", "en-gb", "en-gb-scotland", "en-029")
    for variant in ("m1", "m3", "m4", "m7", "f1", "f2", "f3", "f4", "f5")
)
FLITE_VOICES = ("slt", "rms", "awb", "kal16")

_FLITE_VISEMES: dict[str, str] = {
    "aa": "ah", "ae": "ae", "ah": "ah", "ao": "oh", "aw": "ah", "ax": "uh", "axr": "er", "ay": "ah", "b": "m",
    "ch": "sh", "d": "t", "dh": "th", "dx": "t", "eh": "eh", "el": "l", "em": "m", "en": "t",
    "er": "er", "ey": "eh",
    "f": "f", "g": "k", "hh": "k", "ih": "ih", "iy": "ee", "jh": "sh", "k": "k", "l": "l", "m": "m", "n": "t",
    "ng": "k", "nx": "t", "ow": "oh", "oy": "oh", "p": "m", "r": "er", "s": "s", "sh": "sh",
    "t": "t", "th": "th",
    "uh": "oo", "uw": "oo", "v": "f", "w": "w", "y": "y", "z": "s", "zh": "sh", "pau": "silence",
}  # fmt: skip
_GLIDES: dict[str, str] = {"aw": "oo", "ay": "ih", "ey": "ee", "ow": "oo", "oy": "ih"}


def _pairs(table: str) -> tuple[tuple[str, str], ...]:
    """Read "letters viseme, letters viseme, ..."."""
    return tuple((letters, viseme) for letters, viseme in (entry.split() for entry in table.split(",")))


_IPA_VISEMES = _pairs(
    """
tʃ sh, dʒ sh, ɜ er, ɚ er, ɹ er, r er, ɾ t, ʃ sh, ʒ sh, m m, b m, p m, f f, v f, θ th, ð th, s s, z s,
t t, d t, n t, ŋ k, k k, ɡ k, g k, h k, l l, ɫ l, w w, j y, ʔ k, x k, ɐ ah, ɑ ah, ʌ ah, æ ae, aɪ ah,
aʊ ah, a ah, ɛ eh, e eh, ɪ ih, iː ee, i ee, ɔ oh, ɒ oh, o oh, ʊ oo, u oo, ə uh, ᵻ ih, ɨ ih
"""  # noqa: RUF001
)
_IPA_GLIDES = _pairs("aɪ ih, aʊ oo, eɪ ee, oʊ oo, əʊ oo, ɔɪ ih")  # noqa: RUF001


@dataclass(frozen=True)
class SyntheticSpeech:
    """One sentence spoken by one voice.

    Attributes:
        name: Program, voice and sentence number.
        wave: Mono samples at `AUDIO_HZ`, (N,).
        phonemes: Viseme name (`performer.mouth.VISEMES`), start and end in seconds.
        text: What is said.
    """

    name: str
    wave: FloatArray
    phonemes: list[tuple[str, float, float]]
    text: str = ""


def synthetic_speech(seconds: float, rng: np.random.Generator) -> Iterator[SyntheticSpeech]:
    """Speak sentences in ever new voices until a length is reached.

    Args:
        seconds: Wanted length in all.
        rng: Source of voices, rates and pitches.

    Yields:
        One or two sentences at a time; nothing, with a printed line, where neither program is installed.
    """
    espeak = _Espeak.start()
    flite = shutil.which("flite")
    if espeak is None and flite is None:
        print(
            "synthetic speech skipped: neither libespeak-ng nor flite is installed "
            "(apt-get install espeak-ng flite)"
        )
        return
    done = 0.0
    while done < seconds:
        for number in rng.permutation(len(SENTENCES)):
            pair = rng.random() < 0.5
            other = int(rng.integers(len(SENTENCES)))
            text = SENTENCES[number] + (" " + SENTENCES[other] if pair else "")
            name = f"{number}+{other}" if pair else str(number)
            use_flite = flite is not None and (espeak is None or rng.random() < 0.4)
            if use_flite and flite is not None:
                speech = _speak_flite(flite, text, name, rng)
            elif espeak is not None:
                speech = espeak.speak(text, name, rng)
            else:
                continue
            done += speech.wave.shape[0] / AUDIO_HZ
            yield speech
            if done >= seconds:
                return


def speak_each(texts: Sequence[str], voices: Sequence[str], seed: int) -> list[SyntheticSpeech]:
    """Speak some texts with espeak-ng, the voices in turn.

    Args:
        texts: What is said.
        voices: Names as in `ESPEAK_VOICES`.
        seed: Of rates and pitches.

    Returns:
        One for each text; none where espeak-ng is not installed.
    """
    espeak, rng = _Espeak.start(), np.random.default_rng(seed)
    if espeak is None:
        return []
    return [espeak.speak(text, str(i), rng, (voices[i % len(voices)],)) for i, text in enumerate(texts)]


def _speak_flite(program: str, text: str, name: str, rng: np.random.Generator) -> SyntheticSpeech:
    voice = str(rng.choice(FLITE_VOICES))
    stretch = float(rng.uniform(0.85, 1.25))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        settings = ["--setf", f"duration_stretch={stretch:.3f}"]
        command = [program, "-voice", voice, *settings, "-psdur", "-t", text, "-o", str(path)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
        wave = check_waveform(*load_audio(path))
    phonemes: list[tuple[str, float, float]] = []
    start, base, last = 0.0, 0.0, 0.0
    for pair in printed.split():
        phone, _, moment = pair.partition(":")
        end = float(moment)
        if end < last:  # a new sentence counts from zero again
            base = start
        last = end
        end += base
        _add(phonemes, _FLITE_VISEMES.get(phone, "uh"), _GLIDES.get(phone), start, end)
        start = end
    return SyntheticSpeech(f"flite-{voice}-{name}", wave, phonemes, text)


def _add(
    phonemes: list[tuple[str, float, float]], viseme: str, glide: str | None, start: float, end: float
) -> None:
    if end <= start:
        return
    if glide is None:
        phonemes.append((viseme, start, end))
        return
    middle = start + 0.6 * (end - start)
    phonemes.append((viseme, start, middle))
    phonemes.append((glide, middle, end))


class _Event(ctypes.Structure):
    """`espeak_EVENT` of espeak-ng's speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("string", ctypes.c_char * 8),
    )


_PHONEME_EVENT = 7
_SYNCHRONOUS = 2
_PHONEME_EVENTS_AS_IPA = 1 | 2
_UTF8 = 1
_RATE, _PITCH, _RANGE = 1, 3, 4


class _Espeak:
    """libespeak-ng in this process."""

    def __init__(self, library: Any, sample_rate: int) -> None:
        self.library, self.sample_rate = library, sample_rate
        self.samples: list[FloatArray] = []
        self.events: list[tuple[int, str]] = []
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
        )
        self.callback = kind(self._receive)  # kept, or it would be collected while in use
        library.espeak_SetSynthCallback(self.callback)

    @staticmethod
    def start() -> _Espeak | None:
        """The library, or None where it is not installed."""
        found = ctypes.util.find_library("espeak-ng")
        if found is None:
            return None
        library = ctypes.CDLL(found)
        sample_rate = int(library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS_AS_IPA))
        return _Espeak(library, sample_rate) if sample_rate > 0 else None

    def speak(
        self, text: str, name: str, rng: np.random.Generator, voices: Sequence[str] = ESPEAK_VOICES
    ) -> SyntheticSpeech:
        """Speak one text in a random one of some voices."""
        voice = str(rng.choice(voices))
        self.samples, self.events = [], []
        self.library.espeak_SetVoiceByName(voice.encode())
        self.library.espeak_SetParameter(_RATE, int(rng.integers(125, 195)), 0)
        self.library.espeak_SetParameter(_PITCH, int(rng.integers(30, 70)), 0)
        self.library.espeak_SetParameter(_RANGE, int(rng.integers(45, 90)), 0)
        data = text.encode()
        self.library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 0, 0, _UTF8, None, None)
        self.library.espeak_Synchronize()
        wave = np.concatenate(self.samples)
        length_s = wave.shape[0] / self.sample_rate
        phonemes: list[tuple[str, float, float]] = []
        ends = [sample for sample, _ in self.events[1:]] + [wave.shape[0]]
        for (sample, phone), end in zip(self.events, ends, strict=True):
            viseme, glide = _ipa_viseme(phone)
            _add(phonemes, viseme, glide, sample / self.sample_rate, min(end / self.sample_rate, length_s))
        wave = check_waveform(wave, self.sample_rate)
        return SyntheticSpeech(f"espeak-{voice}-{name}", wave, phonemes, text)

    def _receive(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            block = np.ctypeslib.as_array(samples, shape=(count,))
            self.samples.append(block.astype(np.float32) / 32768.0)
        index = 0
        while events[index].type != 0:
            if events[index].type == _PHONEME_EVENT:
                self.events.append(
                    (int(events[index].sample), events[index].string.decode("utf-8", "ignore"))
                )
            index += 1
        return 0


def _ipa_viseme(phone: str) -> tuple[str, str | None]:
    name = phone.lstrip("ˈˌ_:; ")
    if not name:
        return "silence", None
    glide = next((shape for letters, shape in _IPA_GLIDES if name.startswith(letters)), None)
    for letters, shape in _IPA_VISEMES:
        if name.startswith(letters):
            return shape, glide
    return "uh", glide
