# SPDX-License-Identifier: GPL-3.0-or-later
"""Read animation files by libraries that have nothing to do with Blender, in a process of their own.

    python tests/independent_readers.py FILE OUT.npz

OUT holds names (N,), parents (N,) by name, times (F,) in seconds, places (F, N, 3) and turns (F, N, 3, 3) of
every joint and node in the world, Z up and in metres, and shapes with their values (F, C). FBX and BVH
are read by Assimp, glTF by pygltflib, USD by Pixar's own usd-core.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

LIBRARIES = {".fbx": "pyassimp", ".bvh": "pyassimp", ".glb": "pygltflib", ".usdc": "pxr"}
Y_TO_Z = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])


@dataclass
class Animation:
    """What a file holds; matrices in its own axes and unit."""

    times: np.ndarray
    names: list[str]
    parents: list[str]
    matrices: np.ndarray  # (F, N, 4, 4)
    y_up: bool
    unit: float
    shapes: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])


def matrix(place: Any, quaternion: Any, scale: Any) -> np.ndarray:
    """A transform from its parts; the quaternion has w last."""
    x, y, z, w = np.asarray(quaternion, dtype=np.float64) / np.linalg.norm(quaternion)
    turn = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = turn * np.asarray(scale), place
    return result


def world(local: np.ndarray, above: list[int]) -> np.ndarray:
    """Matrices in the world from local ones, (F, N, 4, 4), whatever the order of the nodes."""
    result: dict[int, np.ndarray] = {}

    def of(node: int) -> np.ndarray:
        if node not in result:
            parent = above[node]
            result[node] = local[:, node] if parent < 0 else of(parent) @ local[:, node]
        return result[node]

    return np.stack([of(node) for node in range(len(above))], axis=1)


def read_fbx(path: Path) -> Animation:
    from pyassimp import core

    load = core._assimp_lib.load
    scene = load(str(path).encode(), 0).contents
    if scene.mNumAnimations != 1:
        raise SystemExit(f"{scene.mNumAnimations} takes where one belongs")
    nodes: list[Any] = []
    above: list[int] = []

    def collect(node: Any, parent: int) -> None:
        nodes.append(node)
        above.append(parent)
        here = len(nodes) - 1
        for child in range(node.mNumChildren):
            collect(node.mChildren[child].contents, here)

    collect(scene.mRootNode.contents, -1)
    names = [node.mName.data.decode() for node in nodes]
    take = scene.mAnimations[0].contents
    first = take.mChannels[0].contents
    ticks = np.array([first.mPositionKeys[key].mTime for key in range(first.mNumPositionKeys)])
    local = np.empty((len(ticks), len(nodes), 4, 4))
    for place, node in enumerate(nodes):
        rest = node.mTransformation
        local[:, place] = [[getattr(rest, f"{row}{column}") for column in "1234"] for row in "abcd"]
    for number in range(take.mNumChannels):
        channel = take.mChannels[number].contents
        place = names.index(channel.mNodeName.data.decode())
        columns: list[np.ndarray] = []
        for kind, axes in (("Position", "xyz"), ("Rotation", "xyzw"), ("Scaling", "xyz")):
            keys = getattr(channel, f"m{kind}Keys")
            count = getattr(channel, f"mNum{kind}Keys")
            values = np.array([[getattr(keys[key].mValue, axis) for axis in axes] for key in range(count)])
            times = [keys[key].mTime for key in range(count)]
            columns.append(np.stack([np.interp(ticks, times, column) for column in values.T], axis=1))
        local[:, place] = [matrix(*parts) for parts in zip(*columns, strict=True)]
    shapes: dict[str, np.ndarray] = {}
    meshes = [scene.mMeshes[number].contents for number in range(scene.mNumMeshes)]
    for number in range(take.mNumMorphMeshChannels):
        channel = take.mMorphMeshChannels[number].contents
        name = channel.mName.data.decode().partition("*")[0]
        mesh = next(mesh for mesh in meshes if mesh.mName.data.decode() == name)
        keys = [channel.mKeys[key] for key in range(channel.mNumKeys)]
        times = [key.mTime for key in keys]
        table = np.zeros((len(keys), mesh.mNumAnimMeshes))
        for row, key in enumerate(keys):
            for entry in range(key.mNumValuesAndWeights):
                table[row, key.mValues[entry]] = key.mWeights[entry]
        for column in range(mesh.mNumAnimMeshes):
            shape = mesh.mAnimMeshes[column].contents.mName.data.decode()
            shapes.setdefault(shape, np.interp(ticks, times, table[:, column]))
    told = {"UpAxis": 1.0, "UnitScaleFactor": 1.0}  # BVH says neither
    told |= metadata(scene) if scene.mMetadata else {}
    return Animation(
        ticks / take.mTicksPerSecond, names, [names[place] if place >= 0 else "" for place in above],
        world(local, above), told["UpAxis"] == 1, told["UnitScaleFactor"] / 100.0, shapes,
    )  # fmt: skip


def metadata(scene: Any) -> dict[str, float]:
    """Whole and floating point numbers that Assimp keeps of an FBX file's settings."""
    import ctypes

    kinds = {1: ctypes.c_int32, 3: ctypes.c_float, 4: ctypes.c_double}
    table = scene.mMetadata.contents
    found: dict[str, float] = {}
    for number in range(table.mNumProperties):
        entry = table.mValues[number]
        if entry.mType in kinds:
            value = ctypes.cast(entry.mData, ctypes.POINTER(kinds[entry.mType])).contents.value
            found[table.mKeys[number].data.decode()] = float(value)
    return found


