# SPDX-License-Identifier: GPL-3.0-or-later
"""Characters with other face shapes, or none: set up in one click, moved, read back; tables and presets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.blender.support import add_face, bpy, fingerprint, keys_of, make_clip, refusal
from tests.blender.test_register import Layout
from tests.blender.test_rigs import build, definition

Module = Callable[[str], Any]


def shapes_of(armature: Any) -> dict[str, str]:
    """The filled rows of a character's table."""
    return {row.channel: row.shape for row in armature.kinesics_face.rows if row.shape}


def speaking(module: Module, num_frames: int = 20) -> Any:
    """A clip that only opens its mouth."""
    clip = module("engine.motion.clip").Clip.rest(num_frames, 30.0)
    expressions = clip.expressions.copy()
    expressions[:, clip.expression_names.index("jawOpen")] = np.linspace(0.0, 0.6, num_frames)
    return replace(clip, expressions=expressions)


def deliver(clip: Any, armature: Any, module: Module) -> Any:
    return module("operators.delivery").deliver(clip, armature, tuple(module("engine.specs").Part), 1, "T")


def read(armature: Any, module: Module, num_frames: int) -> Any:
    rig = module("operators.bridge.armature").read_rig(armature)
    sampling = module("operators.bridge.sampling")
    return sampling.current_clip(armature, rig, bpy.context.scene, 1, num_frames, 30.0)


@pytest.mark.parametrize("kind", ["arkit", "metahuman", "oculus", "vrm"])
def test_any_face_is_keyed_and_read_back_on_all_meshes(kind: str, armature: Any, module: Module) -> None:
    faces = module("engine.motion.face_names").FACE_KINDS[kind]
    names = [alternatives[-1] for alternatives in faces.names.values()]
    add_face(armature, "Head", keys=tuple(names))
    add_face(armature, "Teeth", keys=tuple(names[:6]))
    bpy.context.scene.kinesics.character = armature
    assert bpy.ops.kinesics.set_up_face() == {"FINISHED"}
    table = armature.kinesics_face
    assert table.kind == kind and set(shapes_of(armature).values()) <= set(names)
    expected = set(names) - ({"Fcl_EYE_Close"} if kind == "vrm" else set())
    assert set(shapes_of(armature).values()) == expected
    clip = make_clip(12)
    done = deliver(clip, armature, module)
    assert done.num_face_channels == len(expected)
    bases = module("engine.motion.face_bases")
    channels = tuple(shapes_of(armature))
    wanted = bases.from_arkit(clip.expressions, kind, channels)
    keys = keys_of(bpy.data.objects["Head"].data.shape_keys)
    for column, shape in enumerate(shapes_of(armature).values()):
        found = keys[f'key_blocks["{shape}"].value', 0]
        assert np.abs(found[:, 1] - wanted[:, column]).max() < 1e-6
    assert len(keys_of(bpy.data.objects["Teeth"].data.shape_keys)) in (5, 6)
    back = read(armature, module, 12)
    assert back.basis == "arkit"
    told = bases.to_arkit(wanted, kind, channels)
    assert np.abs(back.expressions - told).max() < 1e-5


def test_faces_need_no_button(armature: Any, module: Module) -> None:
    add_face(armature, keys=tuple(f"viseme_{n}" for n in ("PP", "FF", "aa", "O", "U", "E")))
    assert deliver(make_clip(3), armature, module).num_face_channels == 6


def test_the_table_counts_and_is_kept_as_a_preset(armature: Any, scene: Any, module: Module) -> None:
    presets = module("operators.presets")
    scene.kinesics.character = armature
    add_face(armature, keys=("Mouth Wide", "Mouth Round", "Lids"))
    assert "is known by its name: choose a kind" in refusal(bpy.ops.kinesics.set_up_face)
    assert bpy.ops.kinesics.set_up_face(kind="vrm") == {"FINISHED"}
    rows = {row.channel: row for row in armature.kinesics_face.rows}
    for channel, shape in (("aa", "Mouth Wide"), ("oh", "Mouth Round"), ("blink", "Lids")):
        rows[channel].shape = shape
    clip = speaking(module)
    assert deliver(clip, armature, module).num_face_channels == 3
    keys = keys_of(bpy.data.objects["Face"].data.shape_keys)
    assert keys['key_blocks["Mouth Wide"].value', 0][-1, 1] > 0.5
    assert not keys['key_blocks["Lids"].value', 0][:, 1].any()
    assert bpy.ops.kinesics.save_face_preset(name="Puppet") == {"FINISHED"}
    other = module("operators.bridge.armature").build_armature("Bob")
    scene.kinesics.character = other
    add_face(other, "Bob Face", keys=("Mouth Wide", "Mouth Round", "Lids", "More"))
    assert bpy.ops.kinesics.set_up_face() == {"FINISHED"}
    assert shapes_of(other) == {"aa": "Mouth Wide", "oh": "Mouth Round", "blink": "Lids"}
    assert bpy.ops.kinesics.forget_face() == {"FINISHED"}
    assert bpy.ops.kinesics.load_face_preset(preset="Puppet") == {"FINISHED"}
    third = module("operators.bridge.armature").build_armature("Cleo")
    scene.kinesics.character = third
    add_face(third, "Cleo Face", keys=("jawOpen",))
    before = fingerprint()
    assert 'no shape key "Mouth Wide"' in refusal(lambda: bpy.ops.kinesics.load_face_preset(preset="Puppet"))
    path = presets.folder("faces") / "Puppet.json"
    bad = ('{"kind": "vrm"}', '{"kind": "x", "shapes": {}}', '{"kind": "vrm", "shapes": {"aa": 1}}', "[")
    for content in (*bad, '{"kind": "vrm", "shapes": {"nose": "a"}}'):
        path.write_text(content)
        assert "damaged" in refusal(lambda: bpy.ops.kinesics.load_face_preset(preset="Puppet"))
    path.unlink()
    assert fingerprint() == before


