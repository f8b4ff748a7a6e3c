# SPDX-License-Identifier: GPL-3.0-or-later
"""Model packs: a folder with `pack.toml`, safetensors, a text vocabulary and a model card.

Packs come from strangers too: names are plain file names inside the folder, links are refused, every
size and hash is checked before a file is read, and a safetensors header is checked before anything
is allocated for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from .errors import PackError
from .toml_writer import to_toml
from .weights.row_scales import expand_rows, matrix_names
from .weights.safetensors_file import damaged, read_safetensors, safetensors_shapes, write_safetensors
from .whole_files import storage_error, sync_file, sync_folder

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    ModuleT = TypeVar("ModuleT", bound=nn.Module)

FORMAT_VERSION = 1
STARTER, PUBLISHED = "starter", "published"

KINDS: tuple[str, ...] = (STARTER, PUBLISHED)
"""Kinds of pack this version can load."""

PACK_FILE = "pack.toml"
MAX_PACK_FILE_BYTES = 1_000_000

_REQUIRED_TEXT = ("kind", "name", "version", "licence")
_DOWNLOAD = "download the pack again"
_ABANDONED_S = 24 * 3600.0
T = TypeVar("T")


NOT_TAKEN_OVER = ("format", "files", "evaluation")
"""What a pack that is written anew does not take over from the old one's description."""


@dataclass(frozen=True)
class Pack:
    """A pack whose files have been checked.

    Attributes:
        root: The folder.
        info: The whole of `pack.toml`.
    """

    root: Path
    info: Mapping[str, object]

    @property
    def name(self) -> str:
        """Name for people."""
        return self.value(str, "name")

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return self.value(str, "kind")

    @property
    def version(self) -> str:
        """Version of the pack."""
        return self.value(str, "version")

    def value(self, expected: type[T], *path: str) -> T:
        """One value of `pack.toml`, such as `value(int, "rates", "motion_fps")`.

        Raises:
            PackError: If it is missing or of another type (whole numbers pass as float).
        """
        found: object = self.info
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        if expected is float and isinstance(found, int) and not isinstance(found, bool):
            return cast("T", float(found))
        if not isinstance(found, expected) or (isinstance(found, bool) and expected is not bool):
            raise PackError(f"The pack's {PACK_FILE} has no usable {'.'.join(path)}; {_DOWNLOAD}.")
        return found

    def table(self, *path: str) -> Mapping[str, object]:
        """One table of `pack.toml`; raises `PackError` if it is missing."""
        return cast("Mapping[str, object]", self.value(dict, *path))

    def file(self, name: str) -> Path:
        """Path of a checked file.

        Raises:
            PackError: If the pack does not list it.
        """
        if name not in self.table("files"):
            raise PackError(f"The pack has no file {name}; {_DOWNLOAD}.")
        return self.root / name

    def tensors(self, name: str, prefix: str = "") -> dict[str, Tensor]:
        """Tensors of one safetensors file, on the CPU.

        Args:
            name: File.
            prefix: Only tensors whose names begin so are read; it is taken off.

        Returns:
            Tensors by name.

        Raises:
            PackError: If the file is absent, damaged or holds values that are not finite numbers.
        """
        return read_safetensors(self.file(name), prefix)

    def num_values(self) -> int:
        """Numbers in all weights, from the headers of their files."""
        files = [name for name in self.table("files") if name.endswith(".safetensors")]
        return sum(
            math.prod(shape) for name in files for shape in safetensors_shapes(self.file(name)).values()
        )

    def build_module(self, name: str, make: Callable[[], ModuleT], prefix: str = "") -> ModuleT:
        """Make a network in the sizes that the pack asks for, and fill it.

        The network is drawn up without memory and compared with the file, so that a pack never makes this
        allocate more than its file holds.

        Args:
            name: File with its tensors.
            make: Makes the network; all its tensors are in the file.
            prefix: Beginning of the names of its tensors in the file.

        Returns:
            The network, filled, in its own types.

        Raises:
            PackError: If there is no network of these sizes, or the file does not hold exactly this one.
        """
        from .weights.sketching import sketching

        try:
            with sketching():
                module = make()
        except (RuntimeError, ValueError, TypeError, ArithmeticError) as problem:
            raise PackError(f"The pack's {PACK_FILE} asks for impossible sizes; {_DOWNLOAD}.") from problem
        shapes = safetensors_shapes(self.file(name))
        own = [key for key in matrix_names(shapes) if key.startswith(prefix)]
        held = {key[len(prefix) :]: shapes[key] for key in own}
        _check_shapes(name, prefix, held, {key: value.shape for key, value in module.state_dict().items()})
        self.load_module(name, module, prefix, cast_to_own=True)
        return module

    def load_rounded(
        self, name: str, module: nn.Module, dtype: torch.dtype, is_wanted: Callable[[str], bool]
    ) -> None:
        """Fill a network on the meta device with tensors of one file, rounded to a floating type.

        Only a few tensors at a time are in memory as the file has them; those of the file's own type stay as
        they are, block by block, so that a block's memory is free once its weights are forgotten.

        Args:
            name: File.
            module: The network; all its tensors are in the file.
            dtype: The type.
            is_wanted: Which tensors to read, by name; the others stay without memory.

        Raises:
            PackError: If the file does not hold exactly these tensors of the network.
        """
        shapes = {key: held for key, held in safetensors_shapes(self.file(name)).items() if is_wanted(key)}
        wanted = {key: tensor.shape for key, tensor in module.state_dict().items() if is_wanted(key)}
        _check_shapes(name, "", shapes, wanted)
        held: dict[str, Tensor] = {}
        for group in sorted({".".join(key.split(".")[:3]) for key in shapes}):
            start = group if group in shapes else f"{group}."
            for rest, tensor in self.tensors(name, start).items():
                if not tensor.is_floating_point():
                    raise damaged(name, f"{start}{rest} has type {tensor.dtype}")
                held[start + rest] = tensor.to(dtype)
        module.load_state_dict(held, strict=False, assign=True)

    def load_but(self, name: str, module: nn.Module, prefix: str, left: str) -> None:
        """Fill a network on the meta device as `load_module` does, but for the weights named `left*`.

        Raises:
            PackError: If the file does not hold exactly this network, those weights included.
        """
        shapes = safetensors_shapes(self.file(name))
        own = {key[len(prefix) :]: shape for key, shape in shapes.items() if key.startswith(prefix)}
        wanted = {key: tensor.shape for key, tensor in module.state_dict().items()}
        _check_shapes(name, prefix, own, wanted)
        for key in wanted:
            if not key.startswith(left):
                held = self.tensors(name, prefix + key)[""]
                module.load_state_dict({key: held.float()}, strict=False, assign=True)

    def load_module(
        self, name: str, module: nn.Module, prefix: str = "", *, cast_to_own: bool = False
    ) -> None:
        """Fill a network with the tensors of one file whose names begin with `prefix`.

        Floating weights may be stored in any floating type, or as int8 with scales of their rows; all names
        and shapes must match. A network on the meta device takes the file's tensors as they are, so that none
        is in memory twice, or `cast_to_own`.

        Raises:
            PackError: If the file does not hold exactly this network.
        """
        held = expand_rows(self.tensors(name, prefix))
        wanted = module.state_dict()
        shapes = {key: tensor.shape for key, tensor in held.items()}
        _check_shapes(name, prefix, shapes, {key: tensor.shape for key, tensor in wanted.items()})
        for key, tensor in wanted.items():
            if held[key].is_floating_point() != tensor.is_floating_point():
                raise damaged(name, f"{prefix}{key} has type {held[key].dtype}")
            if cast_to_own:
                # A copy: what shares the file's memory keeps all of the file there.
                held[key] = held[key].to(tensor.dtype, copy=True)
        module.load_state_dict(held, assign=any(tensor.is_meta for tensor in wanted.values()))


