# SPDX-License-Identifier: GPL-3.0-or-later
"""The workbench on rigs that are not SMPL-X: takes and locks, other add-ons' tables, links and instances."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy as blender
import numpy as np
import pytest

from tests.blender.support import add_face, bpy, keys_of, make_clip
from tests.blender.test_rigs import build, definition, set_up, worst_angle

Module = Callable[[str], Any]
ARMS = ("clavicle", "upperarm", "lowerarm", "hand", "spine", "neck", "head")


@pytest.fixture
def hero(engine: Any, scene: Any) -> Any:
    """A mannequin with a face, and words for every part."""
    armature = build("Hero", definition("unreal"))
    add_face(armature, "Mask")
    set_up(armature)
    settings = scene.kinesics
    settings.audio_source, settings.duration_s = "NONE", 2.0
    for part in ("face", "hands", "upper", "lower"):
        getattr(settings, part).source, getattr(settings, part).text = "TEXT", "wave"
    return armature


def all_keys(armature: Any) -> dict[Any, bytes]:
    body, face = keys_of(armature), keys_of(bpy.data.objects["Mask"].data.shape_keys)
    return {key: keys.tobytes() for key, keys in [*body.items(), *face.items()]}


def test_takes_are_made_tried_and_merged(hero: Any, scene: Any) -> None:
    scene.kinesics.num_takes = 3
    assert bpy.ops.kinesics.generate_takes() == {"FINISHED"}
    takes = hero.kinesics_takes
    assert len(takes.items) == 3 and all(take.action for take in takes.items)
    shown: list[dict[Any, bytes]] = []
    for index in range(3):
        takes.index = index
        shown.append(all_keys(hero))
    assert all(shown[i] != shown[j] for i in range(3) for j in range(i))
    takes.index = 0
    assert all_keys(hero) == shown[0], "the way back is exact"
    assert bpy.ops.kinesics.push_take(per_part=True) == {"FINISHED"}
    assert {track.name for track in hero.animation_data.nla_tracks}


def test_a_locked_part_keeps_every_key(hero: Any, scene: Any) -> None:
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    before = keys_of(hero)
    hero.kinesics_locks.upper = True
    scene.kinesics.seed = 5
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    after = keys_of(hero)
    kept = {path for path in before if path[0].split('"')[1].startswith(ARMS)}
    assert len(kept) > 20
    for path, keys in before.items():
        assert np.array_equal(keys, after[path]) == (path in kept), path


class _Node(blender.types.PropertyGroup):
    bone_name: blender.props.StringProperty()  # pyright: ignore[reportInvalidTypeForm]


class _HumanBone(blender.types.PropertyGroup):
    bone: blender.props.StringProperty()  # pyright: ignore[reportInvalidTypeForm]
    node: blender.props.PointerProperty(type=_Node)  # pyright: ignore[reportInvalidTypeForm]


class _Humanoid0(blender.types.PropertyGroup):
    human_bones: blender.props.CollectionProperty(type=_HumanBone)  # pyright: ignore[reportInvalidTypeForm]


class _Vrm0(blender.types.PropertyGroup):
    humanoid: blender.props.PointerProperty(type=_Humanoid0)  # pyright: ignore[reportInvalidTypeForm]


class _Extension(blender.types.PropertyGroup):
    vrm0: blender.props.PointerProperty(type=_Vrm0)  # pyright: ignore[reportInvalidTypeForm]


@pytest.fixture
def vrm_addon() -> Iterator[None]:
    """The part of the VRM add-on's data that holds its humanoid, as its version for VRM 0 names it."""
    classes = (_Node, _HumanBone, _Humanoid0, _Vrm0, _Extension)
    for cls in classes:
        blender.utils.register_class(cls)
    blender.types.Armature.vrm_addon_extension = blender.props.PointerProperty(type=_Extension)
    yield
    del blender.types.Armature.vrm_addon_extension
    for cls in reversed(classes):
        blender.utils.unregister_class(cls)


VRM_NAMES = {
    "b": "hips", "c": "spine", "d": "chest", "e": "neck", "f": "head",
    **{
        f"{ours}{letter}": f"{side}{name}"
        for ours, side in (("k", "left"), ("z", "right"))
        for letter, name in zip(
            "mnopqrst",
            ("UpperLeg", "LowerLeg", "Foot", "Toes", "Shoulder", "UpperArm", "LowerArm", "Hand"),
            strict=True,
        )
    },
}  # fmt: skip
"""Names that tell nothing, and what the add-on says of them."""


def test_the_vrm_addons_own_table_is_taken(vrm_addon: None, scene: Any, module: Module) -> None:
    armature = build("Avatar", definition("nameless"))
    for bone, human in VRM_NAMES.items():
        entry = armature.data.vrm_addon_extension.vrm0.humanoid.human_bones.add()
        entry.bone, entry.node.bone_name = human, bone
    bones = set_up(armature)
    assert armature.kinesics_rig.kind == "humanoid"
    assert bones["pelvis"] == ("b",) and bones["left_elbow"] == ("ks",) and bones["right_knee"] == ("zn",)
    clip = make_clip(4)
    module("operators.delivery").deliver(clip, armature, tuple(module("engine.specs").Part), 1, "Take")
    assert worst_angle(armature, bones, clip, 1, module) < 2.0


