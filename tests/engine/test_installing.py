# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing the engine's packages, from folders of small wheels made here; the network is never used."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import InstallError
from engine.installing import folder, lock, unpacking, worker
from engine.installing.accelerators import Accelerator, Kind, choose_build, found_accelerators
from engine.installing.lock import Wheel, file_sha256, this_target
from tools.lock_wheels import written

ROOT = Path(__file__).resolve().parents[2]
SLOW_FILES = 3000
"""Files in a wheel that takes long enough to be stopped in the middle."""


def make_wheel(directory: Path, name: str, num_files: int = 2, extra: dict[str, str] | None = None) -> Wheel:
    """Write a wheel of small modules and describe it."""
    path = directory / f"{name}-1.0-py3-none-any.whl"
    files = {f"{name}/__init__.py": "VALUE = 7\n"}
    files |= {f"{name}/module_{index}.py": f"INDEX = {index}\n" for index in range(num_files - 1)}
    files |= extra or {}
    info = f"{name}-1.0.dist-info"
    record = "".join(f"{file},,{len(text.encode())}\n" for file, text in files.items()) + f"{info}/RECORD,,\n"
    files[f"{info}/RECORD"] = record
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    unpacked = sum(len(text.encode()) for text in files.values())
    return Wheel(name, "1.0", path.name, file_sha256(path), path.stat().st_size, unpacked, (this_target(),))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The folder wheels come from."""
    path = tmp_path / "wheels from a friend"
    path.mkdir()
    return path


@pytest.fixture
def wheels(source: Path) -> tuple[Wheel, ...]:
    """Two small wheels, one under the name nothing runs without."""
    return make_wheel(source, "torch"), make_wheel(source, "scipy")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where they go."""
    return tmp_path / "user" / "kinesics"


def quiet(fraction: float, message: str) -> None:
    """A report nobody reads; its values must be in range."""
    assert 0.0 <= fraction <= 1.0 and message


def install(home: Path, wheels: tuple[Wheel, ...], source: Path) -> Path:
    """Install from the folder."""
    return worker.install(home, wheels, worker.copy_from(source), quiet)


