# SPDX-License-Identifier: GPL-3.0-or-later
"""Model packs: round trip, and every way a pack can be damaged, of another version or unsafe."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.errors import PackError
from engine.packs import PACK_FILE, Pack, load_pack, write_pack
from engine.toml_writer import to_toml
from engine.weights.row_scales import quantise_rows

INFO: dict[str, object] = {
    "kind": "starter",
    "name": 'Starter "zero" é',
    "version": "0.1.0",
    "licence": "CC0-1.0",
    "rates": {"motion_fps": 30, "code_fps": 7.5},
    "models": {"face": {"width": 4, "family": "starter"}},
    "evaluation": [{"what": "feet", "value": 0.1, "met": True}, {"what": "lips", "value": 0.4, "met": False}],
}
WEIGHTS = {"net.weight": torch.arange(12.0).reshape(3, 4).half(), "net.bias": torch.ones(3)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "pack"
    write_pack(folder, INFO, {"model.safetensors": WEIGHTS}, {"README.md": "# Card\n", "words.json": b"{}"})
    return folder


def edit(root: Path, old: str, new: str) -> None:
    text = (root / PACK_FILE).read_text("utf-8")
    assert old in text
    (root / PACK_FILE).write_text(text.replace(old, new), "utf-8")


def put(root: Path, name: str, content: bytes) -> None:
    """Replace a listed file and its size and hash, as a malicious author would."""
    table = tomllib.loads((root / PACK_FILE).read_text("utf-8"))
    (root / name).write_bytes(content)
    table["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (root / PACK_FILE).write_text(to_toml(table), "utf-8")


def safetensors(header: dict[str, object] | bytes, data: bytes) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def test_round_trip(root: Path) -> None:
    pack = load_pack(root)
    assert pack.info == {"format": 1, **INFO, "files": pack.info["files"]}
    assert pack.name == INFO["name"]
    assert pack.value(float, "rates", "motion_fps") == 30.0
    assert pack.table("models", "face") == {"width": 4, "family": "starter"}
    tensors = pack.tensors("model.safetensors")
    assert tensors.keys() == WEIGHTS.keys()
    for name, tensor in WEIGHTS.items():
        assert torch.equal(tensors[name], tensor) and tensors[name].dtype == tensor.dtype
    assert pack.tensors("model.safetensors", "net.").keys() == {"weight", "bias"}
    assert pack.file("README.md").read_text("utf-8") == "# Card\n"


def test_modules_are_filled(root: Path) -> None:
    pack = load_pack(root)
    net = torch.nn.Linear(4, 3)
    pack.load_module("model.safetensors", net, "net.")
    assert torch.equal(net.weight, WEIGHTS["net.weight"].float())
    for wrong in (torch.nn.Linear(4, 5), torch.nn.Linear(4, 3, bias=False), torch.nn.BatchNorm1d(3)):
        with pytest.raises(PackError, match=r"model\.safetensors"):
            pack.load_module("model.safetensors", wrong, "net.")


def test_int8_rows_are_expanded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = torch.nn.Linear(40, 6)
    rows = quantise_rows("weight", net.weight.detach())
    assert rows["weight"].dtype == torch.int8
    tensors = {**rows, "bias": net.bias.detach()}
    pack = write_pack(tmp_path / "int8", INFO, {"model.safetensors": tensors}, {})
    found = pack.build_module("model.safetensors", lambda: torch.nn.Linear(40, 6))
    step = net.weight.abs().amax(1, keepdim=True) / 127
    assert float(((found.weight - net.weight).abs() / step).detach().max()) <= 0.51
    assert torch.equal(found.bias, net.bias)
    wrong = {"weight": rows["weight"], "weight.scale": torch.ones(5).half(), "bias": net.bias.detach()}
    pack = write_pack(tmp_path / "wrong", INFO, {"model.safetensors": wrong}, {})
    with pytest.raises(PackError, match="scales of weight"):
        pack.build_module("model.safetensors", lambda: torch.nn.Linear(40, 6))


def test_a_new_pack_replaces_the_old_one(root: Path) -> None:
    write_pack(root, {**INFO, "version": "0.2.0"}, {}, {"README.md": "new"})
    assert load_pack(root).version == "0.2.0"
    assert sorted(path.name for path in root.iterdir()) == ["README.md", PACK_FILE]
    assert [path.name for path in root.parent.iterdir()] == ["pack"]


def test_a_failed_write_leaves_the_old_pack(root: Path) -> None:
    with pytest.raises(PackError, match=r"gone\.bin is missing"):
        write_pack(root, INFO, {"model.safetensors": WEIGHTS}, {"gone.bin": root / "gone.bin"})
    with pytest.raises(PackError, match="licence"):
        write_pack(root, {**INFO, "licence": 3}, {}, {})
    assert load_pack(root).version == "0.1.0"
    assert [path.name for path in root.parent.iterdir()] == ["pack"]


@pytest.mark.parametrize(
    "name", ["../out.bin", "/abs.bin", "a/b.bin", ".hidden", "c:evil", "a\\b", "", PACK_FILE]
)
def test_unsafe_names_are_refused(root: Path, name: str) -> None:
    with pytest.raises(PackError, match="unsafe"):
        write_pack(root, INFO, {}, {name: b""})
    edit(root, '"words.json"', json.dumps(name))
    with pytest.raises(PackError):
        load_pack(root)


def link_words(root: Path) -> None:
    (root / "words.json").rename(root.parent / "outside.json")
    (root / "words.json").symlink_to(root.parent / "outside.json")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no toml": (lambda root: (root / PACK_FILE).unlink(), r"no pack\.toml"),
    "broken toml": (lambda root: (root / PACK_FILE).write_text("format = "), r"pack\.toml is damaged"),
    "binary toml": (lambda root: (root / PACK_FILE).write_bytes(b"\xff\xfe\0"), r"pack\.toml is damaged"),
    "huge toml": (lambda root: (root / PACK_FILE).write_text("#" * 2_000_000), r"pack\.toml is damaged"),
    "other format": (lambda root: edit(root, "format = 1", "format = 2"), "format 2"),
    "other kind": (lambda root: edit(root, '"starter"\nname', '"giant"\nname'), "giant"),
    "no name": (lambda root: edit(root, "name = ", "nome = "), "name"),
    "no files": (lambda root: edit(root, "[files", "[filles"), "files"),
    "missing file": (lambda root: (root / "words.json").unlink(), r"words\.json is missing"),
    "folder for file": (
        lambda root: ((root / "words.json").unlink(), (root / "words.json").mkdir()),
        r"words\.json is missing",
    ),
    "truncated": (
        lambda root: (root / "model.safetensors").write_bytes(b"short"),
        r"model\.safetensors is damaged",
    ),
    "changed": (lambda root: (root / "words.json").write_bytes(b"[]"), r"words\.json is damaged"),
    "link": (link_words, r"words\.json is a link"),
    "size is text": (lambda root: edit(root, "size = 2", 'size = "2"'), r"words\.json"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named(root: Path, case: str) -> None:
    damage, message = DAMAGE[case]
    damage(root)
    with pytest.raises(PackError, match=message) as caught:
        load_pack(root)
    assert str(caught.value).endswith(".") and ";" in str(caught.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="no model pack at"):
        load_pack(tmp_path / "nowhere")


def entry(dtype: str, shape: list[object], begin: int, end: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


FORGED: dict[str, bytes] = {
    "empty": b"",
    "header beyond file": struct.pack("<Q", 2**62) + b"{}",
    "header not json": safetensors(b"{broken", b""),
    "header a list": safetensors(b"[]", b""),
    "deep header": safetensors(b'{"a":' * 100_000, b""),
    "shape larger than data": safetensors({"w": entry("F32", [1_000_000, 1_000_000], 0, 4)}, bytes(4)),
    "negative shape": safetensors({"w": entry("F32", [-1, -1], 0, 4)}, bytes(4)),
    "shape not a number": safetensors({"w": entry("F32", ["1"], 0, 4)}, bytes(4)),
    "unknown type": safetensors({"w": entry("PICKLE", [1], 0, 4)}, bytes(4)),
    "offsets outside": safetensors({"w": entry("F32", [1], 400, 404)}, bytes(4)),
    "bytes left over": safetensors({"w": entry("F32", [1], 0, 4)}, bytes(8)),
    "overlap": safetensors({"v": entry("F32", [1], 0, 4), "w": entry("F32", [1], 0, 4)}, bytes(8)),
    "not numbers": safetensors({"w": entry("F32", [1], 0, 4)}, struct.pack("<f", float("nan"))),
    "infinite": safetensors({"w": entry("F32", [1], 0, 4)}, struct.pack("<f", float("inf"))),
}


@pytest.mark.parametrize("case", FORGED)
def test_forged_weights_are_refused(root: Path, case: str) -> None:
    put(root, "model.safetensors", FORGED[case])
    pack = load_pack(root)
    with pytest.raises(PackError, match=r"model\.safetensors is damaged"):
        pack.tensors("model.safetensors")


def test_absent_files_and_values_are_named(root: Path) -> None:
    pack = load_pack(root)
    with pytest.raises(PackError, match=r"other\.safetensors"):
        pack.tensors("other.safetensors")
    with pytest.raises(PackError, match=r"rates\.audio_fps"):
        pack.value(float, "rates", "audio_fps")
    with pytest.raises(PackError, match=r"rates\.motion_fps"):
        pack.value(str, "rates", "motion_fps")
    assert isinstance(pack, Pack)


def test_toml_writer_reads_back() -> None:
    table: dict[str, object] = {
        "text": 'quote " slash \\ line\n tab\t del\x7f é 漢',
        "numbers": [1, -2.5, 1e-7, 3.0],
        "odd key!": True,
        "empty": [],
        "deep": {"a": {"b": {"c": 1}}, "list": [{"x": 1, "y": {"z": 2}}, {"x": 2}]},
    }
    assert tomllib.loads(to_toml(table)) == table
    with pytest.raises(TypeError):
        to_toml({"nothing": None})


def test_loading_leaves_torch_s_compiler_alone() -> None:
    """Importing it takes longer than everything else that loading the starter does."""
    code = (
        "import sys; from pathlib import Path; from engine.pipeline import load_engine; "
        "load_engine(Path('packs/starter'), 'cpu'); sys.exit('torch._dynamo' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
