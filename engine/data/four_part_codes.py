# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of recordings for training the four-part language model (spec 3.9, 4.2).

Motion becomes codes of the release's tokenizers, at 25 frames per second. The sound's codes are read: one
file for each recording, with what GLM-4-Voice's speech tokenizer, which is not part of this, heard in it.

A shard (`shard_run`) has for the sound and every part one tensor with the codes of all records one after the
other, int16 (N,), and `<name>.offsets` (R + 1,), int64. A record of L steps of 0.16 s has 2L codes of sound,
4L of the face, and L, or none, of each other part. `splits` (R,) indexes `SPLITS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from ..errors import DataError, EngineError
from ..motion.arrays import IntArray
from ..packs import load_pack
from ..published.audio_codes import load_audio_codes
from ..published.choice import Release
from ..published.files import find_files
from ..published.four_part import (
    AUDIO_PER_STEP,
    BODY_STRIDE,
    MOTION_FPS,
    NUM_AUDIO,
    NUM_CODES,
    ORDER,
    steps_of,
)
from ..published.four_part_files import FOUR_PART_LAYOUTS, choose_motion
from ..published.model import read_tokenizers
from ..specs import Part
from ..tokenizers.motion_vqvae import MotionVQVAE
from .coding import fingerprint
from .feature_files import record_features
from .readers.base import SPLITS, Item, Problem, Reader, Record, read_records
from .shard_run import RunOptions, list_items, make_shards
from .shards import (
    CorpusManifest,
    OpenShards,
    Summary,
    offsets,
    read_manifest,
    shard_path,
    write_manifest,
    write_shard,
)

STEP_HZ = MOTION_FPS / BODY_STRIDE
"""Steps per second: 6.25."""

SOUND_HZ = STEP_HZ * AUDIO_PER_STEP
"""Codes of sound per second: 12.5."""

LEAST_SHARE = 0.75
"""Least share of the longer of motion and sound that the shorter must cover, so that codes at another rate
are noticed. Ours."""

SOUND = "audio"
STREAM_NAMES = (SOUND, *(part.value for part in ORDER))
"""Code tensors of a shard."""

STREAM_SHARD_ITEMS = 64
"""Items per shard: about an hour of BEAT2."""


@dataclass(frozen=True, kw_only=True)
class StreamManifest(CorpusManifest):
    """What made a folder of such codes.

    Attributes:
        tokenizers: Fingerprint of the motion tokenizers.
    """

    command: ClassVar[str] = "four-part"

    tokenizers: str


@dataclass(frozen=True)
class StreamCodes:
    """Codes of one recording or of a window of it.

    Attributes:
        audio: Of the sound, (2L,), int64.
        parts: Of the parts it has, the face (4L,), others (L,), int64.
    """

    audio: IntArray
    parts: Mapping[Part, IntArray]

    @property
    def num_steps(self) -> int:
        """L."""
        return len(self.audio) // AUDIO_PER_STEP


@dataclass(frozen=True)
class StreamCoder:
    """Makes codes of records.

    Attributes:
        tokenizers: The release's motion tokenizers.
        sound: Folder with a file `<name>.npy` for each recording: whole numbers, 0 to 16383, 12.5 a second.
    """

    tokenizers: Mapping[Part, MotionVQVAE]
    sound: Path

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the motion tokenizers: equal fingerprints make equal codes."""
        return fingerprint((repr(self.tokenizers[part].config), self.tokenizers[part]) for part in ORDER)

    @torch.inference_mode()
    def encode(self, record: Record) -> StreamCodes:
        """Codes of a record, cut to whole steps of what is shorter, its motion or its sound.

        Raises:
            DataError: If it has no face, or its sound's file is missing, holds other numbers than codes, is
                of another length than the motion, or leaves no whole step.
            AudioError: If its sound's file is damaged.
        """
        features = record_features(record, list(FOUR_PART_LAYOUTS.values()), MOTION_FPS)
        face = features.get(FOUR_PART_LAYOUTS[Part.FACE])
        if face is None:
            raise DataError(
                f"{record.name} has no face in SMPL-X's channels, which leads the stream; leave it off the "
                "list."
            )
        audio = self._read_sound(record.name, len(face) / MOTION_FPS)
        num_steps = min(len(face) // BODY_STRIDE, len(audio) // AUDIO_PER_STEP)
        if not num_steps:
            raise DataError(f"{record.name} has no whole step of motion and sound; leave it off the list.")
        parts: dict[Part, IntArray] = {}
        for part, layout in FOUR_PART_LAYOUTS.items():
            if layout in features:
                frames = torch.from_numpy(features[layout][: num_steps * BODY_STRIDE])[None]
                parts[part] = self.tokenizers[part].encode(frames)[0].numpy()
        return StreamCodes(audio[: num_steps * AUDIO_PER_STEP], parts)

    def _read_sound(self, name: str, motion_s: float) -> IntArray:
        path = self.sound / f"{name}.npy"
        if not path.is_file():
            raise DataError(
                f"{path.name} is missing from {self.sound.name}; write what GLM-4-Voice's speech tokenizer "
                "hears in that recording to it."
            )
        codes = load_audio_codes(path)
        if codes.min() < 0 or codes.max() >= NUM_AUDIO:
            raise DataError(
                f"{path.name} holds numbers outside 0 to {NUM_AUDIO - 1}; make it with GLM-4-Voice's speech "
                "tokenizer."
            )
        sound_s = len(codes) / SOUND_HZ
        if min(sound_s, motion_s) < LEAST_SHARE * max(sound_s, motion_s):
            raise DataError(
                f"{path.name} is {sound_s:.1f} s of sound at {SOUND_HZ:g} codes a second, but {name} has "
                f"{motion_s:.1f} s of motion; make it anew from that recording."
            )
        return codes


@dataclass(frozen=True)
class StreamSource:
    """Where tokenizers and sounds come from; small enough to send to other processes.

    Attributes:
        path: A folder with the release's tokenizers as published, or an imported four-part pack.
        sound: See `StreamCoder`.
    """

    path: Path
    sound: Path

    def load(self) -> StreamCoder:
        """Load the tokenizers.

        Raises:
            EngineError: If one is missing or damaged, or there is no folder of sounds.
        """
        if not self.sound.is_dir():
            raise DataError(f"There is no folder {self.sound.name}; give that of the sounds' codes.")
        if (self.path / "pack.toml").is_file():
            pack = load_pack(self.path)
            if pack.kind != "published" or pack.value(str, "release") != Release.FOUR_PART.value:
                raise DataError(
                    f"The pack {self.path.name} is no four-part model; give one with --tokenizers."
                )
            return StreamCoder(read_tokenizers(pack, (), "", NUM_CODES, "cpu").parts, self.sound)
        findings = find_files(self.path)
        networks, missing = choose_motion(findings)
        if missing:
            raise DataError("\n".join([*missing, *findings.refused]))
        tokenizers: dict[Part, MotionVQVAE] = {}
        for part, network in networks.items():
            model = MotionVQVAE(replace(network.config, frame_fps=float(MOTION_FPS)), part)
            held = network.weights.read(list(network.weights.names))
            model.load_state_dict({name: tensor.float() for name, tensor in held.items()})
            tokenizers[part] = model.eval().requires_grad_(False)
        return StreamCoder(tokenizers, self.sound)


@dataclass(frozen=True)
class _Coding:
    """What another process needs to become a worker."""

    reader: Reader
    source: StreamSource

    def worker(self) -> _Worker:
        """Load the tokenizers."""
        return _Worker(self.reader, self.source.load())


@dataclass(frozen=True)
class _Worker:
    """What a process needs for its shards."""

    reader: Reader
    coder: StreamCoder

    def make(self, items: Iterable[Item], path: Path) -> Summary:
        """Make one shard."""
        problems, splits, summary = list[Problem](), list[int](), Summary()
        held: dict[str, list[npt.NDArray[np.int16]]] = {name: [] for name in STREAM_NAMES}
        for record in read_records(self.reader, problems, items):
            try:
                codes = self.coder.encode(record)
            except EngineError as error:
                problems.append(Problem(record.name, str(error)))
                continue
            found = {SOUND: codes.audio, **{part.value: values for part, values in codes.parts.items()}}
            for name, pieces in held.items():
                pieces.append(found.get(name, np.zeros(0)).astype(np.int16))
            splits.append(SPLITS.index(record.split))
            summary.records += 1
            summary.motion_s += codes.num_steps / STEP_HZ
            summary.sound_s += codes.num_steps / STEP_HZ
        tensors: dict[str, npt.NDArray[Any]] = {"splits": np.array(splits, np.uint8)}
        for name, pieces in held.items():
            tensors[f"{name}.offsets"] = offsets(pieces)
            tensors[name] = np.concatenate([np.zeros(0, np.int16), *pieces])
        summary.problems = problems
        write_shard(path, tensors, summary)
        return summary


def write_streams(
    reader: Reader,
    source: StreamSource,
    out: Path,
    options: RunOptions | None = None,
    *,
    shard_items: int = STREAM_SHARD_ITEMS,
) -> Summary:
    """Write a corpus' codes to `out/<source>`.

    Args:
        reader: The corpus.
        source: Tokenizers, and the sounds' codes.
        out: Folder of all corpora.
        options: How to work; None works in this process.
        shard_items: Items per shard.

    Returns:
        What all shards hold.

    Raises:
        EngineError: If a tokenizer is missing, the corpus is empty, no recording of it can be used, or the
            folder holds shards made in another way.
    """
    items, listed = list_items(reader)
    coder = source.load()
    manifest = StreamManifest(
        source=reader.source,
        items=listed,
        num_items=len(items),
        shard_items=shard_items,
        tokenizers=coder.fingerprint,
    )
    folder = out / reader.source
    write_manifest(folder, manifest)
    own = _Worker(reader, coder)
    total = make_shards(_Coding(reader, source), folder, items, shard_items, options or RunOptions(), own)
    if not total.records:
        first = f" The first: {total.problems[0].reason}" if total.problems else ""
        raise DataError(
            f"No recording of {reader.source} can be used; delete {folder.name} and repair it.{first}"
        )
    return total


class StreamWindows:
    """Windows over the recordings of several folders.

    Args:
        paths: All shards.
        records: Of each recording its shard, and its first code and number of codes in each of
            `STREAM_NAMES`, (R, 1 + 2 * 5).
        tokenizers: Fingerprint of the motion tokenizers.
        window_steps: Longest window; the last one of a recording may be shorter.
        stride_steps: Between the begins of two windows.
        min_steps: Shorter ends are left out.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        records: IntArray,
        tokenizers: str,
        window_steps: int,
        stride_steps: int,
        min_steps: int,
    ) -> None:
        self.paths, self.tokenizers = paths, tokenizers
        self._records = records
        self._open = OpenShards(StreamManifest.command)
        places = [
            (row, begin, min(window_steps, total - begin))
            for row, total in enumerate((records[:, 2] // AUDIO_PER_STEP).tolist())
            for begin in range(0, max(1, total - min_steps + 1), stride_steps)
            if begin == 0 or total > begin - stride_steps + window_steps
        ]
        self._places = np.array(places, np.int64).reshape(-1, 3)

    def __len__(self) -> int:
        """How many windows."""
        return len(self._places)

    def __getitem__(self, index: int) -> StreamCodes:
        """One window."""
        row, begin, count = (int(value) for value in self._places[index])
        number, *edges = (int(value) for value in self._records[row])
        shard = self._open[self.paths[number]]

        def read(place: int, per_step: int) -> IntArray:
            first = edges[2 * place] + begin * per_step
            codes = shard.get_slice(STREAM_NAMES[place])[first : first + count * per_step]
            return np.asarray(codes, np.int64)

        parts = {
            part: read(place, steps_of(part)) for place, part in enumerate(ORDER, 1) if edges[2 * place + 1]
        }
        return StreamCodes(read(0, AUDIO_PER_STEP), parts)


@dataclass(frozen=True)
class HeldOut:
    """Which recordings are held out: this share of them, at least one, drawn by this seed."""

    share: float
    seed: int


def read_streams(
    folders: Sequence[Path],
    splits: Sequence[str],
    held_out: HeldOut,
    *,
    window_steps: int,
    stride_steps: int,
    min_steps: int,
) -> tuple[StreamWindows, StreamWindows]:
    """Open what `write_streams` wrote.

    Args:
        folders: One per corpus.
        splits: Splits wanted.
        held_out: Which of their recordings are held out.
        window_steps: Longest window, steps of 0.16 s.
        stride_steps: Between the begins of two windows.
        min_steps: Shorter ends are left out.

    Returns:
        Windows to learn from, and held-out ones, of other recordings.

    Raises:
        DataError: If a file is missing or damaged, folders were made with different tokenizers, or there are
            too few recordings as long as a window may be at least.
    """
    opened = OpenShards(StreamManifest.command)
    wanted = [SPLITS.index(split) for split in splits]
    paths: list[Path] = []
    pieces: list[IntArray] = [np.zeros((0, 1 + 2 * len(STREAM_NAMES)), np.int64)]
    made_with: dict[str, str] = {}
    for folder in folders:
        manifest = read_manifest(folder, StreamManifest)
        made_with.setdefault(manifest.tokenizers, folder.name)
        for number in range(manifest.num_shards):
            path = shard_path(folder, number)
            rows = np.flatnonzero(np.isin(opened[path].get_tensor("splits"), wanted))
            columns: list[IntArray] = [np.full(len(rows), len(paths), np.int64)]
            for name in STREAM_NAMES:
                edges = opened[path].get_tensor(f"{name}.offsets")
                columns += [edges[:-1][rows], np.diff(edges)[rows]]
            pieces.append(np.stack(columns, 1))
            paths.append(path)
    if len(made_with) > 1:
        raise DataError(
            f"{' and '.join(made_with.values())} were made with different tokenizers; make them with one."
        )
    records = np.concatenate(pieces)
    records = records[records[:, 2] // AUDIO_PER_STEP >= min_steps]
    if len(records) < 2:
        raise DataError(
            f"There are fewer than two recordings of {min_steps / STEP_HZ:g} s of motion and sound, one to "
            "learn from and one to hold out; prepare more."
        )
    order = np.random.default_rng(held_out.seed).permutation(len(records))
    count = min(max(1, round(held_out.share * len(records))), len(records) - 1)
    (tokenizers,) = made_with

    def windows(rows: IntArray) -> StreamWindows:
        chosen = records[np.sort(rows)]
        return StreamWindows(paths, chosen, tokenizers, window_steps, stride_steps, min_steps)

    return windows(order[count:]), windows(order[:count])
