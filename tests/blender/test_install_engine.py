# SPDX-License-Identifier: GPL-3.0-or-later
"""Install Engine inside Blender, from a folder of small wheels; the network is never used."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.blender.support import KEY, bpy


@dataclass(frozen=True)
class Shop:
    """A folder with one small wheel, and the operator's module that takes it for the whole list."""

    operator: Any
    preferences: Any
    wheel: Path


@pytest.fixture
def shop(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The extension with a list of one wheel, and that wheel in the folder of the preferences."""
    operator, lock = module("operators.install_engine"), module("engine.installing.lock")
    wheel = tmp_path / "wheels" / "torch-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("kinesics_probe.py", "VALUE = 7\n")
        archive.writestr("torch-1.0.dist-info/RECORD", "kinesics_probe.py,,10\n")
    listed = tmp_path / "wheels.toml"
    listed.write_text(
        f'[[wheel]]\nname = "torch"\nversion = "1.0"\nfile = "{wheel.name}"\n'
        f'sha256 = "{lock.file_sha256(wheel)}"\nbytes = {wheel.stat().st_size}\nunpacked_bytes = 1000\n'
        f'targets = ["{lock.this_target()}"]\n'
    )
    command, wheels = operator.installer_command, lock.read_lock(listed)
    monkeypatch.setattr(operator, "listed_wheels", lambda processor_only=False: wheels)
    monkeypatch.setattr(
        operator, "installer_command", lambda *words: [*command(*words), "--lock", str(listed)]
    )
    preferences = bpy.context.preferences.addons[KEY].preferences
    preferences.wheels_dir = str(wheel.parent)
    yield Shop(operator, preferences, wheel)
    preferences.wheels_dir = ""
    operator.detach()
    sys.modules.pop("kinesics_probe", None)
    module("engine.installing.folder").remove(operator.home())
    operator.attach()


def test_it_installs_into_the_user_folder_of_the_extension(shop: Shop) -> None:
    assert bpy.ops.kinesics.install_engine("EXEC_DEFAULT") == {"FINISHED"}
    import kinesics_probe  # pyright: ignore[reportMissingImports]

    assert kinesics_probe.VALUE == 7
    assert Path(kinesics_probe.__file__).is_relative_to(bpy.utils.extension_path_user(KEY))
    shop.operator.detach()
    assert not any("kinesics_probe" in str(path) or str(shop.operator.home()) in path for path in sys.path)
    shop.operator.attach()
    assert any(str(shop.operator.home()) in path for path in sys.path)


def test_a_wrong_file_is_refused_in_words(shop: Shop) -> None:
    shop.wheel.write_bytes(b"x" * shop.wheel.stat().st_size)
    with pytest.raises(RuntimeError, match="not the file Kinesics was made for"):
        bpy.ops.kinesics.install_engine("EXEC_DEFAULT")
    assert not any(str(shop.operator.home()) in path for path in sys.path)


def test_nothing_is_downloaded_while_blender_is_offline(shop: Shop) -> None:
    assert not bpy.app.online_access
    shop.preferences.wheels_dir = ""
    with pytest.raises(RuntimeError, match="stay offline"):
        bpy.ops.kinesics.install_engine("EXEC_DEFAULT")
    assert not shop.operator.home().exists()


def test_cancelled_it_stops_and_installs_nothing(shop: Shop, module: Any) -> None:
    command = shop.operator.installer_command(shop.preferences.wheels_dir, "")
    with pytest.raises(module("engine.errors").Cancelled):
        shop.operator.run_installer(command, lambda fraction, text: None, lambda: True)


def test_the_offer_names_sizes(module: Any) -> None:
    operator = module("operators.install_engine")
    said = operator.offer(processor_only=True)
    assert "so the processor is used: " in said and " packages with torch " in said and "on disk" in said


def test_an_engine_that_is_whole_is_used_whichever_build_it_is(
    module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A graphics card that was put in later, or a driver that was renewed, makes no engine useless."""
    operator, folder = module("operators.install_engine"), module("engine.installing.folder")
    accelerators = module("engine.installing.accelerators")
    card = (accelerators.Accelerator(accelerators.Kind.CUDA), accelerators.Accelerator(accelerators.Kind.CPU))
    monkeypatch.setattr(accelerators, "found_accelerators", lambda: card)
    operator.chosen_build.cache_clear()
    monkeypatch.setattr(operator, "home", lambda: tmp_path)
    small, large = operator.listed_wheels(processor_only=True), operator.listed_wheels()
    assert small != large and sum(w.size for w in small) < sum(w.size for w in large) / 5
    assert "--build cuda" in " ".join(operator.installer_command(str(tmp_path), ""))
    assert "--build  --from" in " ".join(operator.installer_command(str(tmp_path), "", True))
    try:
        for wheels in (small, large):
            packages = tmp_path / f"{len(wheels)} wheels"
            there = {wheels: packages}
            monkeypatch.setattr(folder, "installed_packages", lambda _, asked, there=there: there.get(asked))
            operator.detach()
            operator.attach()
            assert str(packages) in sys.path
    finally:
        operator.detach()
        operator.chosen_build.cache_clear()
        monkeypatch.undo()
        operator.attach()
