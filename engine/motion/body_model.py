# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies with a skin: our own linear blend skinning, and SMPL-X from a model file the user has licensed.

SMPL-X goes through the public `smplx` package, whose licence allows non-commercial research only. It is
optional and imported here alone, when a SMPL-X body is asked for; the default character never needs it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ClipError
from .arrays import FloatArray
from .clip import Clip
from .kinematics import forward_kinematics
from .npz_reader import open_npz
from .rotations import axis_angle_to_matrix
from .skeleton import NUM_JOINTS, Skeleton

if TYPE_CHECKING:
    import torch

SMPLX_ARRAYS = (
    *("v_template", "f", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights"),
    *("hands_componentsl", "hands_componentsr", "hands_meanl", "hands_meanr"),
    *("lmk_faces_idx", "lmk_bary_coords"),
)
"""Arrays the `smplx` package needs from a SMPL-X npz."""

FRAMES_AT_ONCE = 64
"""Frames posed in one go, so that memory does not grow with the length of the motion."""


@dataclass(frozen=True)
class LinearBlendSkin:
    """A mesh that follows the 55 joints.

    Attributes:
        vertices: Rest vertices, (V, 3), metres, in the skeleton's frame (pelvis at the origin).
        weights: Share of each joint in each vertex, (V, 55), rows sum to 1.
        skeleton: Rest joints.
    """

    vertices: FloatArray
    weights: FloatArray
    skeleton: Skeleton

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ClipError: If vertices and weights do not fit together.
        """
        vertices = np.asarray(self.vertices, dtype=np.float32)
        weights = np.asarray(self.weights, dtype=np.float32)
        if vertices.ndim != 2 or vertices.shape[1] != 3 or weights.shape != (len(vertices), NUM_JOINTS):
            raise ClipError(
                f"A skin of {vertices.shape} vertices cannot use weights of shape {weights.shape}; "
                "give 55 weights for every vertex."
            )
        if not np.allclose(weights.sum(axis=1), 1.0, atol=1e-3):
            raise ClipError("The skin weights of every vertex must sum to 1; normalise them first.")
        object.__setattr__(self, "vertices", vertices)
        object.__setattr__(self, "weights", weights)

    def posed(self, clip: Clip) -> FloatArray:
        """Move the vertices with the clip's joints, (F, V, 3), metres.

        Each joint carries the vertex rigidly from the rest pose; the results are averaged by weight.
        """
        rest = self.skeleton.rest_joints
        places, world = forward_kinematics(axis_angle_to_matrix(clip.poses), clip.pelvis_positions, rest)
        shifts = places - (world @ rest[..., None])[..., 0]  # where each joint sends the origin
        posed = np.empty((clip.num_frames, len(self.vertices), 3), dtype=np.float32)
        for frame in range(clip.num_frames):
            turns = (self.weights @ world[frame].reshape(NUM_JOINTS, 9)).reshape(
                -1, 3, 3
            )  # (V, 55) x (55, 9)
            posed[frame] = (turns @ self.vertices[..., None])[..., 0] + self.weights @ shifts[frame]
        return posed


class SmplxBody:
    """A SMPL-X model made from the user's npz file."""

    def __init__(self, path: str | Path, gender: str = "neutral", flat_hand_mean: bool = True) -> None:
        """Load the model.

        Args:
            path: SMPLX_NEUTRAL.npz, SMPLX_MALE.npz or SMPLX_FEMALE.npz as downloaded. Pickles are refused.
            gender: Gender of that file.
            flat_hand_mean: Hand rotations are relative to flat hands, as everywhere in this engine and in
                AMASS; False adds the model's mean hand to them, as the published demo does for BEAT2 motion.

        Raises:
            ClipError: If the file cannot be used or the `smplx` package is not installed.
        """
        path = Path(path)
        if path.suffix.lower() != ".npz":
            raise ClipError(
                f"{path.name} is not an npz; choose the npz version of SMPL-X, which runs no code."
            )
        try:
            import smplx
        except ImportError as error:
            raise ClipError(
                "SMPL-X bodies need the smplx package, which is for non-commercial research only; install it "
                "with pip install smplx, or use the default character."
            ) from error
        arrays = _read_smplx(path)
        large = arrays["shapedirs"].shape[2] >= 400
        self.num_betas, self.num_expressions = (300, 100) if large else (10, 10)
        with _clean_copy(arrays) as copy:
            self._model: Any = smplx.SMPLX(
                str(copy),
                gender=gender,
                num_betas=self.num_betas,
                num_expression_coeffs=self.num_expressions,
                use_pca=False,
                flat_hand_mean=flat_hand_mean,
                use_face_contour=False,
                ext="npz",
            )
        self._model.eval()

    def skeleton(self, betas: FloatArray | None = None) -> Skeleton:
        """Rest joints of the body shape, pelvis at the origin."""
        return Skeleton(self._rest(betas))

    def pelvis_rest(self, betas: FloatArray | None = None) -> FloatArray:
        """Pelvis position at rest, (3,), metres; root positions of SMPL-X motion are relative to it."""
        return self._rest(betas)[0]

    def posed(self, clip: Clip) -> tuple[FloatArray, FloatArray]:
        """Pose the body.

        ARKit face channels mean nothing to SMPL-X; with them the face rests.

        Args:
            clip: The motion; its `betas` give the body shape.

        Returns:
            Vertices, (F, V, 3), and joints, (F, 55, 3), metres.
        """
        import torch

        trans = clip.pelvis_positions - self.pelvis_rest(clip.betas)
        expressions = np.zeros((clip.num_frames, self.num_expressions), dtype=np.float32)
        if clip.basis == "smplx":
            count = min(self.num_expressions, clip.expressions.shape[1])
            expressions[:, :count] = clip.expressions[:, :count]
        vertices: list[FloatArray] = []
        joints: list[FloatArray] = []
        with torch.no_grad():
            for start in range(0, clip.num_frames, FRAMES_AT_ONCE):
                frames = slice(start, start + FRAMES_AT_ONCE)
                output = self._forward(clip.poses[frames], trans[frames], expressions[frames], clip.betas)
                vertices.append(output.vertices.numpy())
                joints.append(output.joints[:, :NUM_JOINTS].numpy())
        return np.concatenate(vertices), np.concatenate(joints)

    def _rest(self, betas: FloatArray | None) -> FloatArray:
        import torch

        nothing = np.zeros((1, NUM_JOINTS, 3), dtype=np.float32)
        face = np.zeros((1, self.num_expressions), dtype=np.float32)
        with torch.no_grad():
            output = self._forward(nothing, np.zeros((1, 3), dtype=np.float32), face, betas)
        return output.joints[0, :NUM_JOINTS].numpy()

    def _forward(self, poses: FloatArray, trans: FloatArray, expressions: FloatArray, betas: Any) -> Any:
        import torch

        num_frames = len(poses)
        shape = np.zeros((num_frames, self.num_betas), dtype=np.float32)
        if betas is not None:
            count = min(self.num_betas, len(betas))
            shape[:, :count] = betas[:count]

        def joints(first: int, last: int) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(poses[:, first:last].reshape(num_frames, -1)))

        return self._model(
            betas=torch.from_numpy(shape),
            global_orient=joints(0, 1),
            body_pose=joints(1, 22),
            jaw_pose=joints(22, 23),
            leye_pose=joints(23, 24),
            reye_pose=joints(24, 25),
            left_hand_pose=joints(25, 40),
            right_hand_pose=joints(40, 55),
            expression=torch.from_numpy(expressions),
            transl=torch.from_numpy(np.ascontiguousarray(trans)),
        )


