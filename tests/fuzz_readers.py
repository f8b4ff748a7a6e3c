# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that reads a stranger's file, with samples to start from, for `tools/fuzz.py` and the tests."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

SEPARATOR = b"\n--8<--\n"
"""Between the parts of an input that becomes several members of an archive."""


@dataclass(frozen=True)
class Reader:
    """One way by which foreign bytes come in.

    Attributes:
        name: What is read.
        file: Name of the file the bytes are written to.
        read: Reads it; may raise nothing but an `EngineError`.
        samples: Makes whole inputs to start from.
        words: Pieces that belong to the format.
        wrap: What the file holds, made of an input; by default the input itself.
    """

    name: str
    file: str
    read: Callable[[Path], object]
    samples: Callable[[], list[bytes]]
    words: tuple[bytes, ...] = ()
    wrap: Callable[[bytes], bytes] = bytes

    def run(self, data: bytes, folder: Path) -> None:
        """Read an input as a file in a folder."""
        path = folder / self.file
        path.write_bytes(self.wrap(data))
        self.read(path)


def _sound(path: Path) -> None:
    from engine.audio.waveform import check_waveform, load_audio

    check_waveform(*load_audio(path))


def _sounds() -> list[bytes]:
    import soundfile

    kinds = (
        ("WAV", "PCM_16", 8000),
        ("WAV", "FLOAT", 4000),
        ("WAV", "PCM_U8", 11025),
        ("FLAC", "PCM_16", 8000),
        ("OGG", "VORBIS", 8000),
        ("WAVEX", "PCM_24", 8000),
        ("AIFF", "PCM_16", 8000),
    )
    found: list[bytes] = []
    for kind, subtype, rate in kinds:
        stream = io.BytesIO()
        wave = 0.3 * np.sin(np.arange(rate * 3 // 10) * 0.2)
        soundfile.write(
            stream, wave if kind != "WAVEX" else np.stack([wave, wave], 1), rate, subtype, format=kind
        )
        found.append(stream.getvalue())
    return found


def _motion(path: Path) -> None:
    from engine.motion.clip_io import load_npz

    load_npz(path)


def _clips() -> list[Any]:
    from engine.motion.clip import Clip

    return [Clip.rest(1, 30.0), Clip.rest(2, 100.0)]


def _motions() -> list[bytes]:
    from engine.motion.clip_io import save_amass, save_beat2, save_npz

    found: list[bytes] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.npz")
        for save in (save_npz, save_beat2, save_amass):
            for clip in _clips():
                save(clip, path)
                found.append(path.read_bytes())
    return found


def _members(found: list[bytes]) -> list[bytes]:
    """Archives as their members' names and contents."""
    parts: list[bytes] = []
    for data in found:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            held = [name.encode() + b"\n" + archive.read(name) for name in archive.namelist()]
        parts.append(SEPARATOR.join(held))
    return parts


def _archive(data: bytes, kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    """The archive of such parts, whose check sums are right."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for part in data.split(SEPARATOR):
            name, _, content = part.partition(b"\n")
            archive.writestr(zipfile.ZipInfo(name.decode("latin-1") or "x"), content, kind)
    return stream.getvalue()


def _body(path: Path) -> None:
    from engine.motion.smplx_file import load_smplx_mesh

    load_smplx_mesh(path)


def _bodies() -> list[bytes]:
    from tests.engine.published_files import save_body

    with tempfile.TemporaryDirectory() as folder:
        whole = save_body(Path(folder, "a.npz")).read_bytes()
    return _members([whole])


def _bvh(path: Path) -> None:
    from engine.motion.bvh_clip import load_bvh

    load_bvh(path)


def _bvhs() -> list[bytes]:
    from tests.miniature_bvh import miniature

    short = (
        b"HIERARCHY\nROOT Hips\n{\nOFFSET 0 0 0\nCHANNELS 3 Zrotation Xrotation Yrotation\nEnd Site\n{\n"
        b"OFFSET 0 1 0\n}\n}\nMOTION\nFrames: 1\nFrame Time: 0.03\n0 0 0\n"
    )
    return [miniature({}, frames=2).encode(), short]


def _face(path: Path) -> None:
    from engine.motion.arkit_csv import read_arkit_csv

    read_arkit_csv(path)


def _faces() -> list[bytes]:
    from engine.motion.arkit_csv import write_arkit_csv
    from engine.motion.clip import Clip

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        write_arkit_csv(Clip.rest(2, 60.0), path)
        text = path.read_bytes()
    return [
        text,
        text.replace(b"Timecode", b"time")
        .replace(b"00:00:00:00.000", b"0")
        .replace(b"00:00:00:01.000", b"1"),
    ]


def _table(path: Path) -> None:
    from engine.batch.table import read_table

    read_table(path)


def _tables() -> list[bytes]:
    return [
        b"audio,face,upper,lower,emotion,seed,seconds,name\na.wav,,wave,0-3: walk; 3-5: turn,happy,1,2.5,b\n",
        b'lower;seed;seconds\nwalk forward;7;3,5\n"a ""b""";;\n',
        b"\xef\xbb\xbfname\tlower\tcharacter\texport\nx\trun\tada.blend\tunreal\n",
    ]


@cache
def _tiny_pack() -> Path:
    from tests.tiny_pack import write_tiny_pack

    root = Path(tempfile.mkdtemp(prefix="kinesics-fuzz-")) / "tiny"
    write_tiny_pack(root)
    return root


def _beside(path: Path) -> None:
    """Put the tiny pack's other files beside a pack.toml."""
    for file in _tiny_pack().iterdir():
        if file.name != path.name and not (path.parent / file.name).exists():
            shutil.copyfile(file, path.parent / file.name)


def _pack(path: Path) -> None:
    from engine.packs import load_pack

    _beside(path)
    load_pack(path.parent).num_values()


def _engine(path: Path) -> None:
    import torch

    from engine.packs import load_pack
    from engine.pipeline import Engine

    _beside(path)
    Engine(load_pack(path.parent), torch.device("cpu"))


def _packs() -> list[bytes]:
    return [
        (_tiny_pack() / "pack.toml").read_bytes(),
        b'format = 1\nkind = "starter"\nname = "a"\nversion = "1"\nlicence = "x"\n[files]\n',
    ]


def _words(path: Path) -> None:
    from engine.language.words import WordList

    WordList.read(path)


def _wheels(path: Path) -> None:
    from engine.installing.lock import read_lock

    read_lock(path)


def _wheel_lists() -> list[bytes]:
    return [
        b'[[wheel]]\nname = "torch"\nversion = "1"\nfile = "torch-1-py3-none-any.whl"\nsha256 = "'
        + b"0" * 64
        + b'"\nbytes = 1\nunpacked_bytes = 2\ntargets = ["linux-x64-py3.11"]\n'
    ]


def _safetensors(path: Path) -> None:
    from engine.weights.safetensors_file import read_safetensors

    read_safetensors(path)


def _safetensors_files() -> list[bytes]:
    import torch
    from safetensors.torch import save

    few = save({"a": torch.ones(2, 3), "b": torch.zeros(1, dtype=torch.int64)})
    return [few, save({"x": torch.ones(3, dtype=torch.float16), "x.scale": torch.ones(0)}, {"format": "pt"})]


def _with_length(data: bytes) -> bytes:
    """A safetensors file of a header and what follows it, whose length is right."""
    header, _, content = data.partition(SEPARATOR)
    return len(header).to_bytes(8, "little") + header + content


def _headers() -> list[bytes]:
    found: list[bytes] = []
    for data in _safetensors_files():
        length = int.from_bytes(data[:8], "little")
        found.append(data[8 : 8 + length] + SEPARATOR + data[8 + length :])
    return found


def _torch_file(path: Path) -> None:
    from engine.weights.torch_file import open_torch_file

    with open_torch_file(path) as file:
        file.read(list(file.tensors))


def _torch_files(is_zip: bool) -> list[bytes]:
    import torch

    content = {"state_dict": {"a": torch.ones(2, 3).t(), "b": torch.zeros(1)}, "epoch": 3, "c": None}
    found: list[bytes] = []
    for held in (content, {"model": {"w": torch.nn.Parameter(torch.ones(1, dtype=torch.float16))}}):
        stream = io.BytesIO()
        torch.save(held, stream, _use_new_zipfile_serialization=is_zip)
        found.append(stream.getvalue())
    return found


def _pickle(path: Path) -> None:
    from engine.errors import PackError
    from engine.weights.inert_pickle import READ_ERRORS
    from engine.weights.torch_file import TensorUnpickler, is_allowed

    try:
        TensorUnpickler(io.BytesIO(path.read_bytes()), is_allowed).load()
    except READ_ERRORS as problem:
        raise PackError("as every caller says") from problem


def _pickles() -> list[bytes]:
    value = {"a": [1, -2.5, (True, None)], b"b": {"c": {1: "x"}}, "s": {1, 2}}
    return [pickle.dumps(value, protocol) for protocol in range(6)] + [pickle.dumps([np.float32(1)], 4)]


def _centres(path: Path) -> None:
    from engine.published.centres import read_centres

    read_centres(path)


def _centres_files() -> list[bytes]:
    from tests.engine.published_files import save_centres

    with tempfile.TemporaryDirectory() as folder:
        return [save_centres(Path(folder, "a.bin")).read_bytes()]


def _download(path: Path) -> None:
    """The folder of a download with one file in it, of the kind that its first byte says."""
    from engine.published.files import find_files

    data = path.read_bytes()
    kinds = ("a.ckpt", "b.bin", "c.safetensors", "d.npz", "tokenizer.json", "vq_hand/e.bin")
    folder = path.parent / "download"
    shutil.rmtree(folder, ignore_errors=True)
    target = folder / kinds[data[0] % len(kinds) if data else 0]
    target.parent.mkdir(parents=True)
    target.write_bytes(data[1:])
    find_files(folder)


def _downloads() -> list[bytes]:
    import torch

    from tests.engine.published_files import language_model, language_state

    state = {name: tensor[:2].clone() for name, tensor in language_state(language_model(8)).items()}
    stream = io.BytesIO()
    torch.save({"state_dict": dict(list(state.items())[:12])}, stream)
    heads = (
        (0, stream.getvalue()),
        (0, _torch_files(True)[0]),
        (1, _torch_files(False)[0]),
        (1, _centres_files()[0]),
        (2, _safetensors_files()[0]),
        (3, _archive(_bodies()[0])),
        (4, b'{"version": "1.0", "model": {}}'),
    )
    return [bytes([kind]) + data for kind, data in heads]


def _text_words(path: Path) -> None:
    from engine.language.text_encoder import read_tokenizer

    read_tokenizer(path)


def _text_word_files() -> list[bytes]:
    return [(_tiny_pack() / "tokenizer.json").read_bytes()]


def _line(path: Path) -> None:
    from engine.line_cache import LineCache

    clip = path.with_suffix(".npz")
    if not clip.is_file():
        clip.write_bytes(_motions()[0])
    LineCache(path.parent, 1 << 30).load(path.stem)


def _lines() -> list[bytes]:
    from engine.lines import LineRecord

    return [LineRecord("sound", 0.0, 1.0, ("walk", "run"), "rest").to_json().encode()]


def _record(path: Path) -> None:
    from engine.batch.records import finished
    from engine.batch.table import Line

    finished(Line(1, "a", seed=1), "model", path.parent.parent)


def _records() -> list[bytes]:
    from dataclasses import asdict

    from engine.batch.records import LineResult, line_key
    from engine.batch.table import Line

    key = line_key(Line(1, "a", seed=1), "model")
    return [json.dumps(asdict(LineResult("a", 1, key, ("a.npz",), "", 1.0, 1.0, 0.5, 1.0, 0.1))).encode()]


def _codes(path: Path) -> None:
    from engine.__main__ import load_audio_codes

    load_audio_codes(path)


def _code_files() -> list[bytes]:
    found: list[bytes] = []
    for values in (np.arange(5), np.arange(6, dtype=np.uint16).reshape(2, 3)):
        stream = io.BytesIO()
        np.save(stream, values)
        found.append(stream.getvalue())
    return found


def _stored(data: bytes) -> bytes:
    return _archive(data, zipfile.ZIP_STORED)


_JSON = (b'{"', b'"}', b"[[", b"]]", b"null", b"1e999", b"NaN", b"-1", b"\\u0000", b"9" * 30, b'"dtype"')
_NPY = (
    b"\x93NUMPY\x01\x00",
    b"'descr': '<f4'",
    b"'|O'",
    b"'<U9'",
    b"(1, 165)",
    b"(99999999999,)",
    b"'shape': ",
    b"True",
    b"poses.npy\n",
    b"trans.npy\n",
    b"mocap_frame_rate.npy\n",
    SEPARATOR,
)
_TOML = (
    b"[files]",
    b"[[",
    b"]]",
    b'"""',
    b" = ",
    b"size",
    b"sha256",
    b"inf",
    b"1979-05-27",
    b"0x",
    b"true",
    b"width = 999999999",
    b"num_layers = ",
    b"-1",
    b"1e9",
)
_PICKLE = (
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch\nFloatStorage\n",
    b"cos\nsystem\n",
    b"\x8a\x80",
    b"\x8b\xff\xff\xff\x7f",
    b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"(d.",
    b"}q\x00",
    b"h\x00",
    b"2" * 40,
)
_CSV = (
    b'"',
    b'""',
    b";",
    b"\t",
    b"\r\n",
    b"\x00",
    b"nan",
    b"1e308",
    b"23:59:59:59.0",
    b"0-3: ",
    b"; ",
    b"inf",
)
_BVH = (
    b"HIERARCHY",
    b"ROOT ",
    b"JOINT ",
    b"End Site",
    b"OFFSET ",
    b"CHANNELS 6 ",
    b"Zrotation",
    b"Xposition",
    b"MOTION",
    b"Frames: ",
    b"Frame Time: ",
    b"{",
    b"}",
    b"1e300",
    b"nan",
    b"999999999",
)
_RIFF = (
    b"RIFF",
    b"WAVE",
    b"fmt ",
    b"data",
    b"LIST",
    b"fact",
    b"fLaC",
    b"OggS",
    b"FORM",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x80",
)

READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        Reader("sound", "a.wav", _sound, _sounds, _RIFF),
        Reader("motion", "a.npz", _motion, _motions, (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06")),
        Reader("motion-arrays", "a.npz", _motion, lambda: _members(_motions()), _NPY, _archive),
        Reader("smplx-arrays", "a.npz", _body, _bodies, _NPY, _archive),
        Reader("bvh", "a.bvh", _bvh, _bvhs, _BVH),
        Reader("face-csv", "a.csv", _face, _faces, _CSV),
        Reader("batch-csv", "a.csv", _table, _tables, _CSV),
        Reader("batch-record", "records/a.json", _record, _records, _JSON),
        Reader("pack-toml", "pack.toml", _pack, _packs, _TOML),
        Reader("pack-engine", "pack.toml", _engine, _packs, _TOML),
        Reader("pack-words", "words.json", _words, lambda: [b'["a", "b\'c"]'], _JSON),
        Reader("pack-tokenizer", "tokenizer.json", _text_words, _text_word_files, _JSON),
        Reader("wheel-list", "wheels.toml", _wheels, _wheel_lists, _TOML),
        Reader("safetensors", "a.safetensors", _safetensors, _safetensors_files, _JSON),
        Reader("safetensors-header", "a.safetensors", _safetensors, _headers, _JSON, _with_length),
        Reader("torch-zip", "a.ckpt", _torch_file, lambda: _torch_files(True), (b"PK\x03\x04", *_PICKLE)),
        Reader(
            "torch-members", "a.ckpt", _torch_file, lambda: _members(_torch_files(True)), _PICKLE, _stored
        ),
        Reader("torch-chain", "a.pt", _torch_file, lambda: _torch_files(False), _PICKLE),
        Reader("pickle", "a.pkl", _pickle, _pickles, _PICKLE),
        Reader("centres", "a.bin", _centres, _centres_files, _PICKLE),
        Reader("lom-import", "a.any", _download, _downloads, _PICKLE),
        Reader("line-record", f"{'0' * 32}.json", _line, _lines, _JSON),
        Reader("audio-codes", "a.npy", _codes, _code_files, _NPY),
    )
}


def edited(reader: Reader, samples: list[bytes]) -> SearchStrategy[bytes]:
    """Samples with a few edits: bytes set, flipped, put in, taken out, doubled, or the end cut off."""
    words = (*reader.words, b"", b"\x00", b"\xff\xff\xff\xff", b"\x7f", b"\x80", b"\n", b"-1", b"99999999999")

    @st.composite
    def strategy(draw: st.DrawFn) -> bytes:
        if draw(st.integers(0, 15)) == 0:
            return draw(st.binary(max_size=300))
        data = bytearray(draw(st.sampled_from(samples)))
        for _ in range(draw(st.integers(1, 6))):
            place = draw(st.integers(0, max(len(data) - 1, 0)))
            kind = draw(st.integers(0, 6))
            if kind == 0 and data:
                data[place] ^= 1 << draw(st.integers(0, 7))
            elif kind == 1 and data:
                data[place] = draw(st.integers(0, 255))
            elif kind == 2:
                data[place:place] = draw(st.sampled_from(words))
            elif kind == 3:
                word = draw(st.sampled_from(words))
                data[place : place + len(word)] = word
            elif kind == 4:
                del data[place : place + draw(st.integers(1, 40))]
            elif kind == 5:
                length = draw(st.integers(1, 40))
                data[place:place] = data[place : place + length] * draw(st.integers(1, 30))
            else:
                number = str(draw(st.integers(-(2**70), 2**70))).encode()
                data[place : place + draw(st.integers(0, 8))] = number
        if draw(st.integers(0, 9)) == 0:
            del data[draw(st.integers(0, len(data))) :]
        return bytes(data)

    return strategy()


IN_BLENDER = ("preset-rig", "preset-face", "preset-direction")
"""Readers that need the bpy module."""


def readers_in_blender() -> dict[str, Reader]:
    """Presets, as the operators read them in Blender."""
    import importlib

    from tests.blender.support import KEY, add_face, bpy, enable

    enable()
    loaded = importlib.import_module(f"{KEY}.operators.presets")
    rigs = importlib.import_module(f"{KEY}.operators.rigs")
    faces = importlib.import_module(f"{KEY}.operators.faces")
    directions = importlib.import_module(f"{KEY}.operators.directions")
    errors = importlib.import_module(f"{KEY}.engine.errors")
    armature = importlib.import_module(f"{KEY}.operators.bridge.armature").build_armature("Ada")
    add_face(armature)
    scene = bpy.context.scene

    def as_ours(read: Callable[[str], object], kind: str) -> Callable[[Path], object]:
        from engine.errors import ClipError

        def run(path: Path) -> None:
            shutil.copyfile(path, loaded.folder(kind) / "a.json")
            try:
                read("a")
            except errors.EngineError as error:  # the extension's own copy of the class
                raise ClipError(str(error)) from error

        return run

    bones = {"kind": "custom", "bones": {"pelvis": ["hips"], "left_hip": ["thigh.L"], "spine": ["a", "b"]}}
    shapes = {"kind": "arkit", "shapes": {"jawOpen": "Mouth", "mouthFunnel": "O"}}
    direction = directions.direction_table(scene, armature)

    def sample(table: object) -> Callable[[], list[bytes]]:
        return lambda: [json.dumps(table, indent=1).encode()]

    kinds = (
        ("preset-rig", rigs.load_preset, rigs.PRESETS, bones),
        ("preset-face", faces.load_preset, faces.PRESETS, shapes),
        (
            "preset-direction",
            lambda name: directions.set_direction(scene, armature, name),
            directions.PRESETS,
            direction,
        ),
    )
    return {
        name: Reader(name, "a.json", as_ours(read, kind), sample(table), _JSON)
        for name, read, kind, table in kinds
    }
