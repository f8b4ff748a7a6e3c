# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Blender does with Kinesics installed from a zip, in a process of its own.

    python -m tests.blender.installed STEP ZIP    in a process with BLENDER_USER_RESOURCES set

Prints what it found as one line of JSON that begins with "FOUND ".
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import bpy

KEY = "bl_ext.user_default.kinesics"
NUM_PRESETS = 30
ENGINE_PACKAGES = ("torch", "scipy", "soundfile", "safetensors", "tokenizers", "onnx", "onnxruntime")
"""What only the full zip brings."""


def install(archive: str) -> None:
    """Install and enable, as Install from Disk does."""
    bpy.ops.extensions.package_install_files(filepath=archive, repo="user_default", enable_on_install=True)
    assert KEY in bpy.context.preferences.addons, "the zip was not installed"


def enable() -> None:
    """Enable what is installed, as the saved preferences of a window would at its start."""
    import addon_utils

    addon_utils.enable(KEY, default_set=True)
    assert KEY in bpy.context.preferences.addons


def load_preferences() -> None:
    """Enable what is installed, with the preferences that were saved, as a window does at its start.

    The bpy module of 4.2 crashes at reading any, without an extension as well; there they are chosen again.
    """
    if bpy.app.version >= (4, 3, 0):
        bpy.ops.wm.read_userpref()
    else:
        enable()
        choose()


def preferences() -> Any:
    return bpy.context.preferences.addons[KEY].preferences


def kinesics_classes() -> list[str]:
    return [name for name in dir(bpy.types) if "KINESICS" in name.upper()]


def own_pack() -> Path:
    """Where the user keeps a pack."""
    return Path(bpy.utils.extension_path_user(KEY, path="packs", create=True)) / "mine"


def choose() -> None:
    """Choose in the preferences what is not their default."""
    preferences().device, preferences().memory_mb, preferences().pack_dir = "CPU", 321, str(own_pack())


def version() -> str:
    manifest = Path(sys.modules[KEY].__file__ or "").with_name("blender_manifest.toml").read_text()
    return next(line for line in manifest.splitlines() if line.startswith("version")).split('"')[1]


def character() -> Any:
    armature = importlib.import_module(f"{KEY}.operators.bridge.armature").build_armature("Ada")
    bpy.context.scene.kinesics.character = armature
    return armature


def state() -> dict[str, Any]:
    """What the user has made his own, and what version runs."""
    presets = importlib.import_module(f"{KEY}.operators.presets")
    pack = own_pack() / "pack.toml"
    return {
        "version": version(),
        "device": preferences().device,
        "memory": preferences().memory_mb,
        "pack_dir": preferences().pack_dir,
        "presets": {kind: presets.names(kind) for kind in ("rigs", "directions")},
        "pack": pack.is_file() and pack.read_text(),
        "classes": len(kinesics_classes()),
        "here": str(Path(sys.modules[KEY].__file__ or "").parent),
    }


def first(archive: str) -> dict[str, Any]:
    """Install the older version, choose and save."""
    install(archive)
    presets = importlib.import_module(f"{KEY}.operators.presets")
    own_pack().mkdir()
    (own_pack() / "pack.toml").write_text("# mine\n")
    choose()
    presets.save("rigs", "My Rig", {"kind": "x", "bones": {}})
    presets.save("directions", "My Words", {})
    bpy.ops.wm.save_userpref()
    return state()


def upgrade(archive: str) -> dict[str, Any]:
    """Install the newer version over it, with the preferences that were saved."""
    load_preferences()
    assert version() == "0.0.1"
    install(archive)
    bpy.ops.wm.save_userpref()
    return state()


def again(_archive: str) -> dict[str, Any]:
    """Disable, enable and Reload Scripts, in the next session."""
    import addon_utils

    load_preferences()
    before = state()
    for _ in range(2):
        addon_utils.disable(KEY)
        assert not kinesics_classes()
        addon_utils.enable(KEY)
    bpy.ops.script.reload()
    assert kinesics_classes(), "Reload Scripts lost the extension"
    character()
    after = state()
    return after | {"same": before == after}


def presets_at_once(_archive: str) -> dict[str, Any]:
    """Save the same presets over and over while another Blender does, and move a character."""
    enable()
    presets = importlib.import_module(f"{KEY}.operators.presets")
    delivery = importlib.import_module(f"{KEY}.operators.delivery")
    clips = importlib.import_module(f"{KEY}.engine.motion.clip")
    parts = tuple(importlib.import_module(f"{KEY}.engine.specs").Part)
    armature, mine = character(), str(os.getpid())
    whole = 0
    for number in range(NUM_PRESETS):
        presets.save("rigs", "Shared", {"kind": mine, "bones": {str(bone): [mine] for bone in range(200)}})
        presets.save("rigs", f"Own {mine} {number % 3}", {"kind": mine, "bones": {}})
        table = presets.load("rigs", "Shared")
        whole += {words[0] for words in table["bones"].values()} == {table["kind"]}
        delivery.deliver(clips.Clip.rest(30, 30.0), armature, parts, 1, "Take")
    return {"whole": whole, "keys": len(armature.animation_data.action.name) > 0}


def full(archive: str) -> dict[str, Any]:
    """Install the zip with the engine inside, and have its own packages make a motion."""
    install(archive)
    armature, scene = character(), bpy.context.scene
    scene.frame_start, scene.frame_end = 1, 60
    settings = scene.kinesics
    settings.audio_source, settings.lower.source, settings.lower.text = "NONE", "TEXT", "walk forward"
    assert bpy.ops.kinesics.generate("EXEC_DEFAULT") == {"FINISHED"}
    places = []
    for frame in (scene.frame_start, scene.frame_end):
        scene.frame_set(frame)
        places.append(armature.pose.bones["pelvis"].head.copy())
    extensions = Path(os.environ["BLENDER_USER_RESOURCES"], "extensions")
    packages = [importlib.import_module(name) for name in ENGINE_PACKAGES]
    return {
        "walked_m": (places[1] - places[0]).length,
        "from elsewhere": [p.__name__ for p in packages if extensions not in Path(p.__file__ or "").parents],
    }


def uninstall(_archive: str) -> dict[str, Any]:
    """Remove it, as the preferences do."""
    load_preferences()
    engine = Path(bpy.utils.extension_path_user(KEY, path="engine", create=True))
    (engine / "packages").mkdir()
    (engine / "packages" / "torch.py").write_text("")
    repos = [repo.module for repo in bpy.context.preferences.extensions.repos]
    bpy.ops.extensions.package_uninstall(repo_index=repos.index("user_default"), pkg_id="kinesics")
    extensions = Path(os.environ["BLENDER_USER_RESOURCES"], "extensions")
    return {
        "left": [str(path) for path in extensions.rglob("*kinesics*")],
        "classes": kinesics_classes(),
        "enabled": KEY in bpy.context.preferences.addons,
        "scene": hasattr(bpy.types.Scene, "kinesics"),
        "path": [path for path in sys.path if "kinesics" in path.partition("extensions")[2]],
    }


def main() -> None:
    try:
        found = globals()[sys.argv[1]](sys.argv[2])
        print("FOUND", json.dumps(found))
        status = 0
    except Exception:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # Blender hangs where a class is still registered


if __name__ == "__main__":
    main()