def load_pack(root: Path) -> Pack:
    """Read `pack.toml` and check every file it lists.

    Args:
        root: The pack's folder.

    Returns:
        The pack; its weights are read later, by `Pack.tensors`.

    Raises:
        PackError: If anything is missing, damaged, unsafe or of another version; it names the file.
    """
    info = _read_info(root / PACK_FILE)
    pack = Pack(root, info)
    version = info.get("format")
    if version != FORMAT_VERSION:
        raise PackError(
            f"The pack has format {version!r} but this Kinesics reads format {FORMAT_VERSION}; "
            "get the pack and the extension in matching versions."
        )
    for name in _REQUIRED_TEXT:
        pack.value(str, name)
    if pack.kind not in KINDS:
        raise PackError(f"This Kinesics cannot run a pack of kind {pack.kind!r}; update the extension.")
    for name in pack.table("files"):
        _check_name(name)
        _check_file(
            root / name, pack.value(int, "files", name, "size"), pack.value(str, "files", name, "sha256")
        )
    return pack


def write_pack(
    root: Path,
    info: Mapping[str, object],
    tensors: Mapping[str, Mapping[str, Tensor]],
    files: Mapping[str, bytes | str | Path],
) -> Pack:
    """Write a pack as a whole: it appears under `root` complete or not at all.

    Args:
        root: Folder to make; an older pack there is replaced.
        info: Contents of `pack.toml` without `format` and `files`.
        tensors: Safetensors files by name (`.safetensors`), each with its tensors.
        files: Other files by name: bytes, text, or a path to copy.

    Returns:
        The written pack, loaded and checked.

    Raises:
        PackError: If a name is unsafe or twice there, or the result does not load.
        StorageError: If the system refuses to write; an older pack is still there.
    """
    names = [*tensors, *files]
    for name in names:
        _check_name(name)
    if len({name.casefold() for name in names}) != len(names):
        raise PackError("Two files of the pack have the same name; rename one.")
    if gone := [path for path in files.values() if isinstance(path, Path) and not path.is_file()]:
        raise PackError(f"The pack's file {gone[0]} is missing; put it there and try again.")
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(root)
        draft = Path(tempfile.mkdtemp(prefix=f".{root.name}-draft-", dir=root.parent))
        try:
            _fill(draft, info, tensors, files)
            load_pack(draft)
            _swap(draft, root)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise storage_error(root, error) from error
    return load_pack(root)


