# SPDX-License-Identifier: GPL-3.0-or-later
"""The clip: motion of one character at a fixed rate."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import ClipError
from ..specs import Part
from .arkit import ARKIT_MIRROR, ARKIT_NAMES
from .arrays import FloatArray
from .feet_track import FeetTrack
from .rotations import (
    axis_angle_to_matrix,
    axis_angle_to_quaternion,
    heading_angle,
    matrix_to_axis_angle,
    quaternion_to_axis_angle,
    slerp,
    yaw_matrix,
)
from .skeleton import DEFAULT_SKELETON, MIRROR, NUM_JOINTS, PART_JOINTS

BASES: tuple[str, ...] = ("arkit", "smplx", "none")
"""What the face channels mean: ARKit shapes, SMPL-X expression coefficients, or no face at all."""

MIN_FPS, MAX_FPS = 1.0, 1000.0
"""Rates a clip may have."""


def smplx_expression_names(count: int) -> tuple[str, ...]:
    """Names of SMPL-X expression coefficients as the public SMPL-X Blender add-on writes its shape keys."""
    return tuple(f"Exp{index:03d}" for index in range(count))


def _no_floats() -> FloatArray:
    return np.zeros(0, dtype=np.float32)


def _origin() -> FloatArray:
    return np.zeros(3, dtype=np.float32)


@dataclass(frozen=True)
class Clip:
    """Motion of one character at a fixed rate; frame i is at i / fps seconds.

    Attributes:
        fps: Frames per second.
        poses: Local joint rotations relative to the T-pose as axis-angle, (F, 55, 3), radians.
        trans: Pelvis position minus `pelvis_rest`, (F, 3), metres, Y up.
        expressions: Face channels, (F, C).
        expression_names: Names of the face channels, C of them.
        basis: One of `BASES`.
        betas: Body shape coefficients, (N,), empty for the default character.
        gender: Gender of the SMPL-X model the clip belongs to.
        model: Name of the body model.
        pelvis_rest: Pelvis position of that model at rest, (3,), metres; zero for the default character.
        feet: When feet stand and what planting them changed; None where that is not known.
    """

    fps: float
    poses: FloatArray
    trans: FloatArray
    expressions: FloatArray
    expression_names: tuple[str, ...]
    basis: str
    betas: FloatArray = field(default_factory=_no_floats)
    gender: str = "neutral"
    model: str = "kinesics"
    pelvis_rest: FloatArray = field(default_factory=_origin)
    feet: FeetTrack | None = None

    def __post_init__(self) -> None:
        """Convert the arrays to float32 and check that they fit together.

        Raises:
            ClipError: If a shape, rate, name list or value is wrong.
        """
        for name in ("poses", "trans", "expressions", "betas", "pelvis_rest"):
            try:
                array = np.asarray(getattr(self, name), dtype=np.float32)
            except (TypeError, ValueError) as error:
                raise ClipError(f"The motion's {name} are not numbers; export the motion again.") from error
            if not np.isfinite(array).all():
                raise ClipError(
                    f"The motion's {name} hold values that are not finite; repair or export it again."
                )
            object.__setattr__(self, name, array)
        object.__setattr__(self, "expression_names", tuple(self.expression_names))
        num_frames = self.poses.shape[0] if self.poses.ndim else 0
        if num_frames < 1 or self.poses.shape != (num_frames, NUM_JOINTS, 3):
            raise ClipError(
                f"A motion needs at least one frame of 55 joint rotations, not {self.poses.shape}; "
                "use SMPL-X motion."
            )
        if self.trans.shape != (num_frames, 3):
            raise ClipError(
                f"The root positions have shape {self.trans.shape} for {num_frames} frames; "
                "give three values for every frame."
            )
        if self.expressions.shape != (num_frames, len(self.expression_names)):
            raise ClipError(
                f"The face channels have shape {self.expressions.shape} for {num_frames} frames and "
                f"{len(self.expression_names)} names; give one value per frame and name."
            )
        if self.feet is not None and len(self.feet.contacts) != num_frames:
            raise ClipError("What the motion says about its feet has another length; make the motion again.")
        if self.betas.ndim != 1 or self.pelvis_rest.shape != (3,):
            raise ClipError(
                "The body shape must be one row of numbers with a pelvis of three; export it again."
            )
        if self.basis not in BASES or (
            self.basis == "arkit" and not set(self.expression_names) <= set(ARKIT_NAMES)
        ):
            raise ClipError("The face channels are neither ARKit's nor SMPL-X's; name their basis correctly.")
        if not (np.isfinite(self.fps) and MIN_FPS <= self.fps <= MAX_FPS):
            raise ClipError(
                f"A motion cannot run at {self.fps} frames per second; use a rate from 1 to 1000."
            )

    @property
    def num_frames(self) -> int:
        """Number of frames F."""
        return int(self.poses.shape[0])

    @property
    def duration_s(self) -> float:
        """Seconds the frames last, F / fps: the length of the sound they belong to."""
        return self.num_frames / self.fps

    @property
    def span_s(self) -> float:
        """Seconds from the first frame to the last, (F - 1) / fps."""
        return (self.num_frames - 1) / self.fps

    @property
    def pelvis_positions(self) -> FloatArray:
        """Where the pelvis is, (F, 3), metres."""
        return self.trans + self.pelvis_rest

    @staticmethod
    def rest(num_frames: int, fps: float) -> Clip:
        """Make a clip that stands at the origin in T-pose with a resting ARKit face.

        Args:
            num_frames: Number of frames F.
            fps: Frames per second.
        """
        trans = np.zeros((num_frames, 3), dtype=np.float32)
        trans[:, 1] = DEFAULT_SKELETON.standing_height
        return Clip(
            fps=fps,
            poses=np.zeros((num_frames, NUM_JOINTS, 3), dtype=np.float32),
            trans=trans,
            expressions=np.zeros((num_frames, len(ARKIT_NAMES)), dtype=np.float32),
            expression_names=ARKIT_NAMES,
            basis="arkit",
        )

    def slice(self, start: int, stop: int) -> Clip:
        """Cut out frames `start` to `stop` (not included), as Python slices do.

        Raises:
            ClipError: If no frame is left.
        """
        return replace(
            self,
            poses=self.poses[start:stop],
            trans=self.trans[start:stop],
            expressions=self.expressions[start:stop],
            feet=None if self.feet is None else self.feet.slice(start, stop),
        )

    def resample(self, fps: float, num_frames: int | None = None) -> Clip:
        """Change the rate; rotations turn by slerp, positions and face channels are linear.

        Without `num_frames`, new frame i is at i / fps exactly and the last one is the last that does not
        pass the clip's end. With it, the first and last new frames are the first and last old ones, with
        equal steps between, which moves no frame in time by more than the difference of the two spans.

        Args:
            fps: New rate, frames per second.
            num_frames: Exact number of frames wanted.

        Raises:
            ClipError: If the rate or the number of frames is out of range.
        """
        if not (np.isfinite(fps) and MIN_FPS <= fps <= MAX_FPS):
            raise ClipError(f"A motion cannot run at {fps} frames per second; use a rate from 1 to 1000.")
        if num_frames is None:
            count = int(np.floor(self.span_s * fps + 1e-6)) + 1
            place = np.arange(count) * (self.fps / fps)
        elif num_frames < 1:
            raise ClipError(f"A motion cannot have {num_frames} frames; ask for at least one.")
        else:
            place = np.linspace(0.0, self.num_frames - 1.0, num_frames)
        before = np.clip(np.floor(place + 1e-6).astype(np.int64), 0, self.num_frames - 1)
        after = np.minimum(before + 1, self.num_frames - 1)
        share = np.clip(place - before, 0.0, 1.0)
        share[share < 1e-5] = 0.0
        poses = self.poses[before].copy()
        moving = np.flatnonzero(share > 0)
        quaternions = axis_angle_to_quaternion(self.poses.astype(np.float64))
        turned = slerp(quaternions[before[moving]], quaternions[after[moving]], share[moving, None])
        poses[moving] = quaternion_to_axis_angle(turned)
        weight = share[:, None].astype(np.float32)
        return replace(
            self,
            fps=float(fps),
            poses=poses,
            trans=self.trans[before] * (1 - weight) + self.trans[after] * weight,
            expressions=self.expressions[before] * (1 - weight) + self.expressions[after] * weight,
            feet=None if self.feet is None else self.feet.between(before, after, weight[:, 0]),
        )

    def mirrored(self) -> Clip:
        """Swap left and right: what the left hand did, the right hand does.

        SMPL-X expression coefficients have no exact mirror image and are kept as they are; what is known of
        the feet is left out.
        """
        flip_axis = np.array([1.0, -1.0, -1.0], dtype=np.float32)
        flip_place = np.array([-1.0, 1.0, 1.0], dtype=np.float32)
        expressions = self.expressions
        if self.basis == "arkit":
            place = {name: index for index, name in enumerate(self.expression_names)}
            other = (ARKIT_NAMES[ARKIT_MIRROR[ARKIT_NAMES.index(name)]] for name in self.expression_names)
            expressions = expressions[:, [place.get(name, index) for index, name in enumerate(other)]]
        return replace(
            self,
            poses=self.poses[:, list(MIRROR)] * flip_axis,
            trans=self.trans * flip_place,
            expressions=expressions,
            pelvis_rest=self.pelvis_rest * flip_place,
            feet=None,
        )

    def moved(self, turn: float = 0.0, shift: tuple[float, float] = (0.0, 0.0)) -> Clip:
        """Turn the clip about the world's Y axis, then move it over the floor.

        Args:
            turn: Radians, positive from +Z towards +X.
            shift: Metres along X and Z.
        """
        rotation = yaw_matrix(np.float64(turn).reshape(()))
        poses = self.poses.copy()
        poses[:, 0] = matrix_to_axis_angle(rotation @ axis_angle_to_matrix(poses[:, 0].astype(np.float64)))
        places = self.pelvis_positions @ rotation.T + np.array([shift[0], 0.0, shift[1]])
        feet = self.feet
        if feet is not None:
            feet = replace(feet, root=feet.root @ rotation.T.astype(np.float32))
        return replace(self, poses=poses, trans=(places - self.pelvis_rest).astype(np.float32), feet=feet)

    def joined(self, other: Clip, align: bool = False) -> Clip:
        """Append another clip's frames.

        Args:
            other: Clip of the same rate and face channels.
            align: Turn and move `other` over the floor so that its first frame stands where the last one here
                does, facing the same way.

        Raises:
            ClipError: If rates or face channels differ.
        """
        self._check_same_rate(other)
        if other.expression_names != self.expression_names:
            raise ClipError(
                "The two motions have different face channels; convert one of them before joining."
            )
        if align:
            ends = np.stack([self.poses[-1, 0], other.poses[0, 0]]).astype(np.float64)
            here, there = heading_angle(axis_angle_to_matrix(ends))
            other = other.moved(turn=float(here - there))
            step = self.pelvis_positions[-1] - other.pelvis_positions[0]
            other = other.moved(shift=(float(step[0]), float(step[2])))
        return replace(
            self,
            poses=np.concatenate([self.poses, other.poses]),
            trans=np.concatenate([self.trans, other.pelvis_positions - self.pelvis_rest]),
            expressions=np.concatenate([self.expressions, other.expressions]),
            feet=self.feet.joined(other.feet) if self.feet is not None and other.feet is not None else None,
        )

    def with_part(self, part: Part, other: Clip) -> Clip:
        """Copy one part's channels from another clip without changing a bit of them.

        The lower body brings the root positions and its feet along, the face its channels and their basis.

        Raises:
            ClipError: If the clips differ in rate or length.
        """
        self._check_same_rate(other)
        if other.num_frames != self.num_frames:
            raise ClipError(
                f"The two motions have {self.num_frames} and {other.num_frames} frames; "
                "cut or resample one of them first."
            )
        joints = list(PART_JOINTS[part])
        poses = self.poses.copy()
        poses[:, joints] = other.poses[:, joints]
        if part is Part.LOWER:
            return replace(
                self, poses=poses, trans=other.trans, pelvis_rest=other.pelvis_rest, feet=other.feet
            )
        if part is Part.FACE:
            return replace(
                self,
                poses=poses,
                expressions=other.expressions,
                basis=other.basis,
                expression_names=other.expression_names,
            )
        return replace(self, poses=poses)

    def _check_same_rate(self, other: Clip) -> None:
        if abs(other.fps - self.fps) > 1e-3:
            raise ClipError(
                f"The two motions run at {self.fps:g} and {other.fps:g} frames per second; "
                "resample one of them first."
            )