def test_a_jaw_bone_opens_the_mouth_without_shapes(scene: Any, module: Module) -> None:
    armature = build("Hero", definition("unreal metahuman"))
    assert bpy.ops.kinesics.set_up_character() == {"FINISHED"}
    assert bpy.ops.kinesics.set_up_face() == {"FINISHED"}
    assert len(armature.kinesics_face.rows) == 0
    clip = speaking(module)
    deliver(clip, armature, module)
    scene.frame_set(20)
    jaw = armature.pose.bones["FACIAL_C_Jaw"]
    turn = jaw.matrix @ jaw.bone.matrix_local.inverted()
    head = armature.pose.bones["head"].matrix @ armature.data.bones["head"].matrix_local.inverted()
    angle = (head.inverted() @ turn).to_quaternion().angle
    assert angle == pytest.approx(0.6 * module("engine.motion.face_bases").JAW_OPEN, abs=1e-4)
    back = read(armature, module, 20)
    assert np.abs(back.expressions - clip.expressions).max() < 1e-3
    add_face(armature, "Late", keys=("jawOpen",))
    deliver(clip, armature, module)
    scene.frame_set(20)
    assert armature.pose.bones["FACIAL_C_Jaw"].matrix_basis.to_quaternion().angle < 1e-4


def test_a_face_without_shapes_and_jaw_says_so(scene: Any) -> None:
    armature = build("Hero", definition("mixamo"))
    assert "neither face shapes nor a jaw bone: add" in refusal(bpy.ops.kinesics.set_up_face)
    assert len(armature.kinesics_face.rows) == 0
    assert "no table of shapes: press Set Up Face" in refusal(
        lambda: bpy.ops.kinesics.save_face_preset(name="Mine")
    )


def test_generate_and_regenerate_on_visemes(engine: Any, scene: Any, armature: Any, module: Module) -> None:
    scene.kinesics.character = armature
    face = add_face(armature, keys=tuple(f"viseme_{n}" for n in ("PP", "FF", "aa", "O", "U", "E")))
    settings = scene.kinesics
    settings.audio_source, settings.duration_s = "NONE", 3.0
    for part in ("face", "hands", "upper", "lower"):
        getattr(settings, part).source, getattr(settings, part).text = "TEXT", "talk"
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    before = keys_of(face.data.shape_keys)
    settings.regenerate_range, scene.use_preview_range = "PREVIEW", True
    scene.frame_preview_start, scene.frame_preview_end = 30, 60
    settings.seed = 5
    assert bpy.ops.kinesics.regenerate() == {"FINISHED"}
    after = keys_of(face.data.shape_keys)
    changed = 0
    for path, keys in before.items():
        outside = (keys[:, 0] < 30) | (keys[:, 0] > 60)
        assert np.array_equal(keys[outside], after[path][outside])
        changed += not np.array_equal(keys, after[path])
    assert changed == 6
    kept = engine.requests[-1].kept
    assert kept.expressions[:, kept.expression_names.index("jawOpen")].max() > 0.1


def test_labels_are_in_words(module: Module) -> None:
    faces, names = module("operators.faces"), module("engine.motion.face_names")
    assert faces.channel_label("eyeBlinkLeft") == "Eye Blink Left"
    assert faces.channel_label("mouthPressUL") == "Mouth Press UL"
    assert {item[0] for item in faces.KINDS} == {"AUTO", *names.FACE_KINDS}
    assert [faces.kind_label(kind) for kind in names.FACE_KINDS] == [item[1] for item in faces.KINDS[1:]]


@pytest.mark.parametrize(("width", "shown"), [(291, ["Eye Look In Left"]), (400, ["Eye Look In Left", "in"])])
def test_a_narrow_list_shows_names_in_full(module: Module, width: int, shown: list[str]) -> None:
    """Two names side by side would both be cut to "Eye Look..." and "eyeLook..."."""
    preferences = SimpleNamespace(system=SimpleNamespace(ui_scale=1.0))
    context = SimpleNamespace(region=SimpleNamespace(width=width), preferences=preferences)
    layout, row = Layout(), SimpleNamespace(channel="eyeLookInLeft", shape="in")
    module("ui.face_table").KINESICS_UL_face.draw_item(None, context, layout, None, row, 0, None, "")
    assert layout.drawn == shown


def test_channels_that_a_clip_lacks_stay_as_they_are(character: Any, module: Module) -> None:
    clip = speaking(module)
    jaw = clip.expression_names.index("jawOpen")
    part = replace(clip, expressions=clip.expressions[:, [jaw]], expression_names=("jawOpen",))
    assert deliver(part, character, module).num_face_channels == 1
    bare = replace(clip, expressions=clip.expressions[:, :0], expression_names=(), basis="none")
    assert deliver(bare, character, module).num_face_channels == 0