def rewrite_pack(
    pack: Pack,
    root: Path,
    info: Mapping[str, object],
    tensors: Mapping[str, Mapping[str, Tensor]],
    files: Mapping[str, bytes | str | Path] | None = None,
) -> Pack:
    """Write a pack anew with other weights; what is not given stays, but for its measured table.

    Args:
        pack: The old one.
        root: Folder to make, which may be the old one's.
        info: Entries of `pack.toml` that change or are new.
        tensors: As for `write_pack`, in the place of the old ones or new.
        files: Likewise.

    Returns:
        The written pack, loaded and checked.

    Raises:
        PackError: As `write_pack`.
        StorageError: As `write_pack`.
    """
    stays = {name: value for name, value in pack.info.items() if name not in NOT_TAKEN_OVER}
    given = {*tensors, *(files or {})}
    kept = {name: pack.file(name) for name in pack.table("files") if name not in given}
    return write_pack(root, {**stays, **info}, tensors, {**kept, **(files or {})})


def _fill(
    draft: Path,
    info: Mapping[str, object],
    tensors: Mapping[str, Mapping[str, Tensor]],
    files: Mapping[str, bytes | str | Path],
) -> None:
    """Write a pack's files into an empty folder and bring them to the disk."""
    draft.chmod(0o755)
    for name, values in tensors.items():
        write_safetensors(values, draft / name)
    for name, content in files.items():
        if isinstance(content, Path):
            shutil.copyfile(content, draft / name)
        else:
            (draft / name).write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    listed = {name: _file_table(draft / name) for name in sorted([*tensors, *files])}
    whole = {"format": FORMAT_VERSION, **info, "files": listed}
    (draft / PACK_FILE).write_text(to_toml(whole), encoding="utf-8", newline="\n")
    for path in draft.iterdir():
        sync_file(path)
    sync_folder(draft)


def _check_shapes(
    name: str, prefix: str, held: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]
) -> None:
    """Compare the tensors of a file with those of a network."""
    if odd := sorted(set(held) ^ set(wanted)):
        where = "lacks" if odd[0] in wanted else "has an unknown"
        raise damaged(name, f"it {where} {prefix}{odd[0]}")
    for key, shape in wanted.items():
        if tuple(held[key]) != tuple(shape):
            raise damaged(name, f"{prefix}{key} has shape {tuple(held[key])}")


def _swap(draft: Path, root: Path) -> None:
    """Put the draft in place of `root`; the old folder comes back if that fails."""
    old = _set_aside(root)
    if root.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(root, old)
    try:
        os.replace(draft, root)
    except OSError:
        _bring_back(root)
        raise
    sync_folder(root.parent)
    shutil.rmtree(old, ignore_errors=True)


def _set_aside(root: Path) -> Path:
    """Where a pack waits while a new one takes its place: no system renames two folders in one step."""
    return root.with_name(f".{root.name}-old")


def _bring_back(root: Path) -> None:
    """Undo the half of a replacement, also that of a process which was killed between the two renames."""
    if not root.exists() and _set_aside(root).is_dir():
        with contextlib.suppress(OSError):
            os.replace(_set_aside(root), root)


def _remove_left(root: Path) -> None:
    """Delete what processes left that were killed while they wrote this pack, a day ago or longer."""
    for left in root.parent.glob(f".{escape(root.name)}-draft-*"):
        if time.time() - left.stat().st_mtime > _ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)


def _read_info(path: Path) -> dict[str, object]:
    _bring_back(path.parent)
    if not path.parent.is_dir():
        raise PackError(f"There is no model pack at {path.parent}; choose the folder that holds {PACK_FILE}.")
    if path.is_symlink() or not path.is_file():
        raise PackError(f"The folder {path.parent.name} has no {PACK_FILE}; choose a model pack's folder.")
    if path.stat().st_size > MAX_PACK_FILE_BYTES:
        raise damaged(PACK_FILE, "it is too large")
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise damaged(PACK_FILE, "it cannot be read") from problem


def _check_name(name: str) -> None:
    """Allow plain file names only: letters, digits, dot, dash and underscore."""
    plain = name.replace(".", "").replace("-", "").replace("_", "")
    if not (plain.isascii() and plain.isalnum()) or name[0] in ".-" or name == PACK_FILE or len(name) > 100:
        raise PackError(f"The pack lists a file with an unsafe name ({name!r}); do not use this pack.")


def _check_file(path: Path, size: int, sha256: str) -> None:
    if path.is_symlink():
        raise PackError(f"The pack's file {path.name} is a link, which is not safe; {_DOWNLOAD}.")
    if not path.is_file():
        raise PackError(f"The pack's file {path.name} is missing; {_DOWNLOAD}.")
    if path.stat().st_size != size:
        raise damaged(path.name, f"it has {path.stat().st_size} bytes in place of {size}")
    if _sha256(path) != sha256:
        raise damaged(path.name, "its contents have changed")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _file_table(path: Path) -> dict[str, object]:
    return {"size": path.stat().st_size, "sha256": _sha256(path)}