def read_gltf(path: Path) -> Animation:
    import pygltflib

    file = pygltflib.GLTF2().load(str(path))
    blob = file.binary_blob()
    kinds = {5126: np.float32, 5123: np.uint16, 5121: np.uint8, 5125: np.uint32}
    widths = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}

    def numbers(accessor: int) -> np.ndarray:
        entry = file.accessors[accessor]
        view = file.bufferViews[entry.bufferView]
        start = (view.byteOffset or 0) + (entry.byteOffset or 0)
        width = widths[entry.type]
        data = np.frombuffer(blob, kinds[entry.componentType], entry.count * width, start)
        return data.reshape(entry.count, width).astype(np.float64)

    if len(file.animations) != 1:
        raise SystemExit(f"{len(file.animations)} animations where one belongs")
    channels, samplers = file.animations[0].channels, file.animations[0].samplers
    times = max((numbers(s.input)[:, 0] for s in samplers), key=len)
    above = [-1] * len(file.nodes)
    for place, node in enumerate(file.nodes):
        for child in node.children or ():
            above[child] = place
    parts: list[dict[str, Any]] = [
        {
            "translation": node.translation or [0.0, 0, 0], "rotation": node.rotation or [0.0, 0, 0, 1],
            "scale": node.scale or [1.0, 1, 1],
        }
        for node in file.nodes
    ]  # fmt: skip
    shapes: dict[str, np.ndarray] = {}
    for channel in channels:
        sampler, node = samplers[channel.sampler], channel.target.node
        keys, values = numbers(sampler.input)[:, 0], numbers(sampler.output)
        if channel.target.path == "weights":
            names = file.meshes[file.nodes[node].mesh].extras["targetNames"]
            table = values.reshape(len(keys), len(names))
            for column, name in enumerate(names):
                shapes.setdefault(name, np.interp(times, keys, table[:, column]))
            continue
        columns = [np.interp(times, keys, column) for column in values.T]
        parts[node][channel.target.path] = np.stack(columns, axis=1)

    def at(value: Any, frame: int) -> Any:
        return value[frame] if isinstance(value, np.ndarray) else value

    local = np.array([
        [matrix(at(p["translation"], f), at(p["rotation"], f), at(p["scale"], f)) for p in parts]
        for f in range(len(times))
    ])  # fmt: skip
    names = [node.name for node in file.nodes]
    return Animation(
        times, names, [names[place] if place >= 0 else "" for place in above], world(local, above), True, 1.0,
        shapes,
    )  # fmt: skip


