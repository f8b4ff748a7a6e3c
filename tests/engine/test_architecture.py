# SPDX-License-Identifier: GPL-3.0-or-later
"""The house rules of docs/architecture.md, checked on the syntax trees of every committed module."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SPDX = "SPDX-License-Identifier: GPL-3.0-or-later"
BLENDER_MODULES = {"bpy", "mathutils", "aud", "gpu", "bmesh", "bpy_extras", "addon_utils"}
HEAVY_MODULES = {
    *("torch", "transformers", "tokenizers", "smplx", "scipy", "safetensors", "soundfile", "anny"),
    *("onnx", "onnxruntime"),
}
OFFLINE = ("engine.data", "engine.training", "engine.evaluation")
LAYERS = (
    {"engine.specs", "engine.errors", "engine.whole_files"},
    {"engine.motion", "engine.audio", "engine.weights", "engine.installing"},
    {"engine.packs"},
    {"engine.tokenizers"},
    {"engine.language"},
    {"engine.pipeline", "engine.asking", "engine.published"},
    {"engine.batch"},
    {"engine.__main__"},
)
"""Layers of the shipped engine from the ground up; each imports only itself and what lies below."""
NETWORK_MODULES = {
    *("socket", "socketserver", "ssl", "http", "urllib", "xmlrpc", "asyncio", "webbrowser"),
    *("ftplib", "smtplib", "poplib", "imaplib", "telnetlib"),
    *("requests", "urllib3", "httpx", "aiohttp", "huggingface_hub", "pip"),
}
PROCESS_MODULES = {"subprocess", "multiprocessing", "pty"}
LINES_AT_ONCE = "engine.batch.pool"
"""Shares lines out among processes of its own, by pipes of this machine."""
INSTALLERS = ("operators.install_engine", "engine.installing.worker")
MAX_LINES = 460
"""House rule 2 says "near 400"."""


@dataclass(frozen=True)
class Import:
    """One import as an absolute dotted name.

    Attributes:
        name: Module, with the imported name appended for `from module import name`.
        line: Line number.
        lazy: Inside a function, so not run while importing the module.
        typing_only: Under `if TYPE_CHECKING:`.
    """

    name: str
    line: int
    lazy: bool
    typing_only: bool


@cache
def modules() -> dict[str, Path]:
    """Dotted name of every Python file in the repository, tests and tools included."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode == 0:
        paths = [ROOT / line for line in listing.stdout.splitlines()]
    else:  # an unpacked source archive
        paths = [path for path in ROOT.rglob("*.py") if not path.relative_to(ROOT).parts[0].startswith(".")]
    names: dict[str, Path] = {}
    for path in sorted(set(paths)):
        relative = path.relative_to(ROOT)
        if path.exists() and relative.parts[0] not in ("build", "dist"):
            parts = relative.with_suffix("").parts
            names[".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "kinesics"] = path
    return names


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def absolute_base(module: str, path: Path, level: int) -> str:
    """Package a relative import of `level` dots starts from; the extension's root is ''."""
    parts = [] if module == "kinesics" else module.split(".")
    if path.name != "__init__.py":
        parts = parts[:-1]
    return ".".join(parts[: len(parts) - (level - 1)] if level > 1 else parts)


def imports(module: str) -> list[Import]:
    """Every import statement of a module, relative ones resolved."""
    path = modules()[module]
    found: list[Import] = []

    def visit(node: ast.AST, lazy: bool, typing_only: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, node.lineno, lazy, typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = absolute_base(module, path, node.level)
                base = ".".join(part for part in (package, base) if part)
            for alias in node.names:
                name = ".".join(part for part in (base, alias.name) if part)
                found.append(Import(name, node.lineno, lazy, typing_only))
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                visit(child, lazy, True)
            for child in node.orelse:
                visit(child, lazy, typing_only)
            return
        inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, inside, typing_only)

    visit(tree(path), False, False)
    return found


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def is_offline(module: str) -> bool:
    return any(within(module, package) for package in OFFLINE)


def shipped() -> Iterator[str]:
    """Modules inside the extension's zip."""
    for module in modules():
        root = module.partition(".")[0]
        if (
            module == "kinesics"
            or root in ("operators", "ui")
            or (root == "engine" and not is_offline(module))
        ):
            yield module


def layer_of(name: str) -> int | None:
    """Index in LAYERS, or None for a name outside them."""
    for index, packages in enumerate(LAYERS):
        if any(within(name, package) for package in packages):
            return index
    return None


def broken(module: str, found: Import, rule: str) -> str:
    return f"{modules()[module].relative_to(ROOT)}:{found.line} imports {found.name}: {rule}"


def test_the_walk_sees_the_repository() -> None:
    assert {"kinesics", "engine.specs", "operators.job", "ui", "tests.engine.test_architecture"} <= set(
        modules()
    )
    names = {found.name for found in imports("tests.engine.test_architecture")}
    assert {"ast", "pathlib.Path", "dataclasses.dataclass"} <= names


def test_engine_never_imports_blender() -> None:
    faults = [
        broken(module, found, "the engine must run in plain Python")
        for module in modules()
        if within(module, "engine")
        for found in imports(module)
        if found.name.partition(".")[0] in BLENDER_MODULES | {"operators", "ui"}
    ]
    assert not faults, "\n".join(faults)


def test_engine_imports_itself_relatively() -> None:
    """The installed package is called bl_ext...kinesics.engine, so `import engine` fails there."""
    faults = [
        f"{modules()[module].relative_to(ROOT)}:{node.lineno}"
        for module in shipped()
        for node in ast.walk(tree(modules()[module]))
        if (isinstance(node, ast.ImportFrom) and not node.level and within(node.module or "", "engine"))
        or (isinstance(node, ast.Import) and any(within(alias.name, "engine") for alias in node.names))
    ]
    assert not faults, "\n".join(faults)


def test_what_ships_never_imports_data_training_or_evaluation() -> None:
    faults = [
        broken(module, found, "that package is not in the zip")
        for module in shipped()
        for found in imports(module)
        if is_offline(found.name) or found.name.partition(".")[0] in ("tests", "tools", "benchmarks")
    ]
    assert not faults, "\n".join(faults)


def test_engine_layers_import_downwards_only() -> None:
    faults: list[str] = []
    for module in shipped():
        own = layer_of(module)
        if own is None:
            continue
        for found in imports(module):
            other = layer_of(found.name)
            if other is not None and other > own and not found.typing_only:
                faults.append(broken(module, found, "layers import downwards only"))
    assert not faults, "\n".join(faults)


def test_specs_and_errors_need_the_standard_library_only() -> None:
    faults = [
        broken(module, found, "specs and errors are standard library only")
        for module in ("engine.specs", "engine.errors", "engine.whole_files")
        for found in imports(module)
        if not found.typing_only
        and not within(found.name, "engine")
        and found.name.partition(".")[0] not in sys.stdlib_module_names
    ]
    assert not faults, "\n".join(faults)


def test_operators_and_ui_keep_their_places() -> None:
    faults: list[str] = []
    for module in modules():
        for found in imports(module):
            if within(module, "operators") and within(found.name, "ui"):
                faults.append(broken(module, found, "operators never import ui"))
            light = any(within(found.name, name) for name in ("engine.specs", "engine.errors"))
            if light or found.typing_only or not within(found.name, "engine"):
                continue
            if within(module, "ui"):
                faults.append(broken(module, found, "ui reads engine.specs only"))
            if within(module, "operators") and not found.lazy:
                faults.append(broken(module, found, "engine modules are imported inside functions"))
    assert not faults, "\n".join(faults)


def test_job_knows_nothing_of_blender() -> None:
    names = {found.name.partition(".")[0] for found in imports("operators.job")}
    assert not names & BLENDER_MODULES


def test_enabling_the_extension_imports_nothing_heavy() -> None:
    faults = [
        broken(module, found, "heavy packages are imported inside functions")
        for module in modules()
        if module == "kinesics" or module.partition(".")[0] in ("operators", "ui")
        for found in imports(module)
        if found.name.partition(".")[0] in HEAVY_MODULES and not found.lazy and not found.typing_only
    ]
    assert not faults, "\n".join(faults)


def test_root_module_imports_blender_inside_functions_only() -> None:
    """pytest and plain Python import the root package too."""
    top = [found.name for found in imports("kinesics") if not found.lazy and not found.typing_only]
    assert not [name for name in top if not name.startswith("__future__")]


def test_smplx_is_imported_on_its_own_path_only() -> None:
    """Its licence is non-commercial: it stays optional, inside a function of the body models."""
    users = {
        module: found
        for module in shipped()
        for found in imports(module)
        if found.name.partition(".")[0] == "smplx"
    }
    assert set(users) <= {"engine.motion.body_model"}
    assert all(found.lazy for found in users.values())


@pytest.mark.parametrize("folder", ["engine.data", "engine.training", "engine.evaluation"])
def test_offline_packages_exist(folder: str) -> None:
    assert any(within(module, folder) for module in modules())


def test_every_module_names_its_licence() -> None:
    faults = [
        str(path.relative_to(ROOT))
        for path in modules().values()
        if SPDX not in path.read_text("utf-8")[:200]
    ]
    assert not faults, f"no SPDX header in {faults}"


def test_every_module_and_public_function_of_the_engine_has_a_docstring() -> None:
    faults: list[str] = []
    for module, path in modules().items():
        if not within(module, "engine"):
            continue
        if not ast.get_docstring(tree(path)) and path.read_text("utf-8").strip():
            faults.append(str(path.relative_to(ROOT)))
        for node in tree(path).body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            if not ast.get_docstring(node):
                faults.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert not faults, "\n".join(faults)


def test_public_functions_are_annotated() -> None:
    faults: list[str] = []
    for module in shipped():
        for node in ast.walk(tree(modules()[module])):
            if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                continue
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            bare = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
            if bare or node.returns is None:
                faults.append(f"{modules()[module].relative_to(ROOT)}:{node.lineno} {node.name} {bare}")
    assert not faults, "\n".join(faults)


def test_no_failure_is_swallowed() -> None:
    faults: list[str] = []
    for path in modules().values():
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            where = f"{path.relative_to(ROOT)}:{node.lineno}"
            if node.type is None:
                faults.append(f"{where} bare except")
            elif ast.unparse(node.type) in ("Exception", "BaseException"):
                body = [ast.unparse(statement) for statement in node.body]
                if body in (["pass"], ["return None"], ["return"], ["continue"]):
                    faults.append(f"{where} swallows every failure")
    assert not faults, "\n".join(faults)


def test_untrusted_files_are_never_unpickled_or_evaluated() -> None:
    faults: list[str] = []
    for module in shipped():
        for node in ast.walk(tree(modules()[module])):
            if not isinstance(node, ast.Call):
                continue
            name, text = ast.unparse(node.func), ast.unparse(node)
            unsafe = (
                name in ("eval", "exec", "pickle.load", "pickle.loads", "compile", "os.system")
                or (name == "torch.load" and "weights_only=True" not in text)
                or (name in ("np.load", "numpy.load") and "allow_pickle=True" in text)
            )
            if unsafe:
                faults.append(f"{modules()[module].relative_to(ROOT)}:{node.lineno} {name}")
    assert not faults, "\n".join(faults)


def test_only_the_installer_may_reach_the_network() -> None:
    """It starts pip, once the animator and Blender's online access allow it; nothing else connects."""
    faults = [
        broken(module, found, "nothing that ships uses the network, but pip in engine.installing.worker")
        for module in shipped()
        for found in imports(module)
        if (found.name.partition(".")[0] in NETWORK_MODULES and not within(found.name, "urllib.parse"))
        or (found.name.partition(".")[0] in PROCESS_MODULES and module not in (*INSTALLERS, LINES_AT_ONCE))
    ]
    assert not faults, "\n".join(faults)
    for module in INSTALLERS:
        assert "subprocess" in {found.name for found in imports(module)}, f"{module} starts no process"
    loads = re.compile(r"\bfrom_pretrained\(|\bhf_hub_download\(|\burl_open\b|\bload_state_dict_from_url\b")
    for module in shipped():
        for call in loads.finditer(text := modules()[module].read_text("utf-8")):
            assert "local_files_only=True" in text[call.start() : call.start() + 300], module


def test_the_extension_writes_to_the_console_through_its_log_only() -> None:
    """The log has a level, and the tests look at what stands in it; a print has neither."""
    faults = [
        f"{modules()[module].relative_to(ROOT)}:{node.lineno}"
        for module in shipped()
        if module not in ("engine.__main__", "engine.batch.command", "engine.installing.worker")
        for node in ast.walk(tree(modules()[module]))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "warnings.warn")
    ]
    assert not faults, "\n".join(faults)
    users = {m for m in shipped() for found in imports(m) if found.name.partition(".")[0] == "logging"}
    assert users == {"operators.log"}