def test_auto_rig_pros_controls_are_known_and_switched(scene: Any, module: Module) -> None:
    """Its FK controls get the keys, and the limbs are switched to them, all over the keyed frames."""
    renamed = {
        "root.x": "c_root_master.x", "spine_01.x": "c_spine_01.x", "spine_02.x": "c_spine_02.x",
        "neck.x": "c_neck.x", "head.x": "c_head.x",
    }  # fmt: skip
    limbs = {"thigh_stretch": "c_thigh_fk", "leg_stretch": "c_leg_fk", "foot": "c_foot_fk"}
    limbs |= {"toes_01": "c_toes_fk", "shoulder": "c_shoulder", "arm_stretch": "c_arm_fk"}
    limbs |= {"forearm_stretch": "c_forearm_fk", "hand": "c_hand_fk"}
    renamed |= {f"{a}.{s}": f"{b}.{s}" for a, b in limbs.items() for s in "lr"}
    armature = build("Pro", definition("auto_rig_pro_deform"))
    for old, new in renamed.items():
        armature.data.bones[old].name = new
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    for end in ("foot", "hand"):
        for side in "lr":
            control = armature.data.edit_bones.new(f"c_{end}_ik.{side}")
            control.head, control.tail = (0, 0, 0), (0, 0, 0.1)
    bpy.ops.object.mode_set(mode="OBJECT")
    switches = [armature.pose.bones[f"c_{end}_ik.{side}"] for end in ("foot", "hand") for side in "lr"]
    for bone in switches:
        bone["ik_fk_switch"] = 0.0
    bones = set_up(armature)
    assert armature.kinesics_rig.kind == "auto_rig_pro" and bones["left_knee"] == ("c_leg_fk.l",)
    module("operators.delivery").deliver(
        make_clip(4), armature, tuple(module("engine.specs").Part), 1, "Take"
    )
    keyed = {path.split('"')[1] for path, _ in keys_of(armature)}
    assert {"c_root_master.x", "c_thigh_fk.l", "c_hand_fk.r", "c_head.x", "c_index1.l"} <= keyed
    assert [bone["ik_fk_switch"] for bone in switches] == [1.0] * 4


def cast_of(path: Path, name: str) -> Any:
    """A file with a rig in a collection, linked into a new scene."""
    armature = build("Star", definition(name))
    collection = bpy.data.collections.new("Cast")
    bpy.context.scene.collection.children.link(collection)
    collection.objects.link(armature)
    bpy.context.scene.collection.objects.unlink(armature)
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.context.scene.render.fps = 30
    with bpy.data.libraries.load(str(path), link=True) as (_, to):
        to.collections = ["Cast"]
    return bpy.data.collections["Cast"]


def test_linked_and_overridden(scene: Any, module: Module, tmp_path: Path) -> None:
    deliver, parts = module("operators.delivery").deliver, tuple(module("engine.specs").Part)
    cast = cast_of(tmp_path / "cast.blend", "mixamo")
    bpy.context.scene.collection.children.link(cast)
    clip = make_clip(6)
    with pytest.raises(module("engine.errors").EngineError, match="Library Override > Make"):
        deliver(clip, cast.objects["Star"], parts, 1, "Take")
    made = cast.override_hierarchy_create(bpy.context.scene, bpy.context.view_layer, do_fully_editable=True)
    own = next(item for item in made.all_objects if item.type == "ARMATURE")
    bones = set_up(own)
    deliver(clip, own, parts, 1, "Take")
    assert worst_angle(own, bones, clip, 1, module) < 2.0
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    again = next(i for i in bpy.data.objects if i.type == "ARMATURE" and i.override_library)
    assert len(keys_of(again)) > 50
    assert worst_angle(again, bones, clip, 1, module) < 2.0


def test_an_instance_of_a_collection_says_what_to_do(
    engine: Any, scene: Any, module: Module, tmp_path: Path
) -> None:
    cast = cast_of(tmp_path / "cast.blend", "mixamo")
    empty = bpy.data.objects.new("Star Instance", None)
    empty.instance_type, empty.instance_collection = "COLLECTION", cast
    scene = bpy.context.scene
    scene.collection.objects.link(empty)
    bpy.context.view_layer.objects.active = empty
    scene.kinesics.audio_source = "NONE"
    scene.kinesics.lower.source, scene.kinesics.lower.text = "TEXT", "walk"
    with pytest.raises(RuntimeError, match="Override the instance, or make it real"):
        bpy.ops.kinesics.generate()
    with pytest.raises(
        module("engine.errors").EngineError, match="Library Override > Make, or Object > Apply"
    ):
        module("operators.polls").needed_character(bpy.context)


def test_two_objects_with_the_same_bones_move_apart(scene: Any, module: Module) -> None:
    """Instanced data: what one does, the other does not."""
    first = build("One", definition("unreal"))
    second = bpy.data.objects.new("Two", first.data)
    scene.collection.objects.link(second)
    deliver, parts = module("operators.delivery").deliver, tuple(module("engine.specs").Part)
    clip, other = make_clip(6), make_clip(6, seed=4)
    deliver(clip, first, parts, 1, "Take")
    before = keys_of(first)
    deliver(other, second, parts, 1, "Take")
    assert all(np.array_equal(keys, before[path]) for path, keys in keys_of(first).items())
    scene.kinesics.character = second
    bones = set_up(second)
    assert worst_angle(second, bones, other, 1, module) < 2.0
    assert worst_angle(first, bones, clip, 1, module) < 2.0