def read_usd(path: Path) -> Animation:
    from pxr import Usd, UsdGeom, UsdSkel

    stage = Usd.Stage.Open(str(path))
    skeletons = [prim for prim in stage.Traverse() if prim.GetTypeName() == "Skeleton"]
    if len(skeletons) != 1:
        raise SystemExit(f"{len(skeletons)} skeletons where one belongs")
    cache = UsdSkel.Cache()
    query = cache.GetSkelQuery(UsdSkel.Skeleton(skeletons[0]))
    animation = query.GetAnimQuery()
    joints = [str(joint) for joint in query.GetJointOrder()]
    rate = stage.GetTimeCodesPerSecond()
    codes = np.arange(stage.GetStartTimeCode(), stage.GetEndTimeCode() + 0.5)
    matrices: list[list[np.ndarray]] = []
    for code in codes:
        place = UsdGeom.XformCache(float(code))
        above = np.array(place.GetLocalToWorldTransform(skeletons[0])).T
        root = np.array(place.GetLocalToWorldTransform(skeletons[0].GetParent())).T
        poses = query.ComputeJointSkelTransforms(float(code))
        matrices.append([root, *(above @ np.array(pose).T for pose in poses)])
    names = [skeletons[0].GetParent().GetName(), *(joint.rpartition("/")[2] for joint in joints)]
    parents = ["", *(joint.rpartition("/")[0].rpartition("/")[2] or names[0] for joint in joints)]
    shapes: dict[str, np.ndarray] = {}
    order = [str(name) for name in animation.GetBlendShapeOrder()]
    if order:
        rows = np.array([animation.ComputeBlendShapeWeights(float(code)) for code in codes])
        shapes = dict(zip(order, rows.T, strict=True))
    return Animation(
        (codes - codes[0]) / rate, names, parents, np.array(matrices),
        UsdGeom.GetStageUpAxis(stage) == "Y", UsdGeom.GetStageMetersPerUnit(stage), shapes,
    )  # fmt: skip


READERS = {".fbx": read_fbx, ".bvh": read_fbx, ".glb": read_gltf, ".usdc": read_usd}


def available(suffix: str, python: Path) -> bool:
    """Whether the library for a kind of file works beside a Python; pyassimp also wants libassimp5."""
    command = [python, "-c", f"import {LIBRARIES[suffix]}"]
    return python.exists() and subprocess.run(command, capture_output=True, check=False).returncode == 0


def read(path: Path, python: Path) -> dict[str, np.ndarray]:
    """Read a file by another Python."""
    out = path.with_name(f"{path.name}.read.npz")
    subprocess.run([python, __file__, path, out], check=True)
    with np.load(out) as table:
        return {name: table[name] for name in table.files}


def main() -> None:
    path, out = Path(sys.argv[1]), Path(sys.argv[2])
    found = READERS[path.suffix](path)
    axes = Y_TO_Z if found.y_up else np.eye(3)
    turns = found.matrices[..., :3, :3]
    turns = turns / np.linalg.norm(turns, axis=-2, keepdims=True)
    np.savez(
        out,
        names=np.array(found.names),
        parents=np.array(found.parents),
        times=found.times,
        places=found.matrices[..., :3, 3] @ axes.T * found.unit,
        turns=axes @ turns,
        shapes=np.array(list(found.shapes)),
        values=np.stack(list(found.shapes.values()), axis=1)
        if found.shapes
        else np.zeros((len(found.times), 0)),
    )


if __name__ == "__main__":
    main()