def _read_smplx(path: Path) -> dict[str, Any]:
    """Read the arrays of a SMPL-X npz and check their shapes."""
    with open_npz(path, "the npz version of a SMPL-X model") as reader:
        arrays: dict[str, Any] = {}
        for key in SMPLX_ARRAYS:
            whole = key in ("f", "kintree_table", "lmk_faces_idx")
            arrays[key] = reader.numbers(key).astype(np.int64 if whole else np.float32)
    count = len(arrays["v_template"])
    expected: dict[str, tuple[int | None, ...]] = {
        "v_template": (count, 3),
        "f": (None, 3),
        "shapedirs": (count, 3, None),
        "posedirs": (count, 3, 9 * (NUM_JOINTS - 1)),
        "J_regressor": (NUM_JOINTS, count),
        "kintree_table": (2, NUM_JOINTS),
        "weights": (count, NUM_JOINTS),
        "hands_componentsl": (45, 45),
        "hands_componentsr": (45, 45),
        "hands_meanl": (45,),
        "hands_meanr": (45,),
        "lmk_bary_coords": (None, 3),
    }
    for key, shape in expected.items():
        found = arrays[key].shape
        if len(found) != len(shape) or any(
            want not in (None, size) for want, size in zip(shape, found, strict=True)
        ):
            raise ClipError(f"The {key} in {path.name} have shape {found}, unlike SMPL-X; download it again.")
    if arrays["shapedirs"].shape[2] < 20 or count < 10000 or arrays["f"].max() >= count:
        raise ClipError(f"{path.name} is not a whole SMPL-X model; download it again.")
    arrays["kintree_table"][0, 0] = -1  # the root's parent is stored as -1 or 2**32 - 1
    return arrays


@contextmanager
def _clean_copy(arrays: dict[str, Any]) -> Generator[Path, None, None]:
    """Write the checked arrays to a file of our own, because the package would unpickle the original."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model.npz"
        np.savez(copy, **arrays)
        yield copy