def test_device_comes_from_arguments() -> None:
    faults = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for module, path in modules().items()
        if within(module, "engine")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "cuda"
    ]
    assert not faults, "\n".join(faults)


def test_modules_stay_readable() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines())
        for module, path in modules().items()
        if module.partition(".")[0] in ("engine", "operators", "ui")
    }
    assert not {name: lines for name, lines in lengths.items() if lines > MAX_LINES}


FORBIDDEN = re.compile(
    r"/home/\w|/root/|/work/|[A-Za-z]:\\Users|\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError|"
    r"https?://[^\s/]*(mirror|proxy|artifactory|nexus)"
)
"""Machine paths, unfinished work and package mirrors have no place in a committed file."""


def test_no_machine_paths_or_unfinished_work() -> None:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        pytest.skip("needs a git checkout to know which files are committed")
    suffixes = {".py", ".md", ".toml", ".txt", ".json", ".sh", ".yml", ".cfg", ""}
    faults: list[str] = []
    for line in listing.stdout.splitlines():
        path = ROOT / line
        if not path.is_file() or path.suffix not in suffixes or path == Path(__file__) or line == "LICENSE":
            continue
        for number, text in enumerate(path.read_text("utf-8", errors="ignore").splitlines(), 1):
            if FORBIDDEN.search(text):
                faults.append(f"{line}:{number} {text.strip()[:90]}")
    assert not faults, "\n".join(faults)


def test_no_file_names_of_backups() -> None:
    bad = [
        str(path) for path in modules().values() if re.search(r"(_bk|_v\d+|_old|\.old|_copy)\.py$", path.name)
    ]
    assert not bad


def test_every_requirement_is_pinned() -> None:
    loose = [
        f"{path.name}: {line}"
        for path in sorted(ROOT.glob("requirements*.txt"))
        for line in path.read_text("utf-8").splitlines()
        if line
        and not line.startswith(("#", "-r "))
        and not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][\w.]*", line)
    ]
    assert not loose
