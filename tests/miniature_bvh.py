# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes BVH files of a miniature CMU skeleton."""

from __future__ import annotations

# A miniature CMU skeleton in inches: joint, parent, offset. Arms hang 8 degrees in the T-pose.
_SIDE = (
    ("UpLeg", "Hips", (4.0, -4.0, 0.0)),
    ("Leg", "UpLeg", (0.0, -16.0, 0.0)),
    ("Foot", "Leg", (0.0, -16.0, 0.0)),
    ("ToeBase", "Foot", (0.0, -2.0, 5.0)),
    ("Shoulder", "Spine1", (1.0, 8.0, 0.0)),
    ("Arm", "Shoulder", (6.0, 0.0, 0.0)),
    ("ForeArm", "Arm", (11.0, -1.5, 0.0)),
    ("Hand", "ForeArm", (9.0, -1.2, 0.0)),
)
_MIDDLE = (
    ("Hips", "", (0.0, 0.0, 0.0)),
    ("LowerBack", "Hips", (0.0, 1.0, 0.0)),
    ("Spine", "LowerBack", (0.0, 4.0, 0.0)),
    ("Spine1", "Spine", (0.0, 4.0, 0.0)),
    ("Neck1", "Spine1", (0.0, 9.0, 0.0)),
    ("Head", "Neck1", (0.0, 4.0, 0.0)),
)


def miniature(
    angles: dict[str, tuple[float, float, float]], forward_per_frame: float = 0.0, frames: int = 40
) -> str:
    """A BVH file whose frame 0 is a T-pose and whose other frames hold `angles` (degrees, Z Y X)."""
    joints = list(_MIDDLE)
    for side, sign in (("Left", 1), ("Right", -1)):
        for name, parent, (x, y, z) in _SIDE:
            above = parent if parent in ("Hips", "Spine1") else side + parent
            joints.append((side + name, above, (sign * x, y, z)))
    order: list[str] = []

    def write(name: str, depth: int) -> str:
        order.append(name)
        parent, offset = next((p, o) for n, p, o in joints if n == name)
        channels = "3 Zrotation Yrotation Xrotation"
        if not parent:
            channels = "6 Xposition Yposition Zposition Zrotation Yrotation Xrotation"
        inside = "".join(write(child, depth + 1) for child, above, _ in joints if above == name)
        end = "" if inside else "End Site\n{\nOFFSET 0 0 1\n}\n"
        word = "JOINT" if parent else "ROOT"
        place = " ".join(str(value) for value in offset)
        return f"{word} {name}\n{{\nOFFSET {place}\nCHANNELS {channels}\n{inside}{end}}}\n"

    hierarchy = write("Hips", 0)
    rows = []
    for frame in range(frames):
        row = [0.0, 38.0, 5.0 + forward_per_frame * frame]
        for name in order:
            row.extend(angles.get(name, (0.0, 0.0, 0.0)) if frame else (0.0, 0.0, 0.0))
        rows.append(" ".join(str(value) for value in row))
    return f"HIERARCHY\n{hierarchy}MOTION\nFrames: {frames}\nFrame Time: 0.0333333\n" + "\n".join(rows) + "\n"