def contents(path: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_the_list_in_the_extension_names_whole_sets_for_every_blender() -> None:
    listed = lock.read_lock()
    targets = {target for wheel in listed for target in wheel.targets}
    for system in lock.SYSTEMS.values():
        for python in ("3.11", "3.13"):
            choice = choose_build(lock.target_name(system, python), listed, (Accelerator(Kind.CPU),))
            assert choice.wheels and choice.reason
    for target in targets:
        names = {wheel.name for wheel in lock.wheels_for(target, listed)}
        assert {"torch", "scipy", "soundfile", "safetensors", "tokenizers", "onnx", "onnxruntime"} <= names
        assert len(names) == len(lock.wheels_for(target, listed))
    assert not {wheel.name for wheel in listed} & {"numpy", "smplx", "huggingface_hub", "requests"}


def test_the_list_agrees_with_the_requirements() -> None:
    pins = {line.strip() for line in (ROOT / "requirements.txt").read_text().splitlines()}
    for wheel in lock.read_lock():
        cuda_only = all(target.endswith("-cuda") for target in wheel.targets)
        if wheel.name != "scipy" and not cuda_only:  # an older one, for the numpy of Blender 4.2
            assert f"{wheel.name}=={wheel.version.partition('+')[0]}" in pins


@pytest.mark.parametrize(
    "text",
    [
        "",
        "wheel = 3",
        "[[wheel]]\nname = 'x'",
        written([Wheel("x", "1", "../x-1-py3-none-any.whl", "0" * 64, 1, 1, ("a",))]),
        written([Wheel("x", "1", "x-1-py3-none-any.whl", "zz", 1, 1, ("a",))]),
    ],
)
def test_a_damaged_list_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wheels.toml"
    path.write_text(text)
    with pytest.raises(InstallError, match="install Kinesics again"):
        lock.read_lock(path)


def test_wheels_from_a_folder_are_installed_and_nothing_else_stays(
    home: Path, wheels: tuple[Wheel, ...], source: Path
) -> None:
    packages = install(home, wheels, source)
    assert (packages / "torch" / "__init__.py").read_text() == "VALUE = 7\n"
    assert folder.installed_packages(home, wheels) == packages
    assert {path.name for path in home.iterdir()} == {"lock", packages.parent.name}


def test_a_half_installation_is_noticed_and_done_again(
    home: Path, wheels: tuple[Wheel, ...], source: Path
) -> None:
    packages = install(home, wheels, source)
    whole = contents(packages)
    (packages / "scipy-1.0.dist-info" / "RECORD").unlink()
    assert folder.installed_packages(home, wheels) is None
    assert contents(install(home, wheels, source)) == whole

    (packages / "torch" / "module_0.py").write_text("")
    assert folder.damaged_files(packages) == ["torch/module_0.py"]
    assert contents(install(home, wheels, source)) == whole

    (packages.parent / folder.COMPLETE).unlink()
    assert folder.installed_packages(home, wheels) is None


def test_another_version_replaces_the_one_before(home: Path, wheels: tuple[Wheel, ...], source: Path) -> None:
    before = install(home, wheels, source)
    newer = (*wheels, make_wheel(source, "onnx"))
    assert folder.installed_packages(home, newer) is None
    after = install(home, newer, source)
    assert not before.exists() and (after / "onnx").is_dir()


def test_a_file_of_another_hash_is_refused_and_nothing_is_installed(
    home: Path, wheels: tuple[Wheel, ...], source: Path
) -> None:
    path = source / wheels[1].file
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(InstallError, match=r"scipy.*not the file Kinesics was made for"):
        install(home, wheels, source)
    assert folder.installed_packages(home, wheels) is None
    assert not list(home.rglob("*.py"))


def test_a_damaged_download_is_fetched_again(home: Path, wheels: tuple[Wheel, ...], source: Path) -> None:
    (home / folder.DOWNLOADS).mkdir(parents=True)
    (home / folder.DOWNLOADS / wheels[0].file).write_bytes(b"half of it")
    install(home, wheels, source)
    assert folder.installed_packages(home, wheels)


def test_what_has_arrived_is_not_fetched_again(home: Path, wheels: tuple[Wheel, ...], source: Path) -> None:
    fetched: list[str] = []

    def fetch(wheel: Wheel, path: Path, report: worker.Report) -> None:
        fetched.append(wheel.name)
        if fetched == ["torch", "scipy"]:
            raise InstallError("the line is dead")
        worker.copy_from(source)(wheel, path, report)

    with pytest.raises(InstallError, match="dead"):
        worker.install(home, wheels, fetch, quiet)
    worker.install(home, wheels, fetch, quiet)
    assert fetched == ["torch", "scipy", "scipy"]


def test_a_missing_file_is_named(home: Path, wheels: tuple[Wheel, ...], source: Path) -> None:
    (source / wheels[0].file).unlink()
    with pytest.raises(InstallError, match=rf"{wheels[0].file} is not in"):
        install(home, wheels, source)


@pytest.mark.parametrize("name", ["../evil.py", "/evil.py", "a/../../evil.py", "C:/evil.py", "..\\evil.py"])
def test_names_that_lead_out_of_the_folder_are_refused(home: Path, source: Path, name: str) -> None:
    wheel = make_wheel(source, "torch", extra={name: "print('evil')\n"})
    with pytest.raises(InstallError, match="unsafe name"):
        install(home, (wheel,), source)
    assert not list(home.parent.parent.rglob("evil.py"))


def test_a_wheel_that_unpacks_to_more_than_listed_is_refused(home: Path, source: Path) -> None:
    wheel = make_wheel(source, "torch")
    with pytest.raises(InstallError, match="more than it should"):
        install(home, (replace(wheel, unpacked=wheel.unpacked - 1),), source)


def test_only_packages_of_a_data_folder_are_unpacked(home: Path, source: Path) -> None:
    extra = {
        "torch/_vendor/other-1.0.dist-info/RECORD": "",
        "torch-1.0.data/purelib/also.py": "A = 1\n",
        "torch-1.0.data/scripts/run": "no\n",
    }
    packages = install(home, (make_wheel(source, "torch", extra=extra),), source)
    assert (packages / "also.py").is_file()
    assert not list(packages.rglob("run")) and not list(packages.glob("*.data"))
    assert folder.damaged_files(packages) == []


def test_a_full_disk_is_told_before_anything_is_written(
    home: Path, wheels: tuple[Wheel, ...], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(unpacking.shutil, "disk_usage", lambda _: usage(10, 9, 1))
    with pytest.raises(InstallError, match="make room"):
        install(home, wheels, source)
    assert not list(home.rglob("*.whl")) and not list(home.rglob("*.py"))


def test_a_folder_that_cannot_be_written_is_told(home: Path, wheels: tuple[Wheel, ...], source: Path) -> None:
    home.parent.mkdir(parents=True)
    home.write_text("a file in the way, since root may write into read-only folders")
    with pytest.raises(InstallError, match="make that folder writable"):
        install(home, wheels, source)


def test_two_at_once_do_not_meet(home: Path, wheels: tuple[Wheel, ...], source: Path) -> None:
    home.mkdir(parents=True)
    with worker.OnlyOne(home), pytest.raises(InstallError, match="Another Blender"):
        install(home, wheels, source)
    install(home, wheels, source)


def start(home: Path, lock_file: Path, source: Path) -> subprocess.Popen[str]:
    """The installer as Blender starts it."""
    command = [sys.executable, "-m", "engine.installing.worker", str(home), "--from", str(source)]
    return subprocess.Popen(
        [*command, "--lock", str(lock_file)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


@pytest.fixture
def slow(source: Path, tmp_path: Path) -> tuple[tuple[Wheel, ...], Path]:
    """Wheels with many files, and a list of them."""
    wheels = (make_wheel(source, "torch", SLOW_FILES), make_wheel(source, "scipy"))
    path = tmp_path / "wheels.toml"
    path.write_text(written(list(wheels)))
    return wheels, path


def test_the_process_tells_how_far_it_is_and_that_it_is_done(
    home: Path, slow: tuple[tuple[Wheel, ...], Path], source: Path
) -> None:
    process = start(home, slow[1], source)
    assert process.stdout and process.stdin
    lines = [json.loads(line) for line in process.stdout]
    assert process.wait(30) == 0 and lines[-1] == {"done": True}
    fractions = [line["fraction"] for line in lines[:-1]]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1.0)
    process.stdin.close()


@pytest.mark.parametrize(
    "stop",
    [lambda process: process.stdin.close(), lambda process: process.send_signal(signal.SIGKILL)],
    ids=["cancelled", "killed"],
)
def test_an_installation_stopped_in_the_middle_is_no_installation(
    home: Path,
    slow: tuple[tuple[Wheel, ...], Path],
    source: Path,
    stop: Callable[[subprocess.Popen[str]], None],
) -> None:
    wheels, lock_file = slow
    process = start(home, lock_file, source)
    assert process.stdout
    for line in process.stdout:
        if "Unpacking" in line:
            break
    stop(process)
    assert process.wait(30) != 0
    process.stdout.close()
    assert folder.installed_packages(home, wheels) is None
    assert len(list((home / folder.DOWNLOADS).glob("*.whl"))) == 2
    shutil.rmtree(source)
    source.mkdir()  # the second try lives on what the first one brought
    install(home, wheels, source)
    assert folder.installed_packages(home, wheels)


def test_the_process_says_what_is_wrong(
    home: Path, slow: tuple[tuple[Wheel, ...], Path], tmp_path: Path
) -> None:
    process = start(home, slow[1], tmp_path / "nowhere")
    assert process.stdout and process.stdin
    output = process.stdout.read()  # its input stays open: closing it would stop it
    process.wait(30)
    process.stdin.close()
    assert process.returncode == 1
    assert "put it there and try again" in json.loads(output.splitlines()[-1])["error"]


NVIDIA = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Thu Oct 19 18:56:32 UTC 2023\nGCC version: 12.3\n"
)
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n"
MACHINES: dict[str, tuple[str, str, dict[str, str], list[tuple[Kind, int | None]]]] = {
    "plain": ("linux", "x86_64", {}, []),
    "nvidia": (
        "linux",
        "x86_64",
        {"proc/driver/nvidia/version": NVIDIA.format("590.1.2")},
        [(Kind.CUDA, 590)],
    ),
    "open": ("linux", "x86_64", {"proc/driver/nvidia/version": OPEN}, [(Kind.CUDA, 580)]),
    "odd": ("linux", "x86_64", {"proc/driver/nvidia/version": "something else\n1.2"}, [(Kind.CUDA, None)]),
    "wsl": ("linux", "x86_64", {"usr/lib/wsl/lib/libcuda.so.1": ""}, [(Kind.CUDA, None)]),
    "amd": (
        "linux",
        "x86_64",
        {
            "dev/kfd": "",
            "sys/class/kfd/kfd/topology/nodes/0/properties": "cpu_cores_count 8\nsimd_count 0\n",
            "sys/class/kfd/kfd/topology/nodes/1/properties": "cpu_cores_count 0\nsimd_count 256\n",
        },
        [(Kind.ROCM, None)],
    ),
    "amd processor alone": (
        "linux",
        "x86_64",
        {"dev/kfd": "", "sys/class/kfd/kfd/topology/nodes/0/properties": "simd_count 0\n"},
        [],
    ),
    "windows": ("win32", "AMD64", {"System32/nvcuda.dll": ""}, [(Kind.CUDA, None)]),
    "windows without": ("win32", "AMD64", {"System32/other.dll": ""}, []),
    "mac": ("darwin", "arm64", {}, [(Kind.METAL, None)]),
    "old mac": ("darwin", "x86_64", {}, []),
}


@pytest.mark.parametrize("name", MACHINES)
def test_graphics_cards_are_found_by_what_drivers_lay_down(name: str, tmp_path: Path) -> None:
    system, machine, files, wanted = MACHINES[name]
    for file, text in files.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    found = found_accelerators(system, machine, tmp_path, {"SystemRoot": str(tmp_path)})
    assert found == (*(Accelerator(*one) for one in wanted), Accelerator(Kind.CPU))


@pytest.mark.parametrize(
    ("target", "best", "build", "said"),
    [
        ("linux-x64-py3.11", Accelerator(Kind.CUDA, 580), "cuda", "is used"),
        ("linux-x64-py3.11", Accelerator(Kind.CUDA), "cuda", "is used"),
        ("linux-x64-py3.11", Accelerator(Kind.CUDA, 535), "", "too old .535; 580"),
        ("linux-x64-py3.11", Accelerator(Kind.ROCM), "", "An AMD graphics card was found, but"),
        ("linux-x64-py3.11", Accelerator(Kind.CPU), "", "No graphics card"),
        ("linux-x64-py3.13", Accelerator(Kind.CUDA, 590), "cuda", "is used"),
        ("linux-x64-py3.13", Accelerator(Kind.CPU), "cuda", "runs without"),
        ("windows-x64-py3.13", Accelerator(Kind.CUDA), "", "there is no build for it here"),
        ("macos-arm64-py3.13", Accelerator(Kind.METAL), "", "On a Mac"),
    ],
)
def test_the_build_fits_the_graphics_card(target: str, best: Accelerator, build: str, said: str) -> None:
    choice = choose_build(target, lock.read_lock(), (best, Accelerator(Kind.CPU)))
    assert choice.build == build and re.search(said, choice.reason), choice.reason
    assert {wheel.name.startswith("nvidia-") for wheel in choice.wheels} == (
        {False, True} if build else {False}
    )


def test_a_python_without_wheels_is_told_which_there_are() -> None:
    with pytest.raises(InstallError, match=r"no engine for linux-x64-py3.9 yet.*linux-x64-py3.11"):
        choose_build("linux-x64-py3.9", lock.read_lock(), (Accelerator(Kind.CPU),))
